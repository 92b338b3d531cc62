"""Boxes drawn on a picture, for people to look at."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import cv2

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from .detections import Detections

_FONT = cv2.FONT_HERSHEY_SIMPLEX  # of ASCII alone
_UNICODE = hasattr(cv2, "FontFace")  # of OpenCV 5; before it there are no other letters


def draw(
    pixels: NDArray[np.uint8], detections: Detections, labels: Sequence[str], *, confidences: bool = True
) -> NDArray[np.uint8]:
    """A copy of ``pixels`` uint8 (H, W, 3) BGR with every box, its label and (``confidences``) how sure it is; the
    surest is drawn last."""
    picture: NDArray[np.uint8] = pixels.copy()
    thickness = max(1, round(max(pixels.shape[:2]) / 400))
    for box, confidence, class_id in zip(
        detections.xyxy[::-1].tolist(), detections.confidence[::-1].tolist(), detections.class_id[::-1].tolist()
    ):
        left, top, right, bottom = (round(side) for side in box)
        colour = class_colour(class_id)
        cv2.rectangle(picture, (left, top), (right, bottom), colour, thickness, cv2.LINE_AA)
        caption = f"{labels[class_id]} {confidence:.2f}" if confidences else labels[class_id]
        _draw_caption(picture, caption, (left, top), colour, thickness)
    return picture


def shrink(pixels: NDArray[np.uint8], longest: int) -> tuple[NDArray[np.uint8], float]:
    """``pixels`` (H, W, 3) with no side longer than ``longest``, and the factor; as they are if they are small."""
    height, width = pixels.shape[:2]
    factor = min(1.0, longest / max(height, width))
    if factor == 1.0:
        return pixels, factor
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    smaller: NDArray[Any] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return smaller, factor


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = 82) -> bytes:
    """A .jpg file of ``pixels`` uint8 (H, W, 3) BGR."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data.tobytes())


def class_colour(class_id: int) -> tuple[int, int, int]:
    """BGR, the same for a class at all times; neighbouring classes lie far apart (golden ratio steps of the hue)."""
    red, green, blue = colorsys.hsv_to_rgb(class_id * 0.618034 % 1.0, 0.85, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)


def _draw_caption(
    picture: NDArray[np.uint8], text: str, corner: tuple[int, int], colour: tuple[int, int, int], thickness: int
) -> None:
    """``text`` on a filled bar above ``corner``, or below it where there is no room."""
    scale = 0.35 + 0.15 * thickness
    text = "".join(letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter in text)
    if not text.isascii() and not _UNICODE:
        text = "".join(letter if letter.isascii() else f"U+{ord(letter):04X}" for letter in text)
    (width, height), base = _text_size(text, scale)
    bar = height + base + 2
    left = max(0, min(corner[0], picture.shape[1] - width - 2))
    top = corner[1] - bar if corner[1] >= bar else corner[1]
    cv2.rectangle(picture, (left, top), (left + width + 2, top + bar), colour, cv2.FILLED)
    ink = (0, 0, 0) if 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2] > 110 else (255, 255, 255)
    place = (left + 1, top + height + 1)
    if text.isascii():
        cv2.putText(picture, text, place, _FONT, scale, ink, 1, cv2.LINE_AA)
    else:
        cv2.putText(picture, text, place, ink, cv2.FontFace("uni"), _letter_height(scale))


def _text_size(text: str, scale: float) -> tuple[tuple[int, int], int]:
    """Width, height above and below the line, in pixels."""
    if text.isascii():
        size, base = cv2.getTextSize(text, _FONT, scale, 1)
        return (size[0], size[1]), base
    _, top, width, height = cv2.getTextSize((0, 0), text, (0, 0), cv2.FontFace("uni"), _letter_height(scale))
    return (width, -top), max(0, height + top)


def _letter_height(scale: float) -> int:
    """What the font of all letters calls its size, so that it is as high as the other one."""
    return round(30 * scale)
