"""What was detected drawn on a picture, for people to look at."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .detections import Detections

_FONT = cv2.FONT_HERSHEY_SIMPLEX  # of ASCII alone
_SHOWN = 0.5  # visibility from which on a keypoint is drawn
_FILLED = 0.35  # of an outline's colour within it
# Keypoints of COCO's people that belong together: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
_LIMBS = (
    (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12),
    (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip
_FAR = 1e5  # pixels beyond which a corner is not followed
_SUBPIXEL = 3  # bits of a pixel's fraction in what is drawn
_UNICODE = hasattr(cv2, "FontFace")  # of OpenCV 5; before it there are no other letters


def draw(
    pixels: NDArray[np.uint8], detections: Detections, labels: Sequence[str], *, confidences: bool = True
) -> NDArray[np.uint8]:
    """A copy of ``pixels`` uint8 (H, W, 3) BGR with every box, or the turned box, outline or keypoints that the model
    tells of it, its label and (``confidences``) how sure it is; the surest is drawn last."""
    picture: NDArray[np.uint8] = pixels.copy()
    thickness = max(1, round(max(pixels.shape[:2]) / 400))
    for index in range(len(detections) - 1, -1, -1):
        class_id, confidence = int(detections.class_id[index]), float(detections.confidence[index])
        left, top, right, bottom = (round(side) for side in detections.xyxy[index].tolist())
        colour = class_colour(class_id)
        if detections.corners is None:
            cv2.rectangle(picture, (left, top), (right, bottom), colour, thickness, cv2.LINE_AA)
        _draw_shape(picture, detections, index, colour, thickness)
        caption = f"{labels[class_id]} {confidence:.2f}" if confidences else labels[class_id]
        _draw_caption(picture, caption, (left, top), colour, thickness)
    return picture


def _draw_shape(
    picture: NDArray[np.uint8], detections: Detections, index: int, colour: tuple[int, int, int], thickness: int
) -> None:
    if detections.polygons is not None:
        _draw_outline(picture, detections.polygons[index] or (), colour, thickness)
    if detections.corners is not None:
        corners = [_fine(np.clip(detections.corners[index], -_FAR, _FAR))]
        cv2.polylines(picture, corners, True, colour, thickness, cv2.LINE_AA, _SUBPIXEL)
    if detections.keypoints is not None:
        _draw_keypoints(picture, detections.keypoints[index], colour, thickness)


def _draw_outline(
    picture: NDArray[np.uint8], polygons: Sequence[NDArray[np.float32]], colour: tuple[int, int, int], thickness: int
) -> None:
    """Its line, and its inside tinted. Only the part of the picture that it covers is looked at."""
    if not polygons:
        return
    points = np.concatenate(polygons)
    left, top = np.floor(points.min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(points.max(axis=0)).astype(int).tolist()
    part = picture[top:bottom, left:right]
    if part.size:
        inside = np.zeros(part.shape[:2], np.uint8)
        cv2.fillPoly(
            inside, [_fine(one - np.array([left, top], np.float32)) for one in polygons], 1, cv2.LINE_8, _SUBPIXEL
        )
        tinted = part * np.float32(1 - _FILLED) + np.array(colour, np.float32) * np.float32(_FILLED)
        np.copyto(part, tinted.astype(np.uint8), where=inside[..., None].astype(bool))
    cv2.polylines(picture, [_fine(one) for one in polygons], True, colour, thickness, cv2.LINE_AA, _SUBPIXEL)


def _draw_keypoints(
    picture: NDArray[np.uint8], keypoints: NDArray[np.float32], colour: tuple[int, int, int], thickness: int
) -> None:
    """Those that are to be seen; where there are as many as COCO's people have, with limbs."""
    places = [tuple(round(value) for value in point[:2]) for point in keypoints.tolist()]
    seen = [True] * len(places) if keypoints.shape[1] == 2 else (keypoints[:, 2] >= _SHOWN).tolist()
    for one, other in _LIMBS if len(places) == _LIMBS[-1][1] + 1 else ():
        if seen[one] and seen[other]:
            cv2.line(picture, places[one], places[other], colour, thickness, cv2.LINE_AA)
    for place, visible in zip(places, seen):
        if visible:
            cv2.circle(picture, place, 2 * thickness, colour, cv2.FILLED, cv2.LINE_AA)


def _fine(points: NDArray[np.float32]) -> NDArray[np.int32]:
    """As OpenCV takes points between pixels."""
    return np.round(points * (1 << _SUBPIXEL)).astype(np.int32)


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
