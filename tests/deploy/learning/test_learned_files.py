"""``--learn``: learned weights through build, recipe, quantize, compile and verify."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mlu_export.formats.checkpoint import read_checkpoint
from mlu_export.formats.learned import parse_learned
from mlu_export.learning import learn as learning

pytestmark = pytest.mark.torch


@pytest.fixture
def taught(tiny, monkeypatch):
    """The folder of the tiny network with twelve pictures, whatever is learned of them being kept."""
    monkeypatch.setattr(learning, "LEAST_GAIN", -1e9)
    rng = np.random.default_rng(5)
    for number in range(12):
        pixels = cv2.resize(rng.integers(0, 256, (6, 9, 3), np.uint8), (90, 60), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(tiny / "pictures" / f"{number}.png"), pixels)
    return tiny


def words(folder, command, output, *more, arch="darknet", weights=None):
    cfg = ("--cfg", folder / "tiny.cfg") if arch == "darknet" else ("--size", "64x32")
    weights = weights or folder / ("tiny.weights" if arch == "darknet" else "tiny.pt")
    return (command, "--arch", arch, *cfg, "--weights", weights, "--output", folder / output, "--name", "net", *more)


def asked(folder, *more, arch="darknet"):
    return words(folder, "quantize", "q", *calibrated(folder), "--learn", "6", *more, arch=arch)


def calibrated(folder):
    return ("--labels", folder / "names.txt", "--calibration", folder / "pictures", "--observer", "minmax")


@pytest.mark.parametrize(
    "options",
    [(), ("--per-tensor", "--keep-int16", "5_conv", "--keep-float", "2_conv")],
    ids=["plain", "mixed"],
)
def test_what_is_compiled_verified_and_rebuilt_has_the_learned_weights(taught, export, options):
    """From the checkpoint, and from the recipe with the file beside it: the same model, and no torch for the latter."""
    code, out, err = export(*asked(taught, *options))
    assert code == 0, err
    assert "learned from 6 views, distance to float on 3 pictures that no weight was learned from: " in err
    checkpoint = taught / "q" / "net_int8.pth"
    assert str(checkpoint) in out
    assert export(*words(taught, "compile", "c", "--labels", taught / "names.txt", weights=checkpoint))[0] == 0
    recipe = ("--recipe", taught / "q" / "net.recipe.toml")
    assert export(*words(taught, "build", "b", *recipe))[0] == 0
    assert export(*words(taught, "quantize", "again", *recipe))[0] == 0
    assert export(*words(taught, "build", "plain", *calibrated(taught), *options))[0] == 0
    made = {name: (taught / name / "net.cambricon").read_bytes() for name in ("b", "c", "plain")}
    assert made["b"] == made["c"] != made["plain"]
    for name in ("net.learned", "net.recipe.toml"):
        assert (taught / "b" / name).read_bytes() == (taught / "q" / name).read_bytes()
    assert floats(taught / "again" / "net_int8.pth") == floats(checkpoint)
    for folder, weights in (("c", checkpoint), ("b", taught / "tiny.weights")):
        model = taught / folder / "net.cambricon"
        code, _, err = export("verify", model, "--weights", weights, "--cfg", taught / "tiny.cfg", "--count", "1")
        assert code == 0, err


def floats(path):
    """The float part of a checkpoint: a recipe holds no scales of depthwise layers."""
    tensors = read_checkpoint(path).tensors
    return {key: value.tobytes() for key, value in tensors.items() if not key.endswith("scale")}


def test_a_checkpoint_of_yolov5_has_the_learned_batch_norms(taught, export):
    """Weights that round to the learned codes, and the norms beside them."""
    code, _, err = export(*asked(taught, arch="yolov5n"))
    assert code == 0, err
    tensors = read_checkpoint(taught / "q" / "net_int8.pth").tensors
    layers = parse_learned((taught / "q" / "net.learned").read_bytes())
    name = next(name for name, layer in layers.items() if layer.gain is not None and layer.codes is not None)
    key = next(key for key in tensors if key.endswith(".bn.bias") and np.array_equal(tensors[key], layers[name].offset))
    assert np.array_equal(tensors[key.replace("bias", "weight")], layers[name].gain)
    weight = tensors[key.replace("bn.bias", "conv.weight")]
    tops = np.abs(weight).reshape(len(weight), -1).max(1)
    assert np.array_equal(tops, layers[name].tops)
    assert np.array_equal(np.rint(weight * (127 / tops.astype(float))[:, None, None, None]), layers[name].codes)


def test_a_build_that_learns_writes_its_file_under_its_name(taught, export):
    """And a rebuild under another name takes it along."""
    assert export(*words(taught, "build", "b", *calibrated(taught), "--learn", "2"))[0] == 0
    recipe = taught / "b" / "net.recipe.toml"
    cfg = ("--cfg", taught / "tiny.cfg", "--weights", taught / "tiny.weights")
    assert export("build", *cfg, "--recipe", recipe, "--name", "other", "--output", taught / "o")[0] == 0
    assert (taught / "o" / "other.learned").read_bytes() == (taught / "b" / "net.learned").read_bytes()
    assert 'name = "other.learned"' in (taught / "o" / "other.recipe.toml").read_text()
    (taught / "b" / "net.learned").write_bytes(b"other")
    code, _, err = export("build", *cfg, "--recipe", recipe, "--output", taught / "o")
    assert (code, "is not the file that net.recipe.toml was made with" in err) == (2, True)


@pytest.mark.parametrize("command", ["build", "quantize"])
def test_learned_weights_left_beside_a_recipe_without_them_are_told(taught, export, command):
    """They stay, as another recipe may need them."""
    left = taught / "o" / "net.learned"
    assert "net.learned" not in export(*words(taught, command, "o", *calibrated(taught)))[2]
    left.write_bytes(b"of an hour")
    code, _, err = export(*words(taught, command, "o", *calibrated(taught)))
    assert (code, f"{left} is of an earlier build" in err, left.read_bytes()) == (0, True, b"of an hour")


def test_weights_of_a_network_that_is_quantized_otherwise_are_refused(taught, export):
    """Learned in 8 bits, asked for in 16, or with other scales: a sentence, and nothing is written."""
    assert export(*words(taught, "build", "b", *calibrated(taught), "--learn", "2"))[0] == 0
    recipe = ("--recipe", taught / "b" / "net.recipe.toml")
    code, _, err = export(*words(taught, "build", "o", *recipe, "--bits", "16"))
    assert code == 2
    assert "the learned weights are for 8 bits: leave --bits out, or calibrate anew" in err
    code, _, err = export(*words(taught, "build", "o", *recipe, "--keep-int16", "0_conv"))
    assert (code, "the learned weights of layer 0_conv do not fit it: codes of int8" in err) == (2, True)
    assert not (taught / "o").exists() or not list((taught / "o").iterdir())


@pytest.mark.parametrize(
    "options, told",
    [
        (("--recipe", "any"), "leave --recipe out"),
        (("--data-scale", "0.9"), "leave --data-scale out"),
        (("--iterations", "7"), "of 7 pictures fewer than 8 differ"),
    ],
)
def test_what_learning_does_not_go_with_is_refused(taught, export, options, told):
    """A recipe, a factor of all ranges, and too few pictures: each by its option, with what to do."""
    code, _, err = export(*asked(taught, *options))
    assert (code, told in err) == (2, True)
    assert not (taught / "q" / "net.recipe.toml").exists()


@pytest.mark.parametrize("name", ["../net.learned", "", "..", "a/b"])
def test_a_recipe_names_a_file_beside_it_alone(tiny, tiny_recipe, export, name):
    """No path leads out of the folder."""
    tiny_recipe.write_text(tiny_recipe.read_text() + f'\n[learned]\nname = "{name}"\nsha256 = "{"0" * 64}"\n')
    cfg = ("--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights")
    code, _, err = export("build", *cfg, "--recipe", tiny_recipe, "--output", tiny / "o")
    assert (code, "learned.name: " in err) == (2, True)


def test_batch_norms_shared_by_two_layers_are_entered_into_their_halves():
    """A BottleneckCSP has one norm behind two convolutions; the state dict keeps it whole."""
    from dataclasses import replace

    from mlu_export.values.graph import INPUT, BatchNorm, Conv, Graph, ImportedModel
    from mlu_export.workflows.learned import enter_norms

    whole = [np.arange(start, start + 4, dtype=np.float32) for start in (0, 10, 20, 30)]
    state = dict(zip((f"b.bn.{name}" for name in ("weight", "bias", "running_mean", "running_var")), whole))
    halves = [BatchNorm(*(values[part] for values in whole), 1e-3) for part in (slice(0, 2), slice(2, 4))]
    weight = np.ones((2, 3, 1, 1), np.float32)
    nodes = tuple(Conv(name, (INPUT,), weight, None, norm) for name, norm in zip(("cv3", "cv2"), halves))
    keys = {"cv3": "b.cv3", "cv2": "b.cv2"}
    before = ImportedModel(Graph((8, 8, 3), nodes, ("cv2",)), "tensors", (), 0, None, keys=keys)
    changed = replace(nodes[1], norm=replace(halves[1], beta=np.float32([7, 8])))
    after = replace(before, graph=replace(before.graph, nodes=(nodes[0], changed)))
    assert enter_norms(state, before, after)["b.bn.bias"].tolist() == [10, 11, 7, 8]
    assert enter_norms(state, before, after)["b.bn.weight"].tolist() == whole[0].tolist()
