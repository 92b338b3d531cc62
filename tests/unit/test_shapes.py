"""What models tell beside boxes: outlines of masks, keypoints and turned boxes, against known answers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mlu_agent.geometry import Letterbox, Region
from mlu_agent.model.bundle import HeadSpec, InputSpec, ModelSpec, OutputSpec, Thresholds
from mlu_agent.model.offline_model import OfflineModel
from mlu_agent.postprocess import Postprocessor, masks, postprocess, rotated
from mlu_agent.preprocess import letterbox_of

SIZE = InputSpec(64, 32)
FRAME = letterbox_of(128, 64, SIZE)  # half as large in the network
WHOLE = Letterbox(1, 1, 0, 0, 64, 32)
STRIDES = (8, 16)
THIRD = {"yolov8-seg": "coefficients", "yolov8-pose": "keypoints", "yolov8-obb": "angle"}


def model(decode: str, *, size: InputSpec = SIZE, **output) -> ModelSpec:
    """Distances in strides, one prototype at a quarter of the network's sides, two keypoints."""
    heads = tuple(HeadSpec(stride, np.empty((0, 2), np.float32)) for stride in STRIDES)
    usual = {"reg_max": 1, "coefficients": 1, "keypoints": (2, 3), **output}
    offline = OfflineModel("simulator", "test", "MLU220", 1, ["subnet0"], {}, (), (), 0)
    spec = OutputSpec("yolo_heads", decode, heads, **usual)
    return ModelSpec("test", Path(), Path(), "", offline, size, spec, Thresholds(), ("a", "b"), {})


def quiet(spec: ModelSpec, dtype: str = "float32"):
    """Fields of each level in which nothing is found."""
    levels = []
    for stride in STRIDES:
        cells = spec.input.height // stride, spec.input.width // stride
        fields = {name: np.zeros((*cells, spec.output.channels(name, 2)), dtype) for name in spec.output.layout[0]}
        fields["classes"][:] = -20
        fields["box"][:] = 1
        levels.append(fields)
    return levels


def arrange(spec: ModelSpec, levels, prototypes=None) -> list[np.ndarray]:
    """The outputs as the specification says that they lie, in one tensor per level or of all levels."""
    outputs = [np.concatenate(list(fields.values()), axis=-1) for fields in levels]
    if spec.output.joined:
        outputs = [np.concatenate([one.reshape(-1, 1, one.shape[-1]) for one in outputs])]
    return outputs if prototypes is None else [*outputs, prototypes]


def put(fields, row: int, column: int, box, third, class_id: int = 0, logit: float = 5.0) -> None:
    """An object in one cell: its distances, and what it has beside them."""
    fields["box"][row, column] = box
    fields["classes"][row, column, class_id] = logit
    name = next(name for name in fields if name in THIRD.values())
    fields[name][row, column] = third


def area(polygon: np.ndarray) -> float:
    """By the shoelace formula."""
    x, y = polygon.astype(np.float64).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


# ---- outlines ----


def test_a_mask_that_fills_its_box_is_outlined_by_the_box():
    """Four corners, in pixels of the frame."""
    spec = model("yolov8-seg")
    levels = quiet(spec)
    put(levels[0], 1, 3, [1.5, 1, 2, 1], 1)  # around (28, 12): 16, 4, 44, 20
    found = postprocess(arrange(spec, levels, np.ones((8, 16, 1), np.float32)), spec, FRAME, Thresholds())
    assert found.xyxy.tolist() == [[32, 8, 88, 40]]
    ((polygon,),) = found.polygons
    assert sorted(map(tuple, polygon.tolist())) == [(32, 8), (32, 40), (88, 8), (88, 40)]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("joined", [False, True])
def test_the_outline_of_a_known_rectangle_is_that_rectangle(dtype, joined):
    """Prototype pixels 4 to 11 by 2 to 5 are positive: 16 to 48 by 8 to 24 in the network, twice that in the frame."""
    spec = model("yolov8-seg", joined=joined)
    levels = quiet(spec, dtype)
    put(levels[1], 0, 1, [1.5, 0.5, 2.5, 1.5], 2)  # around (24, 8): 0, 0, 64, 32
    prototypes = np.full((8, 16, 1), -1, dtype)
    prototypes[2:6, 4:12] = 1
    found = postprocess(arrange(spec, levels, prototypes), spec, FRAME, Thresholds())
    ((polygon,),) = found.polygons
    assert np.allclose([polygon.min(axis=0), polygon.max(axis=0)], [[32, 16], [96, 48]], atol=0.05)
    assert area(polygon) == pytest.approx(64 * 32, rel=0.03)  # its corners are rounded between prototype pixels
    assert polygon.dtype == np.float32


def test_an_outline_ends_where_the_part_of_the_frame_ends_that_the_model_sees():
    """With a region, and with a frame whose upper and lower parts the letterbox leaves out."""
    spec = model("yolov8-seg")
    levels = quiet(spec)
    put(levels[1], 0, 1, [1.5, 0.5, 2.5, 1.5], 1)
    outputs = arrange(spec, levels, np.ones((8, 16, 1), np.float32))
    seen = Letterbox(0.5, 0.5, 0, -4, 128, 60).within(Region(100, 40, 228, 100), 300, 200)
    ((polygon,),) = postprocess(outputs, spec, seen, Thresholds()).polygons
    assert np.array_equal([polygon.min(axis=0), polygon.max(axis=0)], [[100, 48], [228, 100]])
    prototypes = np.ones((8, 16, 1), np.float32)
    prototypes[0, ::2] = -0.5  # in the letterbox's border: no points are spent on that
    bordered = Letterbox(0.5, 0.5, 0, 4, 128, 48)
    ((jagged,),) = postprocess([*outputs[:-1], prototypes], spec, bordered, Thresholds()).polygons
    assert sorted(map(tuple, jagged.tolist())) == [(0, 0), (0, 48), (128, 0), (128, 48)]


@settings(max_examples=30, deadline=None)
@given(
    x=st.floats(30, 98), y=st.floats(30, 98), radius=st.floats(8, 28), stride=st.sampled_from([2, 4, 8]),
    tilt=st.floats(-0.02, 0.02),
)  # fmt: skip
def test_the_outline_of_a_disc_follows_its_edge(x, y, radius, stride, tilt):
    """Wherever it lies and whatever the prototypes' size: within a part of a prototype's pixel, with few points."""
    rows, columns = (np.mgrid[: 128 // stride, : 128 // stride] + 0.5) * stride
    distance = np.hypot(columns - x, rows - y)
    prototypes = ((radius - distance) * (1 + tilt * np.sin(columns)))[..., None].astype(np.float32)
    box = np.array([[0, 0, 128, 128]], np.float32)
    (found,) = masks.polygons_of(prototypes, np.ones((1, 1), np.float32), box, stride)
    (polygon,) = found
    off = np.abs(np.hypot(*(polygon - (x, y)).T) - radius)
    assert off.max() < 0.1 * stride + stride**2 / radius / 2
    assert 5 <= len(polygon) <= 64


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([1e-30, 1.0, 1e30]))
def test_an_outline_of_noise_is_bounded_and_within_its_box(seed, scale):
    """At most 8 polygons of 3 points and more, 128 in all, the largest first, whatever the numbers."""
    rng = np.random.default_rng(seed)
    prototypes = (rng.normal(0, 1, (32, 40, 3)) * scale).astype(np.float32)
    boxes = np.sort(rng.uniform(-20, 180, (4, 2, 2)), axis=1).reshape(4, 4).astype(np.float32)
    with np.errstate(all="ignore"):
        found = masks.polygons_of(prototypes, rng.normal(0, 1, (4, 3)).astype(np.float32), boxes, 4)
    for polygons, box in zip(found, boxes):
        assert len(polygons) <= masks.MAX_PARTS
        assert sum(map(len, polygons)) <= masks.MAX_POINTS
        for polygon in polygons:
            assert len(polygon) >= 3
            assert (polygon >= np.maximum(box[:2], 0)).all()
            assert (polygon <= np.minimum(box[2:], [160, 128])).all()


def test_parts_stand_by_size_and_the_smallest_are_left_out():
    """Ten blobs of different sizes in one box: the eight largest."""
    prototypes = np.full((16, 160, 1), -1, np.float32)
    for number in range(10):
        prototypes[4 : 6 + number, 16 * number + 2 : 16 * number + 6] = 1
    box = np.array([[0, 0, 640, 64]], np.float32)
    (found,) = masks.polygons_of(prototypes, np.ones((1, 1), np.float32), box, 4)
    areas = [area(polygon) for polygon in found]
    assert areas == sorted(areas, reverse=True)
    assert [int(polygon[:, 0].mean() // 64) for polygon in found] == [9, 8, 7, 6, 5, 4, 3, 2]


def test_a_picture_has_so_many_masks_as_its_bound_of_pixels_allows(monkeypatch):
    """The less sure detections have boxes without an outline, which is another thing than an empty one."""
    monkeypatch.setattr(masks, "MAX_PIXELS", 300)
    spec = model("yolov8-seg")
    levels = quiet(spec)
    for column, logit in ((1, 5.0), (5, 4.0)):
        put(levels[0], 1, column, 1, 1, logit=logit)
    prototypes = np.ones((8, 16, 1), np.float32)
    found = postprocess(arrange(spec, levels, prototypes), spec, WHOLE, Thresholds())
    assert ([len(one) if one is not None else None for one in found.polygons]) == [1, None]
    put(levels[0], 1, 5, 1, -1, logit=4.0)
    monkeypatch.setattr(masks, "MAX_PIXELS", 600)
    found = postprocess(arrange(spec, levels, prototypes), spec, WHOLE, Thresholds())
    assert [len(one) for one in found.polygons] == [1, 0]


# ---- poses ----


def test_known_keypoints_are_where_they_are():
    """xy = (2 t + cell) * stride, visibility by the sigmoid; twice that in the frame; at its edge what is beyond."""
    spec = model("yolov8-pose")
    levels = quiet(spec)
    put(levels[0], 1, 3, 1, [0.25, 0.5, 0, 40, -3, -2])  # cell (3, 1): (28, 16) and (664, -40)
    found = postprocess(arrange(spec, levels), spec, FRAME, Thresholds())
    visible = 1 / (1 + math.exp(2))
    assert np.allclose(found.keypoints, [[[56, 32, 0.5], [128, 0, visible]]])
    assert found.keypoints.dtype == np.float32


def test_keypoints_may_have_no_visibility():
    """Two numbers each."""
    spec = model("yolov8-pose", keypoints=(3, 2))
    levels = quiet(spec)
    put(levels[1], 1, 2, 1, [0, 0, 0.25, 0.25, 0.5, 0.5])
    found = postprocess(arrange(spec, levels), spec, WHOLE, Thresholds())
    assert found.keypoints.tolist() == [[[32, 16], [40, 24], [48, 32]]]


# ---- turned boxes ----


def test_a_known_turned_box():
    """45 degrees, 24 by 8 around the middle of a cell: four corners, clockwise from the one where the width begins."""
    spec = model("yolov8-obb")
    levels = quiet(spec)
    put(levels[0], 2, 4, [1.5, 0.5, 1.5, 0.5], 0)  # sigmoid(0) - 1/4 = 1/4 of pi
    found = postprocess(arrange(spec, levels), spec, WHOLE, Thresholds())
    along, across = 12 / math.sqrt(2), 4 / math.sqrt(2)
    offsets = [(-along + across, -along - across), (along + across, along - across)]
    expected = [(36 + x, 20 + y) for x, y in [*offsets, *((-x, -y) for x, y in offsets)]]
    assert np.allclose(found.corners, [expected], atol=1e-5)
    assert np.allclose(found.angle, [math.pi / 4])
    low, high = found.corners.min(axis=1), found.corners.max(axis=1)
    assert np.allclose(found.xyxy, np.concatenate((low, np.minimum(high, [64, 32])), axis=1))


def test_distances_that_differ_move_the_box_along_its_own_axes():
    """The middle lies half the difference of opposite distances from the cell's, turned with the box."""
    spec = model("yolov8-obb", activated=("angle",))
    levels = quiet(spec)
    put(levels[0], 1, 4, [0.5, 1, 2.5, 1], math.pi / 2)  # cell's middle (36, 12), 8 to the right before it is turned
    found = postprocess(arrange(spec, levels), spec, WHOLE, Thresholds())
    assert np.allclose(found.corners.mean(axis=1), [[36, 20]], atol=1e-5)
    assert np.allclose(found.xyxy, [[28, 8, 44, 32]], atol=1e-4)  # 24 by 16, upright
    assert np.allclose(found.angle, [0], atol=1e-6)  # and so it is told


def test_corners_and_angle_are_those_of_the_frame():
    """Also where a stretched picture makes another angle of it, and beyond the frame's edges."""
    spec = model("yolov8-obb")
    levels = quiet(spec)
    put(levels[0], 0, 0, 2, 0)
    found = postprocess(arrange(spec, levels), spec, Letterbox(1, 0.5, 0, 0, 64, 64), Thresholds())
    assert found.corners.min() < 0 <= found.xyxy.min()
    assert np.allclose(found.angle, [math.atan2(2, 1)])


def turned_overlaps(a, b):
    """(N, M) of turned boxes (N, 5) and (M, 5)."""
    one, other = (rotated._gaussians(boxes.astype(np.float64)) for boxes in (a, b))
    return rotated._overlaps(one[:, :, None], other[:, None, :])


turned_boxes = st.tuples(
    st.floats(-50, 50), st.floats(-50, 50), st.floats(1, 60), st.floats(1, 60), st.floats(-math.pi, math.pi)
)


@settings(max_examples=60, deadline=None)
@given(one=turned_boxes, other=turned_boxes, turn=st.floats(-3, 3), shift=st.floats(-100, 100))
def test_overlap_of_turned_boxes_is_a_matter_of_where_they_lie_to_each_other(one, other, turn, shift):
    """Symmetric, 0..1, 1 of equals; the same when both are moved and turned, or told by their other side."""
    a, b = np.array([one, other])[:, None]
    iou = turned_overlaps(a, b)[0, 0]
    assert 0 <= iou <= 1
    assert turned_overlaps(b, a)[0, 0] == pytest.approx(iou, abs=1e-9)
    assert turned_overlaps(a, a)[0, 0] > 0.999
    cos, sin = math.cos(turn), math.sin(turn)
    moved = np.array([
        (x * cos - y * sin + shift, x * sin + y * cos - shift, width, height, angle + turn)
        for x, y, width, height, angle in (one, other)
    ])[:, None]  # fmt: skip
    assert turned_overlaps(moved[0], moved[1])[0, 0] == pytest.approx(iou, abs=1e-4)
    swapped = a[:, [0, 1, 3, 2, 4]] + [0, 0, 0, 0, math.pi / 2]
    assert turned_overlaps(swapped, b)[0, 0] == pytest.approx(iou, abs=1e-4)


def test_overlap_of_turned_boxes_has_known_values():
    """Bhattacharyya's distance of two equal boxes that lie half a width apart is 3/8; of two of the same middle, one
    twice as wide, ln(5/4) / 2."""
    a = np.array([[0, 0, 24, 12, 0.3]])
    beside = a + np.array([12 * math.cos(0.3), 12 * math.sin(0.3), 0, 0, 0])
    assert turned_overlaps(a, beside)[0, 0] == pytest.approx(1 - math.sqrt(1 - math.exp(-3 / 8)), abs=1e-4)
    wide = np.array([[0, 0, 48, 12, 0.3]])
    expected = 1 - math.sqrt(1 - math.exp(-math.log(5 / 4) / 2))
    assert turned_overlaps(a, wide)[0, 0] == pytest.approx(expected, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 300), iou=st.sampled_from([0.1, 0.45, 0.7]))
def test_suppression_of_turned_boxes_is_the_plain_rule(seed, count, iou):
    """From the surest on, each that overlaps none of its class that stays by more than the threshold."""
    rng = np.random.default_rng(seed)
    scale = [60, 60, 30, 30, 3]
    turned = (rng.uniform(0, 1, (count, 5)) * scale + [0, 0, 5, 5, 0]).astype(np.float32)
    confidence = rng.uniform(0, 1, count).astype(np.float32)
    class_id = rng.integers(0, 2, count).astype(np.int32)
    overlaps = turned_overlaps(turned, turned)
    kept: list[int] = []
    for index in np.argsort(-confidence, kind="stable"):
        if all(class_id[index] != class_id[one] or overlaps[index, one] <= iou for one in kept):
            kept.append(int(index))
    found = rotated.suppress_turned(turned, confidence, class_id, iou, 50)
    assert found.tolist() == kept[:50]


@settings(max_examples=30, deadline=None)
@given(box=turned_boxes)
def test_a_box_told_by_its_other_side_is_the_same_box(box):
    """Angles in 0..pi/2, and the same four corners."""
    turned = np.array([box], np.float32)
    upright = rotated.upright(turned)
    assert 0 <= upright[0, 4] <= np.float32(math.pi / 2)
    before, after = rotated.corners_of(turned)[0], rotated.corners_of(upright)[0]
    apart = np.linalg.norm(before[:, None] - after[None], axis=2)
    assert (apart.min(axis=1) < 1e-3).all()


# ---- all of them ----


@pytest.mark.parametrize("decode", THIRD)
def test_shapes_belong_to_their_boxes(decode):
    """After suppression, a source's choice and the frame's edges every shape lies where its own box does."""
    spec = model(decode)
    levels = quiet(spec)
    rng = np.random.default_rng(3)
    for row in range(4):
        for column in range(8):
            third = {"coefficients": 1, "keypoints": [0.25, 0.25, 1] * 2, "angle": rng.normal()}[THIRD[decode]]
            put(levels[0], row, column, 0.8, third, int(rng.integers(2)), rng.normal() * 3)
    prototypes = np.ones((8, 16, 1), np.float32) if decode == "yolov8-seg" else None
    outputs = arrange(spec, levels, prototypes)
    least = np.array([0.3, 0.6], np.float32)
    for multi_label in (False, True):
        wanted = Thresholds(0.2, 0.3, 20, multi_label)
        found = postprocess(outputs, spec, FRAME, wanted)
        assert 3 < len(found) <= 20
        chosen = Postprocessor(spec)(outputs, FRAME, wanted, least=least)
        assert chosen.filtered > 0
        for some in (found, chosen):
            middle = (some.xyxy[:, :2] + some.xyxy[:, 2:]) / 2
            places = {
                "yolov8-seg": lambda one: np.array([(p[0].min(axis=0) + p[0].max(axis=0)) / 2 for p in one.polygons]),
                "yolov8-pose": lambda one: one.keypoints[:, 0, :2],
                "yolov8-obb": lambda one: one.corners.mean(axis=1),
            }[decode](some)
            assert np.abs(places - middle).max() < 8  # boxes of 12.8 pixels, cut at the edges, are 16 apart


@pytest.mark.parametrize("decode", THIRD)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_shape_that_is_no_number_is_counted(decode, dtype, value):
    """Its candidate is thrown away; one beside it stays."""
    spec = model(decode)
    levels = quiet(spec, dtype)
    for column in (1, 5):
        put(levels[0], 1, column, 1, 0)
    levels[0][THIRD[decode]][1, 1, -1] = value
    prototypes = np.ones((8, 16, 1), dtype) if decode == "yolov8-seg" else None
    found = postprocess(arrange(spec, levels, prototypes), spec, FRAME, Thresholds())
    assert (len(found), found.invalid) == (1, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_prototypes_that_are_no_numbers_outline_nothing(value):
    """The box stays; what is outlined is finite."""
    spec = model("yolov8-seg")
    levels = quiet(spec)
    put(levels[0], 1, 3, 1, 1)
    prototypes = np.ones((8, 16, 1), np.float32)
    prototypes[3, 7] = value
    found = postprocess(arrange(spec, levels, prototypes), spec, FRAME, Thresholds())
    assert len(found) == 1
    assert all(np.isfinite(polygon).all() for polygon in found.polygons[0])


@pytest.mark.parametrize("sides", [[-2, 1, 1, 1], [1e6, 1, 1, 1], [1e30, 1e30, 1e30, 1e30]])
def test_a_turned_box_without_area_or_beyond_reason_is_counted(sides):
    """As it would be told with numbers that nobody can use."""
    spec = model("yolov8-obb")
    levels = quiet(spec)
    put(levels[0], 1, 1, sides, 0)
    found = postprocess(arrange(spec, levels), spec, FRAME, Thresholds())
    assert (len(found), found.invalid) == (0, 1)


@pytest.mark.parametrize("decode", THIRD)
def test_nothing_found_has_no_shapes(decode):
    """As of any other model."""
    spec = model(decode)
    prototypes = np.ones((8, 16, 1), np.float32) if decode == "yolov8-seg" else None
    found = postprocess(arrange(spec, quiet(spec), prototypes), spec, FRAME, Thresholds())
    assert (len(found), found.shaped) == (0, False)
