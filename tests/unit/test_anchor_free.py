"""Heads without anchors -> detections, against straightforward definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.boxes import iou_matrix

from mlu_agent.geometry import Letterbox
from mlu_agent.model.bundle import HeadSpec, InputSpec, ModelSpec, OutputSpec, Thresholds
from mlu_agent.model.offline_model import OfflineModel
from mlu_agent.postprocess import postprocess
from mlu_agent.preprocess import letterbox_of

SIZE = InputSpec(64, 32)
FRAME = letterbox_of(128, 64, SIZE)
WHOLE = Letterbox(1, 1, 0, 0, 64, 32)
WIDE = Letterbox(1, 1, -1000, -1000, 4000, 4000)  # boxes of the edges lie inside too
STRIDES = (8, 16)
LAYOUTS = {
    "yolox": [(), (("classes",), ("box",), ("objectness",)), (("objectness", "classes", "box"),)],
    "yolov8": [(), (("box",), ("classes",)), (("classes", "box"),)],
}


def model(decode: str, classes: int = 3, reg_max: int = 6, tensors=(), activated=(), joined: bool = False) -> ModelSpec:
    heads = tuple(HeadSpec(stride, np.empty((0, 2), np.float32)) for stride in STRIDES)
    output = OutputSpec(
        "yolo_heads", decode, heads, reg_max=reg_max, tensors=tensors, activated=activated, joined=joined
    )
    offline = OfflineModel("simulator", "test", "MLU220", 1, ["subnet0"], {}, (), (), 0)
    labels = tuple(f"class {number}" for number in range(classes))
    return ModelSpec("test", Path(), Path(), "", offline, SIZE, output, Thresholds(), labels, {})


def sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def random_fields(spec: ModelSpec, rng: np.random.Generator, dtype: str, spread: float):
    """Per level, field by field, (H, W, channels) in the dtype; activated fields hold probabilities."""
    levels = []
    for stride in STRIDES:
        fields = {}
        for name in ("box", "objectness", "classes"):
            if name == "objectness" and spec.output.decode == "yolov8":
                continue
            channels = spec.output.channels(name, spec.num_classes)
            values = rng.normal(0, 1 if name == "box" else spread, (32 // stride, 64 // stride, channels))
            if name == "box" and spec.output.decode == "yolov8" and spec.output.reg_max == 1:
                values = np.abs(values) + 0.01
            fields[name] = (sigmoid(values) if name in spec.output.activated else values).astype(dtype)
        levels.append(fields)
    return levels


def arrange(spec: ModelSpec, levels) -> list[np.ndarray]:
    """The outputs as the specification says that they lie."""
    outputs = [
        np.concatenate([fields[name] for name in names], axis=-1) for fields in levels for names in spec.output.layout
    ]
    if not spec.output.joined:
        return outputs
    count = len(spec.output.layout)
    return [np.concatenate([o.reshape(-1, 1, o.shape[-1]) for o in outputs[number::count]]) for number in range(count)]


def box_of(spec: ModelSpec, t: np.ndarray, x: int, y: int, stride: int) -> np.ndarray:
    """The box of one cell in float64."""
    if spec.output.decode == "yolox":
        cx, cy, w, h = (t[0] + x) * stride, (t[1] + y) * stride, np.exp(t[2]) * stride, np.exp(t[3]) * stride
        return np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    distances = []
    for side in range(4):
        logits = t[side * spec.output.reg_max : (side + 1) * spec.output.reg_max]
        weights = np.exp(logits - logits.max())
        expectation = sum(k * w for k, w in enumerate(weights)) / weights.sum()
        distances.append(logits[0] if spec.output.reg_max == 1 else expectation)
    left, top, right, bottom = distances
    return np.array([x + 0.5 - left, y + 0.5 - top, x + 0.5 + right, y + 0.5 + bottom]) * stride


def naive(levels, spec: ModelSpec, letterbox: Letterbox, t: Thresholds):
    """Every cell and class in plain loops: a list of (confidence, class_id, box)."""
    found = []
    for stride, fields in zip(STRIDES, levels):
        for y, x in np.ndindex(fields["box"].shape[:2]):
            scores = {
                name: values[y, x].astype(np.float64) if name in spec.output.activated else sigmoid(values[y, x])
                for name, values in fields.items()
                if name != "box"
            }
            confidence = scores.get("objectness", 1.0) * scores["classes"]
            classes = range(len(confidence)) if t.multi_label else [int(confidence.argmax())]
            box = box_of(spec, fields["box"][y, x].astype(np.float64), x, y, stride)
            found += [(confidence[c], c, box) for c in classes if confidence[c] >= t.confidence]
    found.sort(key=lambda item: -item[0])
    kept = []
    for item in found:
        if all(k[1] != item[1] or iou_matrix(k[2][None], item[2][None])[0, 0] <= t.iou for k in kept):
            kept.append(item)
    boxes = [letterbox.invert(box[None])[0] for _, _, box in kept[: t.max_detections]]
    return [(s, c, b) for (s, c, _), b in zip(kept, boxes) if b[2] > b[0] and b[3] > b[1]]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_detections_equal_the_straightforward_definition(data):
    """Same boxes, classes and confidences in the same order, however the outputs are split, ordered and activated."""
    decode = data.draw(st.sampled_from(["yolox", "yolov8"]))
    scores = ["classes"] if decode == "yolov8" else ["objectness", "classes"]
    spec = model(
        decode,
        data.draw(st.sampled_from([1, 2, 3, 80])),
        data.draw(st.sampled_from([1, 2, 16])),
        data.draw(st.sampled_from(LAYOUTS[decode])),
        tuple(data.draw(st.lists(st.sampled_from(scores), unique=True))),
        data.draw(st.booleans()),
    )
    confidence, iou = data.draw(st.sampled_from([0.01, 0.25, 0.5, 0.8])), data.draw(st.sampled_from([0.2, 0.45, 0.9]))
    thresholds = Thresholds(confidence, iou, data.draw(st.sampled_from([5, 300])), data.draw(st.booleans()))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    levels = random_fields(spec, rng, data.draw(st.sampled_from(["float16", "float32"])), 2.0)
    found = postprocess(arrange(spec, levels), spec, FRAME, thresholds)
    expected = naive(levels, spec, FRAME, thresholds)
    assert len(found) == len(expected)
    assert np.allclose(found.confidence, [item[0] for item in expected], atol=1e-5)
    # confidences tie, in float16 often: boxes and classes are compared where the order is certain
    certain = [k for k, item in enumerate(expected) if sum(abs(item[0] - other[0]) < 1e-5 for other in expected) == 1]
    boxes = np.array([expected[k][2] for k in certain]).reshape(-1, 4)
    assert np.allclose(found.xyxy[certain], boxes, atol=2e-3, rtol=1e-5)
    assert [found.class_id[k] for k in certain] == [expected[k][1] for k in certain]
    assert (np.diff(found.confidence) <= 0).all()
    assert (found.xyxy.dtype, found.confidence.dtype, found.class_id.dtype) == (np.float32, np.float32, np.int32)
    assert found.invalid == 0


def quiet(spec: ModelSpec, dtype: str = "float32"):
    """Levels in which nothing is found."""
    levels = random_fields(spec, np.random.default_rng(0), dtype, 1.0)
    for fields in levels:
        for name in set(fields) - {"box"}:
            fields[name][:] = 0 if name in spec.output.activated else -20
    return levels


def test_a_known_yolox_cell_gives_a_known_box():
    """Stride 8, cell (3, 1), a quarter of a cell to the right, twice a stride wide, one high."""
    spec = model("yolox")
    levels = quiet(spec)
    levels[0]["box"][1, 3] = [0.25, 0, np.log(2), 0]
    levels[0]["objectness"][1, 3] = 10
    levels[0]["classes"][1, 3] = [-5, 10, -5]
    found = postprocess(arrange(spec, levels), spec, WHOLE, Thresholds())
    assert np.allclose(found.xyxy, [[18, 4, 34, 12]], atol=1e-5)
    assert found.class_id.tolist() == [1]
    assert found.confidence[0] == pytest.approx(0.99991, abs=1e-5)


@pytest.mark.parametrize("reg_max", [1, 16])
def test_a_known_yolov8_cell_gives_a_known_box(reg_max):
    """Stride 16, cell (2, 1), centre (40, 24): distances 1, 0.5, 1.5 and 0.25 strides."""
    spec = model("yolov8", reg_max=reg_max)
    levels = quiet(spec)
    if reg_max == 1:
        levels[1]["box"][1, 2] = [1, 0.5, 1.5, 0.25]
    else:
        sides = np.full((4, reg_max), -50.0)
        sides[0, 1] = sides[1, 0] = sides[1, 1] = sides[2, 1] = sides[2, 2] = 0
        sides[3, 0], sides[3, 1] = np.log(3), 0
        levels[1]["box"][1, 2] = sides.reshape(-1)
    levels[1]["classes"][1, 2] = [-5, -5, 2]
    found = postprocess(arrange(spec, levels), spec, WHOLE, Thresholds())
    assert np.allclose(found.xyxy, [[24, 16, 64, 28]], atol=1e-5)
    assert (found.class_id.tolist(), found.confidence.tolist()) == ([2], pytest.approx([sigmoid(2)]))


@pytest.mark.parametrize("decode", ["yolox", "yolov8"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("activated", [(), ("classes",)])
@pytest.mark.parametrize("multi_label", [False, True])
def test_a_confidence_at_exactly_the_threshold_is_a_detection(decode, dtype, activated, multi_label):
    """A score of one half meets 0.5, as logit and as probability, and nothing a little above."""
    spec = model(decode, activated=activated)
    levels = quiet(spec, dtype)
    levels[0]["classes"][2, 2, 1] = 0.5 if activated else 0
    if decode == "yolox":
        levels[0]["objectness"][2, 2] = 30
    for confidence, count in ((0.5, 1), (0.5001, 0)):
        thresholds = Thresholds(confidence, multi_label=multi_label)
        assert len(postprocess(arrange(spec, levels), spec, WIDE, thresholds)) == count


@pytest.mark.parametrize("decode", ["yolox", "yolov8"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("activated", [(), ("classes",)])
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_extreme_thresholds_take_all_and_almost_none(decode, dtype, activated, multi_label):
    """0 lets every cell through, 1 only what rounds to 1."""
    spec = model(decode, activated=activated)
    levels = random_fields(spec, np.random.default_rng(3), dtype, 2.0)
    cells = sum(fields["box"].shape[0] * fields["box"].shape[1] for fields in levels) * (3 if multi_label else 1)
    everything = postprocess(arrange(spec, levels), spec, WIDE, Thresholds(0.0, 1.0, 10000, multi_label))
    assert len(everything) == cells
    assert len(postprocess(arrange(spec, levels), spec, WIDE, Thresholds(1.0, 1.0, 10000, multi_label))) == 0
    for fields in levels:
        for name in set(fields) - {"box"}:
            fields[name][:] = 1 if name in activated else 40
    assert len(postprocess(arrange(spec, levels), spec, WIDE, Thresholds(1.0, 1.0, 10000, multi_label))) == cells


@pytest.mark.parametrize("decode", ["yolox", "yolov8"])
def test_nothing_found_is_no_detections(decode):
    """Empty arrays of the right shapes."""
    spec = model(decode)
    found = postprocess(arrange(spec, quiet(spec)), spec, FRAME, Thresholds())
    assert (len(found), found.xyxy.shape, found.invalid) == (0, (0, 4), 0)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from(["float16", "float32"]),
    decode=st.sampled_from(["yolox", "yolov8"]),
    value=st.sampled_from([np.nan, -np.nan, np.inf, -np.inf, 6e4, -6e4]),
    activated=st.sampled_from([(), ("classes",)]),
    multi_label=st.booleans(),
)
def test_numbers_that_are_not_finite_never_become_a_box(seed, dtype, decode, value, activated, multi_label):
    """Anywhere in a head: what comes out is finite and inside the frame."""
    spec = model(decode, activated=activated)
    rng = np.random.default_rng(seed)
    outputs = arrange(spec, random_fields(spec, rng, dtype, 2.0))
    for output in outputs:
        output.reshape(-1)[rng.integers(0, output.size, 20)] = value
    found = postprocess(outputs, spec, FRAME, Thresholds(0.1, 0.45, 300, multi_label))
    assert np.isfinite(found.xyxy).all()
    assert ((found.xyxy >= 0) & (found.xyxy <= [128, 64, 128, 64])).all()
    assert ((found.confidence >= 0.1) & (found.confidence <= 1)).all()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("decode, field", [("yolox", "objectness"), ("yolov8", "classes")])
@pytest.mark.parametrize("activated", [False, True])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf])
@pytest.mark.parametrize("confidence", [0.25, 0.75])
def test_a_score_that_is_no_number_is_counted(dtype, decode, field, activated, value, confidence):
    """Of either sign (processors make negative NaNs), below and above one half."""
    spec = model(decode, activated=(field,) if activated else ())
    levels = quiet(spec, dtype)
    levels[0][field][1, 1, 0] = value
    found = postprocess(arrange(spec, levels), spec, FRAME, Thresholds(confidence))
    assert (len(found), found.invalid) == (0, 1)


@pytest.mark.parametrize(
    "decode, field, value",
    [
        ("yolox", "box", np.nan),
        ("yolox", "box", 1e3),
        ("yolox", "classes", np.nan),
        ("yolox", "classes", 1.5),
        ("yolov8", "box", np.nan),
        ("yolov8", "box", -3),
        ("yolov8", "classes", 1.5),
    ],
)
def test_an_impossible_box_or_probability_is_counted(decode, field, value):
    """Not finite, without area (distances below zero), or a probability above 1; what lies beside it stays."""
    spec = model(decode, reg_max=1, activated=("classes",))
    levels = quiet(spec)
    for x in (1, 5):
        levels[0]["box"][1, x] = 1
        levels[0]["classes"][1, x] = 0.9
        if decode == "yolox":
            levels[0]["objectness"][1, x] = 10
    levels[0][field][1, 1] = value
    found = postprocess(arrange(spec, levels), spec, FRAME, Thresholds())
    assert (len(found), found.invalid) == (1, 1)


def test_heads_of_another_shape_are_refused():
    """With the shape that was expected."""
    spec = model("yolov8", reg_max=4)
    with pytest.raises(ValueError, match=r"give float \(4, 8, 19\)"):
        postprocess([np.zeros((4, 8, 18), np.float32), np.zeros((2, 4, 19), np.float32)], spec, FRAME, Thresholds())
    with pytest.raises(ValueError, match="1 outputs for 2 heads"):
        postprocess([np.zeros((4, 8, 19), np.float32)], spec, FRAME, Thresholds())
    spec = model("yolov8", reg_max=4, joined=True)
    with pytest.raises(ValueError, match=r"give float \(40, 1, 19\)"):
        postprocess([np.zeros((41, 1, 19), np.float32)], spec, FRAME, Thresholds())


def test_joined_cells_may_lie_along_either_axis():
    """N, cells, 1, channels and N, 1, cells, channels are the same numbers."""
    spec = model("yolox", joined=True)
    outputs = arrange(spec, random_fields(spec, np.random.default_rng(4), "float16", 2.0))
    first = postprocess(outputs, spec, FRAME, Thresholds())
    second = postprocess([output.swapaxes(0, 1) for output in outputs], spec, FRAME, Thresholds())
    assert len(first) > 0
    assert np.array_equal(first.xyxy, second.xyxy)


@pytest.mark.parametrize("classes", [1, 7, 1000])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_scores_are_compared_piece_by_piece_without_losing_a_cell(classes, dtype):
    """A map of many cells, each place once: the first and last of every piece are found too."""
    size = InputSpec(512, 256)
    head = (HeadSpec(8, np.empty((0, 2), np.float32)),)
    output = np.full((32, 64, 4 + classes), -9, dtype)
    rng = np.random.default_rng(classes)
    places = np.unique(np.concatenate([rng.integers(0, 2048, 300), [0, 2047], np.arange(30, 2048, 32)]))
    chosen = rng.integers(0, classes, len(places))
    rows = output.reshape(-1, 4 + classes)
    rows[:, :4] = 0.25
    rows[places, 4 + chosen] = np.linspace(1, 3, len(places)).astype(dtype)
    spec = model("yolov8", classes)
    offline, labels = spec.offline, spec.labels
    spec = ModelSpec(
        "test", Path(), Path(), "", offline, size, OutputSpec("yolo_heads", "yolov8", head, reg_max=1),
        Thresholds(), labels, {},
    )  # fmt: skip
    found = postprocess([output], spec, Letterbox(1, 1, 0, 0, 512, 256), Thresholds(0.5, 1.0, 10000))
    cells = (found.xyxy[:, 1] // 8 * 64 + found.xyxy[:, 0] // 8).astype(int)
    order = np.argsort(cells)
    assert cells[order].tolist() == places.tolist()
    assert found.class_id[order].tolist() == chosen.tolist()
