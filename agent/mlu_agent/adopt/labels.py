"""Labels from a file, one a line, or a set that is known by name; and which of them go with so many classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..config.fields import show
from ..config.files import read_bounded
from ..config.text import decode_text
from ..errors import DataError
from ..model.bundle import MAX_LABEL, MAX_LABELS
from ..model.label_sets import LABEL_SETS
from .values import LabelsMissing

if TYPE_CHECKING:
    from .families import Family
    from .values import Findings

MAX_FILE = 1 << 20


def read_labels(name: str) -> tuple[str, ...]:
    """The labels of the set ``name``, or of the file of that path. DataError with the line that is wrong."""
    if name in LABEL_SETS and not Path(name).exists():
        return LABEL_SETS[name]
    path = Path(name)
    lines = [line.strip() for line in decode_text(read_bounded(path, MAX_FILE, DataError), name, DataError).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not 1 <= len(lines) <= MAX_LABELS:
        raise DataError(f"{path}: holds {len(lines)} labels, one a line; 1 to {MAX_LABELS} can be served")
    for number, line in enumerate(lines, 1):
        problem = _problem(line)
        if problem:
            raise DataError(f"{path}: line {number} {problem}")
    return tuple(lines)


def _problem(line: str) -> str:
    if not line:
        return "is empty; write each class's name in a line of its own, without gaps"
    if "\0" in line:
        return "holds NUL bytes: it is no text; write plain names, one a line"
    if not line.isprintable():
        return f"holds control characters: {show(line)}; write plain names"
    if len(line.encode()) > MAX_LABEL:
        return f"is {len(line.encode())} bytes long; a label has at most {MAX_LABEL}"
    return ""


def choose_labels(given: tuple[str, ...], classes: int, family: Family, findings: Findings) -> tuple[str, ...]:
    """``given``, which somebody else compared, or a set of the family that has so many. UserError: there is none."""
    if given:
        return given
    for name in family.labels:
        if len(LABEL_SETS[name]) == classes:
            one = f"the class is {name}"
            what = one if classes == 1 else f"the {classes} classes are those of {name} in their usual order"
            findings.assume(f"{what} (--labels FILE)")
            return LABEL_SETS[name]
    raise LabelsMissing(
        f"classes that the file's outputs hold and do not name: {classes}; give --labels FILE with so many names, one "
        f"a line in the order of training; a network that has not so many is no {family.name}",
        classes,
    )


def needed_labels(given: tuple[str, ...], why: str, count: int = 0) -> tuple[str, ...]:
    """``given``; UserError where there are none, as nothing tells how many classes there are."""
    if not given:
        raise LabelsMissing(
            f"{why}; give --labels FILE with the names, one a line in the order of training (--labels "
            f"{' or --labels '.join(LABEL_SETS)} for a known set)",
            count,
        )
    return given
