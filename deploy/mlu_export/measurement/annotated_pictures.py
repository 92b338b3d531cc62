"""The pictures that an annotation file names: where they lie, and whether its boxes can be of them.

A file_name may have folders, written on any system: the longest end of it that is a file under the folder is meant.
Boxes are in the pixels of the picture as the agent reads it, turned as its EXIF asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import DataError
from mlu_agent.sources.decode import has_picture_name, shown_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .annotation_file import Content, Entry

MAX_PARTS = 32  # folders of a file_name that are looked at
SLACK = 2.0  # pixels that annotators' boxes may reach out of the picture, and sizes be rounded by


def find_pictures(content: Content, folder: Path, path: Path) -> list[tuple[int, Path]]:
    """(image id, file) of every picture by id. Raises DataError for those that are not there or two that are one."""
    found: dict[int, Path] = {}
    names: dict[Path, str] = {}
    missing: list[str] = []
    for image in sorted(content.images, key=lambda image: int(image["id"])):
        name = str(image["file_name"])
        file = _find(folder, name)
        if file is None:
            missing.append(name)
            continue
        if file in names:
            raise DataError(
                f"{path}: {names[file]!r:.80} and {name!r:.80} are both {file}, so it is listed twice; list it once, "
                "or give the folder above those that the names begin with"
            )
        names[file] = name
        found[image["id"]] = file
    if missing:
        raise DataError(
            f"{len(missing)} of {len(content.images)} annotated pictures are not in {folder}, the first is "
            f"{missing[0]!r:.80}{_like(folder, missing[0])}"
        )
    return list(found.items())


def _find(folder: Path, name: str) -> Path | None:
    parts = _parts(name)
    candidates = [folder.joinpath(*parts[-count:]) for count in range(min(len(parts), MAX_PARTS), 0, -1)]
    if "\\" in name and "/" not in name and name not in (".", ".."):
        candidates.insert(0, folder / name)  # a name with that letter in it
    return next((one for one in candidates if _is_file(one)), None)


def _parts(name: str) -> list[str]:
    """Without what leads upwards, of Windows or of Unix."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    upwards = max((place for place, part in enumerate(parts) if part == ".."), default=-1)
    return parts[upwards + 1 :]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _like(folder: Path, name: str) -> str:
    """A file of the same stem, as where pictures were converted or the case of letters differs."""
    stem = (_parts(name) or [""])[-1].rpartition(".")[0].casefold()
    if not stem:
        return ""
    like = sorted(one.name for one in folder.iterdir() if one.stem.casefold() == stem)
    return f" (there is {like[0]!r:.80})" if like else ""


# ---- geometry ----


@dataclass(frozen=True)
class _Seen:
    """A picture whose size could be read: in the annotation file, as the agent sees it; its boxes."""

    image: Entry
    file: Path
    said: tuple[float, float] | None
    size: tuple[int, int]
    turned: bool
    boxes: list[Entry]

    @property
    def differs(self) -> bool:
        return self.said is not None and any(abs(a - b) > SLACK for a, b in zip(self.said, self.size))

    @property
    def swapped(self) -> bool:
        return self.said is not None and self.differs and self.said == (self.size[1], self.size[0])

    def reach_out(self, size: Sequence[float]) -> bool:
        return any(_reaches_out(one, size) for one in self.boxes)


def check_geometry(content: Content, entries: Sequence[tuple[int, Path]], path: Path) -> tuple[list[Entry], list[str]]:
    """The annotations without those that no detection can match, and sentences about what does not fit.

    Where a picture's size was read, it is the image's from now on. Raises DataError where boxes are in the pixels of
    other pictures, or in no pixels.
    """
    seen = _seen(content, entries)
    notes = _check_sizes(seen, path)
    _refuse_fractions(content.annotations, path)
    empty = {id(one) for one in content.annotations if min(one["bbox"][2:]) <= 0}
    if empty:
        notes.append(f"{len(empty)} boxes have no width or no height, and do not count")
    out = [(one, picture) for picture in seen for one in picture.boxes if _reaches_out(one, picture.size)]
    gone = {id(one) for one, picture in out if _is_gone(one, picture.size)} - empty
    measured = sum(len(picture.boxes) for picture in seen)
    if len(out) > 1 and 2 * len(out) > measured:
        raise DataError(
            f"{path}: {len(out)} of {measured} boxes reach out of their pictures, the first in {out[0][1].file.name}: "
            "they are of pictures of another size, or corners; COCO's are [x, y, width, height] in pixels"
        )
    if gone:
        notes.append(f"{len(gone)} boxes lie outside of their pictures, and do not count")
    if len(out) > len(gone):
        notes.append(f"{len(out) - len(gone)} boxes reach out of their pictures, the first in {out[0][1].file.name}")
    kept = [one for one in content.annotations if id(one) not in empty | gone]
    if not kept:
        raise DataError(f"{path}: no box lies in its picture and has a size: nothing to measure against")
    for picture in seen:
        picture.image["width"], picture.image["height"] = picture.size
    return kept, notes


def _seen(content: Content, entries: Sequence[tuple[int, Path]]) -> list[_Seen]:
    images = {image["id"]: image for image in content.images}
    boxes: dict[int, list[Entry]] = {}
    for one in content.annotations:
        boxes.setdefault(one["image_id"], []).append(one)
    found = []
    for number, file in entries:
        image, shown = images[number], shown_size(file)
        if shown is not None:
            said = (image["width"], image["height"]) if image.keys() >= {"width", "height"} else None
            size, turned = shown
            found.append(_Seen(image, file, said, (size.width, size.height), turned, boxes.get(number, [])))
    return found


def _check_sizes(seen: Sequence[_Seen], path: Path) -> list[str]:
    """Boxes tell which of two sizes they are in: one that they reach out of is not theirs."""
    differing = [one for one in seen if one.differs]
    stored = [one for one in differing if one.swapped and one.reach_out(one.size)]
    if stored:
        turn = " before the turn that EXIF asks for," if stored[0].turned else ""
        raise DataError(
            f"{path}: {len(stored)} of {len(seen)} pictures have boxes in the pixels of the picture as it is stored,"
            f"{turn} and the agent sees another, the first is {_told(stored[0])}: annotate them as they are shown, or "
            "take the turn out of the files"
        )
    other = [one for one in differing if not one.swapped and one.boxes]
    foreign = [one for one in other if one.reach_out(one.size)]
    if not foreign and not any(one.said and one.reach_out(one.said) for one in other):
        foreign = [one for one in other if one.said and (one.size[0] > one.said[0] or one.size[1] > one.said[1])]
    if foreign:
        raise DataError(
            f"{path}: {len(foreign)} of {len(seen)} pictures have another size than it says, and boxes of that, the "
            f"first is {_told(foreign[0])}: give the pictures that were annotated, or correct width and height"
        )
    notes = []
    if differing:
        notes.append(
            f"{len(differing)} pictures have another size than {path.name} says, the first is {_told(differing[0])}; "
            "their boxes fit the pictures, and count"
        )
    open_turns = [one for one in seen if one.turned and one.boxes and (one.said is None or one.size[0] == one.size[1])]
    if open_turns:
        notes.append(
            f"{len(open_turns)} pictures are turned by their EXIF, the first is {open_turns[0].file.name}: their boxes "
            "count as of the turned ones"
        )
    return notes


def _told(one: _Seen) -> str:
    said = "x".join(f"{side:g}" for side in one.said or ())
    return f"{one.file.name} ({said} there, shown {one.size[0]}x{one.size[1]})"


def _refuse_fractions(annotations: Sequence[Entry], path: Path) -> None:
    if len(annotations) and all(max(one["bbox"]) <= 1.0 for one in annotations):
        raise DataError(f"{path}: all boxes are parts of their pictures, 0 to 1; COCO's are in pixels")


def _reaches_out(one: Entry, size: Sequence[float]) -> bool:
    x, y, width, height = one["bbox"]
    return bool(min(x, y) < -SLACK or x + width > size[0] + SLACK or y + height > size[1] + SLACK)


def _is_gone(one: Entry, size: Sequence[float]) -> bool:
    x, y, width, height = one["bbox"]
    return bool(x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0)


# ---- what is only on one side ----


def one_sided(content: Content, entries: Sequence[tuple[int, Path]], folder: Path) -> list[str]:
    """Sentences about pictures without annotations and pictures that are not in the file."""
    annotated = {one["image_id"] for one in content.annotations}
    bare = sum(image["id"] not in annotated for image in content.images)
    notes = [f"{bare} pictures have no annotation: what is found in them counts as wrong"] if bare else []
    known: set[Any] = {file for _, file in entries}
    folders = {file.parent for file in known} | {folder}
    spare = [
        one for room in sorted(folders) for one in room.iterdir() if has_picture_name(one.name) and one not in known
    ]
    if spare:
        notes.append(f"{len(spare)} pictures beside them are not in the annotation file, and are not looked at")
    return notes
