"""Drawing for people."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mlu_agent.detections import Detections
from mlu_agent.draw import class_colour, draw, encode_jpeg, shrink


def test_boxes_are_drawn_on_a_copy_in_the_colour_of_their_class():
    """The frame stays as it was; the box's edge has nearly the class's colour, its middle is untouched."""
    pixels = np.zeros((200, 300, 3), np.uint8)
    found = Detections(np.array([[50, 60, 250, 180]], np.float32), np.array([0.9], np.float32), np.array([3], np.int32))
    picture = draw(pixels, found, ["a", "b", "c", "schön"])
    assert not pixels.any()
    edge = picture[180, 150].astype(int) - class_colour(3)
    assert (abs(edge) < 40).all()  # edges are smoothed
    assert not picture[120, 150].any()
    assert picture[48:58, 52:90].any(), "no caption above the box"


@pytest.mark.parametrize("unicode", [True, False])
def test_labels_of_other_letters_can_be_told_apart(monkeypatch, unicode):
    """Where OpenCV has no such letters their numbers stand for them."""
    if not unicode:
        monkeypatch.setattr("mlu_agent.draw._UNICODE", False)
    found = Detections(np.array([[20, 60, 90, 90]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int32))
    pixels = np.zeros((100, 200, 3), np.uint8)
    labels = ("猫", "狗", "schön", "schon", "a\nb", "ab")
    drawn = {label: draw(pixels, found, [label]).tobytes() for label in labels}
    assert len(set(drawn.values())) == len(labels)


def test_boxes_at_and_beyond_the_edges_do_no_harm():
    """Captions find room inside the picture, even in one that has none."""
    boxes = np.array([[-10, -10, 500, 500], [0, 0, 1, 1], [298, 198, 300, 200]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int32))
    for size in ((200, 300, 3), (2, 2, 3)):
        assert draw(np.zeros(size, np.uint8), found, ["a label of some length"]).shape == size


def test_without_detections_the_picture_stays():
    """A copy of the same."""
    pixels = np.full((20, 30, 3), 7, np.uint8)
    assert np.array_equal(draw(pixels, Detections.empty(), []), pixels)


def test_without_confidences_captions_are_labels_alone():
    """The same picture whatever the confidence, as for annotated boxes that have none."""
    pixels = np.full((100, 200, 3), 90, np.uint8)
    found = [
        Detections(np.array([[10, 40, 60, 90]], np.float32), np.array([sure], np.float32), np.zeros(1, np.int32))
        for sure in (0.5, 1.0)
    ]
    one, other = (draw(pixels, each, ["cat"], confidences=False) for each in found)
    assert np.array_equal(one, other)
    assert not np.array_equal(one, draw(pixels, found[0], ["cat"]))


def test_pictures_shrink_but_never_grow():
    """The longest side is bounded, the factor told; a thin picture keeps a pixel."""
    smaller, factor = shrink(np.zeros((100, 400, 3), np.uint8), 200)
    assert (smaller.shape, factor) == ((50, 200, 3), 0.5)
    same, factor = shrink(np.zeros((100, 100, 3), np.uint8), 200)
    assert (same.shape, factor) == ((100, 100, 3), 1.0)
    assert shrink(np.zeros((1, 4000, 3), np.uint8), 100)[0].shape == (1, 100, 3)


def test_a_jpeg_file_holds_the_picture():
    """Read back, it differs as little as its quality lets it."""
    pixels = np.full((40, 60, 3), (200, 100, 50), np.uint8)
    again = cv2.imdecode(np.frombuffer(encode_jpeg(pixels), np.uint8), cv2.IMREAD_COLOR)
    assert again.shape == pixels.shape
    assert np.abs(again.astype(int) - pixels).max() <= 6
