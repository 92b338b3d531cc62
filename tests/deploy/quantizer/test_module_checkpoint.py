"""Checkpoints of the user's own torch modules: written by quantize, compiled, verified."""

from __future__ import annotations

import json
import os
import pickle
import sys
import textwrap

import numpy as np
import pytest

from mlu_export.formats.container_reader import read_network

pytestmark = pytest.mark.torch

NETWORK = """
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(3)
            self.conv, self.bn = nn.Conv2d(3, 6, 3, 2, bias=False), nn.BatchNorm2d(6)
            self.shared = nn.Conv2d(6, 6, 1)
            self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
            self.up = nn.ConvTranspose2d(6, 4, 2, 2)
            self.fc = nn.Linear(4, 5)

        def forward(self, x):
            x = torch.relu(self.bn(self.conv(x)))
            x = self.shared(torch.relu(self.shared(x)) * 3)
            return self.fc(self.up(self.depthwise(x)).mean((2, 3)))

    def network():
        return Network()
"""


@pytest.fixture(autouse=True)
def _simulator(simulator_path, monkeypatch):
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))


@pytest.fixture
def words(tiny):
    """Makes a command's words: the module, its input, and where files go."""
    (tiny / "network.py").write_text(textwrap.dedent(NETWORK))

    def make(command, *more, output="q"):
        pixels = ("--size", "32", "--mean", "10,20,30", "--std", "100", "--colours", "bgr", "--resize", "stretch")
        module = ("--arch", "module", "--module", f"{tiny / 'network.py'}:network", *pixels)
        return (command, *module, "--name", "net", "--output", tiny / output, *more)

    return make


@pytest.mark.parametrize(
    "more", [(), ("--per-tensor", "--bits", "16"), ("--keep-int16", "shared*"), ("--keep-float", "conv")]
)
def test_a_module_goes_by_way_of_its_checkpoint_too(tiny, words, export, more):
    """Written, compiled and verified; the model is the one that is built from the recipe, byte for byte. (Where a layer
    is used twice, the checkpoint has one range for both uses and the recipe one for each.)"""
    path = tiny / "network.py"
    path.write_text(path.read_text().replace("self.shared(torch.relu(self.shared(x)) * 3)", "self.shared(x)"))
    code, out, err = export(*words("quantize", "--calibration", tiny / "pictures", "--observer", "minmax", *more))
    assert code == 0, err
    checkpoint = next((tiny / "q").glob("*.pth"))
    assert checkpoint.name == ("net_int16.pth" if "--bits" in more else "net_int8.pth")
    assert str(checkpoint) in out
    code, _, err = export(*words("compile", "--weights", checkpoint, output="c"))
    assert code == 0, err
    assert export(*words("build", "--recipe", tiny / "q" / "net.recipe.toml", output="b"))[0] == 0
    assert (tiny / "c" / "net.cambricon").read_bytes() == (tiny / "b" / "net.cambricon").read_bytes()
    module = ("--module", f"{tiny / 'network.py'}:network")
    code, out, err = export("verify", tiny / "c" / "net.cambricon", "--weights", checkpoint, *module)
    assert (code, err) == (0, "")
    assert "values are equal" in out


def test_the_checkpoint_is_the_modules_state_dict_with_scales(tiny, words, export):
    """Keys and order of quantize_dynamic_mlu's; a layer used twice has the wider range, the transposed one no scale."""
    import torch

    from mlu_export.formats.checkpoint import read_checkpoint
    from mlu_export.formats.recipe import read_recipe

    export(*words("quantize", "--calibration", tiny / "pictures", "--observer", "minmax", "--per-tensor"))
    held = read_checkpoint(tiny / "q" / "net_int8.pth")
    assert held.quantized == ("conv", "shared", "depthwise", "fc")
    assert [key for key in held.tensors if key.startswith("fc.")] == [
        "fc.weight", "fc.bias", "fc.quantized_mode", "fc.scale",
    ]  # fmt: skip
    ranges = read_recipe(tiny / "q" / "net.recipe.toml").ranges
    uses = [seen.absmax for name, seen in ranges.items() if name.startswith("shared")]
    assert len(uses) == 2
    assert held.tensors["shared.scale"][0] == np.float32(127 / max(uses))
    assert torch.load(tiny / "q" / "net_int8.pth", weights_only=True)["up.weight"].shape == (6, 4, 2, 2)


def test_a_checkpoint_of_another_module_is_a_sentence(tiny, words, export):
    """Weights that do not fit the module are refused, and nothing is written."""
    export(*words("quantize", "--calibration", tiny / "pictures", "--observer", "minmax"))
    path = tiny / "network.py"
    path.write_text(path.read_text().replace("nn.Linear(4, 5)", "nn.Linear(4, 7)"))
    code, _, err = export(*words("compile", "--weights", tiny / "q" / "net_int8.pth", output="c"))
    assert code == 2
    assert "do not belong to the module" in err
    assert not (tiny / "c").exists()


HEADS = """
    import torch
    from torch import nn

    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(5)
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 4, 1), nn.ReLU())
            self.heads = nn.Conv2d(8, 2 * 7, 1)

        def forward(self, x):
            return self.heads(self.stem(x))
"""


@pytest.fixture
def detector(tiny, tiny_annotations, export):
    """A module with detection heads: its words, the words of eval, and the checkpoint that quantize made."""
    (tiny / "heads.py").write_text(textwrap.dedent(HEADS))
    named = ("--module", f"{tiny / 'heads.py'}:Heads")
    heads = ("--decode", "yolov3", "--anchors", "20,20,40,40", "--labels", tiny / "names.txt")
    words = ("--arch", "module", *named, "--size", "64", *heads)
    more = ("--calibration", tiny / "pictures", "--observer", "minmax", "--name", "net", "--output", tiny / "q")
    code, _, err = export("quantize", *words, *more)
    assert code == 0, err
    pictures = ("--images", tiny / "pictures", "--annotations", tiny_annotations, "--json")
    return words, named, pictures, tiny / "q" / "net_int8.pth"


@pytest.mark.eval
def test_a_modules_checkpoint_is_measured_and_timed_like_any_other(detector, export):
    """Online, offline and beside its own float network, with the words of compile."""
    words, _, pictures, checkpoint = detector
    code, out, err = export("eval", checkpoint, *words, *pictures, "--compare", "float,online,offline", "--gate", "1")
    assert code == 0, err
    exact, online, offline = json.loads(out)["comparison"]
    assert (exact["mode"], online["map50"]) == ("float", offline["map50"])
    code, out, err = export("bench", checkpoint, *words, "--count", 2, "--json")
    assert code == 0, err
    assert json.loads(out)["images"] == 2


@pytest.mark.eval
def test_a_modules_model_is_measured_beside_its_float_network(tiny, detector, export):
    """--module gives the float network, with its own weights; unused it is told, and bench has no use for it."""
    words, named, pictures, checkpoint = detector
    code, _, err = export("build", *words, "--recipe", tiny / "q" / "net.recipe.toml", "--output", tiny / "b")
    assert code == 0, err
    model = tiny / "b" / "net.cambricon"
    code, out, err = export("eval", model, *pictures, *named, "--compare", "float,offline")
    assert (code, err) == (0, "")
    assert json.loads(out)["comparison"][0]["mode"] == "float"
    code, _, err = export("eval", model, *pictures, *named, "--float", checkpoint)
    assert (code, "was made from" in err) == (0, True)  # the same float network in another file
    assert "--module" in export("eval", model, *pictures, "--float", checkpoint)[2]
    assert "the module is not used" in export("eval", model, *pictures, *named)[2]
    code, _, err = export("bench", model, *named)
    assert code == 2
    assert "--module is for a checkpoint" in err


def test_a_module_imports_what_lies_beside_its_file(tiny, words, export, monkeypatch):
    """As when the file is run by itself, from any folder; the search path is as before afterwards."""
    monkeypatch.chdir("/")
    (tiny / "sizes_beside.py").write_text("OUTPUTS = 5\n")
    path = tiny / "network.py"
    path.write_text(
        path.read_text().replace("Linear(4, 5)", "Linear(4, OUTPUTS)") + "from sizes_beside import OUTPUTS\n"
    )
    before = list(sys.path)
    code, _, err = export(*words("build", "--calibration", tiny / "pictures", "--observer", "minmax"))
    assert (code, err) == (0, "")
    assert sys.path == before
    model = tiny / "q" / "net.cambricon"
    code, out, err = export("verify", model, "--module", f"{path}:network")  # with the weights that the module brings
    assert (code, err) == (0, "")
    assert "values are equal" in out
    code, _, err = export("verify", model, "--arch", "yolov3-tiny")
    assert (code, err.count("\n")) == (2, 1)
    assert "--weights" in err


class Malice:
    def __reduce__(self):
        return os.mkdir, ("malice",)


@pytest.mark.parametrize("kind", ["pickle", "zip", "legacy"])
def test_a_checkpoint_that_wants_to_run_code_is_a_sentence(tiny, words, export, monkeypatch, kind):
    """It names what torch's kinds of file ask for; nothing of them is run and nothing is written."""
    import torch

    monkeypatch.chdir(tiny)
    path = tiny / "evil.pth"
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"conv.weight": Malice()}))
    else:
        torch.save({"conv.weight": Malice()}, path, _use_new_zipfile_serialization=kind == "zip")
    code, _, err = export(*words("build", "--weights", path, "--calibration", tiny / "pictures"))
    assert (code, err.count("\n")) == (2, 1)
    assert "without running code of it" in err
    assert kind == "pickle" or "it asks for posix.mkdir" in err
    assert not (tiny / "malice").exists()
    assert not (tiny / "q").exists()


@pytest.mark.shared
def test_the_vendors_own_checkpoint_compiles_and_ours_has_its_keys(tmp_path, shared, export):
    """headpose: 33 keys in order with equal types, shapes and weight scales; conv1's input scale; integers inside."""
    from tests.deploy.quantizer import headpose

    from mlu_export.formats.checkpoint import read_checkpoint
    from mlu_export.values.ranges import qmax_of

    folder = headpose.folder(shared)
    (tmp_path / "net.py").write_text(
        "from tests.deploy.quantizer.headpose import Headpose\ndef net():\n    return Headpose()\n"
    )
    pixels = ("--size", "48", "--mean", "104,117,124", "--std", "128", "--colours", "bgr", "--resize", "stretch")
    module = ("--module", f"{tmp_path / 'net.py'}:net")
    network = ("--arch", "module", *module, *pixels, "--name", "headpose")
    vendors = folder / "headpose_quantize.pth"
    code, _, err = export("compile", *network, "--weights", vendors, "--output", tmp_path / "c", "--input", "float")
    assert code == 0, err
    assert export("verify", tmp_path / "c" / "headpose.cambricon", "--weights", vendors, *module)[0] == 0
    theirs = read_checkpoint(vendors)
    inside = read_network((tmp_path / "c" / "headpose.cambricon").read_bytes())
    first = inside.constants[next(operator for operator in inside.operators if operator.name == "conv1").constants[0]]
    weight = theirs.tensors["conv1.weight"].astype(np.float64)
    wanted = np.rint(weight * (qmax_of(8) / np.abs(weight).max())).transpose(0, 2, 3, 1)
    assert (first == wanted.ravel()).all()
    more = ("--calibration", folder / "calibration", "--observer", "minmax", "--per-tensor", "--output", tmp_path / "q")
    code, _, err = export("quantize", *network, "--weights", folder / "headpose.pth", *more)
    assert code == 0, err
    ours = read_checkpoint(tmp_path / "q" / "headpose_int8.pth")
    assert list(ours.tensors) == list(theirs.tensors)
    assert ours.metadata == theirs.metadata
    for key, value in theirs.tensors.items():
        assert (ours.tensors[key].dtype, ours.tensors[key].shape) == (value.dtype, value.shape), key
        if key.endswith(".scale"):
            assert ours.tensors[key][1] == value[1], key
    assert ours.tensors["conv1.scale"][0] == theirs.tensors["conv1.scale"][0]


def test_the_users_file_is_run_once_a_command(tiny, words, export):
    """Whatever a command makes of a module, it makes of the one that it got from the file: what it wrote, read from
    elsewhere or counted while it ran is the same for all of the command, and a slow file is slow once.
    """
    path, runs = tiny / "network.py", tiny / "runs.txt"
    counting = f"with open({str(runs)!r}, 'a') as file:\n    file.write('run ')\n"
    path.write_text(counting + path.read_text())
    pictures = ("--calibration", tiny / "pictures", "--observer", "minmax")
    module = ("--module", f"{path}:network")
    recipe, checkpoint = tiny / "q" / "net.recipe.toml", tiny / "q" / "net_int8.pth"
    for command in (
        words("quantize", *pictures),
        words("quantize", "--recipe", recipe, output="again"),
        words("build", *pictures, output="b"),
        words("build", "--recipe", recipe, output="b"),
        words("compile", "--weights", checkpoint, output="c"),
        ("verify", tiny / "b" / "net.cambricon", *module),
        ("verify", tiny / "b" / "net.cambricon", *module, "--recipe", recipe, "--arch", "module"),
        ("verify", tiny / "c" / "net.cambricon", *module, "--weights", checkpoint),
    ):
        runs.write_text("")
        code, _, err = export(*command)
        assert (code, runs.read_text()) == (0, "run "), (command, err)
