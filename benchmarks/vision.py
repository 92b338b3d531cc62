"""Times pre- and postprocessing, one thread, median / minimum in milliseconds, beside the usual way to do the same.

python benchmarks/vision.py [--samples 60]
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mlu_agent.model.bundle import HeadSpec, InputSpec, ModelSpec, OutputSpec, Thresholds
from mlu_agent.model.offline_model import OfflineModel
from mlu_agent.postprocess import Postprocessor
from mlu_agent.preprocess import Preprocessor, letterbox_of

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = 80
ANCHORS = {
    8: [[10, 13], [16, 30], [33, 23]],
    16: [[30, 61], [62, 45], [59, 119]],
    32: [[116, 90], [156, 198], [373, 326]],
}


def measure(contenders: dict[str, Callable[[], Any]], samples: int) -> None:
    """Contenders take turns, so that a noisy neighbour hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(samples + 1):
        for name, function in contenders.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    for name, values in times.items():
        print(f"  {name:36s} {statistics.median(values[1:]) * 1e3:8.3f} / {min(values[1:]) * 1e3:.3f}")


def preprocessing(samples: int) -> None:
    rng = np.random.default_rng(0)
    for width, height in ((1920, 1080), (1280, 720), (810, 1080)):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        print(f"preprocessing {width}x{height} -> 640x640 letterbox")
        contenders: dict[str, Callable[[], Any]] = {}
        for channels, dtype in (("rgba", "uint8"), ("rgb", "uint8"), ("rgb", "float32"), ("rgb", "float16")):
            spec = InputSpec(640, 640, "letterbox", 114, channels, dtype)
            out = np.empty((640, 640, len(channels)), dtype)
            contenders[f"{channels} {dtype}"] = partial(Preprocessor(spec), pixels, out)
        contenders["usual: resize, copyMakeBorder, cvtColor"] = partial(usual, pixels)
        measure(contenders, samples)


def usual(pixels: np.ndarray) -> np.ndarray:
    """What the detectors' own programs do, to RGBA."""
    scale = min(640 / pixels.shape[0], 640 / pixels.shape[1])
    width, height = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    if (width, height) != pixels.shape[1::-1]:
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    x, y = (640 - width) / 2, (640 - height) / 2
    sides = round(y - 0.1), round(y + 0.1), round(x - 0.1), round(x + 0.1)
    return cv2.cvtColor(cv2.copyMakeBorder(pixels, *sides, cv2.BORDER_CONSTANT, value=(114,) * 3), cv2.COLOR_BGR2RGBA)


def heads(boxes: int, dtype: str) -> list[np.ndarray]:
    """Three yolov5 heads, 25,200 cells, of which ``boxes`` are sure."""
    rng = np.random.default_rng(boxes)
    outputs = [rng.normal(-9, 1.2, (640 // s, 640 // s, 3 * (5 + CLASSES))).astype(np.float32) for s in ANCHORS]
    for _ in range(boxes):
        rows = outputs[rng.integers(3)].reshape(-1, 5 + CLASSES)
        row = rows[rng.integers(len(rows))]
        row[:4] = rng.normal(0, 1, 4)
        row[4] = 3
        row[5 + rng.integers(CLASSES)] = 3
    return [output.astype(dtype) for output in outputs]


def model_spec(decode: str = "yolov5") -> ModelSpec:
    anchors = {stride: a if decode == "yolov5" else np.empty((0, 2)) for stride, a in ANCHORS.items()}
    output = OutputSpec(
        "yolo_heads", decode, tuple(HeadSpec(stride, np.array(a, np.float32)) for stride, a in anchors.items())
    )
    offline = OfflineModel("simulator", "bench", "MLU220", 1, ["subnet0"], {}, (), (), 0)
    labels = tuple(str(number) for number in range(CLASSES))
    return ModelSpec(
        "bench", Path(), Path(), "", offline, InputSpec(640, 640, pad_value=114), output, Thresholds(), labels, {}
    )


def naive(outputs: list[np.ndarray], confidence: float, iou: float) -> int:
    """Everything decoded, then NMS per class: the straightforward way."""
    boxes, scores = [], []
    for (stride, anchors), output in zip(ANCHORS.items(), outputs):
        height, width = output.shape[:2]
        y = 1 / (1 + np.exp(-output.reshape(height, width, 3, -1).astype(np.float32)))
        grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)[:, :, None]
        centre = (y[..., :2] * 2 - 0.5 + grid) * stride
        half = (y[..., 2:4] * 2) ** 2 * np.array(anchors) / 2
        boxes.append(np.concatenate((centre - half, centre + half), -1).reshape(-1, 4))
        scores.append((y[..., 4:5] * y[..., 5:]).reshape(-1, CLASSES))
    return suppress(np.concatenate(boxes), np.concatenate(scores), confidence, iou)


def suppress(xyxy: np.ndarray, score: np.ndarray, confidence: float, iou: float) -> int:
    """NMS per class with OpenCV: how many boxes stay."""
    best = score.argmax(1)
    sure = score.max(1) >= confidence
    kept = 0
    for number in np.unique(best[sure]):
        mine = sure & (best == number)
        sides = xyxy[mine]
        sides[:, 2:] -= sides[:, :2]
        kept += len(cv2.dnn.NMSBoxes(sides.tolist(), score[mine, number].tolist(), confidence, iou))
    return kept


def postprocessing(samples: int) -> None:
    spec = model_spec()
    reader = Postprocessor(spec)
    letterbox = letterbox_of(1920, 1080, spec.input)
    for boxes in (0, 40, 289):
        print(f"postprocessing 25,200 x 85, {boxes} boxes")
        single, half = heads(boxes, "float32"), heads(boxes, "float16")
        measure(
            {
                "float32": partial(reader, single, letterbox, spec.thresholds),
                "float16": partial(reader, half, letterbox, spec.thresholds),
                "usual: decode all, cv2 NMS per class": partial(naive, single, 0.25, 0.45),
            },
            samples,
        )
    for mean in (-6.0, -4.8):
        busy = [(output + (mean + 9)).astype(np.float32) for output in heads(289, "float32")]
        thresholds = Thresholds(0.001, 0.6, 300, multi_label=True)
        print(f"postprocessing for evaluation, background logits around {mean}")
        measure({"float32": partial(reader, busy, letterbox, thresholds)}, max(5, samples // 6))


def free_heads(decode: str, boxes: int, dtype: str, background: float = -9) -> list[np.ndarray]:
    """Three levels without anchors, 8,400 cells, of which ``boxes`` are sure; all fields in one tensor per level."""
    rng = np.random.default_rng(boxes)
    first = 4 if decode == "yolox" else 64
    depth = first + (decode == "yolox") + CLASSES
    outputs = [rng.normal(background, 1.2, (640 // s, 640 // s, depth)).astype(np.float32) for s in ANCHORS]
    for output in outputs:
        output[..., :first] = rng.normal(0, 1, (*output.shape[:2], first))
    for _ in range(boxes):
        rows = outputs[rng.integers(3)].reshape(-1, depth)
        row = rows[rng.integers(len(rows))]
        row[first : depth - CLASSES] = 3
        row[depth - CLASSES + rng.integers(CLASSES)] = 3
    return [output.astype(dtype) for output in outputs]


def naive_yolov8(outputs: list[np.ndarray], confidence: float, iou: float) -> int:
    """Everything decoded, then NMS per class: the straightforward way."""
    boxes, scores = [], []
    for stride, output in zip(ANCHORS, outputs):
        height, width = output.shape[:2]
        weights = np.exp(output[..., :64].astype(np.float32).reshape(height, width, 4, 16))
        distance = (weights * np.arange(16, dtype=np.float32)).sum(-1) / weights.sum(-1)
        centre = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) + 0.5
        sides = np.concatenate((centre - distance[..., :2], centre + distance[..., 2:]), -1) * stride
        boxes.append(sides.reshape(-1, 4))
        scores.append((1 / (1 + np.exp(-output[..., 64:].astype(np.float32)))).reshape(-1, CLASSES))
    return suppress(np.concatenate(boxes), np.concatenate(scores), confidence, iou)


def free_postprocessing(samples: int) -> None:
    for decode in ("yolox", "yolov8"):
        spec = model_spec(decode)
        reader = Postprocessor(spec)
        letterbox = letterbox_of(1920, 1080, spec.input)
        for boxes in (0, 40, 289):
            single, half = free_heads(decode, boxes, "float32"), free_heads(decode, boxes, "float16")
            print(f"postprocessing {decode} 8,400 x {single[0].shape[2]}, {boxes} boxes")
            contenders = {
                "float32": partial(reader, single, letterbox, spec.thresholds),
                "float16": partial(reader, half, letterbox, spec.thresholds),
            }
            if decode == "yolov8":
                contenders["usual: decode all, cv2 NMS per class"] = partial(naive_yolov8, single, 0.25, 0.45)
            measure(contenders, samples)
        busy = free_heads(decode, 289, "float32", -10)
        print(f"postprocessing {decode} for evaluation")
        thresholds = Thresholds(0.001, 0.6, 300, multi_label=True)
        measure({"float32": partial(reader, busy, letterbox, thresholds)}, max(5, samples // 6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=60)
    samples = parser.parse_args().samples
    cv2.setNumThreads(1)
    print(f"numpy {np.__version__}, OpenCV {cv2.__version__}, one thread, ms median / minimum")
    preprocessing(samples)
    postprocessing(samples)
    free_postprocessing(samples)


if __name__ == "__main__":
    main()
