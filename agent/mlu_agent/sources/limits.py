"""How large a picture from outside may be, whatever it comes in; its header is read before anything is decoded."""

from __future__ import annotations

# 8K video has 33 million; three bytes each are 150 MB, and a decoder holds several
MAX_PIXELS = 50_000_000


def size_problem(width: int, height: int) -> str:
    """What is wrong with a picture's size, one sentence; empty if it may be decoded."""
    if width < 1 or height < 1:
        return f"{width}x{height} is no size of a picture"
    if width * height > MAX_PIXELS:
        return f"{width}x{height} are {width * height} pixels, more than the {MAX_PIXELS} that a picture may have"
    return ""
