"""A COCO ``instances.json``, read, bounded and checked: what pycocotools is given cannot trip it, and what was left out
is told with a count.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlu_agent.config.fields import is_number, show
from mlu_agent.config.text import decode_text
from mlu_agent.errors import DataError

from ..support.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_ANNOTATION_BYTES = 1 << 30
MAX_SIDE = 1 << 20

Entry = dict[str, Any]


@dataclass(frozen=True)
class Content:
    """The tables of the file with whole numbers as ids and annotations of them alone; ``notes`` are sentences about
    what was read otherwise than it was written, ``foreign`` how many annotations belong to no picture or category.
    """

    images: list[Entry]
    categories: list[Entry]
    annotations: list[Entry]
    notes: tuple[str, ...]
    foreign: int


def read_annotations(path: Path) -> Content:
    """Raises DataError with one sentence for a file that is something else or contradicts itself."""
    data = read_bounded(path, MAX_ANNOTATION_BYTES, "annotations")
    try:
        document = json.loads(decode_text(data, str(path), DataError))
    except (ValueError, RecursionError) as error:
        said = (
            "it is nested too deeply" if isinstance(error, RecursionError) else f"it is not JSON, or was cut ({error})"
        )
        raise DataError(f"{path} is not a COCO instances file: {said}") from error
    try:
        return _Reader(path).read(document)
    except KeyError as error:
        raise DataError(f"{path} is not a COCO instances file: {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not a COCO instances file: its images, annotations and categories must be lists of tables"
        ) from error


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.texts = 0  # ids that were no whole numbers, and say one
        self.notes: list[str] = []

    def read(self, document: Any) -> Content:
        tables = {key: document[key] for key in ("images", "categories", "annotations")}
        if not all(isinstance(table, list) for table in tables.values()):
            raise TypeError
        if not tables["images"] or not tables["categories"]:
            raise DataError(f"{self.path} has no images or no categories")
        images = [self._image(entry) for entry in tables["images"]]
        categories = [self._named(entry, "category", "name") for entry in tables["categories"]]
        self._refuse_twice(images, "image", "file_name")
        self._refuse_twice(categories, "category", "name")
        annotations, foreign = self._annotations(tables["annotations"], images, categories)
        categories = self._named_apart(categories, annotations)
        if self.texts:
            self.note(
                self.texts, "ids are texts or have a fraction of 0, and are read as the whole numbers that they say"
            )
        return Content(images, categories, annotations, tuple(self.notes), foreign)

    def note(self, count: int, rest: str) -> None:
        self.notes.append(f"{count} {rest}")

    def _number(self, value: Any, refusal: Callable[[], str]) -> int:
        """A whole number below 2**53; a text or a number with a fraction that says one is counted."""
        if isinstance(value, str) and re.fullmatch(r"0|-?[1-9][0-9]{0,15}", value):
            value, self.texts = int(value), self.texts + 1
        if isinstance(value, float) and value.is_integer():
            value, self.texts = int(value), self.texts + 1
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 53:
            raise DataError(f"{self.path}: {refusal()}")
        return value

    def _named(self, entry: Entry, noun: str, text: str) -> Entry:
        number, name = entry["id"], entry[text]

        def refusal() -> str:
            return f"{noun} {show(number)}: its id must be a whole number and its {text} a text"

        found = self._number(number, refusal)
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{self.path}: {refusal()}")
        return {"id": found, text: name}

    def _image(self, entry: Entry) -> Entry:
        image = self._named(entry, "image", "file_name")
        for side in ("width", "height"):
            size = entry.get(side)
            if isinstance(size, (int, float)) and not isinstance(size, bool) and 0 < size <= MAX_SIDE:
                image[side] = size
        return image

    def _refuse_twice(self, entries: list[Entry], noun: str, text: str) -> None:
        counts = Counter(entry["id"] for entry in entries)
        twice = next((entry for entry in entries if counts[entry["id"]] > 1), None)
        if twice is not None:
            raise DataError(f"{self.path}: {noun} {twice['id']} ({show(twice[text])}) is listed twice; list it once")

    def _named_apart(self, categories: list[Entry], annotations: list[Entry]) -> list[Entry]:
        """Categories without those that have the name of another and no annotation, as some exporters' root has."""
        used = {one["category_id"] for one in annotations}
        by_name: dict[str, list[Entry]] = {}
        for category in categories:
            by_name.setdefault(category["name"], []).append(category)
        spare: set[int] = set()
        for name, same in by_name.items():
            in_use = [one["id"] for one in same if one["id"] in used]
            if len(in_use) > 1:
                raise DataError(
                    f"{self.path}: categories {in_use[0]} and {in_use[1]} are both called {show(name)}, and both have "
                    "annotations; give them different names, or one id"
                )
            spare |= {one["id"] for one in same} - {in_use[0] if in_use else same[0]["id"]}
        if spare:
            first = next(one for one in categories if one["id"] in spare)
            self.note(
                len(spare),
                f"categories have the name of another and no annotation, and do not count, the first is {first['id']} "
                f"({show(first['name'])})",
            )
        return [one for one in categories if one["id"] not in spare]

    def _annotations(
        self, entries: list[Entry], images: list[Entry], categories: list[Entry]
    ) -> tuple[list[Entry], int]:
        known = {one["id"] for one in images}, {one["id"] for one in categories}
        seen: set[int] = set()
        kept: list[Entry] = []
        for entry in entries:
            one = self._annotation(entry, seen)
            if one["image_id"] in known[0] and one["category_id"] in known[1]:
                kept.append(one)
        if not kept:
            raise DataError(
                f"{self.path} has no annotation of its own pictures and categories: nothing to measure against"
            )
        apart = {(one["image_id"], one["category_id"], *one["bbox"]) for one in kept}
        if len(apart) < len(kept):
            self.note(len(kept) - len(apart), "annotations repeat another box for box: one of each is found at most")
        for number, one in enumerate(kept, 1):
            one["id"] = number  # pycocotools takes the number of a match as "matched", so 0 would not be
        return kept, len(entries) - len(kept)

    def _annotation(self, entry: Entry, seen: set[int]) -> Entry:
        number, box = entry["id"], entry["bbox"]
        mark = self._number(number, lambda: _own_id(number))
        if mark in seen:
            raise DataError(f"{self.path}: {_own_id(number)}")
        seen.add(mark)
        if not _is_box(box):
            raise DataError(f"{self.path}: annotation {mark}: bbox {show(box)} is not [x, y, width, height] in pixels")
        area: Any = entry.get("area")
        crowd = entry.get("iscrowd", 0)
        return {
            "image_id": self._reference(entry["image_id"]),
            "category_id": self._reference(entry["category_id"]),
            "bbox": [float(side) for side in box],
            "area": float(area) if is_number(area) else box[2] * box[3],
            "iscrowd": int(crowd in (1, True, "1")),
        }

    def _reference(self, value: Any) -> int | None:
        """The id that an annotation names; None for what can be none's."""
        try:
            return self._number(value, str)
        except DataError:
            return None


def _own_id(number: object) -> str:
    return f"annotation {show(number)}: its id must be a whole number that no other has"


def _is_box(box: object) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(is_number(value) and abs(value) < 1e6 for value in box)
        and min(box[2:]) >= 0
    )
