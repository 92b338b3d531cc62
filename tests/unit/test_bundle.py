"""A model and its manifest."""

from __future__ import annotations

import contextlib
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, strategies as st
from tests.models import classifier_bundle, small_bundle

from mlu_agent.cli import main
from mlu_agent.detector import Detector
from mlu_agent.errors import DataError, UserError
from mlu_agent.model.bundle import load_bundle, load_detection_bundle


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def model(original, tmp_path):
    """A copy to spoil."""
    for path in (original, original.with_suffix(".toml")):
        shutil.copy(path, tmp_path)
    return tmp_path / original.name


def replace(model, old, new):
    manifest = model.with_suffix(".toml")
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))


def test_either_of_the_two_files_names_a_bundle(model):
    """The model and its manifest lead to the same specification."""
    spec = load_bundle(model)
    assert spec.path == load_bundle(model.with_suffix(".toml")).path == model
    assert (spec.batch, spec.num_classes, spec.labels) == (1, 1, ("thing",))
    assert (spec.input.width, spec.input.channels, spec.input.pad_value) == (32, "rgba", 128)
    assert spec.output.heads[0].anchors.tolist() == [[4, 4], [8, 8], [16, 16]]
    assert spec.thresholds.confidence == 0.6
    assert spec.offline.kind == "simulator"


def test_a_model_without_its_manifest_is_the_users_mistake(model):
    """With the remedy."""
    model.with_suffix(".toml").unlink()
    with pytest.raises(UserError, match=r"small\.toml is not beside it; .* by: mlu-agent adopt small\.cambricon --as"):
        load_bundle(model)


def test_a_path_that_is_no_model_is_the_users_mistake(tmp_path):
    """Neither by name nor by being there."""
    with pytest.raises(UserError, match=r"neither a \.cambricon model nor"):
        load_bundle(tmp_path / "clip.mp4")
    with pytest.raises(UserError, match="no such file"):
        load_bundle(tmp_path / "missing.cambricon")


def test_a_changed_model_is_refused(model):
    """The digest is checked before anything of the model is used."""
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"sha256: .* is not the digest of small\.cambricon"):
        load_bundle(model)


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("schema = 1", "schema = 2", "schema: 2 is not known"),
        ('task = "detect"', 'task = "guess"', "task: 'guess' is not accepted; write one of \"detect\""),
        ('model = "small.cambricon"', 'model = "../small.cambricon"', "without directories"),
        ('model = "small.cambricon"', 'model = "/etc/passwd"', "without directories"),
        ('sha256 = "', 'sha256 = "x', "64 hexadecimal digits"),
        ('labels = ["thing"]', "labels = []", "labels: is empty"),
        ('labels = ["thing"]', "labels = [3]", r"labels\[0\]: 3"),
        ('labels = ["thing"]', 'labels = ["thing", "other"]', r"output\.heads\[0\]: stride 2, 3 anchors and 2 labels"),
        ("width = 32", "width = -1", "input.width: -1 is not accepted; write a whole number from 1 to 16384"),
        ("width = 32", "width = 64", r"height, width, channels \[32, 64, 4\] is not the model's input"),
        ("width = 32", "widht = 32", 'input.widht: is not an option; did you mean "width"'),
        ('dtype = "uint8"', 'dtype = "float16"', 'input.dtype: "float16" is not the model\'s uint8'),
        ('channels = "rgba"', 'channels = "rgb"', "is not the model's input"),
        ("pad_value = 128", "pad_value = 300", "input.pad_value: 300"),
        ("pad_value = 128", "std = [0.0, 1.0, 1.0]", "input.std"),
        ('decode = "yolov3"', 'decode = "yolov9"', "output.decode"),
        ("anchors = [[4, 4], [8, 8], [16, 16]]", "anchors = [[4, 4], [8, nan]]", r"output\.heads\[0\]\.anchors"),
        ("anchors = [[4, 4], [8, 8], [16, 16]]", "anchors = [[4, 4]]", "1 anchors and 1 labels make"),
        ("stride = 2", "stride = 4", "stride 4"),
        ('kind = "yolo_heads"', 'kind = "detection_output"', "output.coordinates: is missing"),
        ("iou = 0.45", "iou = true", "thresholds.iou: True"),
        ("[input]", "[input", "not valid TOML"),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_a_remedy(model, old, new, sentence):
    """Path, value, what to do."""
    replace(model, old, new)
    with pytest.raises(DataError, match=sentence):
        load_bundle(model)


YOLOX = """decode = "yolox"
[[output.heads]]
stride = 2
"""
YOLOV8 = """decode = "yolov8"
reg_max = 4
[[output.heads]]
stride = 2
"""
ANCHORED = """decode = "yolov3"
[[output.heads]]
stride = 2
anchors = [[4, 4], [8, 8], [16, 16]]
"""


def labels(count):
    return "labels = " + str([f"label {number}" for number in range(count)])


@pytest.mark.parametrize(
    "text, count, expected",
    [
        (YOLOX, 13, ("yolox", 1, (("box", "objectness", "classes"),), (), False)),
        (YOLOV8, 2, ("yolov8", 4, (("box", "classes"),), (), False)),
        (YOLOV8.replace("reg_max = 4", "reg_max = 1"), 14, ("yolov8", 1, (("box", "classes"),), (), False)),
        (
            YOLOX.replace(
                "[[out",
                'tensors = [["classes", "box", "objectness"]]\nactivated = ["classes"]\njoined = true\n[[out',
                1,
            ),
            13,
            ("yolox", 1, (("classes", "box", "objectness"),), ("classes",), True),
        ),
    ],
)
def test_heads_without_anchors_are_described_by_their_fields(model, text, count, expected):
    """Channels are those of the box, of the objectness if there is one, and one per label."""
    replace(model, ANCHORED, text)
    replace(model, 'labels = ["thing"]', labels(count))
    spec = load_bundle(model).output
    assert (spec.decode, spec.reg_max, spec.layout, spec.activated, spec.joined) == expected
    assert (len(spec.heads), spec.heads[0].stride, spec.heads[0].anchors.shape) == (1, 2, (0, 2))


@pytest.mark.parametrize(
    "text, old, new, sentence",
    [
        (YOLOX, "", "", r"heads\[0\]: stride 2, box \+ objectness \+ classes and 1 labels make \[16, 16, 6\], but"),
        (YOLOV8, "", "", r"stride 2, box \+ classes, reg_max 4 and 1 labels make \[16, 16, 17\]"),
        (YOLOV8, "[[output", "joined = true\n[[output", r"output 0: strides \[2\], box .* make \[256, 1, 17\]"),
        (
            YOLOV8,
            "reg_max = 4",
            "reg_max = 65",
            "output.reg_max: 65 is not accepted; write a whole number from 1 to 64",
        ),
        (YOLOX, "[[output", "reg_max = 4\n[[output", "output.reg_max: is not an option"),
        (
            YOLOX,
            "[[output",
            "tensors = []\n[[output",
            r'tensors: \[\] .* write the fields .*\["box", "objectness", "classes"\]',
        ),
        (YOLOX, "[[output", 'tensors = [["box"], ["classes"]]\n[[output', "output.tensors"),
        (YOLOX, "[[output", 'tensors = [["box", "box", "classes"]]\n[[output', "output.tensors"),
        (YOLOV8, "[[output", 'tensors = [["box"], ["classes"], []]\n[[output', "output.tensors"),
        (YOLOV8, "[[output", 'tensors = [["box", "objectness"]]\n[[output', "output.tensors"),
        (
            YOLOV8,
            "[[output",
            'tensors = [["box"], ["classes"]]\n[[output',
            "1 heads make 2 outputs, but the model has 1",
        ),
        (YOLOV8, "[[output", 'activated = ["box"]\n[[output', r'activated: .* write those of \["classes"\]'),
        (YOLOX, "[[output", 'activated = ["classes", "classes", "box"]\n[[output', "output.activated"),
        (YOLOV8, "[[output", "joined = 1\n[[output", "output.joined: 1 is not accepted; write true or false"),
        (YOLOX, "stride = 2", "stride = 2\nanchors = [[4, 4]]", r"heads\[0\].anchors: is not an option"),
        (YOLOX, "stride = 2", "stride = 2\nscale_x_y = 1.2", 'belongs to decode = "yolov3" only'),
        (YOLOX, "stride = 2", "stride = 2048", r"heads\[0\].stride: 2048"),
        (ANCHORED, "[[output", "joined = true\n[[output", "output.joined: is not an option"),
    ],
)
def test_a_wrong_description_of_heads_is_named(model, text, old, new, sentence):
    """Fields that are missing, doubled or unknown, and those of another decode rule."""
    replace(model, ANCHORED, text.replace(old, new, 1))
    with pytest.raises(DataError, match=sentence):
        load_bundle(model)


POSE = """decode = "yolov8-pose"
reg_max = 1
keypoints = [4, 3]
[[output.heads]]
stride = 2
"""
TURNED = """decode = "yolov8-obb"
reg_max = 1
activated = ["angle"]
[[output.heads]]
stride = 2
"""
OUTLINES = """decode = "yolov8-seg"
reg_max = 1
coefficients = 12
[[output.heads]]
stride = 2
"""


@pytest.mark.parametrize(
    "text, count, expected",
    [
        (POSE, 2, ("yolov8-pose", (4, 3), ("box", "classes", "keypoints"), ())),
        (POSE.replace("[4, 3]", "[5, 2]"), 4, ("yolov8-pose", (5, 2), ("box", "classes", "keypoints"), ())),
        (TURNED, 13, ("yolov8-obb", (17, 3), ("box", "classes", "angle"), ("angle",))),
    ],
)
def test_heads_that_tell_more_than_boxes_are_described_by_their_fields(model, text, count, expected):
    """Keypoints by their number and dimensions, an angle by one channel, which may be radians already."""
    replace(model, ANCHORED, text)
    replace(model, 'labels = ["thing"]', labels(count))
    spec = load_bundle(model).output
    assert (spec.decode, spec.keypoints, spec.layout[0], spec.activated) == expected


@pytest.mark.parametrize(
    "text, old, new, sentence",
    [
        (POSE, "[4, 3]", "[65, 3]", r"keypoints: \[65, 3\] is not accepted; write how many there are, 1 to 64, and 2"),
        (POSE, "[4, 3]", "[4, 4]", "output.keypoints"),
        (POSE, "[4, 3]", "[true, 3]", "output.keypoints"),
        (POSE, "[4, 3]", "[0, 3]", "output.keypoints"),
        (POSE, "[4, 3]", "[4]", "output.keypoints"),
        (POSE, "[4, 3]", "12", "output.keypoints"),
        (POSE, "[4, 3]", "[5, 3]", r"5 keypoints of 3 and 1 labels make \[16, 16, 20\], .* keypoints or labels"),
        (POSE, "keypoints", "coefficients", "output.coefficients: is not an option"),
        (TURNED, "activated", "keypoints = [4, 3]\nactivated", "output.keypoints: is not an option"),
        (TURNED, '["angle"]', '["box"]', r'activated: .* write those of \["classes", "angle"\]'),
        (OUTLINES, "12", "257", "output.coefficients: 257 is not accepted; write a whole number from 1 to 256"),
        (OUTLINES, "12", "12\nprototype_stride = 33", "output.prototype_stride: 33 is not accepted"),
        (OUTLINES, "12", "12", "1 heads make 2 outputs, but the model has 1 outputs"),
    ],
)
def test_a_wrong_description_of_shapes_is_named(model, text, old, new, sentence):
    """How many there may be, and what another decode rule has."""
    replace(model, ANCHORED, text.replace(old, new, 1))
    with pytest.raises(DataError, match=sentence):
        load_bundle(model)


TENSORS = 'kind = "tensors"\nnames = ["out"]\nshapes = [[1, 18, 16, 16]]\n'


def tensors(model, text=TENSORS, task="infer"):
    replace(model, 'task = "detect"', f'task = "{task}"')
    replace(model, 'kind = "yolo_heads"\n' + ANCHORED, text)


def test_a_model_without_detection_heads_is_described_by_its_tensors(model):
    """Names and shapes in the axis order of the network that it was made from; labels may be left out."""
    tensors(model)
    replace(model, 'labels = ["thing"]\n', "")
    spec = load_bundle(model)
    assert (spec.output.kind, spec.labels) == ("tensors", ())
    assert [(one.name, one.shape) for one in spec.output.plain] == [("out", (1, 18, 16, 16))]


CLASSES = 'kind = "classes"\nactivation = "softmax"\n'


def test_a_classifier_has_as_many_labels_as_its_output_has_numbers(tmp_path):
    """At most five classes are told unless ``top`` says otherwise; the output may have a batch."""
    for batch in (1, 3):
        spec = load_bundle(classifier_bundle(tmp_path, batch=batch))
        assert (spec.output.task, spec.output.activation, spec.output.top) == ("classify", "softmax", 3)
        replace(spec.path, "top = 3\n", "")
        assert load_bundle(spec.path).output.top == 5
        replace(spec.path, '"cow", ', "")
        with pytest.raises(DataError, match=r"labels: 5 labels .* are not the numbers .* float16 \[., 1, 1, 6\]"):
            load_bundle(spec.path)


def test_nothing_is_detected_with_a_model_without_detection_heads(model, capsys, simulator_path, monkeypatch):
    """Detector, asked for boxes, and ``detect`` say so in a sentence; ``inspect`` describes it, ``check`` takes it."""
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    tensors(model)
    sentence = r'small\.toml: output\.kind = "tensors": the model has no detection heads'
    with pytest.raises(UserError, match=sentence):
        load_detection_bundle(model)
    with Detector(model, "simulator") as detector, pytest.raises(UserError, match="detects nothing, it gives tensors"):
        detector.detect(np.zeros((8, 8, 3), np.uint8))
    config = model.parent / "agent.toml"
    config.write_text(f'[model]\npath = "{model}"\n[[source]]\nid = "cam"\nsynthetic = "64x64@5"\n')
    assert main(["detect", str(model), str(config)]) == 2
    assert re.search(sentence + ".*mlu-agent infer", capsys.readouterr().err)
    assert main(["check", "-c", str(config)]) == 0
    assert main(["inspect", str(model.with_suffix(".toml"))]) == 0


@pytest.mark.parametrize(
    "text, task, sentence",
    [
        (TENSORS, "detect", 'task: "detect" does not go with output.kind = "tensors"'),
        ('kind = "yolo_heads"\n' + ANCHORED, "infer", 'task: "infer" does not go with output.kind = "yolo_heads"'),
        (
            TENSORS.replace("18", "17"),
            "infer",
            r"shapes\[0\]: \[1, 17, 16, 16\] for each of 1 pictures is not the model",
        ),
        (TENSORS.replace("[1, 18", "[0, 18"), "infer", r"shapes\[0\]: \[0, 18, 16, 16\] is not accepted"),
        (TENSORS.replace("[[1, 18, 16, 16]]", "[[1, 1, 1, 1, 1, 1, 1, 1, 1]]"), "infer", r"shapes\[0\]"),
        (TENSORS.replace("[[1, 18, 16, 16]]", "[true]"), "infer", r"shapes\[0\]: True"),
        (TENSORS.replace('"out"', '"out", "more"'), "infer", "1 shapes for 2 names"),
        (TENSORS.replace('["out"]', "[]").replace("[[1, 18, 16, 16]]", "[]"), "infer", "0 names, but the model has 1"),
        (TENSORS.replace('"out"', "7"), "infer", r"names\[0\]: 7"),
        (TENSORS.replace('names = ["out"]', ""), "infer", "output.names: is missing"),
        (TENSORS.replace("[1, 18, 16, 16]", "[1, 16, 16, 18]"), "infer", r"\[1, 16, 18, 16\], but .* as N, C, H, W"),
        (TENSORS.replace("[1, 18, 16, 16]", "[18, 16, 16]"), "infer", r"lies in the model as \[18, 16, 1, 16\]"),
        (CLASSES, "infer", 'task: "infer" does not go with output.kind = "classes"; "classify" does'),
        (TENSORS, "classify", '"classify" does not go with output.kind = "tensors"; "infer" does'),
        (CLASSES.replace("softmax", "relu"), "classify", r"output\.activation: 'relu' is not accepted; write one of"),
        (CLASSES.replace('activation = "softmax"', ""), "classify", r"output\.activation: is missing"),
        (CLASSES + "top = 0\n", "classify", r"output\.top: 0 is not accepted"),
        (CLASSES + "top = 1001\n", "classify", r"output\.top: 1001 is not accepted"),
    ],
)
def test_a_wrong_description_of_outputs_is_named(model, text, task, sentence):
    """Task, names, shapes and activation have to fit each other and the container."""
    tensors(model, text, task)
    with pytest.raises(DataError, match=sentence):
        load_bundle(model)


def test_all_problems_are_told_together(model):
    """One line each."""
    replace(model, "width = 32", "width = 0")
    replace(model, "iou = 0.45", "iou = 2")
    with pytest.raises(DataError) as failure:
        load_bundle(model)
    assert [line.split(": ")[1] for line in str(failure.value).splitlines()] == ["input.width", "thresholds.iou"]


def test_a_huge_manifest_is_refused(model):
    """One MiB is more than any manifest needs."""
    with model.with_suffix(".toml").open("a") as file:
        file.write("#" * (1 << 20))
    with pytest.raises(DataError, match="larger than 1048576 bytes"):
        load_bundle(model)


@pytest.mark.parametrize(
    "text", [b"a = " + b"[" * 100_000, b"\xff\xfe", b"x = 1" + b"0" * 100_000, b"[a." + b"a." * 50_000]
)
def test_hostile_toml_gives_one_sentence(model, text):
    """Deep nesting, wrong encodings, enormous numbers."""
    model.with_suffix(".toml").write_bytes(text)
    with pytest.raises(DataError):
        load_bundle(model)


FULL = YOLOV8.replace("[[out", 'tensors = [["box", "classes"]]\nactivated = ["classes"]\njoined = true\n[[out', 1)


@given(data=st.data(), heads=st.sampled_from([ANCHORED, FULL, POSE, TURNED, OUTLINES]))
def test_a_manifest_with_any_line_spoiled_gives_a_sentence_or_a_model(original, tmp_path_factory, data, heads):
    """Nothing but DataError comes out."""
    folder = tmp_path_factory.mktemp("spoiled")
    shutil.copy(original, folder)
    lines = original.with_suffix(".toml").read_text().replace(ANCHORED, heads).splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    value = data.draw(
        st.sampled_from(
            ["1", "-1", "1e400", "nan", "[]", "[[]]", "{}", '[["box"], [[]]]', '""', "1979-05-27", "[{}]", "true"]
        )
    )
    lines[place] = lines[place].split("=")[0] + "= " + value
    (folder / "small.toml").write_text("\n".join(lines))
    with contextlib.suppress(DataError):
        load_bundle(folder / "small.cambricon")


def test_labels_that_are_told_twice_are_remarked_on(tmp_path, simulator_path, monkeypatch, capsys):
    """By `check` and `inspect`: the classes are looked for all the same, and nobody can tell them apart."""
    model = classifier_bundle(tmp_path)
    manifest = model.with_suffix(".toml")
    config = tmp_path / "agent.toml"
    endpoint = f'[publish]\nendpoint = "ipc://{tmp_path}/out.sock"\n'
    source = '[[source]]\nid = "test"\nsynthetic = "64x48@20"\n'
    config.write_text(f'[model]\npath = "{model}"\nruntime = "simulator"\n{endpoint}{source}')
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    told = "labels: several classes have one name: "
    commands = (["check", "-c", str(config)], ["inspect", str(manifest)])
    for words in commands:
        assert main(words) == 0
        assert told not in capsys.readouterr().out
    manifest.write_text(manifest.read_text().replace('"man"', '"bus"'))
    for words in commands:
        assert main(words) == 0
        assert f"{told}'bus' (0, 3); give each its own" in capsys.readouterr().out
