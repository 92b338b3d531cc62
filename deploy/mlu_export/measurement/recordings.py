"""Detections recorded on a device: the lines that ``mlu-agent detect --json`` prints, read back and checked."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.config.fields import is_number
from mlu_agent.detections import Detections
from mlu_agent.errors import DataError

from ..support.files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from .annotations import Annotations
    from .evaluate import Found

MAX_RECORDING_BYTES = 1 << 30
MAX_DETECTIONS = 10_000  # in one picture
# A recording whose least sure box is surer than this was made with a daemon's thresholds, not with those of accuracy.
LIKELY_CONFIDENCE = 0.05


def read_recording(path: Path, labels: tuple[str, ...], truth: Annotations) -> Found:
    """Detections by image id, in the order of ``truth.entries``.

    Raises DataError for lines that are not of that form, for a picture that is there twice or not at all, and for
    labels that are not the model's. Lines of other pictures do not count and are told on stderr.
    """
    wanted = {file.name: image_id for image_id, file in truth.entries}
    found: dict[int, Detections] = {}
    others = 0
    for number, text in enumerate(read_bounded(path, MAX_RECORDING_BYTES, "recording").split(b"\n"), 1):
        if not text.strip():
            continue
        line = _Line(text, f"{path.name}: line {number}")
        image_id = wanted.get(line.name)
        if image_id is None:
            others += 1
            continue
        if image_id in found:
            raise DataError(f"{line.place}: {line.name} was there before; record each picture once")
        line.check_size(truth.coco.imgs[image_id])
        found[image_id] = line.detections(labels)
    missing = [file.name for image_id, file in truth.entries if image_id not in found]
    if missing:
        raise DataError(
            f"{path.name} lacks {len(missing)} of {len(wanted)} annotated pictures, the first is {missing[0]}: "
            "record them all with `mlu-agent detect MODEL DIR --json`"
        )
    _tell(path.name, others, found)
    return [(image_id, found[image_id]) for image_id, _ in truth.entries]


def _tell(name: str, others: int, found: dict[int, Detections]) -> None:
    if others:
        print(
            f"mlu-export: note: {others} lines of {name} are of no annotated picture and do not count", file=sys.stderr
        )
    least = min((float(one.confidence[-1]) for one in found.values() if len(one)), default=0.0)
    if least >= LIKELY_CONFIDENCE:
        print(
            f"mlu-export: note: no box of {name} has a confidence under {least:.2f}, which costs mAP: record with "
            "--confidence 0.001 --max-detections 300 --multi-label",
            file=sys.stderr,
        )


class _Line:
    """One line of a recording; ``place`` says where it stands."""

    def __init__(self, text: bytes, place: str) -> None:
        self.place = place
        try:
            self._content: Any = json.loads(text)
        except (ValueError, RecursionError):
            raise DataError(f"{place} is no JSON; give the lines that `mlu-agent detect --json` prints") from None
        name = self._content.get("input") if isinstance(self._content, dict) else None
        if not isinstance(name, str):
            raise DataError(f'{place} has no "input"; give the lines that `mlu-agent detect --json` prints')
        self.name = name.replace("\\", "/").rsplit("/", 1)[-1]

    def check_size(self, image: dict[str, Any]) -> None:
        """Raises DataError if the annotated picture has another size."""
        for side in ("width", "height"):
            given, expected = self._content.get(side), image.get(side)
            if given is not None and is_number(expected) and given != expected:
                raise DataError(f"{self.place}: {self.name} has {side} {given!r:.20}, the annotations say {expected}")

    def detections(self, labels: tuple[str, ...]) -> Detections:
        """The boxes, surest first."""
        entries = self._content.get("detections")
        if not isinstance(entries, list) or len(entries) > MAX_DETECTIONS:
            raise DataError(f'{self.place}: "detections" is no list of at most {MAX_DETECTIONS}')
        boxes, scores, classes = [], [], []
        for entry in entries:
            class_id, score, box = self._values(entry)
            if class_id >= len(labels) or entry.get("label", labels[class_id]) != labels[class_id]:
                raise DataError(
                    f"{self.place}: class {class_id} is {entry.get('label')!r:.40} there and "
                    f"{labels[class_id] if class_id < len(labels) else 'unknown'!r} here: another model's recording"
                )
            boxes.append(box)
            scores.append(score)
            classes.append(class_id)
        confidence = np.array(scores, np.float32)
        order = np.argsort(-confidence, kind="stable")
        xyxy = np.array(boxes, np.float32).reshape(-1, 4)
        return Detections(xyxy[order], confidence[order], np.array(classes, np.int32)[order])

    def _values(self, entry: Any) -> tuple[int, float, list[float]]:
        if isinstance(entry, dict):
            values: list[Any] = [entry.get(key) for key in ("class_id", "confidence", "box")]
            class_id, score, box = values
            right = isinstance(class_id, int) and not isinstance(class_id, bool) and class_id >= 0
            right = right and is_number(score) and isinstance(box, list) and len(box) == 4
            if right and all(is_number(side) and abs(side) < 1e6 for side in box) and 0 <= score <= 1:
                return class_id, float(score), [float(side) for side in box]
        raise DataError(f"{self.place}: {entry!r:.60} is no detection with class_id, confidence and box")
