"""COCO ``instances.json``: read, bounded and checked, so that what pycocotools is given cannot trip it."""

from __future__ import annotations

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from mlu_agent.detections import Detections
from mlu_agent.errors import DataError, UserError

MAX_ANNOTATION_BYTES = 1 << 30
# COCO's category names and Darknet's spellings of them: annotation files have the one or the other.
SPELLINGS = {
    "motorcycle": "motorbike",
    "airplane": "aeroplane",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
}


class Annotations:
    """A COCO ``instances.json`` and the pictures it names; ``foreign`` annotations belong to none of them.

    ``entries``  (image id, path) of every picture, by id.
    """

    def __init__(self, annotations: Path, images: Path) -> None:
        self.path = annotations
        self.coco, self.foreign = load_coco(annotations)
        if not images.is_dir():
            raise UserError(f"--images {images} is not a folder")
        self.entries = [
            (int(image["id"]), images / Path(str(image["file_name"])).name)
            for image in sorted(self.coco.dataset["images"], key=lambda image: int(image["id"]))
        ]
        missing = [path for _, path in self.entries if not path.is_file()]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(self.entries)} annotated pictures are not in {images}, "
                f"the first is {missing[0].name}"
            )

    def objects(self, image_id: int, labels: tuple[str, ...]) -> Detections:
        """The annotated boxes of one picture that have a label, each sure."""
        classes = {number: index for index, number in enumerate(self.category_ids(labels)) if number is not None}
        known = [one for one in self.coco.imgToAnns[image_id] if one["category_id"] in classes]
        boxes = np.array([one["bbox"] for one in known], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        class_ids = np.array([classes[one["category_id"]] for one in known], np.int32)
        return Detections(boxes, np.ones(len(known), np.float32), class_ids)

    def category_ids(self, labels: tuple[str, ...]) -> list[int | None]:
        """Category id of each class id, by name; None for unknown labels. Raises DataError if none is known."""
        known = {str(category["name"]): int(category["id"]) for category in self.coco.dataset["categories"]}
        for name, other in SPELLINGS.items():
            both = known.get(name, known.get(other))
            known.update({name: both, other: both} if both is not None else {})
        found = [known.get(label) for label in labels]
        if all(number is None for number in found):
            raise DataError(
                f"none of the model's labels ({labels[0]!r}, …) is a category of the annotations ({min(known)!r}, …)"
            )
        return found


def load_coco(path: Path) -> tuple[Any, int]:
    """A pycocotools COCO object, and how many annotations belong to no listed picture or category and do not count.

    Missing ``area`` and ``iscrowd`` are filled in. Raises UserError without pycocotools, DataError for a wrong file.
    """
    coco_class = import_pycocotools()
    try:
        if path.stat().st_size > MAX_ANNOTATION_BYTES:
            raise DataError(f"{path} is larger than {MAX_ANNOTATION_BYTES} bytes: not an annotation file")
        with contextlib.redirect_stdout(io.StringIO()):
            coco = coco_class(str(path))
        if not coco.dataset["images"] or not coco.dataset["categories"] or "annotations" not in coco.dataset:
            raise DataError(f"{path} has no images or no categories")
        images = _ids(coco.dataset["images"], "image", "file_name", path)
        categories = _ids(coco.dataset["categories"], "category", "name", path)
        foreign = _check_boxes(coco.dataset["annotations"], images, categories, path)
        for number, annotation in enumerate(coco.dataset["annotations"], 1):
            annotation["id"] = number  # pycocotools takes the number of a match as "matched", so 0 would not be
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
    except OSError as error:
        raise DataError(f"cannot read the annotations {path}: {error.strerror}") from error
    except KeyError as error:
        raise DataError(f"{path} is not a COCO instances file: {error} is missing") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a COCO instances file: it is not JSON, or was cut ({error})") from error
    except (ValueError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        raise DataError(
            f"{path} is not a COCO instances file: its images, annotations and categories must be lists of tables"
        ) from error
    return coco, foreign


def import_pycocotools() -> Any:
    """The class COCO. Raises UserError where the extra is not installed."""
    try:
        from pycocotools.coco import COCO  # noqa: PLC0415 - the extra [eval]
    except ImportError as error:
        raise UserError("evaluation needs pycocotools: pip install 'mlu-export[eval]'") from error
    return COCO


def _ids(entries: list[dict[str, Any]], noun: str, text: str, path: Path) -> set[int]:
    found: set[int] = set()
    names: set[str] = set()
    for entry in entries:
        number, name = entry["id"], entry[text]
        if not _is_whole(number) or not isinstance(name, str):
            raise DataError(f"{path}: {noun} {number!r:.40}: its id must be a whole number and its {text} a text")
        # pictures are looked for by their last part, so two folders' pictures of one name would be taken for one
        last = Path(name).name if noun == "image" else name
        if number in found or last in names:
            raise DataError(f"{path}: {noun} {number} ({last!r:.60}) is listed twice; list it once")
        found.add(number)
        names.add(last)
    return found


def _check_boxes(annotations: list[dict[str, Any]], images: set[int], categories: set[int], path: Path) -> int:
    found: set[int] = set()
    foreign = 0
    for annotation in annotations:
        number, box = annotation["id"], annotation["bbox"]
        if not _is_whole(number) or number in found:
            raise DataError(f"{path}: annotation {number!r:.40}: its id must be a whole number that no other has")
        found.add(number)
        if not _is_box(box):
            raise DataError(f"{path}: annotation {number}: bbox {box!r:.80} is not [x, y, width, height] in pixels")
        annotation.setdefault("area", box[2] * box[3])
        annotation.setdefault("iscrowd", 0)
        foreign += annotation["image_id"] not in images or annotation["category_id"] not in categories
    if len(found) == foreign:
        raise DataError(f"{path} has no annotation of its own pictures and categories: nothing to measure against")
    return foreign


def _is_box(box: object) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(value, (int, float)) and math.isfinite(value) and abs(value) < 1e6 for value in box)
        and min(box[2:]) >= 0
    )


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and abs(number) < 1 << 53
