"""What a video frame costs, beside OpenCV, and how soon cameras are back.

    python benchmarks/capture.py [cost] [outages]

``cost``: processor time per frame of 1080p H.264 with a real scene's bits, decoded and converted to BGR as the daemon
does, by this project and by OpenCV; the project's must not be dearer. ``outages``: one camera away beside 0, 1, 4 and 8
silent ones, and twelve away at once. Ends within two minutes, with 1 if a bound is broken.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the cameras are those of the tests

from mlu_agent.ffmpeg import av  # noqa: E402, I001 - it must be the first to import PyAV
import cv2  # noqa: E402
import numpy as np  # noqa: E402
from mlu_agent.sources.video import FileCapture, StreamCapture  # noqa: E402
from mlu_agent.sources.video.picture import Converter  # noqa: E402
from mlu_agent.sources.video.reader import Reader  # noqa: E402
from tests.clips import clip, write_video  # noqa: E402
from tests.faulty_cameras import RtspCamera  # noqa: E402
from tests.outages import returns  # noqa: E402

FRAMES = 100
ROUNDS = 5
BACK_S, ALL_BACK_S = 5.0, 6.0
DEARER = 1.1  # what one measurement differs from the next by
OPTIONS = {"preset": "veryfast", "crf": "28"}


def make(path: Path) -> Path:
    """A 1080p clip: a soft picture that moves, with noise of a sensor; about 8 Mbit/s."""
    rng = np.random.default_rng(1)
    scene = cv2.resize(rng.integers(0, 255, (68, 120, 3), np.uint8), (1920, 1080), interpolation=cv2.INTER_CUBIC)
    noise = [rng.integers(0, 60, scene.shape, np.uint8) for _ in range(7)]
    frames = (cv2.add(np.roll(scene, 4 * number, 1), noise[number % 7]) for number in range(FRAMES))
    return write_video(path, frames, **OPTIONS)


def with_opencv(path: str, convert: bool) -> int:
    """Frames read as this project did before."""
    video = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    count = 0
    while video.grab():
        count += 1
        if convert:
            video.retrieve()
    video.release()
    return count


def with_files(path: str, convert: bool) -> int:
    """Frames read as a file's are: every processor decodes."""
    capture = FileCapture(path)
    capture.open()
    count = 0
    while capture.advance():
        count += 1
        if convert:
            capture.take()
    capture.close()
    return count


def with_one_thread(path: str, convert: bool) -> int:
    """Frames read as a camera's are: one thread decodes."""
    reader = Reader(av.open(path), live=True)
    converter = Converter()
    count = 0
    while (frame := reader.next()) is not None:
        count += 1
        if convert:
            converter.pixels(frame)
    reader.close()
    return count


READERS = {"OpenCV": with_opencv, "file": with_files, "camera": with_one_thread}


def cost() -> bool:
    """Milliseconds of processor time per frame, the best of some rounds in turn; whether none is dearer than OpenCV."""
    best: dict[tuple[str, bool], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(make(Path(folder) / "a.mp4"))
        megabits = Path(path).stat().st_size * 8 / FRAMES * 25 / 1e6
        print(f"1080p H.264, {megabits:.1f} Mbit/s, {os.cpu_count()} processors: ms of processor time a frame")
        for _ in range(ROUNDS):
            for convert in (False, True):
                for name, read in READERS.items():
                    start = time.process_time()
                    count = read(path, convert)
                    spent = (time.process_time() - start) / count * 1e3
                    best[name, convert] = min(spent, best.get((name, convert), spent))
    fine = True
    for convert in (False, True):
        usual = best["OpenCV", convert]
        for name in READERS:
            ratio = best[name, convert] / usual
            fine = fine and ratio <= DEARER
            what = "decoded and converted" if convert else "decoded, dropped"
            print(f"  {what:<22} {name:<8} {best[name, convert]:6.2f} ms   {ratio:5.2f} of OpenCV's")
    return fine


def live() -> None:
    """Processor time per frame of a real RTSP camera, network included, its server not."""
    with RtspCamera([clip(1920, 1080, 25, noise=40)]) as camera:
        capture = StreamCapture(camera.url, open_timeout_s=10)
        capture.open()
        capture.read()
        start, count = time.thread_time(), 75
        for _ in range(count):
            capture.read()
        print(f"  1080p over RTSP, with conversion: {(time.thread_time() - start) / count * 1e3:.2f} ms a frame")
        capture.close()


def outages() -> bool:
    """Seconds until frames flow again; whether within the promises."""
    fine = True
    for silent in (0, 1, 4, 8):
        (back,) = returns(cameras=1, silent=silent, away_s=3.0)
        fine = fine and back <= BACK_S
        print(f"  one camera beside {silent} silent ones is back {back:.2f} s after it answers (bound {BACK_S:g})")
    times = returns(cameras=12, silent=0, away_s=5.0)
    fine = fine and max(times) <= ALL_BACK_S
    print(f"  twelve after an outage of all: {min(times):.2f} to {max(times):.2f} s (bound {ALL_BACK_S:g})")
    return fine


def main(arguments: list[str]) -> int:
    """Measures what is asked for, all by default; the exit status."""
    fine = True
    if not arguments or "cost" in arguments:
        fine = cost()
        live()
    if not arguments or "outages" in arguments:
        print("after an outage", flush=True)
        fine = outages() and fine
    print("every bound is kept" if fine else "A BOUND IS BROKEN")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
