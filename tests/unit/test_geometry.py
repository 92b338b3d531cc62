"""Boxes and letterboxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from mlu_agent.detections import Detections
from mlu_agent.geometry import Letterbox, iou_matrix
from mlu_agent.model.bundle import InputSpec
from mlu_agent.preprocess import letterbox_of


def test_iou_is_shared_area_over_joint_area():
    """Half overlapping squares share a third; boxes without area share nothing, not even with themselves."""
    a = np.array([[0, 0, 2, 2], [5, 5, 5, 5]], np.float32)
    b = np.array([[1, 0, 3, 2], [0, 0, 2, 2], [5, 5, 5, 5]], np.float32)
    assert np.allclose(iou_matrix(a, b), [[1 / 3, 1, 0], [0, 0, 0]])


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
    assert len(Detections.empty()) == 0
