"""Annotated copies of pictures and videos in a folder: ``mlu-agent detect --output DIR``."""

from __future__ import annotations

import contextlib
import itertools
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .config.files import reason
from .config.new_files import remove_left, whole_file, write_whole
from .draw import draw, encode_jpeg, shrink
from .errors import UserError
from .ffmpeg import av

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from .detections import Detections

JPEG_QUALITY = 92
CODEC = "mpeg4"  # takes odd sizes, and is in every build of FFmpeg
QUALITY = 3  # its quantizer's step, 1 to 31: small text stays readable
JPEG_SIDE = 65_500  # pixels; the format has no more
MAX_STEM = 100  # bytes of a name


class AnnotatedOutput:
    """Writes one .jpg per picture and one .mp4 per video, named after the input; a context manager.

    Files get their names when they are complete: whatever fails, nothing half written is left. Two inputs of the same
    name get "-2", "-3" and so on; a video whose size changes goes on in another file. No file of ``inputs``, paths of
    files and folders, is ever replaced: UserError before anything is written. ``removed`` counts what killed runs had
    left in the folder.
    """

    def __init__(self, folder: str, inputs: Sequence[str] = ()) -> None:
        self._folder = Path(folder)
        self._used: set[str] = set()
        self._video: _Video | None = None
        self._inputs = dict(_files(inputs))  # identity -> the name it was given by
        self._refuse_replacing()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output {folder}: the folder cannot be made: {error.strerror}") from None
        self.removed = remove_left(self._folder)

    def write(
        self,
        name: str,
        pixels: NDArray[np.uint8],
        detections: Detections,
        labels: tuple[str, ...],
        frames_per_second: float | None,
    ) -> None:
        """Adds a picture (``frames_per_second`` None) or one frame of the video ``name``; ``pixels`` is not changed.

        UserError if it cannot be written.
        """
        drawn = draw(pixels, detections, labels)
        if frames_per_second is None:
            self.close()
            self._write_picture(name, drawn)
            return
        video, self._video = self._video, None  # a video that fails is not completed
        if video is None or not video.goes_on(name, drawn):
            if video is not None:
                video.close()
            video = _Video(name, self._path(name, ".mp4"), drawn, frames_per_second)
        video.write(drawn)
        self._video = video

    def close(self) -> None:
        """Completes the last video."""
        video, self._video = self._video, None
        if video is not None:
            video.close()

    def __enter__(self) -> AnnotatedOutput:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # what was drawn until a Ctrl-C is worth keeping; if that fails too, what came first is told
        with contextlib.suppress(*([UserError] if kind else [])):
            self.close()

    def _write_picture(self, name: str, drawn: NDArray[np.uint8]) -> None:
        path = self._path(name, ".jpg")
        try:
            write_whole(path, encode_jpeg(shrink(drawn, JPEG_SIDE)[0], JPEG_QUALITY))
        except OSError as error:
            raise UserError(f"{path} cannot be written: {reason(error)}") from None

    def _path(self, name: str, suffix: str) -> Path:
        """A path that no other input of this run has got, and that is no input."""
        stem = stem_of(name)
        file = next(file for file in numbered(stem, suffix) if file not in self._used)
        self._used.add(file)
        path = self._folder / file
        if _identity(path) in self._inputs:
            raise UserError(self._would_replace(path))
        return path

    def _refuse_replacing(self) -> None:
        """Looks at what stands in the folder already, under all names that a copy may get."""
        stems = {re.escape(stem_of(path)) for path in self._inputs.values()}
        copies = re.compile(rf"({'|'.join(stems)})(-\d+)?\.(jpg|mp4)")
        with contextlib.suppress(OSError):  # no folder yet
            for path in self._folder.iterdir():
                if copies.fullmatch(path.name) and _identity(path) in self._inputs:
                    raise UserError(self._would_replace(path))

    def _would_replace(self, path: Path) -> str:
        given = self._inputs[_identity(path)]
        return f"--output {self._folder}: {path} would replace the input {given}; give another folder"


def _files(inputs: Sequence[str]) -> Iterator[tuple[tuple[int, int] | None, str]]:
    """The files of ``inputs``, folders opened, by what makes them the same under all of their names."""
    for name in inputs:
        entries = [name]
        with contextlib.suppress(OSError, ValueError):
            entries = [str(path) for path in Path(name).iterdir()]
        yield from ((_identity(Path(entry)), entry) for entry in entries if _identity(Path(entry)))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def stem_of(name: str) -> str:
    """What a copy of the input ``name`` is called; of an address its path's end, without what ``shown`` hid."""
    stem = (Path(name.rstrip("/")).stem or "stream").split("?")[0].rstrip("…") or "stream"
    stem = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in stem)
    return stem.encode()[:MAX_STEM].decode(errors="ignore")


def numbered(stem: str, suffix: str) -> Iterator[str]:
    """Names for files of one stem, without an end."""
    yield f"{stem}{suffix}"
    yield from (f"{stem}-{number}{suffix}" for number in itertools.count(2))


class _Video:
    """One .mp4 that is being written, of frames like ``first`` (H, W, 3)."""

    def __init__(self, name: str, path: Path, first: NDArray[np.uint8], frames_per_second: float) -> None:
        self._name, self._path, self._shape = name, path, first.shape
        self._exits = contextlib.ExitStack()
        rate = max(Fraction(1), Fraction(frames_per_second).limit_denominator(1001))
        with self._told():
            file = self._exits.enter_context(whole_file(path))
            self._container = self._exits.enter_context(av.open(file, "w", format="mp4"))
            self._stream = cast("Any", self._container.add_stream(CODEC, rate=rate))
            self._stream.height, self._stream.width = first.shape[:2]
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.qmin = self._stream.codec_context.qmax = QUALITY

    def goes_on(self, name: str, drawn: NDArray[np.uint8]) -> bool:
        """Whether a frame belongs to this video."""
        return self._name == name and self._shape == drawn.shape

    def write(self, drawn: NDArray[np.uint8]) -> None:
        """Adds a frame. UserError if it cannot be written; then nothing of the file is left."""
        with self._told():
            self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(drawn, format="bgr24")))

    def close(self) -> None:
        """Gives the file its name. UserError as ``write``."""
        with self._told():
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._exits.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            with contextlib.suppress(OSError, av.FFmpegError):
                self._exits.__exit__(type(error), error, error.__traceback__)
            raise UserError(f"{self._path} cannot be written: {reason(error)}") from None
