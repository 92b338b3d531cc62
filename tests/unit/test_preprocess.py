"""Frame -> input tensor."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mlu_agent.model.bundle import CHANNELS, InputSpec
from mlu_agent.preprocess import Preprocessor, letterbox_of, preprocess

PLACE = {"b": 0, "g": 1, "r": 2}


def picture(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * 10007 + height).integers(0, 256, (height, width, 3), np.uint8)


def reference(pixels: np.ndarray, spec: InputSpec) -> np.ndarray:
    """The definition, one step after the other."""
    height, width = pixels.shape[:2]
    if spec.resize == "stretch":
        size = spec.width, spec.height
    else:
        scale = min(spec.width / width, spec.height / height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    full = np.full((spec.height, spec.width, 3), spec.pad_value, np.uint8)
    centred = spec.resize == "letterbox"
    left, top = ((spec.width - size[0]) // 2, (spec.height - size[1]) // 2) if centred else (0, 0)
    full[top : top + size[1], left : left + size[0]] = resized
    layers = []
    colour = 0
    for name in spec.channels:
        if name == "a":
            layers.append(np.full(full.shape[:2], 255 if spec.dtype == "uint8" else 1.0, np.float32))
            continue
        layer = full[..., PLACE[name]].astype(np.float32)
        if spec.dtype != "uint8":
            layer = (layer - np.float32(spec.mean[colour])) / np.float32(spec.std[colour])
        layers.append(layer)
        colour += 1
    return np.stack(layers, axis=-1).astype(spec.dtype)


@pytest.mark.parametrize("channels, dtype", list(product(CHANNELS, ["uint8", "float16", "float32"])))
@pytest.mark.parametrize("size", [(200, 100), (33, 91), (640, 480), (64, 64), (320, 240), (192, 144), (1, 1), (500, 2)])
def test_every_layout_equals_the_definition_to_the_byte(channels, dtype, size):
    """All channel orders and dtypes, larger, smaller, equal and degenerate frames, over a buffer full of old data."""
    for resize, mean in (("letterbox", 0.0), ("corner", 0.0), ("stretch", 104.0)):
        means, deviations = (mean, 1.1 * mean, 1.2 * mean), (255.0, 255.0, 255.0 + mean)
        spec = InputSpec(64, 48, resize, 114, channels, dtype, means, deviations)
        out = np.full((48, 64, len(channels)), 77, dtype)
        pixels = picture(*size)
        letterbox = preprocess(pixels, spec, out)
        assert np.array_equal(out, reference(pixels, spec))
        assert letterbox == letterbox_of(*size, spec)
        assert (letterbox.width, letterbox.height) == size


@settings(deadline=None)
@given(st.sampled_from([3, 5, 7, 9, 15]), st.integers(1, 90), st.integers(1, 50))
def test_picking_pixels_at_odd_ratios_changes_no_byte(ratio, width, height):
    """The short way for 1080p into 640 wide inputs is only taken where it gives what interpolation gives."""
    spec = InputSpec(width, height, "stretch", 0, "bgr")
    pixels = picture(width * ratio, height * ratio)
    out = np.empty((height, width, 3), np.uint8)
    preprocess(pixels, spec, out)
    assert np.array_equal(out, reference(pixels, spec))


def test_the_short_way_is_taken_for_1080p():
    """1920 x 1080 into 640: else the test above would prove nothing."""
    from mlu_agent.preprocess import _plan

    assert _plan(1920, 1080, InputSpec(640, 640)).ratio == 3
    assert _plan(1920, 1081, InputSpec(640, 640)).ratio == 0


def test_one_preprocessor_takes_frames_of_any_size_in_any_order():
    """Its scratch memory carries nothing from one frame to the next."""
    spec = InputSpec(64, 48, "letterbox", 128, "rgba")
    preprocessor = Preprocessor(spec)
    out = np.empty((48, 64, 4), np.uint8)
    for size in ((200, 100), (10, 90), (64, 48), (200, 100)):
        preprocessor(picture(*size), out)
        assert np.array_equal(out, reference(picture(*size), spec))


def test_a_view_of_a_larger_picture_is_taken_too():
    """A crop is not contiguous; the frame need not be copied by the caller."""
    spec = InputSpec(64, 48)
    crop = picture(300, 200)[11:191, 7:247]
    out = np.empty((48, 64, 3), np.uint8)
    preprocess(crop, spec, out)
    assert np.array_equal(out, reference(crop, spec))
    mirrored = picture(192, 144)[:, ::-1]
    preprocess(mirrored, spec, out)
    assert np.array_equal(out, reference(np.ascontiguousarray(mirrored), spec))


def test_the_frame_itself_is_never_changed():
    """Sources may hand the same picture out twice."""
    pixels = picture(64, 48)
    before = pixels.copy()
    preprocess(pixels, InputSpec(64, 48, channels="rgb", dtype="float32"), np.empty((48, 64, 3), np.float32))
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize(
    "pixels, out",
    [
        (np.zeros((8, 8), np.uint8), np.zeros((48, 64, 3), np.uint8)),
        (np.zeros((8, 8, 3), np.float32), np.zeros((48, 64, 3), np.uint8)),
        (np.zeros((0, 8, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((64, 48, 3), np.uint8)),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((48, 64, 3), np.float32)),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((48, 128, 3), np.uint8)[:, ::2]),
    ],
)
def test_arrays_of_another_kind_are_refused(pixels, out):
    """Rather than written somewhere else: OpenCV would quietly allocate an array of its own."""
    with pytest.raises(ValueError, match="give"):
        preprocess(pixels, InputSpec(64, 48), out)
