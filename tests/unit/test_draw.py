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


def found_at(box, **shape) -> Detections:
    return Detections(np.array([box], np.float32), np.array([0.9], np.float32), np.array([1], np.int32), **shape)


def test_outlines_are_drawn_with_their_inside_tinted():
    """The parts of one object; the rest of its box stays, and an object without an outline has its box alone."""
    pixels = np.full((200, 300, 3), 100, np.uint8)
    parts = [np.array([[60, 70], [120, 70], [120, 170], [60, 170]], np.float32)]
    parts.append(parts[0] + np.array([100, 0], np.float32))
    picture = draw(pixels, found_at([50, 60, 250, 180], polygons=(tuple(parts),)), ["a", "b"])
    tint = np.round(0.65 * 100 + 0.35 * np.array(class_colour(1)))
    for x in (90, 190):
        assert (abs(picture[120, x] - tint) <= 1).all()
    assert (picture[120, 140] == 100).all()
    for polygons in ((None,), ((),)):
        bare = draw(pixels, found_at([50, 60, 250, 180], polygons=polygons), ["a", "b"])
        assert np.array_equal(bare, draw(pixels, found_at([50, 60, 250, 180]), ["a", "b"]))


@pytest.mark.parametrize("count", [5, 17])
def test_keypoints_are_drawn_where_they_are_visible(count):
    """Dots; limbs between those of people, as COCO numbers them, where both ends are to be seen."""
    pixels = np.zeros((200, 300, 3), np.uint8)
    keypoints = np.zeros((1, count, 3), np.float32)
    keypoints[0, :3] = [[100, 120, 0.9], [200, 120, 0.9], [150, 160, 0.1]]
    picture = draw(pixels, found_at([50, 60, 250, 180], keypoints=keypoints), ["a", "b"])
    assert (abs(picture[120, 100].astype(int) - class_colour(1)) < 40).all()
    assert not picture[160, 150].any()
    assert picture[120, 150].any() == (count == 17)
    plain = draw(pixels, found_at([50, 60, 250, 180], keypoints=keypoints[..., :2]), ["a", "b"])
    assert plain[160, 150].any()


def test_a_turned_box_is_drawn_instead_of_the_one_around_it():
    """Its sides, also where they reach far out of the picture."""
    pixels = np.zeros((200, 300, 3), np.uint8)
    corners = np.array([[[150, 60], [250, 120], [150, 180], [50, 120]]], np.float32)
    picture = draw(pixels, found_at([50, 60, 250, 180], corners=corners, angle=np.zeros(1, np.float32)), ["a", "b"])
    assert picture[150, 200].any()
    assert not picture[180, 70].any()
    assert not picture[120, 150].any()
    far = found_at([0, 0, 300, 200], corners=corners * 1e9, angle=np.zeros(1, np.float32))
    assert draw(pixels, far, ["a", "b"]).shape == pixels.shape


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
