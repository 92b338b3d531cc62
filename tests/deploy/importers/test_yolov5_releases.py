"""YOLOv5 of every release, as a pickled model and as a state dict."""

from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy

import numpy as np
import pytest
import torch
from tests.deploy.importers import yolo_modules

from mlu_agent.errors import DataError, UserError
from mlu_export.importers.darknet.archs import find_arch
from mlu_export.importers.source import Source, import_model
from mlu_export.importers.yolov5.importer import import_yolov5
from mlu_export.runners.float_graph import FloatRunner
from mlu_export.workflows.convert import same_network

pytestmark = pytest.mark.torch

SIZE = (64, 96)
RELEASES = [(3, "leaky_relu"), (3, "hardswish"), (4, "silu"), (6, "silu")]


def heads_of(model, pictures):
    return FloatRunner(model.graph).run(pictures)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(3).random((1, *SIZE, 3), dtype=np.float32)


def expected(network, pictures):
    return [head.numpy() for head in network(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))]


def assert_close(heads, wanted):
    for head, want in zip(heads, wanted):
        assert head.shape == want.shape
        assert np.abs(head - want).max() <= 1e-4 * max(1.0, float(np.abs(want).max()))


@pytest.mark.parametrize("release, act", RELEASES)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_pickled_network_computes_what_torch_computes(release, act, legacy, pictures):
    """Focus and 6x6 stems, BottleneckCSP and C3, SPP and SPPF, each activation; both of torch's file formats."""
    network = yolo_modules.network(release, act, classes=10)
    model = import_yolov5(yolo_modules.save({"model": network, "ema": None}, legacy), SIZE)
    assert model.classes == 10
    assert model.labels == tuple(f"class {number}" for number in range(10))
    assert [head.stride for head in model.heads] == [8, 16, 32]
    assert model.heads[2].anchors == ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0))
    assert model.warnings == ()
    assert_close(heads_of(model, pictures), expected(network, pictures))


@pytest.mark.parametrize("release, act", RELEASES)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_state_dict_gives_the_same_network_to_the_bit(release, act, legacy):
    """Blocks come from the keys, the wiring from the releases, the activation from the name given."""
    network = yolo_modules.network(release, act, classes=3)
    pickled = import_yolov5(yolo_modules.save({"model": network}), SIZE)
    state = import_yolov5(yolo_modules.save(network.state_dict(), legacy), SIZE, act)
    assert same_network(pickled.graph, state.graph)
    assert (pickled.heads, pickled.classes, pickled.decode) == (state.heads, state.classes, state.decode)
    assert state.warnings == ()
    assert pickled.keys == state.keys
    stem = "0.conv" if release == 6 else "0.conv.conv"
    assert state.keys[stem] == f"model.{stem}"


def test_the_averaged_model_is_taken_before_the_last_one(pictures):
    """Checkpoints in the middle of training hold both; older ones hold the average with a count beside it."""
    last, average = yolo_modules.network(seed=1), yolo_modules.network(seed=2)
    for ema in (average, (average, 17)):
        model = import_yolov5(yolo_modules.save({"model": last, "ema": ema}), SIZE)
        assert_close(heads_of(model, pictures), expected(average, pictures))


def test_half_precision_and_data_parallel_wrapping_change_nothing():
    """Published files hold float16; training on several cards puts ``module`` around everything."""
    network = yolo_modules.network(classes=2).half()
    plain = import_yolov5(yolo_modules.save({"model": network}), SIZE)
    wrapped = import_yolov5(yolo_modules.save({"model": torch.nn.DataParallel(network)}), SIZE)
    assert same_network(plain.graph, wrapped.graph)
    state = OrderedDict((f"module.{key}", value) for key, value in network.state_dict().items())
    assert same_network(plain.graph, import_yolov5(yolo_modules.save({"state_dict": state}), SIZE, "silu").graph)


@pytest.mark.parametrize("release, usual", [(3, "hardswish"), (4, "silu"), (6, "silu")])
def test_a_state_dict_without_a_named_release_gets_the_usual_activation_and_a_warning(release, usual):
    """BottleneckCSP: hardswish, C3: SiLU."""
    state = yolo_modules.network(release, usual, classes=2).state_dict()
    data = yolo_modules.save(state)
    guessed, named = import_yolov5(data, SIZE), import_yolov5(data, SIZE, usual)
    assert same_network(guessed.graph, named.graph)
    assert len(guessed.warnings) == 1
    assert usual in guessed.warnings[0]


def test_the_release_is_part_of_the_networks_name():
    """``yolov5s@v3.0`` says which activation a state dict was trained with; a release of nothing else exists."""
    assert find_arch("yolov5s@v3.0").activation == "leaky_relu"
    assert find_arch("yolov5s@v3.1").activation == "hardswish"
    assert find_arch("yolov5s@v7.0").activation == "silu"
    assert find_arch("yolov5s").activation is None
    for name in ("yolov5s@v9", "yolov5s@", "yolov3@v3.0", "yolo@v3.0"):
        with pytest.raises(UserError, match="--arch"):
            find_arch(name)
    data = yolo_modules.save(yolo_modules.network(3, "leaky_relu", 2).state_dict())
    source = Source(data, "a.pth", "", None, "")
    functions = {
        release: {
            getattr(node, "function", "")
            for node in import_model(find_arch(f"yolov5s@{release}"), source, SIZE).graph.nodes
        }
        for release in ("v3.0", "v3.1")
    }
    assert functions == {"v3.0": {"", "leaky_relu"}, "v3.1": {"", "leaky_relu", "hardswish"}}


def test_a_fused_state_dict_has_biases_where_batch_norms_were(pictures):
    """Its convolutions hold the batch-norm already; the heads stay what they were."""
    network = yolo_modules.network(6, "silu", 2)
    fused = deepcopy(network)
    for module in fused.modules():
        if isinstance(module, yolo_modules.Conv):
            module.conv = torch.nn.utils.fuse_conv_bn_eval(module.conv, module.bn)
            del module.bn
    model = import_yolov5(yolo_modules.save(fused.state_dict()), SIZE, "silu")
    assert all(conv.norm is None and conv.bias is not None for conv in model.graph.convolutions())
    assert_close(heads_of(model, pictures), expected(network, pictures))


@pytest.mark.parametrize("keep, published", [(("anchors",), False), (("anchor_grid",), False), ((), True)])
def test_anchors_come_from_the_state_dict_or_are_the_published_ones(keep, published):
    """Either buffer will do; without both a warning tells."""
    state = yolo_modules.network(4, "silu", 2).state_dict()
    for name in ("anchors", "anchor_grid"):
        if name not in keep:
            del state[f"model.24.{name}"]
        else:
            state[f"model.24.{name}"] = state[f"model.24.{name}"] * 2
    model = import_yolov5(yolo_modules.save(state), SIZE, "silu")
    assert model.heads[0].anchors[0] == ((10.0, 13.0) if published else (20.0, 26.0))
    assert [("anchors" in warning) for warning in model.warnings] == [True] * published


def test_a_quantized_checkpoint_brings_each_layers_parameters():
    """Scales and modes beside the weights, by the names of the graph's layers; the weights stay float."""
    network = yolo_modules.network(6, "silu", 2)
    state = OrderedDict()
    for key, value in network.state_dict().items():
        state[key] = value
        if value.ndim == 4:
            stem = key[: -len(".weight")]
            state[f"{stem}.scale"] = torch.tensor([3.0, 127.0 / float(value.abs().max())])
            state[f"{stem}.quantized_mode"] = torch.tensor([1], dtype=torch.int32)
    state["model.0.conv.input_mean"] = torch.zeros(1, 3, 1, 1)
    state["model.0.conv.input_std"] = torch.full((1, 3, 1, 1), 255.0)
    state["model.24.m.1.quantized_by_channel"] = torch.tensor([1])
    state["model.24.m.1.scale"] = torch.tensor([3.0, 0.0])
    state["model.24.m.1.scale_weight_per_channel"] = torch.arange(1.0, 22.0)
    model = import_yolov5(yolo_modules.save(state, legacy=True), SIZE, "silu")
    assert model.warnings == ()
    assert set(model.quantized) == {conv.name for conv in model.graph.convolutions()}
    assert model.quantized["0.conv"].input_scale == 3.0
    assert model.quantized["0.conv"].std == (255.0, 255.0, 255.0)
    assert model.quantized["24.m.0.conv"].mode == 1
    assert model.quantized["24.m.1.conv"].mode == 3
    assert model.quantized["24.m.1.conv"].weight_scale == tuple(float(number) for number in range(1, 22))
    plain = import_yolov5(yolo_modules.save(network.state_dict()), SIZE, "silu")
    assert plain.quantized is None
    assert same_network(plain.graph, model.graph)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda state: state.pop("model.7.conv.weight"), r"layer model\.7 has the keys bn"),
        (lambda state: state.pop("model.24.m.2.weight"), r"no model\.24\.m\.2\.weight"),
        (lambda state: state.pop("model.13.cv2.bn.running_var"), r"no model\.13\.cv2\.bn\.running_var"),
        (lambda state: state.update({"model.9.cv1.conv.weight": torch.zeros(32, 63, 1, 1)}), r"9\.cv1.*63.*64"),
        (lambda state: state.update({"model.9.cv1.conv.weight": torch.zeros(3)}), r"9\.cv1.*rank 1"),
        (lambda state: state.update({"model.25.weight": torch.zeros(3)}), r"end with model\.25"),
        (lambda state: state.update({"backbone.weight": torch.zeros(3)}), "backbone.weight"),
        (lambda state: state.update({"model.3.bn.running_var": -torch.ones(16)}), "negative"),
        (
            lambda state: state.update({"model.3.bn.bias": torch.full((16,), float("nan"))}),
            r"model\.3\.bn\.bias holds NaN",
        ),
        (lambda state: state.update({"model.24.anchors": torch.zeros(3, 3, 2)}), "anchors"),
        (lambda state: state.update({"model.24.anchors": torch.zeros(7)}), "anchors"),
        (lambda state: state.update({"model.3.conv.weight": torch.zeros(16, 8, 3, 3, dtype=torch.int64)}), "int64"),
    ],
)
def test_a_state_dict_of_another_network_is_refused_by_its_first_misfit(change, sentence):
    """The sentence names the key that is missing, too many or wrong."""
    state = yolo_modules.network(6, "silu", 2).state_dict()
    change(state)
    with pytest.raises(DataError, match=sentence):
        import_yolov5(yolo_modules.save(state), SIZE, "silu")


def test_entries_that_nobody_needs_are_told():
    """All but the counters of batch-norm."""
    state = yolo_modules.network(4, "silu", 2).state_dict()
    state["model.3.conv.momentum"] = torch.zeros(1)
    model = import_yolov5(yolo_modules.save(state), SIZE, "silu")
    assert model.warnings == ("1 entries of the checkpoint are not used, the first is model.3.conv.momentum",)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda model: setattr(model.model[2].m[0].cv1, "act", torch.nn.GELU()), "activation GELU is not supported"),
        (lambda model: setattr(model.model[3].conv, "groups", 0), "groups"),
        (lambda model: setattr(model.model[3].conv, "stride", (0, 0)), "zero"),
        (lambda model: setattr(model.model[3].conv, "stride", 10**5000), "stride"),
        (lambda model: setattr(model.model[11], "scale_factor", torch.ones(2)), "upsampling"),
        (lambda model: setattr(model.model[12], "f", [[[]], 6]), "reads layer a list"),
        (lambda model: setattr(model.model[12], "f", [99, 6]), "reads layer 99"),
        (lambda model: setattr(model.model[9].m, "ceil_mode", True), "ceil_mode"),
        (lambda model: setattr(model.model[9].m, "ceil_mode", torch.ones(2)), "ceil_mode"),
        (lambda model: setattr(model.model[12], "d", torch.ones(2)), "concatenation"),
        (lambda model: setattr(model.model[11], "mode", torch.ones(2)), "upsampling"),
        (lambda model: setattr(model.model[24], "m", torch.nn.ModuleList()), "0 levels"),
        (lambda model: delattr(model.model[2], "cv3"), "thing"),
        (lambda model: setattr(model.model[3].bn, "eps", -1.0), "eps"),
    ],
)
def test_a_model_with_something_impossible_inside_is_refused(change, sentence):
    """Whatever a pickle may hold as an attribute."""
    model = yolo_modules.network(6, "silu", 2)
    change(model)
    with pytest.raises(DataError, match=sentence):
        import_yolov5(yolo_modules.save({"model": model}), SIZE)
