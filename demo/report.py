"""What the demo shows of the received messages: numbers, a contact sheet and a video."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mlu_agent.detections import Detections
from mlu_agent.draw import draw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    Pixels = npt.NDArray[Any]  # uint8 (H, W, 3) BGR; OpenCV's own annotations differ from release to release
    Message = dict[str, Any]

COLUMNS, ROWS = 3, 4
CELL_WIDTH = 640


def print_summary(messages: list[Message]) -> None:
    """Frames, detections by label, speed, latency and gaps, all from the messages alone."""
    frames = [message for message in messages if message["kind"] == "frame"]
    if not frames:
        print("  no frame was received")
        return
    first, last = frames[0], frames[-1]
    seconds = (last["t_publish_ns"] - first["t_publish_ns"]) / 1e9
    rate = f"{(len(frames) - 1) / seconds:.1f}" if seconds > 0 else "-"
    print(f"  model {last['model']['name']} on the {last['runtime']}, frames of {last['width']} x {last['height']}")
    print(f"  frames received: {len(frames)}, {rate} per second; missing in the sequence: {_gaps(messages)}")
    labels = Counter(found["label"] for frame in frames for found in frame["detections"])
    print("  detections: " + (", ".join(f"{label} {count}" for label, count in labels.most_common()) or "none"))
    for stage in last["latency_ms"]:
        median, late = np.percentile([frame["latency_ms"][stage] for frame in frames], [50, 95])
        print(f"  {stage:<12} median {median:7.2f} ms   95 % below {late:7.2f} ms")


def _gaps(messages: list[Message]) -> int:
    """Sequence numbers below the end message's count that no frame message had."""
    ends = [message["frames"] for message in messages if message["kind"] == "end"]
    seen = {message["seq"] for message in messages if message["kind"] == "frame"}
    return len(set(range(max(ends, default=0))) - seen)


def write_pictures(messages: list[Message], clip: Path, output: Path) -> list[Path]:
    """Draws the received boxes on the clip's frames: twelve of them on one sheet, all of them in a video."""
    by_position = {message["position"]: message for message in messages if message["kind"] == "frame"}
    wanted = _spread(sorted(by_position), COLUMNS * ROWS)
    sheet_path, video_path = output / "contact-sheet.jpg", output / "detections.mp4"
    cells, video = [], None
    try:
        for position, pixels, rate in _frames(clip):
            drawn = _annotate(pixels, by_position.get(position))
            if video is None:
                height, width = drawn.shape[:2]
                video = cv2.VideoWriter(str(video_path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
            video.write(drawn)
            if position in wanted:
                cells.append(_cell(drawn, position))
    finally:
        if video is not None:
            video.release()
    if not cells or not cv2.imwrite(str(sheet_path), _sheet(cells)):
        return []
    return [sheet_path, video_path]


def _spread(positions: list[int], count: int) -> set[int]:
    picked = np.linspace(0, len(positions) - 1, min(count, len(positions))).round().astype(int)
    return {positions[index] for index in picked.tolist()}


def _frames(clip: Path) -> Iterator[tuple[int, Pixels, float]]:
    capture = cv2.VideoCapture(str(clip))
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    position = 0
    while True:
        good, pixels = capture.read()
        if not good:
            break
        yield position, pixels, rate
        position += 1
    capture.release()


def _annotate(pixels: Pixels, message: Message | None) -> Pixels:
    found = [] if message is None else message["detections"]
    height, width = pixels.shape[:2]
    boxes = np.array([item["box"] for item in found], np.float32).reshape(-1, 4)
    labels = {item["class_id"]: item["label"] for item in found}
    detections = Detections(
        xyxy=boxes * np.array([width, height, width, height], np.float32),
        confidence=np.array([item["confidence"] for item in found], np.float32),
        class_id=np.array([item["class_id"] for item in found], np.int32),
    )
    names = [labels.get(number, "") for number in range(max(labels, default=-1) + 1)]
    return draw(pixels, detections, names)


def _cell(drawn: Pixels, position: int) -> Pixels:
    scale = CELL_WIDTH / drawn.shape[1]
    cell = cv2.resize(drawn, (CELL_WIDTH, round(drawn.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    cv2.putText(
        cell,
        f"frame {position}",
        (8, cell.shape[0] - 10),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.5,
        (255, 255, 255),
        1,
        cv2.LINE_AA,
    )
    return cell


def _sheet(cells: list[Pixels]) -> Pixels:
    """The cells in rows, the last one filled up with black."""
    columns = min(COLUMNS, len(cells))
    blank = np.zeros_like(cells[0])
    cells = cells + [blank] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[start : start + columns]) for start in range(0, len(cells), columns)])
