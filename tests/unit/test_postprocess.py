"""Heads and detection outputs -> detections, against straightforward definitions."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.boxes import iou_matrix

from mlu_agent.geometry import Letterbox
from mlu_agent.model.bundle import HeadSpec, InputSpec, ModelSpec, OutputSpec, Thresholds
from mlu_agent.model.offline_model import OfflineModel
from mlu_agent.postprocess import Postprocessor, nms, postprocess
from mlu_agent.preprocess import letterbox_of

SIZE = InputSpec(64, 32)
FRAME = letterbox_of(128, 64, SIZE)
HEADS = (
    HeadSpec(8, np.array([[4, 6], [10, 8]], np.float32), 1.0),
    HeadSpec(16, np.array([[20, 12], [30, 30], [9, 28]], np.float32), 1.0),
)


def model(output: OutputSpec, classes: int = 3) -> ModelSpec:
    offline = OfflineModel("simulator", "test", "MLU220", 1, ["subnet0"], {}, (), (), 0)
    labels = tuple(f"class {number}" for number in range(classes))
    return ModelSpec("test", Path(), Path(), "", offline, SIZE, output, Thresholds(), labels, {})


def yolo(decode: str, scale: float = 1.0) -> ModelSpec:
    return model(OutputSpec("yolo_heads", decode, tuple(HeadSpec(h.stride, h.anchors, scale) for h in HEADS)))


def random_heads(seed: int, dtype: str, spread: float = 2.0, classes: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [(32 // h.stride, 64 // h.stride, len(h.anchors) * (5 + classes)) for h in HEADS]
    return [rng.normal(0, spread, shape).astype(dtype) for shape in shapes]


def sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def naive(outputs, spec: ModelSpec, letterbox: Letterbox, t: Thresholds):
    """Every cell, anchor and class in plain loops, in float64: a list of (confidence, class_id, box)."""
    found = []
    for output, head in zip(outputs, spec.output.heads):
        height, width = output.shape[:2]
        cells = output.astype(np.float64).reshape(height, width, len(head.anchors), -1)
        for y, x, a in np.ndindex(height, width, len(head.anchors)):
            row = cells[y, x, a]
            if spec.output.decode == "yolov3":
                s = head.scale_x_y
                cx = (sigmoid(row[0]) * s - (s - 1) / 2 + x) * head.stride
                cy = (sigmoid(row[1]) * s - (s - 1) / 2 + y) * head.stride
                w, h = np.exp(row[2:4]) * head.anchors[a]
            else:
                cx = (2 * sigmoid(row[0]) - 0.5 + x) * head.stride
                cy = (2 * sigmoid(row[1]) - 0.5 + y) * head.stride
                w, h = (2 * sigmoid(row[2:4])) ** 2 * head.anchors[a]
            box = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
            scores = sigmoid(row[4]) * sigmoid(row[5:])
            classes = range(len(scores)) if t.multi_label else [int(scores.argmax())]
            found += [(scores[c], c, box) for c in classes if scores[c] >= t.confidence]
    found.sort(key=lambda item: -item[0])
    kept = []
    for item in found:
        if all(k[1] != item[1] or iou_matrix(k[2][None], item[2][None])[0, 0] <= t.iou for k in kept):
            kept.append(item)
    kept = kept[: t.max_detections]
    boxes = [letterbox.invert(box[None])[0] for _, _, box in kept]
    return [(s, c, b) for (s, c, _), b in zip(kept, boxes) if b[2] > b[0] and b[3] > b[1]]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    decode=st.sampled_from([("yolov3", 1.0), ("yolov3", 1.2), ("yolov5", 1.0)]),
    dtype=st.sampled_from(["float16", "float32"]),
    confidence=st.sampled_from([0.01, 0.25, 0.5, 0.8]),
    iou=st.sampled_from([0.2, 0.45, 0.9]),
    limit=st.sampled_from([5, 300]),
    multi_label=st.booleans(),
)
def test_detections_equal_the_straightforward_definition(seed, decode, dtype, confidence, iou, limit, multi_label):
    """Same boxes, classes and confidences in the same order, for every decode rule, dtype and threshold."""
    spec = yolo(*decode)
    outputs = random_heads(seed, dtype)
    thresholds = Thresholds(confidence, iou, limit, multi_label)
    found = postprocess(outputs, spec, FRAME, thresholds)
    expected = naive(outputs, spec, FRAME, thresholds)
    assert len(found) == len(expected)
    assert np.allclose(found.confidence, [item[0] for item in expected], atol=1e-5)
    # two confidences that are almost equal may come in either order: the rest is compared where the order is certain
    certain = [k for k, item in enumerate(expected) if sum(abs(item[0] - other[0]) < 1e-6 for other in expected) == 1]
    assert [found.class_id[k] for k in certain] == [expected[k][1] for k in certain]
    boxes = np.array([expected[k][2] for k in certain]).reshape(-1, 4)
    assert np.allclose(found.xyxy[certain], boxes, atol=2e-3, rtol=1e-5)
    assert (np.diff(found.confidence) <= 0).all()
    assert (found.xyxy.dtype, found.confidence.dtype, found.class_id.dtype) == (np.float32, np.float32, np.int32)


def test_a_known_logit_gives_a_known_box():
    """One cell worked out by hand: anchor 10 x 8, stride 8, cell (3, 1), all offsets zero."""
    outputs = [np.full(o.shape, -20, np.float32) for o in random_heads(0, "float32")]
    row = outputs[0].reshape(4, 8, 2, 8)[1, 3, 1]
    row[:] = [0, 0, 0, 0, 10, -5, 10, -5]
    found = postprocess(outputs, yolo("yolov3"), Letterbox(1, 1, 0, 0, 64, 32), Thresholds())
    assert found.xyxy.tolist() == [[23, 8, 33, 16]]
    assert found.class_id.tolist() == [1]
    assert found.confidence[0] == pytest.approx(0.99991, abs=1e-5)


def test_a_confidence_at_exactly_the_threshold_is_a_detection():
    """float16 0.0 is sigmoid 0.5; class score 1: the threshold 0.5 is met."""
    outputs = [np.full(o.shape, -20, np.float16) for o in random_heads(0, "float16")]
    outputs[0].reshape(4, 8, 2, 8)[0, 0, 0] = [0, 0, 0, 0, 0, 30, -20, -20]
    for dtype in (np.float16, np.float32):
        cast = [output.astype(dtype) for output in outputs]
        assert len(postprocess(cast, yolo("yolov5"), FRAME, Thresholds(confidence=0.5))) == 1
        assert len(postprocess(cast, yolo("yolov5"), FRAME, Thresholds(confidence=0.5001))) == 0


@pytest.mark.parametrize("confidence", [0.0, 1.0])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_extreme_thresholds_take_all_and_almost_none(confidence, dtype):
    """0 lets every cell through, 1 only what rounds to 1."""
    outputs = random_heads(1, dtype)
    wide = Letterbox(1, 1, -100, -100, 400, 400)  # boxes of the edges lie inside too
    found = postprocess(outputs, yolo("yolov5"), wide, Thresholds(confidence, 1.0, 10000))
    cells = sum(output.size // 8 for output in outputs)
    assert len(found) == (0 if confidence else cells)
    sure = [np.full(output.shape, 40, dtype) for output in outputs]
    assert len(postprocess(sure, yolo("yolov5"), wide, Thresholds(confidence, 1.0, 10000))) == cells


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(["float16", "float32"]),
    decode=st.sampled_from(["yolov3", "yolov5"]),
    value=st.sampled_from([np.nan, -np.nan, np.inf, -np.inf, 6e4, -6e4]),
    multi_label=st.booleans(),
)
def test_numbers_that_are_not_finite_never_become_a_box(seed, dtype, decode, value, multi_label):
    """Anywhere in a head: what comes out is finite, and what was dropped for it is counted."""
    outputs = random_heads(seed, dtype)
    rng = np.random.default_rng(seed)
    for output in outputs:
        output.reshape(-1)[rng.integers(0, output.size, 20)] = value
    found = postprocess(outputs, yolo(decode), FRAME, Thresholds(0.1, 0.45, 300, multi_label))
    assert np.isfinite(found.xyxy).all()
    assert np.isfinite(found.confidence).all()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf])
@pytest.mark.parametrize("confidence", [0.25, 0.75])
def test_an_objectness_that_is_no_number_is_counted(dtype, value, confidence):
    """Of either sign (processors make negative NaNs), below and above one half."""
    outputs = [np.full(output.shape, -9, dtype) for output in random_heads(0, dtype)]
    outputs[0].reshape(-1, 8)[5, 4] = value
    found = postprocess(outputs, yolo("yolov5"), FRAME, Thresholds(confidence))
    assert (len(found), found.invalid) == (0, 1)


@pytest.mark.parametrize("decode", ["yolov3", "yolov5"])
def test_what_is_kept_between_pictures_cannot_be_seen(decode):
    """Quiet and busy pictures, of either dtype, both, or another size, in turn: each as if it were the first, and
    detections stay when the next picture is read."""
    spec = yolo(decode)
    reader = Postprocessor(spec)
    pictures = [random_heads(seed, dtype, spread) for seed, (dtype, spread) in enumerate(PICTURES)]
    pictures.append([pictures[0][0], pictures[3][1]])
    pictures.append([np.concatenate((output, output), axis=1) for output in pictures[1]])
    alone = [contents(postprocess(outputs, spec, FRAME, Thresholds(0.3))) for outputs in pictures]
    found = [reader(outputs, FRAME, Thresholds(0.3)) for outputs in (*pictures, *pictures)]
    assert [contents(detections) for detections in found] == alone * 2
    assert len({sum(map(len, one[:3])) for one in alone}) > 3


PICTURES = (("float16", 3.0), ("float16", 0.1), ("float16", 6.0), ("float32", 3.0), ("float32", 6.0))


def contents(found) -> tuple[bytes, bytes, bytes, int]:
    return found.xyxy.tobytes(), found.confidence.tobytes(), found.class_id.tobytes(), found.invalid


def test_heads_of_another_shape_are_refused():
    """With the shape that was expected."""
    with pytest.raises(ValueError, match=r"give float \(H, W, 16\)"):
        postprocess([np.zeros((4, 8, 17), np.float32)] * 2, yolo("yolov5"), FRAME, Thresholds())
    with pytest.raises(ValueError, match="one per head"):
        postprocess([np.zeros((4, 8, 16), np.float32)], yolo("yolov5"), FRAME, Thresholds())


def test_a_pair_at_exactly_the_threshold_stays():
    """A box and its left half overlap by 0.5: suppressed below that threshold alone."""
    boxes = np.array([[0, 0, 2, 1], [0, 0, 1, 1]], np.float32)
    of = (np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32))
    assert nms(boxes, *of, 0.5, 10).tolist() == [0, 1]
    assert nms(boxes, *of, 0.499, 10).tolist() == [0]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 300),
    st.sampled_from([1, 3, 40]),
    st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    st.sampled_from([1, 50, 1000]),
)
def test_suppression_equals_the_greedy_definition(seed, count, classes, iou, limit):
    """Over more boxes than one block holds and than are sorted at once, with equal confidences, for few classes and
    many, for any limit."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 60, (count, 2))
    boxes = np.concatenate((corner, corner + rng.integers(1, 30, (count, 2))), axis=1).astype(np.float32)
    confidence = (rng.integers(1, 20, count) / 20).astype(np.float32)
    class_id = rng.integers(0, classes, count).astype(np.int32)
    kept: list[int] = []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for index in np.argsort(-confidence, kind="stable").tolist():
        for other in kept:
            sides = np.minimum(boxes[index, 2:], boxes[other, 2:]) - np.maximum(boxes[index, :2], boxes[other, :2])
            shared = float(np.prod(np.maximum(sides, 0)))
            limit_area = np.float32(iou) * (area[index] + area[other])
            if class_id[index] == class_id[other] and np.float32(shared) * np.float32(1 + iou) > limit_area:
                break
        else:
            kept.append(index)
    assert nms(boxes, confidence, class_id, iou, limit).tolist() == kept[:limit]
    with patch.multiple(import_module("mlu_agent.postprocess.nms"), _FRONT=40, _BLOCK=24, _DENSE_BLOCK=10):
        assert nms(boxes, confidence, class_id, iou, limit).tolist() == kept[:limit]


def detection_row(boxes, max_boxes: int = 8, count: float | None = None, dtype: str = "float16") -> np.ndarray:
    row = np.full(64 + 7 * max_boxes, -1, dtype)
    row[0] = len(boxes) if count is None else count
    for index, box in enumerate(boxes):
        row[64 + 7 * index : 71 + 7 * index] = box
    return row.reshape(1, 1, -1)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_both_kinds_of_coordinates_of_the_detection_output(dtype):
    """The v3 family normalises to the network's input, v5 gives its pixels: the same box in the frame."""
    whole = Letterbox(0.5, 0.5, 0, 0, 128, 64)
    for coordinates, box in (("normalized", [0.25, 0.25, 0.5, 0.75]), ("pixels", [16, 8, 32, 24])):
        spec = model(OutputSpec("detection_output", coordinates=coordinates, max_boxes=8))
        row = detection_row([[0, 2, 0.875, *box], [0, 1, 0.125, *box]], dtype=dtype)
        found = postprocess([row], spec, whole, Thresholds())
        assert found.xyxy.tolist() == [[32, 16, 64, 48]]
        assert (found.class_id.tolist(), found.confidence.tolist()) == ([2], [0.875])


@pytest.mark.parametrize(
    "box",
    [
        [0, 3, 0.9, 1, 1, 9, 9],  # no such class
        [0, -1, 0.9, 1, 1, 9, 9],
        [0, 0.5, 0.9, 1, 1, 9, 9],
        [0, 1, 1.5, 1, 1, 9, 9],
        [0, 1, np.nan, 1, 1, 9, 9],
        [0, 1, 0.9, np.inf, 1, 9, 9],
        [0, 1, 0.9, 9, 1, 1, 9],  # inverted
        [1, 1, 0.9, 1, 1, 9, 9],  # of another picture
    ],
)
def test_impossible_boxes_of_the_detection_output_are_counted(box):
    """Dropped, and the good one beside it stays."""
    spec = model(OutputSpec("detection_output", coordinates="pixels", max_boxes=8))
    found = postprocess([detection_row([box, [0, 1, 0.9, 20, 1, 30, 9]])], spec, FRAME, Thresholds(), image=0)
    assert (len(found), found.invalid) == (1, 1)


@pytest.mark.parametrize("count, boxes", [(np.nan, 0), (-1, 0), (9, 8), (np.inf, 8), (60000, 8)])
def test_an_impossible_count_is_bounded_and_counted(count, boxes):
    """Never more boxes are read than there can be."""
    spec = model(OutputSpec("detection_output", coordinates="pixels", max_boxes=8))
    rows = [[0, 1, 0.9, 7 * k, 1, 7 * k + 5, 9] for k in range(8)]
    found = postprocess([detection_row(rows, count=count)], spec, FRAME, Thresholds())
    assert (len(found), found.invalid) == (boxes, 1)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["float16", "float32"]))
def test_random_bytes_as_a_detection_output_do_no_harm(seed, dtype):
    """Whatever the device wrote: finite boxes inside the frame."""
    spec = model(OutputSpec("detection_output", coordinates="pixels", max_boxes=8))
    raw = np.random.default_rng(seed).integers(0, 256, 120 * np.dtype(dtype).itemsize, np.uint8).view(dtype)
    found = postprocess([raw], spec, FRAME, Thresholds(0.0))
    assert np.isfinite(found.xyxy).all()
    assert (found.xyxy >= 0).all()
    assert (found.xyxy <= [128, 64, 128, 64]).all()
