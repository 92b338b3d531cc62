"""Heads of the SSD family -> detections, against a plain, slow formula; outputs in another order than the heads."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tests.containers import device_file

from mlu_agent.errors import DataError, MluAgentError
from mlu_agent.geometry import Letterbox
from mlu_agent.model.bundle import HeadSpec, InputSpec, ModelSpec, OutputSpec, Thresholds, load_bundle
from mlu_agent.model.offline_model import OfflineModel
from mlu_agent.model.prior_spec import PriorLevel, PriorSpec
from mlu_agent.postprocess import postprocess
from mlu_agent.postprocess.decode import HeadDecoder

SIZE = InputSpec(60, 40)
WHOLE = Letterbox(1, 1, 0, 0, 60, 40)
LEVELS = (
    PriorLevel(16, (0, 0), np.array([[8, 8], [20, 10]], np.float32)),  # 3 x 4 cells: the last of them in part
    PriorLevel(0, (1, 2), np.array([[30, 25]], np.float32)),
)
GRIDS = [(3, 4, 16.0, 16.0), (1, 2, 30.0, 40.0)]


def model(priors: PriorSpec, classes: int = 2, **changes) -> ModelSpec:
    output = OutputSpec("ssd_heads", priors=priors, **changes)
    offline = OfflineModel("simulator", "test", "MLU220", 1, ["subnet0"], {}, (), (), 0)
    labels = tuple(f"class {number}" for number in range(classes))
    return ModelSpec("test", Path(), Path(), "", offline, SIZE, output, Thresholds(), labels, {})


def random_levels(rng, classes: int, dtype: str, softmaxed: bool):
    """Per level box (rows, columns, A * 4) and class scores (rows, columns, A * (1 + classes))."""
    levels = []
    for (rows, columns, _, _), level in zip(GRIDS, LEVELS):
        count = len(level.anchors)
        box = rng.normal(0, 1, (rows, columns, count * 4))
        scores = rng.normal(0, 3, (rows, columns, count, 1 + classes))
        if softmaxed:
            scores = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
        levels.append((box.astype(dtype), scores.reshape(rows, columns, -1).astype(dtype)))
    return levels


def plainly(levels, classes: int, softmaxed: bool, confidence: float, multi_label: bool):
    """Every candidate (xyxy, score, class), one number after another."""
    found = []
    for (rows, columns, across, down), level, (box, scores) in zip(GRIDS, LEVELS, levels):
        for y in range(rows):
            for x in range(columns):
                for a, (width, height) in enumerate(level.anchors.tolist()):
                    dx, dy, dw, dh = (float(one) for one in box[y, x, a * 4 : a * 4 + 4])
                    own = [float(one) for one in scores[y, x, a * (1 + classes) : (a + 1) * (1 + classes)]]
                    if not softmaxed:
                        total = sum(math.exp(one) for one in own)
                        own = [math.exp(one) / total for one in own]
                    cx, cy = (x + 0.5) * across + dx * 0.1 * width, (y + 0.5) * down + dy * 0.1 * height
                    w, h = width * math.exp(dw * 0.2), height * math.exp(dh * 0.2)
                    best = max(range(classes), key=lambda one: own[1 + one])
                    sides = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
                    wanted = range(classes) if multi_label else [best]
                    found += [(*sides, own[1 + c], c) for c in wanted if own[1 + c] >= confidence]
    return np.array(sorted(found), np.float64).reshape(-1, 6)


def arranged(levels, classes: int, how: str):
    """The outputs as a compiler leaves them."""
    if how == "levels":
        return [tensor for level in levels for tensor in level]
    joined = [
        np.concatenate([level[place].reshape(-1, depth) for level in levels])
        for place, depth in ((0, 4), (1, 1 + classes))
    ]
    if how == "columns":
        return [np.ascontiguousarray(rows.T)[:, None, :] for rows in joined]
    return [rows[:, None, :] if how == "rows" else rows.reshape(1, 1, -1) for rows in joined]


@given(
    seed=st.integers(0, 2**16),
    how=st.sampled_from(["levels", "rows", "columns", "flat"]),
    dtype=st.sampled_from(["float16", "float32"]),
    softmaxed=st.booleans(),
    multi_label=st.booleans(),
    confidence=st.sampled_from([0.0, 0.2, 0.5, 0.9]),
)
@settings(max_examples=60, deadline=None)
def test_priors_are_decoded_as_the_plain_formula_says(seed, how, dtype, softmaxed, multi_label, confidence):
    """However the tensors lie: level by level, joined in rows, in columns (as the vendor's compiler leaves a torch
    tensor), or flat (as Caffe's layers do)."""
    rng = np.random.default_rng(seed)
    levels = random_levels(rng, 2, dtype, softmaxed)
    spec = PriorSpec(LEVELS, softmaxed=softmaxed, joined=how != "levels")
    with np.errstate(all="raise"):
        found = HeadDecoder(model(spec).output, SIZE, 2)(arranged(levels, 2, how), confidence, multi_label=multi_label)
    expected = plainly(levels, 2, softmaxed, confidence, multi_label)
    got = np.column_stack((found.xyxy, found.confidence, found.class_id)).astype(np.float64)
    clear = [rows[np.abs(rows[:, 4] - confidence) > 1e-5] for rows in (got[np.lexsort(got.T[::-1])], expected)]
    np.testing.assert_allclose(*clear, rtol=2e-5, atol=2e-4)
    assert found.invalid == 0


def test_what_is_no_number_is_counted_and_left_out():
    """In boxes and in scores, and a score that is no probability though a softmax is said to have been."""
    levels = random_levels(np.random.default_rng(1), 2, "float32", softmaxed=True)
    box, scores = levels[0]
    box[0, 0, 1] = np.nan
    scores[0, 0, :3] = [0.1, 0.8, 0.1]
    scores[0, 1, :3] = [0.0, 1.5, 0.0]
    scores[0, 2, :3] = [0.0, np.nan, 0.0]
    spec = model(PriorSpec(LEVELS, softmaxed=True))
    assert postprocess(arranged(levels, 2, "levels"), spec, WHOLE, Thresholds(confidence=0.3)).invalid == 3


def test_outputs_are_read_in_the_order_that_is_written():
    """And one that is not named, such as landmarks, is not looked at."""
    levels = random_levels(np.random.default_rng(2), 2, "float32", softmaxed=False)
    box, scores = arranged(levels, 2, "columns")
    straight = model(PriorSpec(LEVELS, joined=True))
    crossed = model(PriorSpec(LEVELS, joined=True), order=(2, 0))
    landmarks = np.full((10, 1, box.shape[2]), np.nan, np.float32)
    one = postprocess([box, scores], straight, WHOLE, Thresholds(confidence=0.4))
    other = postprocess([scores, landmarks, box], crossed, WHOLE, Thresholds(confidence=0.4))
    assert len(one.confidence) > 2
    np.testing.assert_array_equal(one.xyxy, other.xyxy)
    np.testing.assert_array_equal(one.confidence, other.confidence)


@pytest.mark.parametrize("decode", ["yolox", "yolov8"])
def test_joined_levels_may_lie_in_columns(decode):
    """As the vendor's compiler leaves what torch calls (N, cells, channels)."""
    heads = tuple(HeadSpec(stride, np.empty((0, 2), np.float32)) for stride in (10, 20))
    output = OutputSpec("yolo_heads", decode, heads, reg_max=2, joined=True)
    ((cells, _, depth),) = output.shapes(60, 40, 3)
    rows = np.random.default_rng(3).normal(0, 1, (cells, 1, depth)).astype(np.float32)
    spec = dataclasses.replace(model(PriorSpec(LEVELS), 3), output=output)
    columns = np.ascontiguousarray(rows[:, 0].T)[:, None, :]
    one, other = (postprocess([tensor], spec, WHOLE, Thresholds(confidence=0.1)) for tensor in (rows, columns))
    assert len(one.confidence) > 2
    np.testing.assert_array_equal(one.xyxy, other.xyxy)


def test_a_background_of_the_detection_output_is_no_label():
    """The SSD operator counts it as class 0: the first label is class 1, and its own rows are no boxes."""
    row = np.zeros(64 + 7 * 3, np.float16)
    row[0] = 3
    row[64:] = [0, 0, 0.9, 0, 0, 0.5, 0.5, 0, 1, 0.8, 0, 0, 0.5, 0.5, 0, 3, 0.8, 0, 0, 0.5, 0.5]
    output = OutputSpec("detection_output", coordinates="normalized", max_boxes=3, background=True)
    spec = dataclasses.replace(model(PriorSpec(LEVELS), 2), output=output)
    found = postprocess([row], spec, WHOLE, Thresholds())
    assert found.class_id.tolist() == [0]
    assert found.invalid == 1
    np.testing.assert_allclose(found.xyxy, [[0, 0, 30, 20]])


MANIFEST = """schema = 1
name = "net"
task = "detect"
model = "net.cambricon"
sha256 = "%s"
labels = ["a", "b"]
[input]
width = 64
height = 64
resize = "stretch"
channels = "bgr"
dtype = "float16"
[output]
kind = "ssd_heads"
variances = [0.1, 0.2]
tensors = [["box"], ["classes"]]
activated = ["classes"]
joined = false
order = [1, 0]
[[output.heads]]
stride = 16
anchors = [[8, 8], [16, 9]]
"""


def _bundle(folder, old="", new=""):
    """The files of a model of one level, scores first; its manifest with ``old`` replaced."""
    data = device_file([((1, 64, 64, 3), "float16")], [((1, 4, 4, 6), "float16"), ((1, 4, 4, 8), "float16")])
    (folder / "net.cambricon").write_bytes(data)
    assert old in MANIFEST
    text = MANIFEST % hashlib.sha256(data).hexdigest()
    (folder / "net.toml").write_text(text.replace(old, new) if old else text)
    return folder / "net.cambricon"


def test_priors_are_described_in_the_manifest(tmp_path):
    """Levels by stride or by cells, variances, layout, and whether there was a softmax."""
    output = load_bundle(_bundle(tmp_path)).output
    assert (output.kind, output.order, output.priors.softmaxed, output.priors.joined) == (
        "ssd_heads",
        (1, 0),
        True,
        False,
    )
    assert output.priors.levels[0].grid(64, 64) == (4, 4)
    by_cells = load_bundle(_bundle(tmp_path, "stride = 16", "cells = [4, 4]")).output.priors.levels[0]
    assert by_cells.steps(64, 64) == (16, 16)


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        (
            "variances = [0.1, 0.2]",
            "variances = [0.1, 101.0]",
            "output.variances: .* two numbers from 0.001 to 100",
        ),
        ("variances = [0.1, 0.2]", "variances = [0.1]", "output.variances"),
        ('activated = ["classes"]', 'activated = ["box"]', "output.activated"),
        ("stride = 16", "stride = 16\ncells = [4, 4]", "one of stride and cells"),
        ("stride = 16", "", "one of stride and cells"),
        ("stride = 16", "cells = [4097, 4]", "write rows and columns, each 1 to 4096"),
        ("stride = 16", "cells = [4]", "output.heads\\[0\\].cells"),
        (
            "stride = 16",
            "stride = 8",
            r"2 labels make \[8, 8, 8\], but the model's output is \[4, 4, 8\]",
        ),
        ('labels = ["a", "b"]', 'labels = ["a"]', "priors and 1 labels make"),
        ("order = [1, 0]", "", "priors and 2 labels make"),
    ],
)
def test_a_wrong_description_of_priors_is_named(tmp_path, old, new, sentence):
    """With its field."""
    with pytest.raises(DataError, match=sentence):
        load_bundle(_bundle(tmp_path, old, new))


@pytest.mark.parametrize(
    "order, sentence",
    [
        ("[1, 2]", "output.order: 2 is no output of the model, which has 2"),
        ("[1, 1]", "output.order: .* write each output's number once"),
        ("[-1, 0]", "output.order"),
        ('["box"]', "output.order"),
        ("[1]", "make 2 outputs, but the model has 1"),
    ],
)
def test_an_order_that_is_none_is_refused(tmp_path, order, sentence):
    """It names outputs of the model, each once."""
    with pytest.raises(DataError, match=sentence):
        load_bundle(_bundle(tmp_path, "order = [1, 0]", f"order = {order}"))


def test_boxes_beyond_any_frame_are_cut_at_its_edges():
    """Their sides are finite and their areas are not, which warns nobody."""
    levels = random_levels(np.random.default_rng(4), 2, "float32", softmaxed=True)
    levels[0][0][:] = [0, 0, 400, 400, 0, 0, 420, 420]
    found = postprocess(arranged(levels, 2, "levels"), model(PriorSpec(LEVELS, softmaxed=True)), WHOLE, Thresholds())
    assert len(found.confidence) > 3
    assert ((found.xyxy >= 0) & (found.xyxy <= 60)).all()


@given(data=st.data(), bits=st.sampled_from(["uint16", "uint32"]), multi_label=st.booleans(), softmaxed=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_bits_are_candidates_or_counted(data, bits, multi_label, softmaxed):
    """What a broken device may leave: no exception, and nothing that is no box."""
    seed = data.draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    kind = np.float16 if bits == "uint16" else np.float32
    spec = model(PriorSpec(LEVELS, softmaxed=softmaxed))
    shapes = spec.output.shapes(SIZE.width, SIZE.height, 2)
    outputs = [rng.integers(0, np.iinfo(bits).max, shape, bits, endpoint=True).view(kind) for shape in shapes]
    threshold = Thresholds(confidence=data.draw(st.sampled_from([0.0, 0.5, 1.0])), multi_label=multi_label)
    found = postprocess(outputs, spec, WHOLE, threshold)
    assert np.isfinite(found.xyxy).all()
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert ((found.class_id >= 0) & (found.class_id < 2)).all()


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_manifest_of_priors_with_any_line_spoiled_gives_a_sentence_or_a_model(tmp_path_factory, data):
    """Never another exception, and no model that its container does not fit."""
    folder = tmp_path_factory.mktemp("spoiled")
    path = _bundle(folder)
    lines = path.with_suffix(".toml").read_text().split("\n")
    number = data.draw(st.integers(0, len(lines) - 1))
    key = lines[number].partition("=")[0]
    value = data.draw(st.sampled_from(["-1", "0", "1e9", "[]", "[[]]", "[1, 2]", '""', "true", "[4096, 4096]", "nan"]))
    lines[number] = data.draw(st.sampled_from([f"{key}= {value}", "", f"{lines[number]}\n{key}x = {value}"]))
    path.with_suffix(".toml").write_text("\n".join(lines))
    with contextlib.suppress(MluAgentError):
        spec = load_bundle(path)
        assert spec.output.shapes(64, 64, len(spec.labels))
