"""State dicts of Darknet networks: both key layouts, float, fused and quantized."""

from __future__ import annotations

import numpy as np
import pytest
from tests.deploy import nets

from mlu_agent.errors import DataError
from mlu_export.importers.darknet.cfg import parse_cfg
from mlu_export.importers.darknet.importer import import_darknet
from mlu_export.values.quantizer_parameters import QuantParameters
from mlu_export.workflows.convert import same_network

SECTIONS = parse_cfg(nets.TINY_CFG.encode(), "tiny.cfg")
SAVERS = {"zip": nets.save_pt, "legacy": nets.save_legacy}


def load(state, save=nets.save_legacy):
    return import_darknet(SECTIONS, save(state), "")


@pytest.fixture(scope="module")
def plain():
    return import_darknet(SECTIONS, nets.tiny_weights(), "")


@pytest.mark.parametrize("layout", ["vendor", "upstream"])
@pytest.mark.parametrize("form", SAVERS)
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_both_layouts_give_the_network_of_the_weight_file(layout, form, wrapper, plain):
    """To the bit, whichever of torch's formats it is in and whatever training scripts put around it."""
    state = nets.darknet_state(layout)
    model = load({wrapper: state} if wrapper else state, SAVERS[form])
    assert same_network(model.graph, plain.graph)
    assert (model.heads, model.classes, model.decode, model.keys) == (plain.heads, plain.classes, "yolov3", plain.keys)
    assert model.quantized is None
    assert model.warnings == ()


def test_the_prefix_of_data_parallel_training_is_left_out(plain):
    """Keys that begin with ``module.`` mean the same network."""
    state = {f"module.{key}": value for key, value in nets.darknet_state().items()}
    assert same_network(load(state).graph, plain.graph)


def test_grids_and_counters_are_known_other_entries_are_told():
    """The vendor's port keeps grids and anchors in its yolo layers."""
    state = nets.darknet_state()
    for name in ("grid_x", "grid_y", "scaled_anchors", "anchor_w", "anchor_h"):
        state[f"module_list.12.yolo_12.{name}"] = np.zeros(3, "<f4")
    assert load(state).warnings == ()
    state["loss.weight"] = np.zeros(3, "<f4")
    assert load(state).warnings == ("1 entries of the checkpoint are not used, the first is loss.weight",)


def test_a_fused_state_dict_has_biases_where_the_cfg_says_batch_norm():
    """Its convolutions have a bias and no statistics left."""
    convolutions = load(nets.darknet_state(fused=True)).graph.convolutions()
    assert all(conv.norm is None and conv.bias is not None for conv in convolutions)


def _quantized(bits_mode: int = 1):
    state = nets.darknet_state()
    for key in [key for key in state if key.endswith("Conv2d.weight")]:
        stem = key[: -len(".weight")]
        state[f"{stem}.scale"] = np.array([2.5, 127 / np.abs(state[key]).max()], "<f4")
        state[f"{stem}.quantized_mode"] = np.array([bits_mode], "<i4")
    return state


@pytest.mark.parametrize("mode, bits", [(1, 8), (2, 16)])
def test_a_quantized_checkpoint_brings_the_parameters_of_each_layer(mode, bits, plain):
    """By the names of the graph's layers; the weights in the graph are the float ones of the file."""
    model = load(_quantized(mode))
    assert list(model.quantized) == [conv.name for conv in model.graph.convolutions()]
    assert {given.bits for given in model.quantized.values()} == {bits}
    assert model.quantized["0_conv"].input_scale == 2.5
    assert same_network(model.graph, plain.graph)
    assert model.warnings == ()


def test_scales_per_channel_and_the_normalisation_of_a_first_convolution_are_read():
    """As the vendor's tool writes them: the weight's part of the scale is 0, the channels' stand beside it."""
    state = _quantized()
    stem = "module_list.0.Conv2d"
    state[f"{stem}.scale"] = np.array([2.5, 0.0], "<f4")
    state[f"{stem}.quantized_by_channel"] = np.array([1], "<i8")
    state[f"{stem}.scale_weight_per_channel"] = np.arange(1, 9, dtype="<f4")
    state[f"{stem}.input_mean"] = np.zeros((1, 3, 1, 1), "<f4")
    state[f"{stem}.input_std"] = np.full((1, 3, 1, 1), 255, "<f4")
    expected = QuantParameters(2.5, tuple(map(float, range(1, 9))), 3, (0.0,) * 3, (255.0,) * 3)
    assert load(state).quantized["0_conv"] == expected


@pytest.mark.parametrize(
    "key, value, sentence",
    [
        ("module_list.2.Conv2d.weight", None, r"no module_list\.2\.Conv2d\.weight"),
        ("module_list.2.Conv2d.bias", None, r"no module_list\.2\.Conv2d\.bias"),
        ("module_list.1.BatchNorm2d.running_var", None, r"no module_list\.1\.BatchNorm2d\.running_var"),
        (
            "module_list.5.Conv2d.weight",
            np.zeros((12, 8, 3, 3), "<f4"),
            r"5\.Conv2d\.weight has the shape \(12, 8, 3, 3\)",
        ),
        ("module_list.5.Conv2d.weight", np.zeros((12, 4, 3, 3), "<i8"), "int64"),
        ("module_list.4.Conv2d.weight", np.zeros((1, 1, 1, 1), "<f4"), r"4\.Conv2d\.weight belongs to no convolution"),
        ("module_list.99.BatchNorm2d.weight", np.zeros(1, "<f4"), r"99\.BatchNorm2d\.weight belongs to no"),
        ("module_list.1.BatchNorm2d.running_var", -np.ones(8, "<f4"), "negative"),
        ("module_list.1.BatchNorm2d.bias", np.full(8, np.nan, "<f4"), r"1\.BatchNorm2d\.bias holds NaN"),
        ("module_list.0.Conv2d.scale", np.zeros(2, "<f4"), r"no module_list\.0\.Conv2d\.quantized_mode"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused_by_its_first_misfit(key, value, sentence):
    """The sentence names the key that is missing, too many or wrong."""
    state = nets.darknet_state()
    if value is None:
        del state[key]
    else:
        state[key] = value
    with pytest.raises(DataError, match=sentence):
        load(state)


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("scale", np.array([0, 1], "<f4"), "scale of its input"),
        ("scale", np.array([1, -1], "<f4"), "scale of its weight"),
        ("scale", np.zeros(0, "<f4"), "0 values"),
        ("scale", np.zeros(999, "<f4"), "999 values"),
        ("quantized_mode", np.array([9], "<i4"), "quantized_mode is 9"),
        ("quantized_mode", np.zeros(0, "<i4"), "0 values"),
        ("quantized_by_channel", np.array([1], "<i8"), "scale_weight_per_channel"),
        ("input_std", np.zeros((1, 3, 1, 1), "<f4"), "input_std"),
    ],
)
def test_impossible_scales_are_refused_with_the_layers_name(name, value, sentence):
    """A scale that cannot be is no number to compute with."""
    state = _quantized()
    state[f"module_list.2.Conv2d.{name}"] = value
    if name == "input_std":
        state["module_list.2.Conv2d.input_mean"] = np.zeros((1, 3, 1, 1), "<f4")
    with pytest.raises(DataError, match=sentence):
        load(state)


def test_files_that_are_no_state_dict_of_darknet_are_told_apart():
    """A whole pickled model, a state dict of YOLOv5, and pickles of anything else."""
    model = nets.YoloBuilder().checkpoint()
    with pytest.raises(DataError, match="--arch yolov5s"):
        load(model, nets.save_pt)
    with pytest.raises(DataError, match=r"first key is 'model\.0\.conv\.weight'"):
        load({"model.0.conv.weight": np.zeros(3, "<f4")})
    for content in ([1], 3, {}, {"a": "b"}):
        with pytest.raises(DataError, match="without a state dict"):
            load(content)
