"""Boxes and letterboxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mlu_agent.detections import Detections
from mlu_agent.geometry import Letterbox, Region
from mlu_agent.model.bundle import InputSpec
from mlu_agent.preprocess import letterbox_of


@given(
    st.integers(1, 4000),
    st.integers(1, 4000),
    st.sampled_from(["letterbox", "stretch"]),
    st.sampled_from([(416, 416), (640, 384), (320, 640)]),
)
def test_a_letterbox_maps_the_frame_onto_its_place_and_back(width, height, resize, size):
    """The whole frame lies inside the input, and a box there and back is the same to a thousandth of the frame."""
    letterbox = letterbox_of(width, height, InputSpec(*size, resize=resize))
    corners = np.array([[0, 0, width, height], [0.25 * width, 0.5 * height, 0.5 * width, height]])
    scale = np.array([letterbox.scale_x, letterbox.scale_y] * 2)
    there = corners * scale + np.array([letterbox.pad_x, letterbox.pad_y] * 2)
    assert (there >= 0).all()
    assert (there <= np.array([*size, *size]) + 1e-6).all()
    assert np.allclose(letterbox.invert(there), corners, atol=max(width, height) / 1000)
    assert letterbox.scale == min(letterbox.scale_x, letterbox.scale_y)


@st.composite
def shares(draw) -> tuple[float, float, float, float]:
    """A region that a configuration may have."""
    left, top = draw(st.floats(0, 0.99)), draw(st.floats(0, 0.99))
    return left, top, draw(st.floats(left + 0.01, 1)), draw(st.floats(top + 0.01, 1))


@settings(deadline=None)
@given(shares(), st.integers(1, 4000), st.integers(1, 4000))
def test_a_region_has_whole_pixels_of_the_frame_and_never_none(roi, width, height):
    """Each side lies within half a pixel of where it was asked for, or one more where that left nothing."""
    region = Region.of(roi, width, height)
    assert 0 <= region.left < region.right <= width
    assert 0 <= region.top < region.bottom <= height
    for side, share, size in zip(region, roi, (width, height, width, height)):
        assert abs(side - share * size) <= 1.5


@settings(deadline=None)
@given(
    shares(),
    st.integers(1, 4000),
    st.integers(1, 4000),
    st.sampled_from(["letterbox", "corner", "stretch"]),
    st.tuples(*[st.floats(0, 1)] * 4),
)
def test_the_letterbox_of_a_region_maps_the_whole_frame(roi, width, height, resize, box):
    """Its formula is that of the frame: a box of what was cut out lies where the region's own letterbox puts it, and
    comes back in the frame's pixels, never beyond the region."""
    region = Region.of(roi, width, height)
    wide, high = region.right - region.left, region.bottom - region.top
    own = letterbox_of(wide, high, InputSpec(416, 320, resize=resize))
    whole = own.within(region, width, height)
    assert (whole.width, whole.height, whole.scale) == (width, height, own.scale)
    corner = np.array([region.left, region.top] * 2)
    inside = np.array(box) * [wide, high, wide, high]
    scale = np.array([own.scale_x, own.scale_y] * 2)
    there = inside * scale + [own.pad_x, own.pad_y] * 2
    assert np.allclose((inside + corner) * scale + [whole.pad_x, whole.pad_y] * 2, there, atol=1e-6)
    assert np.allclose(whole.invert(there[None])[0], inside + corner, atol=max(width, height) / 1000)
    far = whole.invert(np.array([[-1e6, -1e6, 1e6, 1e6]]))[0]
    assert far.tolist() == list(region)


def test_inverted_boxes_are_clipped_to_the_frame_and_the_given_ones_stay():
    """A box that reaches into the border ends at the frame's edge."""
    letterbox = Letterbox(0.5, 0.5, 0.0, 10.0, 100, 60)
    boxes = np.array([[-5, 0, 60, 50]], np.float32)
    assert letterbox.invert(boxes).tolist() == [[0, 0, 100, 60]]
    assert boxes.tolist() == [[-5, 0, 60, 50]]


def test_detections_refuse_arrays_that_do_not_belong_together():
    """Three arrays of one length, or a sentence with the shapes."""
    with pytest.raises(ValueError, match="do not describe the same boxes"):
        Detections(np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(2, np.int32))
    arrays = np.zeros((2, 4), np.float32), np.zeros(2, np.float32), np.zeros(2, np.int32)
    with pytest.raises(ValueError, match="angle of 1 boxes, but there are 2"):
        Detections(*arrays, angle=np.zeros(1, np.float32))
    assert len(Detections.empty()) == 0


def test_some_of_the_detections_and_smaller_ones_keep_their_shapes():
    """What is chosen by number, and what is scaled: places are, visibilities and angles are not."""
    outline = np.array([[1, 1], [4, 1], [4, 8]], np.float32)
    found = Detections(
        np.array([[0, 0, 4, 8], [2, 2, 6, 6]], np.float32), np.array([0.9, 0.8], np.float32), np.zeros(2, np.int32),
        polygons=(None, (outline,)), keypoints=np.full((2, 1, 3), 0.5, np.float32),
        corners=np.full((2, 4, 2), 6, np.float32), angle=np.array([0, 1], np.float32),
    )  # fmt: skip
    half = found.at(np.array([1, 0])).scaled(0.5)
    assert half.xyxy.tolist() == [[1, 1, 3, 3], [0, 0, 2, 4]]
    assert (half.polygons[0][0].tolist(), half.polygons[1]) == ((outline / 2).tolist(), None)
    assert half.keypoints[0].tolist() == [[0.25, 0.25, 0.5]]
    assert (half.corners.max(), half.angle.tolist(), half.confidence.tolist()) == (3, [1, 0], pytest.approx([0.8, 0.9]))
