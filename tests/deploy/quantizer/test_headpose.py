"""The vendor's own network, checkpoint and compiled models are the judges of our quantizer."""

from __future__ import annotations

import io
import pickletools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.conftest import SHARED
from tests.deploy.quantizer.device_code import device_weights

from mlu_export.formats.checkpoint import checkpoint_bytes, read_checkpoint
from mlu_export.values.ranges import quantize_weights

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.shared, pytest.mark.torch]


@pytest.fixture(scope="module")
def headpose():
    from tests.deploy.quantizer import headpose

    return headpose


@pytest.fixture(scope="module")
def network(headpose):
    made = headpose.Headpose()
    made.load_state_dict(read_checkpoint(headpose.folder(SHARED) / "headpose.pth").state_dict())
    return made.eval()


@pytest.fixture(scope="module")
def pictures(headpose):
    return headpose.pictures(SHARED)


@pytest.fixture(scope="module")
def ours(network, pictures):
    """The state dict that our quantizer makes of the float network and the pictures."""
    import torch

    from mlu_export.quantizer.dynamic import quantize_dynamic_mlu

    observing = quantize_dynamic_mlu(network, {"iteration": 1000, "firstconv": False}, dtype="int8", gen_quant=True)
    with torch.no_grad():
        for picture in pictures:
            observing(picture)
    return observing.state_dict()


@pytest.fixture(scope="module")
def theirs(headpose) -> Path:
    return headpose.folder(SHARED) / "headpose_quantize.pth"


def test_our_checkpoint_has_the_keys_of_the_vendors_with_equal_types_and_shapes(ours, theirs):
    """33 keys in one order, equal kinds of tensor, dtypes, shapes and module versions."""
    import torch

    vendor = torch.load(theirs, weights_only=True)
    described = [
        [(key, type(value), value.dtype, value.shape) for key, value in state.items()] for state in (ours, vendor)
    ]
    assert len(described[0]) == 33
    assert described[0] == described[1]
    assert list(ours._metadata.items()) == list(vendor._metadata.items())


def test_weight_scales_and_the_first_input_scale_equal_the_vendors_to_the_bit(ours, theirs, headpose):
    """Deeper input scales differ, as 46 of the vendor's 1,000 pictures saw smaller ranges."""
    vendor = read_checkpoint(theirs).tensors
    for name in headpose.LAYERS:
        assert ours[f"{name}.scale"][1].item() == vendor[f"{name}.scale"][1]
        assert ours[f"{name}.scale"][0].item() >= vendor[f"{name}.scale"][0]
    assert ours["conv1.scale"].tolist() == vendor["conv1.scale"].tolist()


def test_the_file_is_the_vendors_but_for_its_values_and_the_names_of_storages(ours, theirs):
    """Legacy serialization: the same pickle opcodes with the same arguments, part by part, and the same size."""
    data, given = checkpoint_bytes(ours), theirs.read_bytes()
    assert len(data) == len(given)
    streams = io.BytesIO(data), io.BytesIO(given)
    for _part in range(5):
        pairs = zip(*([(code.name, value) for code, value, _ in pickletools.genops(stream)] for stream in streams))
        differ = [pair for pair in pairs if pair[0] != pair[1]]
        assert all(a[0] == b[0] == "BINUNICODE" and a[1].isdigit() and b[1].isdigit() for a, b in differ)


def test_the_vendors_checkpoint_loads_strictly(network, theirs):
    """Read by the restricted reader and by torch alike, and every key is taken."""
    import torch

    from mlu_export.quantizer.dynamic import quantize_dynamic_mlu, quantized_layers

    for state in (read_checkpoint(theirs).state_dict(), torch.load(theirs, weights_only=True)):
        running = quantize_dynamic_mlu(network)
        running.load_state_dict(state)
        assert [(layer.quant_parameters().mode, layer.weight.shape[0]) for _, layer in quantized_layers(running)] == [
            (1, 16), (1, 32), (1, 32), (1, 64), (1, 128), (1, 10), (1, 3),
        ]  # fmt: skip
        assert {key: value.tolist() for key, value in running.state_dict().items()} == {
            key: value.tolist() for key, value in state.items()
        }


@pytest.mark.parametrize("file", ["headpose.cambricon.cambricon", "headpose_mlu220.cambricon"])
def test_the_integer_weights_are_those_inside_the_vendors_offline_model(file, headpose, theirs):
    """Every int8 weight that we compute stands in the vendor's device code, at one place each, for both devices."""
    from mlu_export.values.quantizer_parameters import parameters_of

    compiled = (headpose.folder(SHARED) / file).read_bytes()
    tensors = read_checkpoint(theirs).tensors
    for name in headpose.LAYERS:
        weight = tensors[f"{name}.weight"]
        parameters = parameters_of(tensors[f"{name}.scale"].tolist(), int(tensors[f"{name}.quantized_mode"][0]))
        cube = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
        done = quantize_weights(cube, parameters.layer_range(weight), 8, False, name).weight
        integers = done if weight.ndim == 4 else done.reshape(weight.shape)
        assert np.abs(integers).max() == 127
        assert compiled.count(device_weights(integers)) == 1, name


def test_the_simulators_arithmetic_stays_near_float(network, pictures, theirs, headpose):
    """Over all pictures the int8 network is within .1 of float, on average within .01; outputs reach 1."""
    import torch

    from mlu_export.quantizer.dynamic import quantize_dynamic_mlu

    running = quantize_dynamic_mlu(network)
    running.load_state_dict(read_checkpoint(theirs).state_dict())
    with torch.no_grad():
        errors = [
            (a - b).abs().numpy()
            for picture in pictures
            for a, b in zip(network(picture), headpose.simulated(running, picture))
        ]
    assert max(error.max() for error in errors) < 0.1
    assert np.mean(np.concatenate(errors, axis=1)) < 0.01
    assert max(error.max() for error in errors) > 0  # it is int8, not the float network once more
