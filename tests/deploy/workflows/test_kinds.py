"""Networks that detect nothing, from torch to what the agent says of a picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mlu_agent.cli import main as agent
from mlu_agent.detector import Detector
from mlu_agent.model.bundle import load_bundle
from mlu_export.formats.recipe import read_recipe

pytestmark = pytest.mark.torch

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2, padding=1), torch.nn.ReLU())
        self.top = torch.nn.Linear(8, 3)

    def forward(self, x):
        features = self.body(x).mean(dim=(2, 3))
        return self.top(features) * 4

def net():
    return Net().eval()

class Two(Net):
    def forward(self, x):
        return super().forward(x), x

def two():
    return Two().eval()
"""


@pytest.fixture
def built(tiny, export, simulator_path, monkeypatch):
    """A function that builds the network with more options."""
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    (tiny / "net.py").write_text(NET)
    (tiny / "three.txt").write_text("bus\ncar\ndog\n")

    def build(*more, function="net", name="net"):
        return export(
            "build", "--arch", "module", "--module", f"{tiny / 'net.py'}:{function}", "--size", "32", "--resize",
            "stretch", "--input", "float", "--keep-float", "*", "--name", name, "--calibration", tiny / "pictures",
            "--output", tiny / "out", *more,
        )  # fmt: skip

    return build


@pytest.mark.parametrize("activation", ["none", "softmax"])
def test_a_classifier_says_what_the_network_says(tiny, built, activation):
    """--classify names what is still to be applied; the agent's confidences are those of torch."""
    import torch

    code, _, err = built("--classify", activation, "--labels", tiny / "three.txt")
    assert code == 0, err
    spec = load_bundle(tiny / "out" / "net.cambricon")
    assert (spec.output.task, spec.output.activation, spec.output.top) == ("classify", activation, 5)
    assert spec.labels == ("bus", "car", "dog")
    assert read_recipe(tiny / "out" / "net.recipe.toml").settings.heads.classify == activation
    space = {}
    exec((tiny / "net.py").read_text(), space)
    picture = cv2.imread(str(tiny / "pictures" / "0.png"))
    pixels = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_LINEAR)[..., ::-1] / np.float32(255)
    with torch.no_grad():
        logits = space["net"]()(torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32)))[0]
    expected = (logits.softmax(0) if activation == "softmax" else logits).numpy()
    with Detector(spec.path, "simulator") as detector:
        found = next(result for _, result in detector.results([picture]))
    right = (expected >= 0) & (expected <= 1)
    assert found.invalid == int((~right).sum())
    wanted = sorted((-score, number) for number, score in enumerate(expected) if right[number] and score >= 0.25)
    assert found.class_id.tolist() == [number for _, number in wanted]
    np.testing.assert_allclose(found.confidence, [-score for score, _ in wanted], atol=0.01)


def test_a_recipe_keeps_that_it_classifies(tiny, built):
    """The same bytes and the same manifest come of it."""
    code, _, err = built("--classify", "softmax", "--labels", tiny / "three.txt")
    assert code == 0, err
    first = (tiny / "out" / "net.toml").read_text()
    (tiny / "net.recipe.toml").write_bytes((tiny / "out" / "net.recipe.toml").read_bytes())
    code, _, err = built("--recipe", tiny / "net.recipe.toml")
    assert code == 0, err
    again = (tiny / "out" / "net.toml").read_text()
    assert again.split("[provenance]")[0] == first.split("[provenance]")[0]


@pytest.mark.parametrize(
    "more, function, sentence",
    [
        (("--classify", "softmax", "--decode", "yolov3", "--anchors", "1,2"), "net", "with --decode yolov3 detects"),
        (("--classify", "softmax"), "two", "is for a network with one output, not 2: name it with --outputs (output0"),
        (("--classify", "softmax", "--labels", "names.txt"), "net", "2 names for 3 classes"),
    ],
)
def test_what_does_not_classify_is_a_sentence(tiny, built, more, function, sentence):
    """And nothing is written."""
    code, _, err = built(*(tiny / one if one.endswith(".txt") else one for one in more), function=function)
    assert code == 2
    assert sentence in err
    assert not (tiny / "out").exists()


@pytest.mark.shared
def test_headpose_gives_its_two_tensors(tmp_path, shared, export, simulator_path, monkeypatch, capsys):
    """The vendor's network of plain outputs: built from its weights, the tensors of its pictures are those of torch;
    the vendor's own file, described by a manifest, needs a device, and the simulator says so."""
    import hashlib

    import torch
    from tests.deploy.quantizer import headpose

    from mlu_export.formats.checkpoint import read_checkpoint

    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    folder = headpose.folder(shared)
    (tmp_path / "net.py").write_text(
        "from tests.deploy.quantizer.headpose import Headpose\ndef net():\n    return Headpose()\n"
    )
    code, _, err = export(
        "build", "--arch", "module", "--module", f"{tmp_path / 'net.py'}:net", "--size", "48", "--mean", "104,117,124",
        "--std", "128", "--colours", "bgr", "--resize", "stretch", "--name", "headpose", "--weights",
        folder / "headpose.pth", "--keep-float", "*", "--input", "float",
        "--calibration", folder / "calibration", "--output", tmp_path,
    )  # fmt: skip
    assert code == 0, err
    out = tmp_path / "out"
    assert agent(["infer", str(tmp_path / "headpose.toml"), str(folder / "calibration"), "--output", str(out)]) == 0
    network = headpose.Headpose().eval()
    network.load_state_dict(read_checkpoint(folder / "headpose.pth").state_dict())
    names = [one.name for one in load_bundle(tmp_path / "headpose.toml").output.plain]
    paths = sorted((folder / "calibration").iterdir())
    for path, picture in zip(paths, headpose.pictures(shared)):
        with torch.no_grad():
            wanted = network(picture)
        for name, tensor in zip(names, wanted):
            saved = np.load(out / f"{path.stem}.{name}.npy")
            np.testing.assert_allclose(saved, tensor.numpy(), atol=0.05, rtol=0.02)
    vendor = tmp_path / "vendor.cambricon"
    vendor.write_bytes((folder / "headpose_mlu220.cambricon").read_bytes())
    spec = load_bundle(tmp_path / "headpose.toml")
    assert spec.output.task == "infer"
    capsys.readouterr()
    manifest = (tmp_path / "headpose.toml").read_text()
    digest = hashlib.sha256(vendor.read_bytes()).hexdigest()
    text = manifest.replace(spec.sha256, digest).replace('"headpose.cambricon"', '"vendor.cambricon"')
    vendor.with_suffix(".toml").write_text(text)
    assert agent(["infer", str(vendor), str(paths[0])]) == 2
    assert "this file holds MLU220 device code only" in capsys.readouterr().err
