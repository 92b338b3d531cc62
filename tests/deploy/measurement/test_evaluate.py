"""``mlu-export eval``: the file that ships, measured."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from tests.boxes import iou_matrix

from mlu_agent.detector import Detector
from mlu_agent.model.bundle import load_bundle

pytestmark = pytest.mark.eval


@pytest.fixture
def model(tiny_model):
    return tiny_model


@pytest.fixture
def annotated(tiny_annotations):
    return tiny_annotations


def run(export, tiny, model, simulator_path, *more):
    return export(
        "eval", model, "--images", tiny / "pictures", "--annotations", tiny / "instances.json",
        "--runtime", simulator_path, *more,
    )  # fmt: skip


def test_a_models_own_detections_are_all_found_again(tiny, model, annotated, export, simulator_path):
    """Preprocessing, runtime, postprocessing and the mapping of labels to category ids fit together: recall is full."""
    code, out, err = run(export, tiny, model, simulator_path, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert set(result) == {
        "images", "map50_95", "map50", "per_class", "runtime", "mode", "per_size", "working_point", "best_point",
        "confusion", "intervals",
    }  # fmt: skip
    assert result["best_point"]["best_f1"] >= result["working_point"]["f1"] > 0
    right = sum(one["count"] for one in result["confusion"] if one["object"] == one["detected"])
    assert right == result["working_point"]["true_positives"]
    assert (result["images"], result["runtime"]) == (3, "simulator")
    assert result["map50"] > 0.95
    assert result["map50_95"] > 0.95
    assert set(result["per_class"]) <= {"cat", "dog"}
    assert all(set(values) >= {"map50_95", "map50", "precision", "recall"} for values in result["per_class"].values())


def test_without_json_a_person_reads_one_line(tiny, model, annotated, export, simulator_path):
    """It says how many pictures, on what, and the figure first."""
    code, out, _ = run(export, tiny, model, simulator_path)
    assert code == 0
    assert out.startswith("3 pictures on simulator: mAP50-95 ")


@pytest.mark.torch
def test_the_float_network_is_measured_the_same_way(tiny, model, annotated, export, simulator_path):
    """--float needs the weights that the model was made from, and refuses others."""
    code, out, err = run(
        export, tiny, model, simulator_path, "--json", "--float", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg"
    )
    assert code == 0, err
    assert json.loads(out)["runtime"] == "float"
    (tiny / "other.weights").write_bytes((tiny / "tiny.weights").read_bytes()[:-4] + bytes(4))
    code, _, err = run(
        export, tiny, model, simulator_path, "--float", tiny / "other.weights", "--cfg", tiny / "tiny.cfg"
    )
    assert code == 2
    assert "holds another float network" in err


NO_IMAGES = '{"images": [], "annotations": [], "categories": []}'


def rewrite(path, words):
    text = path.read_text()
    for old, new in words.items():
        text = text.replace(old, new)
    path.write_text(text)


def edit(key, **values):
    """A change of the first entry under a key of the annotations; None takes the field away."""

    def change(folder):
        path = folder / "instances.json"
        content = json.loads(path.read_text())
        content[key][0] = {k: v for k, v in {**content[key][0], **values}.items() if v is not None}
        path.write_text(json.dumps(content))

    return change


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda t: (t / "instances.json").unlink(), "annotations"),
        (lambda t: (t / "instances.json").write_text("{"), "COCO"),
        (lambda t: (t / "instances.json").write_text("[]"), "COCO"),
        (lambda t: (t / "instances.json").write_text(NO_IMAGES), "no images"),
        (lambda t: (t / "instances.json").write_text("[" * 100000), "COCO"),
        (edit("annotations", bbox=[1, 2]), "[x, y, width, height]"),
        (edit("annotations", bbox=[1, 2, "a", 3]), "[x, y, width, height]"),
        (edit("annotations", bbox=[1, 2, -3, 3]), "[x, y, width, height]"),
        (edit("annotations", id=2), "no other has"),
        (edit("annotations", category_id=None), "category_id"),
        (edit("images", id="one"), "whole number"),
        (edit("images", id=101), "listed twice"),
        (edit("images", file_name="other/1.png"), "listed twice"),
        (lambda t: rewrite(t / "instances.json", {'"image_id": 10': '"image_id": 99'}), "nothing to measure"),
        (lambda t: rewrite(t / "instances.json", {'cat"': 'x"', 'dog"': 'y"'}), "labels"),
        (lambda t: (t / "pictures" / "1.png").unlink(), "1.png"),
        (lambda t: (t / "pictures" / "1.png").write_bytes(b"no"), "1.png"),
        (lambda t: (t / "a" / "tiny.toml").unlink(), "tiny.toml"),
        (lambda t: (t / "a" / "tiny.cambricon").write_bytes(b"\x7fMEF"), "sha256"),
    ],
)  # fmt: skip
def test_wrong_files_give_one_sentence(tiny, model, annotated, export, simulator_path, change, word):
    """Exit code 2, one line."""
    change(tiny)
    code, out, err = run(export, tiny, model, simulator_path)
    assert (code, out) == (2, "")
    assert word in err
    assert err.count("\n") == 1


def test_annotations_of_unlisted_pictures_are_counted_and_said(tiny, model, annotated, export, simulator_path):
    """One does not hinder the measurement; fields that the figures need no more than by name are filled in."""
    edit("annotations", image_id=10**30, area=None, iscrowd=None)(tiny)
    code, out, err = run(export, tiny, model, simulator_path)
    assert (code, "1 annotations belong to no picture" in err) == (0, True)
    assert "mAP50 " in out


@pytest.mark.shared
@pytest.mark.slow
def test_the_demo_model_keeps_its_accuracy(shared_data, tmp_path, export, simulator_path):
    """YOLOv3-tiny from the committed recipe, int8 on the simulator, over coco128-val: at least .238 and .450."""
    weights = shared_data / "weights" / "yolov3-tiny.weights"
    assert export("build", "--weights", weights, "--recipe", "yolov3-tiny", "--output", tmp_path)[0] == 0
    val = shared_data / "sets" / "coco128-val"
    code, out, err = export(
        "eval", tmp_path / "yolov3-tiny.cambricon", "--images", val / "images", "--annotations", val / "instances.json",
        "--runtime", simulator_path, "--json",
    )  # fmt: skip
    assert code == 0, err
    result = json.loads(out)
    assert result["images"] == 128
    assert result["map50_95"] >= 0.238
    assert result["map50"] >= 0.450


@pytest.mark.shared
@pytest.mark.torch
@pytest.mark.slow
def test_bus_is_seen_as_the_float_network_sees_it(shared_data, tmp_path, export, simulator_path):
    """Every float box has an int8 box with IoU of at least .9 and a score within .05."""
    from mlu_export.measurement.evaluate import FloatModel

    weights = shared_data / "weights" / "yolov3-tiny.weights"
    assert export("build", "--weights", weights, "--recipe", "yolov3-tiny", "--output", tmp_path)[0] == 0
    model = tmp_path / "yolov3-tiny.cambricon"
    pixels = cv2.imread(str(shared_data / "images" / "bus.jpg"))
    spec = load_bundle(model)
    exact = FloatModel(spec, weights, None).detect(pixels, spec.thresholds)
    with Detector(model, str(simulator_path)) as detector:
        found = detector.detect(pixels)
    assert len(exact) == 4  # three persons and the bus
    overlaps = iou_matrix(exact.xyxy, found.xyxy)
    for row, class_id, score in zip(overlaps, exact.class_id, exact.confidence):
        best = int(np.argmax(row))
        assert row[best] >= 0.9
        assert found.class_id[best] == class_id
        assert abs(found.confidence[best] - score) <= 0.05


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"images": []}', '{"images": 3, "categories": 3}', "\x00\xff"])
def test_a_file_that_is_no_annotations_is_told_in_plain_words(tmp_path, text):
    """No name of a class of Python's."""
    from mlu_agent.errors import DataError
    from mlu_export.measurement.annotation_file import read_annotations

    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_annotations(path)
    assert str(caught.value).startswith(str(path))
    assert "Error" not in str(caught.value)
