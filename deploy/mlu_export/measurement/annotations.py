"""Annotated pictures as pycocotools takes them: a COCO ``instances.json`` and the files that it names."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.detections import Detections
from mlu_agent.errors import DataError, UserError

from .annotated_pictures import check_geometry, find_pictures, one_sided
from .annotation_file import read_annotations

if TYPE_CHECKING:
    from pathlib import Path

    from .annotation_file import Entry

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
    ``notes``    sentences about what does not fit and does not count.

    Raises UserError without pycocotools or the folder, DataError for a file that is wrong or of other pictures.
    """

    def __init__(self, annotations: Path, images: Path) -> None:
        self.path = annotations
        content = read_annotations(annotations)
        if not images.is_dir():
            raise UserError(f"--images {images} is not a folder")
        self.entries = find_pictures(content, images, annotations)
        kept, notes = check_geometry(content, self.entries, annotations)
        self.notes = (*content.notes, *notes, *one_sided(content, self.entries, images))
        self.foreign = content.foreign
        self.coco = indexed(content.images, content.categories, kept)

    def tell(self) -> None:
        """The notes, on stderr."""
        for note in self.notes:
            print(f"mlu-export: note: {note}", file=sys.stderr)

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


def indexed(images: list[Entry], categories: list[Entry], annotations: list[Entry]) -> Any:
    """pycocotools' COCO of these tables. Raises UserError where the extra is not installed."""
    coco = import_pycocotools()()
    coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress there
        coco.createIndex()
    return coco


def import_pycocotools() -> Any:
    """The class COCO. Raises UserError where the extra is not installed."""
    try:
        from pycocotools.coco import COCO  # noqa: PLC0415 - the extra [eval]
    except ImportError as error:
        raise UserError("evaluation needs pycocotools: pip install 'mlu-export[eval]'") from error
    return COCO
