"""Pre- and postprocessing beside what is usual, one thread; contenders take turns. Says whether results are the same.

python benchmarks/contest/around.py [--samples 30] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.gettempdir())  # before ultralytics leaves its settings elsewhere
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np
import supervision
import torch
import vision
from ultralytics.data.augment import LetterBox
from ultralytics.utils.nms import non_max_suppression

from mlu_agent.model.bundle import InputSpec, Thresholds
from mlu_agent.postprocess import Postprocessor
from mlu_agent.preprocess import Preprocessor, letterbox_of

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = ((1920, 1080), (1280, 720), (810, 1080))
BOXES = (40, 289)
CONFIDENCE, IOU, MOST = 0.25, 0.45, 300
Boxes = np.ndarray  # [n, 6]: x1, y1, x2, y2 in pixels of the network's input, confidence, class


def main() -> int:
    """By the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    groups = [group for size in SIZES for group in before(*size, arguments.samples)]
    groups += [group for boxes in BOXES for group in behind(boxes, arguments.samples)]
    for group in groups:
        print(group["title"])
        for row in group["rows"]:
            print(f"  {row['name']:44} {row['median_ms']:8.3f} / {row['least_ms']:.3f}  {row['same']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(groups), encoding="utf-8")
    return 0


def race(title: str, contenders: dict[str, Callable[[], Any]], same: Callable[[Any, Any], str], samples: int) -> Any:
    """Times each in turn; ``same`` says how its result compares with that of the first, which is ours."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    results: dict[str, Any] = {}
    for _ in range(samples + 1):
        for name, function in contenders.items():
            start = time.perf_counter()
            results[name] = function()
            times[name].append((time.perf_counter() - start) * 1e3)
    first = results[next(iter(contenders))]
    rows = [
        {
            "name": name,
            "median_ms": statistics.median(values[1:]),
            "least_ms": min(values[1:]),
            "same": same(first, results[name]),
        }
        for name, values in times.items()
    ]
    return {"title": title, "rows": rows}


# ---- before the network ----


def before(width: int, height: int, samples: int) -> list[Any]:
    """A picture of that size to 640x640: bytes RGBA as ours takes it on the device, and float32 RGB."""
    small = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    pixels = cv2.resize(small, (width, height))  # as smooth as a picture, which matters to nobody but the eye
    square = LetterBox((640, 640), auto=False)
    bytes_out, float_out = np.empty((640, 640, 4), np.uint8), np.empty((640, 640, 3), np.float32)
    to_bytes = Preprocessor(InputSpec(640, 640, "letterbox", 114, "rgba", "uint8"))
    to_floats = Preprocessor(InputSpec(640, 640, "letterbox", 114, "rgb", "float32"))

    def rgba(box: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return cv2.cvtColor(box(pixels), cv2.COLOR_BGR2RGBA)

    def planes(box: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return np.ascontiguousarray(box(pixels)[..., ::-1].transpose(2, 0, 1)[None]).astype(np.float32) / 255

    def tensor() -> np.ndarray:
        made = torch.from_numpy(np.ascontiguousarray(_ultralytics(square, pixels)[..., ::-1].transpose(2, 0, 1)))
        return (made[None].float() / 255).numpy()

    def own_floats() -> np.ndarray:
        to_floats(pixels, float_out)
        return float_out

    def own_bytes() -> np.ndarray:
        to_bytes(pixels, bytes_out)
        return bytes_out

    usual, annotating = partial(_ultralytics, square), _supervision
    return [
        race(
            f"{width}x{height} to 640x640 RGBA bytes",
            {
                "ours": own_bytes,
                "ultralytics, cvtColor": partial(rgba, usual),
                "supervision, cvtColor": partial(rgba, annotating),
            },
            lambda a, b: f"{int((a != b).sum())} bytes differ",
            samples,
        ),
        race(
            f"{width}x{height} to 640x640 RGB float32",
            {
                "ours": own_floats,
                "ultralytics, numpy": partial(planes, usual),
                "ultralytics, torch": tensor,
                "blobFromImage": lambda: cv2.dnn.blobFromImage(_ultralytics(square, pixels), 1 / 255, swapRB=True),
            },
            _floats_differ,
            samples,
        ),
    ]  # fmt: skip


def _ultralytics(square: Any, pixels: np.ndarray) -> np.ndarray:
    made: np.ndarray = square(image=pixels)
    return made


def _supervision(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(supervision.letterbox_image(pixels, (640, 640), color=supervision.Color(114, 114, 114)))


def _floats_differ(ours: np.ndarray, theirs: np.ndarray) -> str:
    other = theirs if theirs.ndim == 3 else theirs[0].transpose(1, 2, 0)
    scale = 255 if ours.max() > 1.5 and other.max() <= 1.5 else 1  # ours leaves the factor to the first layer
    return f"{int((np.abs(ours - other * scale) > 1e-4 * scale).sum())} values differ"


# ---- behind it ----


def behind(boxes: int, samples: int) -> list[Any]:
    """The heads of YOLOv5, 25,200 cells, to boxes."""
    spec = vision.model_spec()
    frame = letterbox_of(640, 640, spec.input)
    thresholds = Thresholds(CONFIDENCE, IOU, MOST)
    single, half = vision.heads(boxes, "float32"), vision.heads(boxes, "float16")
    rows = [output.reshape(-1, 5 + vision.CLASSES) for output in single]
    tensors = [torch.from_numpy(one) for one in rows]
    places = _places()
    known = [torch.from_numpy(one) for one in places]
    own = Postprocessor(spec)

    def ours(outputs: list[np.ndarray]) -> Boxes:
        found = own(outputs, frame, thresholds)
        return np.column_stack((found.xyxy, found.confidence, found.class_id))

    return [
        race(
            f"heads of YOLOv5, 25,200 cells, {boxes} objects",
            {
                "ours, float32": partial(ours, single),
                "ours, float16": partial(ours, half),
                "ultralytics": partial(_by_ultralytics, tensors, known),
                "numpy and supervision": partial(_by_numpy, rows, places, _nms_supervision),
                "numpy and cv2 NMSBoxesBatched": partial(_by_numpy, rows, places, _nms_batched),
                "numpy and cv2 NMSBoxes of each class": partial(_by_numpy, rows, places, _nms_each),
            },
            _boxes_differ,
            samples,
        )
    ]


def _places() -> list[np.ndarray]:
    """Of each level [cells, 5]: stride, and of each cell its column, row, and its anchor's sides."""
    made = []
    for stride, anchors in vision.ANCHORS.items():
        size = 640 // stride
        y, x, anchor = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
        sides = np.array(anchors, np.float32)[anchor.ravel()]
        columns = (np.full(x.size, stride), x.ravel(), y.ravel(), sides[:, 0], sides[:, 1])
        made.append(np.column_stack(columns).astype(np.float32))
    return made


def _by_ultralytics(rows: list[torch.Tensor], places: list[torch.Tensor]) -> Boxes:
    """Everything decoded in torch, as Detect does it, and its non-maximum suppression."""
    decoded = []
    for row, place in zip(rows, places):
        y = row.sigmoid()
        centre = (y[:, :2] * 2 - 0.5 + place[:, 1:3]) * place[:, :1]
        sides = (y[:, 2:4] * 2) ** 2 * place[:, 3:5]
        decoded.append(torch.cat((centre, sides, y[:, 4:5] * y[:, 5:]), 1))
    prediction = torch.cat(decoded).T[None]
    (found,) = non_max_suppression(prediction, CONFIDENCE, IOU, max_det=MOST, max_time_img=60.0)
    return found.numpy()


def _by_numpy(rows: list[np.ndarray], places: list[np.ndarray], suppress: Callable[..., Boxes]) -> Boxes:
    """Everything decoded in numpy."""
    boxes, scores = [], []
    for row, place in zip(rows, places):
        y = 1 / (1 + np.exp(-row))
        centre = (y[:, :2] * 2 - 0.5 + place[:, 1:3]) * place[:, :1]
        half = (y[:, 2:4] * 2) ** 2 * place[:, 3:5] / 2
        boxes.append(np.concatenate((centre - half, centre + half), 1))
        scores.append(y[:, 4:5] * y[:, 5:])
    score = np.concatenate(scores)
    best, which = score.max(1), score.argmax(1)
    sure = best >= CONFIDENCE
    return suppress(np.concatenate(boxes)[sure], best[sure], which[sure])


def _nms_supervision(xyxy: np.ndarray, score: np.ndarray, which: np.ndarray) -> Boxes:
    found = np.column_stack((xyxy, score, which))
    return found[supervision.box_non_max_suppression(found, IOU)]


def _sides(xyxy: np.ndarray) -> list[list[float]]:
    made: list[list[float]] = np.concatenate((xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]), 1).tolist()
    return made


def _nms_batched(xyxy: np.ndarray, score: np.ndarray, which: np.ndarray) -> Boxes:
    kept = cv2.dnn.NMSBoxesBatched(_sides(xyxy), score.tolist(), which.tolist(), CONFIDENCE, IOU)
    return np.column_stack((xyxy, score, which))[kept]


def _nms_each(xyxy: np.ndarray, score: np.ndarray, which: np.ndarray) -> Boxes:
    found, kept = np.column_stack((xyxy, score, which)), []
    for number in np.unique(which):
        mine = np.flatnonzero(which == number)
        kept += mine[cv2.dnn.NMSBoxes(_sides(xyxy[mine]), score[mine].tolist(), CONFIDENCE, IOU)].tolist()
    return found[kept]


def _boxes_differ(ours: Boxes, theirs: Boxes) -> str:
    """Whether boxes are the same: classes, and confidences as near as float16 allows. Ours leaves out what lies outside
    of the picture, so it is left out of theirs."""
    theirs = theirs[(theirs[:, :2] < 640).all(1) & (theirs[:, 2:4] > 0).all(1)]
    if len(ours) != len(theirs):
        return f"{len(theirs)} boxes, ours {len(ours)}"
    far = len(ours) and np.abs(np.sort(ours[:, 4]) - np.sort(theirs[:, 4])).max() > 2e-3
    return f"same {len(ours)} boxes" if not far and sorted(ours[:, 5]) == sorted(theirs[:, 5]) else "other boxes"


if __name__ == "__main__":
    sys.exit(main())
