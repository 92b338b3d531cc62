"""Where frames come from."""

from __future__ import annotations

import os
from typing import Callable

from ..config import SourceConfig, parse_synthetic
from ..errors import UserError
from .base import Capture, CaptureError, Grab
from .decode import is_picture, read_picture
from .images import PictureCapture
from .mailbox import Exchange, Mailbox
from .minima import Minima
from .path import PathCapture
from .schedule import Share, share_of
from .snapshot import SnapshotCapture
from .source import Source
from .states import TROUBLED, SourceState, SourceStatus
from .synthetic import SyntheticCapture

__all__ = [
    "TROUBLED",
    "Capture",
    "CaptureError",
    "Exchange",
    "Grab",
    "Mailbox",
    "Minima",
    "PathCapture",
    "Share",
    "Source",
    "SourceState",
    "SourceStatus",
    "capture_for_path",
    "is_picture",
    "make_capture",
    "read_picture",
    "share_of",
]


def make_capture(config: SourceConfig, on_unreadable: Callable[[str], None] | None = None) -> Capture:
    """The capture that a configured source describes; nothing is opened. UserError for an unknown description."""
    if config.kind == "url":
        from .video import StreamCapture  # noqa: PLC0415 - FFmpeg's libraries, 20 MiB, only where there is video

        return StreamCapture(config.location, open_timeout_s=config.open_timeout_s, transport=config.transport)
    if config.kind == "snapshot":
        return SnapshotCapture(config.location, per_second=config.max_fps, timeout_s=config.open_timeout_s)
    if config.kind == "camera":
        from .video import CameraCapture  # noqa: PLC0415 - as above

        return CameraCapture(config.location)
    if config.kind == "path":
        return PathCapture(config.location, lambda: capture_for_path(config.location, on_unreadable))
    size = parse_synthetic(config.location)
    if config.kind != "synthetic" or size is None:
        raise UserError(f"source {config.id}: {config.kind} {config.location!r} describes no source")
    return SyntheticCapture(*size)


def capture_for_path(path: str, on_unreadable: Callable[[str], None] | None = None) -> Capture:
    """The capture for a local path: a picture or a folder of pictures, else a video."""
    if is_picture(path) or os.path.isdir(path):  # noqa: PTH112 - unlike Path.is_dir it never raises
        return PictureCapture(path, on_unreadable=on_unreadable)
    from .video import FileCapture  # noqa: PLC0415 - as above

    return FileCapture(path)
