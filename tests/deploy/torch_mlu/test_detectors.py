"""Detectors and networks of the vendor's torchvision through ``mlu-export run``, and what is written beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from tests.deploy.torch_mlu import detector_scripts, scripts

from mlu_agent.cli import main

pytestmark = pytest.mark.torch

# A package as torchvision is laid out, with one network: what of it the vendor's names are added to.
TINY_NET = """
import torch


def tiny_net(classes=2):
    pool = torch.nn.AdaptiveAvgPool2d(1)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), pool, torch.nn.Flatten(),
                               torch.nn.Linear(8, classes))
"""
PACKAGE = {
    "__init__.py": "from . import models",
    "models/__init__.py": "from .tiny import tiny_net\nfrom . import quantization",
    "models/tiny.py": TINY_NET,
    "models/quantization/__init__.py": "from .tiny import tiny_net",
    "models/quantization/utils.py": 'def quantize_model(model, backend):\n    return "own, " + backend\n',
    "models/quantization/tiny.py": 'def tiny_net(quantize=False):\n    return "torchvision\'s own"\n',
}


@pytest.fixture
def detect(simulator_path):
    """Runs ``mlu-agent detect`` on a model and a picture; gives what it prints as JSON."""

    def call(model, picture):
        environment = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), "CNRT_SIMULATOR_DEVICE": "MLU220"}
        command = [sys.executable, "-m", "mlu_agent.cli", "detect", str(model), str(picture), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


def _picture(folder, size):
    rng = np.random.default_rng(1)
    cv2.imwrite(str(folder / "picture.png"), rng.integers(0, 256, (*size, 3), np.uint8))
    return folder / "picture.png"


def test_each_suppression_of_yolov4_online_fused_offline_and_in_the_reference(run, tmp_path, offline):
    """mish, normalize and nms_type 0, 1 and 2: the same bits four times, three files, and three different results."""
    from mlu_export.formats.container_reader import read_network
    from mlu_export.runners.reference.network import run_network

    done = run(detector_scripts.YOLOV4)
    assert done.returncode == 0, done.stderr
    import torch

    x, *fused = (one.numpy() for one in torch.load(tmp_path / "expected.pt"))
    pictures = x.transpose(0, 2, 3, 1).copy()
    for nms_type, boxes in enumerate(fused):
        path = tmp_path / f"v4_{nms_type}.cambricon"
        (result,) = offline(path, pictures)
        np.testing.assert_array_equal(result.reshape(2, -1), boxes.reshape(2, -1))
        (reference,) = run_network(read_network(path.read_bytes()), [pictures])
        np.testing.assert_array_equal(reference.reshape(2, -1), boxes.reshape(2, -1))
    every, distant, single = (_rows(boxes[0]) for boxes in fused)
    assert 2 < len(single) < len(every) <= len(distant)
    assert len({tuple(row[3:]) for row in single}) == len(single)  # one class per box
    assert len({tuple(row[3:]) for row in every}) < len(every)


def _rows(boxes):
    values = boxes.reshape(-1)
    return values[64 : 64 + 7 * int(values[0])].reshape(-1, 7)


def test_yolov3_of_the_vendors_torchvision(run, tmp_path, monkeypatch, detect):
    """Float, quantized, saved, loaded by path and from TORCH_HOME, on the device, fused; the agent reads the export,
    with its own manifest and with an adopted one."""
    from mlu_agent.model.bundle import load_bundle

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    done = run(detector_scripts.YOLOV3)
    for heavy in tmp_path.rglob("*.pth"):
        heavy.unlink()
    assert done.returncode == 0, done.stderr
    assert "checkpoints/yolov3.pth" in done.stderr
    spec = load_bundle(tmp_path / "offline" / "yolov3.cambricon")
    assert (spec.output.kind, spec.output.coordinates, spec.output.max_boxes) == (
        "detection_output",
        "normalized",
        1024,
    )
    assert (spec.num_classes, spec.labels[0], spec.input.channels, spec.thresholds.iou) == (80, "person", "rgb", 0.5)
    assert "check it against the script" in (tmp_path / "offline" / "yolov3.toml").read_text()
    found = detect(tmp_path / "offline" / "yolov3.cambricon", _picture(tmp_path, (48, 80)))
    assert found["detections"]
    options = ["--labels", "coco", "--iou", "0.5", "--confidence", str(spec.thresholds.confidence), "--force"]
    assert main(["adopt", str(tmp_path / "offline" / "yolov3.cambricon"), "--as", "yolov3", *options]) == 0
    assert detect(tmp_path / "offline" / "yolov3.cambricon", _picture(tmp_path, (48, 80))) == found
    (tmp_path / "offline" / "yolov3.cambricon").unlink()


def test_quantized_networks_of_an_installed_torchvision(run, tmp_path, monkeypatch):
    """The vendor's call builds them with weights of TORCH_HOME; torchvision's own call stays; others are refused."""
    _install_package(tmp_path, monkeypatch)
    done = run(detector_scripts.CLASSIFIER)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "torchvision.models.quantization.mobilenet is not here" in done.stderr.splitlines()[-1]


def _install_package(folder, monkeypatch):
    for name, text in PACKAGE.items():
        path = folder / "package" / "torchvision" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{folder / 'package'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def test_quantize_model_without_a_torchvision(run):
    """It swaps the layers of a copy, or in place, and what it gave loads a checkpoint and computes what that tells."""
    done = run(detector_scripts.QUANTIZE_MODEL)
    assert done.returncode == 0, done.stderr


def test_quantize_model_of_an_installed_torchvision(run, tmp_path, monkeypatch):
    """The vendor's call, which names no backend, does the same; one that names a backend is torchvision's own."""
    _install_package(tmp_path, monkeypatch)
    own = 'assert quantize_model(net, "fbgemm") == quantize_model(net, backend="fbgemm") == "own, fbgemm"\n'
    done = run(detector_scripts.QUANTIZE_MODEL + own)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "call, said",
    [
        ("from torchvision import models\nmodels.object_detection.yolov3(pretrained=True)", "TORCH_HOME is not set"),
        ("from torchvision import models\nmodels.object_detection.yolov3('no.pth', True)", "no.pth: there is no such"),
        ("from torchvision import models\nmodels.object_detection.yolov3(img_size=100)", "give a multiple of 32"),
        ("from torchvision import models\nmodels.object_detection.ssd300()", "object_detection.ssd300 is not here"),
        ("from torchvision import models\nmodels.resnet18()", "stands in for it: pip install 'torchvision==0."),
        (
            "import torchvision as tv\ntorch.save({}, 'a.pth')\ntv.models.object_detection.yolov3('a.pth', True)",
            "it is no checkpoint of YOLOv3",
        ),
    ],
)
def test_wrong_calls_of_yolov3_are_one_sentence(run, monkeypatch, call, said):
    """Exit code 2, no traceback."""
    monkeypatch.delenv("TORCH_HOME", raising=False)
    done = run(scripts.missing(call))
    assert done.returncode == 2
    assert said in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "version, fitting",
    [("2.13.0+cpu", "0.28.*"), ("2.0.1", "0.15.*"), ("1.13.1", "0.14.*"), ("1.3.0a0", "0.4.*"), ("dev", "")],
)
def test_the_torchvision_to_install_is_the_one_that_fits_torch(version, fitting):
    """Another one would bring another torch with it, or not load."""
    from mlu_export.torch_mlu.vision import fitting_torchvision

    assert fitting_torchvision(version) == (f"torchvision=={fitting}" if fitting else "torchvision")


def test_layers_of_one_dimension_and_the_calls_of_training(run):
    """conv1d with batch-norm and PReLU behind it, quantized; adaptive_quantize swaps layers, dequantize undoes it."""
    done = run(scripts.ONE_DIMENSION)
    assert done.returncode == 0, done.stderr
    assert "gathers no statistics of training" in done.stderr
