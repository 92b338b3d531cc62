"""Labels from a file, one a line, or a set that is known by name; and which of them go with so many classes."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.fields import show
from ..config.files import read_bounded
from ..errors import DataError
from ..model.bundle import MAX_LABEL, MAX_LABELS
from ..model.label_sets import LABEL_SETS
from .values import LabelsMissing

if TYPE_CHECKING:
    from .families import Family
    from .values import Findings

MAX_FILE = 1 << 20
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def read_labels(name: str) -> tuple[str, ...]:
    """The labels of the set ``name``, or of the file of that path. DataError with the line that is wrong."""
    if name in LABEL_SETS and not Path(name).exists():
        return LABEL_SETS[name]
    path = Path(name)
    lines = [line.strip() for line in _text(path, read_bounded(path, MAX_FILE, DataError)).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not 1 <= len(lines) <= MAX_LABELS:
        raise DataError(f"{path}: holds {len(lines)} labels, one a line; 1 to {MAX_LABELS} can be served")
    for number, line in enumerate(lines, 1):
        problem = _problem(line)
        if problem:
            raise DataError(f"{path}: line {number} {problem}")
    return tuple(lines)


def _text(path: Path, data: bytes) -> str:
    """The file's text: UTF-8, or what its byte order mark says."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as failure:
        line = data.count(b"\n", 0, failure.start) + 1
        raise DataError(
            f"{path}: line {line} is not {encoding.upper()} text (byte {failure.start + len(mark)}); save the file as "
            "UTF-8: a file in GBK by iconv -f GBK -t UTF-8, one in Latin-1 by iconv -f LATIN1 -t UTF-8"
        ) from None


def _problem(line: str) -> str:
    if not line:
        return "is empty; write each class's name in a line of its own, without gaps"
    if "\0" in line:
        return "holds NUL bytes: it is UTF-16 without a mark, or no text; save the file as UTF-8"
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
