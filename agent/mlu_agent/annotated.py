"""Annotated copies of pictures and videos in a folder: ``mlu-agent detect --output DIR``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from .draw import draw
from .errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .detections import Detections

JPEG_QUALITY = 92


class AnnotatedOutput:
    """Writes one .jpg per picture and one .mp4 per video, named after the input; a context manager.

    Files get their names when they are complete. Two inputs of the same name get "-2", "-3" and so on.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._names: dict[str, int] = {}
        self._video: Any = None
        self._video_input = ""
        self._video_path = Path()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output {folder}: the folder cannot be made: {error.strerror}") from None

    def write(
        self,
        name: str,
        pixels: NDArray[np.uint8],
        detections: Detections,
        labels: tuple[str, ...],
        frames_per_second: float | None,
    ) -> None:
        """Adds a picture (``frames_per_second`` None) or one frame of the video ``name``; ``pixels`` is not changed."""
        drawn = draw(pixels, detections, labels)
        if frames_per_second is None:
            self._finish_video()
            self._write_picture(name, drawn)
            return
        if self._video_input != name or self._video is None:
            self._finish_video()
            self._start_video(name, drawn, frames_per_second)
        self._video.write(drawn)

    def close(self) -> None:
        """Completes the last video."""
        self._finish_video()

    def __enter__(self) -> AnnotatedOutput:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_picture(self, name: str, drawn: NDArray[np.uint8]) -> None:
        path = self._path(name, ".jpg")
        _, data = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_bytes(data.tobytes())
            part.replace(path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from None

    def _start_video(self, name: str, drawn: NDArray[np.uint8], frames_per_second: float) -> None:
        self._video_input = name
        self._video_path = self._path(name, ".mp4")
        height, width = drawn.shape[:2]
        code = int.from_bytes(b"mp4v", "little")  # the four-character code
        self._video = cv2.VideoWriter(str(self._part()), code, frames_per_second, (width, height))
        if not self._video.isOpened():
            self._video = None
            raise UserError(f"{self._video_path} cannot be written: no permission, no space, or no encoder in OpenCV")

    def _finish_video(self) -> None:
        if self._video is not None:
            self._video.release()
            self._video = None
            self._part().replace(self._video_path)

    def _part(self) -> Path:
        # the ending tells OpenCV the container
        return self._video_path.with_name(f".{self._video_path.stem}.part.mp4")

    def _path(self, name: str, suffix: str) -> Path:
        stem = Path(name.rstrip("/")).stem or "stream"
        # of a stream's URL, query and password do not belong into a file name
        stem = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in stem.split("?")[0])[:100]
        count = self._names[stem + suffix] = self._names.get(stem + suffix, 0) + 1
        return self._folder / (f"{stem}{suffix}" if count == 1 else f"{stem}-{count}{suffix}")
