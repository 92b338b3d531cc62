"""The vendor's own quantized checkpoint, compiled by us: its integer weights, and the simulator on real pictures."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from tests.conftest import ROOT, SHARED
from tests.deploy.quantizer.device_code import device_weights

from mlu_export.formats.container_reader import read_network
from mlu_export.values import network as net

pytestmark = [pytest.mark.shared, pytest.mark.torch]

SCRIPT = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from tests.deploy.quantizer import headpose
import numpy as np
import torch
import torch_mlu.core.mlu_model as ct
import torch_mlu.core.mlu_quantize as mlu_quantize

shared = Path(sys.argv[2])
network = headpose.Headpose().eval()
network.load_state_dict(torch.load(headpose.folder(shared) / "headpose.pth"))
pictures = torch.cat(headpose.pictures(shared))
exact = network(pictures)
network = mlu_quantize.quantize_dynamic_mlu(network)
network.load_state_dict(torch.load(headpose.folder(shared) / "headpose_quantize.pth"))
ct.set_core_number(1)
ct.set_core_version("MLU220")
ct.save_as_cambricon("headpose")
traced = torch.jit.trace(network.to(ct.mlu_device()), pictures[:1].to(ct.mlu_device()), check_trace=False)
fused = [one.cpu() for one in traced(pictures.to(ct.mlu_device()))]
arrays = [*exact, *fused]
np.savez("results.npz", *[one.numpy() for one in arrays])
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory, simulator_path):
    """The network of our model file, and float and fused outputs over all pictures."""
    folder = tmp_path_factory.mktemp("headpose")
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mlu_export.cli", "run", "script.py", str(ROOT), str(SHARED.resolve())]
    environment = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "results.npz") as results:
        outputs = [results[key] for key in results.files]
    return read_network((folder / "headpose.cambricon").read_bytes()), outputs


@pytest.mark.parametrize("file", ["headpose.cambricon.cambricon", "headpose_mlu220.cambricon"])
def test_the_int8_weights_of_our_file_are_those_of_the_vendors(compiled, file):
    """Each of the seven layers: the bytes of our file, laid out as on the device, stand in the vendor's."""
    network, _ = compiled
    theirs = (SHARED / "data" / "vendor" / "headpose" / file).read_bytes()
    layers = [operator for operator in network.operators if operator.opcode == net.CONV]
    found = 0
    for operator in layers:
        weight = network.constants[operator.constants[0]]
        assert weight.dtype == np.int8
        height, width = operator.attributes[:2]
        out = network.tensors[operator.output].dims[3]
        cube = weight.reshape(out, height, width, -1)
        linear = cube.reshape(out, -1) if height == width == 1 else cube
        found += theirs.count(device_weights(linear))
    assert (len(layers), found) == (7, 7)


def test_the_simulator_is_near_float_on_the_calibration_pictures(compiled):
    """46 pictures, both outputs: the error is printed, within .06 of float at most and .01 on average, and not zero."""
    _, (first, second, fused_first, fused_second) = compiled
    errors = np.concatenate([np.abs(first - fused_first), np.abs(second - fused_second)], axis=1)
    assert len(errors) == 46
    print(f"simulator against float on {len(errors)} pictures: mean {errors.mean():.5f}, most {errors.max():.5f}")
    assert 0 < errors.mean() < 0.01
    assert errors.max() < 0.06
