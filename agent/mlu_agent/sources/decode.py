"""Picture files and their bytes -> pixels, within bounds that are looked at before anything is decoded."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..config.files import read_bounded
from ..errors import DataError
from .headers import SNIFFED, Size, header_problem, picture_kind, picture_size, picture_turn

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm")
# of pictures as well, but of kinds that are not read here
FOREIGN_SUFFIXES = (".avif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".gif", ".exr", ".hdr", ".pam", ".pfm", ".svg")
_VIDEO_SUFFIXES = (".mjpg", ".mjpeg")  # begin like a JPEG, and hold many
MAX_FILE_BYTES = 256 * 1024 * 1024
_HEAD_BYTES = 1 << 18  # where headers and EXIF are; a preview in a JPEG's EXIF has 64 KiB at most


def has_picture_name(name: str) -> bool:
    """Whether a name ends like a picture's that is read here."""
    return Path(name).suffix.lower() in SUFFIXES


def is_picture(path: str) -> bool:
    """Whether a file is a picture: by its name, or else by how it begins. Nothing but a regular file is opened."""
    if has_picture_name(path):
        return True
    try:
        if Path(path).suffix.lower() in _VIDEO_SUFFIXES or not stat.S_ISREG(Path(path).stat().st_mode):
            return False
        with Path(path).open("rb") as file:
            return bool(picture_kind(file.read(SNIFFED)))
    except (OSError, ValueError):
        return False


def read_picture(path: str | Path) -> NDArray[np.uint8]:
    """Decodes one picture file: uint8 (H, W, 3) BGR, turned as it asks for. DataError if it cannot or must not be."""
    return decode_picture(read_bounded(Path(path), MAX_FILE_BYTES, DataError), str(path))


def shown_size(path: Path) -> tuple[Size, bool] | None:
    """The size that a picture file is read with, by its header, and whether it is turned or mirrored on the way, as
    EXIF asks for; None where it cannot be told.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    size = picture_size(head)
    if size is None or picture_turn(head) == 1:
        return None if size is None else (size, False)
    # Which turns are made is the decoder's to say, and it differs by kind: two small pictures tell.
    try:
        data = read_bounded(path, MAX_FILE_BYTES, DataError)
    except DataError:
        return None
    if header_problem(data):
        return None
    pixels = np.frombuffer(data, np.uint8)
    small = [cv2.imdecode(pixels, cv2.IMREAD_REDUCED_GRAYSCALE_8 | flag) for flag in (0, cv2.IMREAD_IGNORE_ORIENTATION)]
    if small[0] is None or small[1] is None:
        return None
    if small[0].shape != small[1].shape:
        return Size(size.height, size.width), True
    return size, not np.array_equal(small[0], small[1])


def decode_picture(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decodes the bytes of a picture file, which sentences call ``name``: uint8 (H, W, 3) BGR, turned as it asks for.

    DataError if it cannot be decoded, or if its header promises more than ``limits`` allows.
    """
    problem = header_problem(data)
    if problem:
        raise DataError(f"{name} {problem}; remove or replace it")
    pixels: Any = None
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DataError(f"{name} is not a readable picture; remove or replace it")
    result: NDArray[np.uint8] = pixels
    return result
