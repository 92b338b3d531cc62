"""``mlu-export build --detection-output``: models that end in the vendor's operator, as device files do."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from mlu_agent.cli import main as agent
from mlu_agent.engine import Engine
from mlu_agent.errors import UserError
from mlu_agent.geometry import Letterbox
from mlu_agent.model.bundle import load_bundle
from mlu_agent.postprocess import Postprocessor
from mlu_export.formats.recipe import Recipe, Settings, read_recipe, recipe_text
from mlu_export.importers.yolov5.importer import import_yolov5
from mlu_export.lowering.detection_output import check_heads
from mlu_export.runners.simulator import simulator
from mlu_export.support.files import sha256_hex
from mlu_export.values.graph import Graph, ImportedModel
from mlu_export.values.heads import Head

MOST = 1024
# The sigmoid before v5's operator rounds scores to float16, so that of two boxes almost equally sure another one may be
# suppressed: nothing is, there.
THRESHOLDS = {"tiny": ("--confidence", "0.2", "--iou", "0.5"), "five": ("--confidence", "0.2", "--iou", "1")}
FORMS = {
    "as devices": (),
    "f32": ("--detection-output", "f32"),
    "a batch of floats": ("--input", "float", "--batch", "3"),
    "four cores": ("--input", "half", "--core-number", "4"),
}


@pytest.fixture
def made(tiny, tiny_recipe, ranges_of, export, simulator_path, monkeypatch):
    """A function that builds a network with options into a folder; gives the model's path."""
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    weights = (tiny / "tiny.pt").read_bytes()
    graph = import_yolov5(weights, (64, 96)).graph
    settings = Settings("five", "yolov5n", ("cat", "dog"), 96, 64)
    five = Recipe(settings, "tiny.pt", sha256_hex(weights), "", "made up", ranges_of(graph))
    (tiny / "five.recipe.toml").write_text(recipe_text(five))
    files = {
        "tiny": ("--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--recipe", tiny_recipe),
        "five": ("--weights", tiny / "tiny.pt", "--recipe", tiny / "five.recipe.toml"),
    }

    def build(name, folder, *more):
        code, _, err = export("build", *files[name], "--output", tiny / folder, *more)
        assert code == 0, err
        return tiny / folder / f"{name}.cambricon"

    return build


def found(path, seed=5):
    """What the agent finds in random inputs, picture by picture, and the outputs as they lie in the file."""
    spec = load_bundle(path)
    thresholds = dataclasses.replace(spec.thresholds, max_detections=MOST, multi_label=True)
    engine = Engine(simulator(), path, slots=1)
    slot = engine.acquire()
    rng = np.random.default_rng(seed)
    for array in slot.inputs:
        pixels = rng.integers(0, 256, array.shape)
        array[...] = pixels if array.dtype == np.uint8 else pixels / 255
    engine.submit(slot)
    outputs = [np.array(one) for one in engine.collect().outputs]
    engine.close()
    whole = Letterbox(1.0, 1.0, 0, 0, spec.input.width, spec.input.height)
    post = Postprocessor(spec)
    return [
        post([one[image] for one in outputs], whole, thresholds, image=image) for image in range(spec.batch)
    ], outputs  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", ["tiny", "five"])
def test_the_operator_finds_what_the_agent_finds_in_the_heads(made, name, form):
    """Boxes, classes and confidences of the same network's heads are equal within the rounding of the row's numbers,
    in every form of input, batch, cores and row."""
    plain = [one for one in form if one not in ("--detection-output", "f32")]
    heads, _ = found(made(name, "heads", *THRESHOLDS[name], *plain))
    wanted = form if "--detection-output" in form else ("--detection-output", *form)
    boxes, outputs = found(made(name, "boxes", *THRESHOLDS[name], *wanted))
    single = "f32" in form
    assert [(one.dtype, one.shape[1:]) for one in outputs] == [
        (np.dtype(np.float32 if single else np.float16), (1, 1, 64 + 7 * MOST))
    ]
    assert sum(len(one.confidence) for one in heads) > 3
    exact = single and name == "tiny"
    for ours, theirs in zip(boxes, heads):
        assert ours.invalid == theirs.invalid == 0
        same_boxes(ours, theirs, 1e-4 if exact else 0.4, 1e-6 if exact else 1e-3)


def same_boxes(ours, theirs, pixels, confidence):
    """Asserts that each box of either is one of the other's."""
    assert len(ours.confidence) == len(theirs.confidence)
    sides = np.abs(ours.xyxy[:, None] - theirs.xyxy[None]).max(axis=2) < pixels
    scores = np.abs(ours.confidence[:, None] - theirs.confidence[None]) < confidence
    same = sides & scores & (ours.class_id[:, None] == theirs.class_id[None])
    assert same.any(axis=0).all()
    assert same.any(axis=1).all()


def test_a_recipe_keeps_the_operator_until_it_is_told_otherwise(made, tiny, export):
    """Rebuilt from its recipe, the file has the same bytes; --detection-output none gives the heads back."""
    first = made("tiny", "first", "--detection-output", "f32", "--max-boxes", "7", *THRESHOLDS["tiny"])
    kept = first.with_name("tiny.recipe.toml")
    settings = read_recipe(kept).settings
    assert (settings.detection_output, settings.max_boxes, settings.thresholds.confidence) == ("f32", 7, 0.2)
    common = ("build", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--recipe", kept, "--output")
    assert export(*common, tiny / "again")[0] == 0
    assert (tiny / "again" / "tiny.cambricon").read_bytes() == first.read_bytes()
    assert export(*common, tiny / "none", "--detection-output", "none")[0] == 0
    assert load_bundle(tiny / "none" / "tiny.cambricon").output.kind == "yolo_heads"


def test_the_operator_stands_in_manifest_and_side_car(made):
    """How a row is to be read, by the kind of network: shares of the input for v3, its pixels for v5."""
    three = load_bundle(made("tiny", "out", "--detection-output", "--max-boxes", "9"))
    five = load_bundle(made("five", "out", "--detection-output"))
    assert (three.output.kind, three.output.coordinates, three.output.max_boxes) == (
        "detection_output",
        "normalized",
        9,
    )
    assert (five.output.coordinates, five.output.max_boxes) == ("pixels", 1024)
    assert "Shape(dim): 1 1 1 127 " in (three.path.parent / "tiny.cambricon_twins").read_text()
    assert [one.name for one in five.offline.outputs] == ["detection_output"]


@pytest.mark.parametrize(
    "more, sentence",
    [
        (("--max-boxes", "5"), "--max-boxes 5 belongs to --detection-output"),
        (("--detection-output", "--max-boxes", "32769"), "'32769' is not a whole number from 1 to 32768"),
        (("--detection-output", "f64"), "invalid choice: 'f64'"),
    ],
)
def test_what_the_operator_cannot_do_is_a_sentence(tiny, tiny_recipe, export, more, sentence):
    """And nothing is written."""
    files = ("--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--recipe", tiny_recipe)
    code, _, err = export("build", *files, "--output", tiny / "out", *more)
    assert code == 2
    assert sentence in err
    assert not (tiny / "out").exists()


@pytest.mark.parametrize(
    "decode, anchors, sentence",
    [
        ("yolov8", [0, 0, 0], "this network has those of yolov8: leave the option out"),
        ("tensors", [], "this network has none: leave the option out"),
        ("yolov3", [3] * 8, "up to 7 heads with as many anchors each; this network has 8, with 3 anchors"),
        ("yolov5", [3, 2], "this network has 2, with 2 and 3 anchors"),
    ],
)
def test_heads_that_the_operator_does_not_take_are_refused(decode, anchors, sentence):
    """By what they are; seven of three anchors are taken."""
    heads = tuple(Head("head", 8, ((1.0, 2.0),) * count) for count in anchors)
    with pytest.raises(UserError, match=re.escape(sentence)):
        check_heads(ImportedModel(Graph((8, 8, 3), (), ()), decode, heads, 1, None))
    check_heads(ImportedModel(Graph((8, 8, 3), (), ()), "yolov3", (Head("head", 8, ((1.0, 2.0),) * 3),) * 7, 1, None))


def test_a_threshold_below_the_operators_is_told(made, tiny, capsys):
    """The boxes are gone already; at the model's own threshold nothing is said."""
    path = made("tiny", "boxes", "--detection-output", *THRESHOLDS["tiny"])
    command = ["detect", str(path), str(tiny / "pictures" / "0.png"), "--runtime", "simulator", "--confidence"]
    assert agent([*command, "0.1"]) == 0
    assert "confidence 0.1 is below the manifest's 0.2: the model ends in" in capsys.readouterr().err
    assert agent([*command, "0.2"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.torch
def test_a_file_with_the_operator_is_verified_by_recipe_and_by_checkpoint(made, tiny, export):
    """Operator by operator, the row included; a threshold that is not the recipe's is named."""
    path = made("tiny", "boxes", "--detection-output", *THRESHOLDS["tiny"])
    files = ("--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg")
    code, out, err = export("verify", path, *files, "--count", "1")
    assert code == 0, err
    assert "detection_output" in out
    other = made("tiny", "other", "--detection-output", "--confidence", "0.3")
    code, _, err = export("verify", path, *files, "--count", "1", "--recipe", other.with_name("tiny.recipe.toml"))
    assert code == 2
    assert "layer detection_output: attribute 5 is" in err


@pytest.mark.torch
def test_the_float_network_of_such_a_file_is_measured_by_its_heads(made, tiny):
    """Under the thresholds that the model itself has, so that quantization alone is what differs."""
    from mlu_export.measurement.evaluate import FloatModel, evaluation_thresholds

    picture = np.random.default_rng(3).integers(0, 256, (40, 80, 3), np.uint8)
    seen = []
    for folder, more in (("heads", ()), ("boxes", ("--detection-output",))):
        spec = load_bundle(made("tiny", folder, *THRESHOLDS["tiny"], *more))
        network = FloatModel(spec, tiny / "tiny.weights", tiny / "tiny.cfg")
        thresholds = evaluation_thresholds(spec, None)
        assert thresholds.confidence == (0.2 if more else 0.001)
        seen.append(network.detect(picture, dataclasses.replace(thresholds, confidence=0.2)))
    assert len(seen[0].confidence) > 0
    np.testing.assert_array_equal(seen[0].xyxy, seen[1].xyxy)


@pytest.mark.torch
def test_a_checkpoint_is_compiled_with_the_operator_but_not_by_the_vendors_compiler(made, tiny, export):
    """Ours is verified with it; the vendor's file would end in heads, which is not what the manifest says."""
    files = ("--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--labels", tiny / "names.txt")
    common = ("--arch", "darknet", *files, "--name", "net", "--output", tiny / "q")
    assert export("quantize", *common, "--calibration", tiny / "pictures")[0] == 0
    checkpoint = next((tiny / "q").glob("net_int*.pth"))
    common = tuple(checkpoint if one == tiny / "tiny.weights" else one for one in common)
    assert export("compile", *common, "--detection-output")[0] == 0
    path = tiny / "q" / "net.cambricon"
    assert load_bundle(path).output.kind == "detection_output"
    code, _, err = export("verify", path, "--weights", checkpoint, "--cfg", tiny / "tiny.cfg", "--count", "1")
    assert code == 0, err
    code, _, err = export("compile", *common, "--detection-output", "--backend", "vendor")
    assert code == 2
    assert "leave it out with --backend vendor" in err
