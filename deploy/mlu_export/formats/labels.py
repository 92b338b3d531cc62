"""What classes are called: by the user, by the network's own file, or by COCO; believed only where it fits the network.

Names that a file holds and that cannot be taken are told with the reason: others never stand in for them.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

from mlu_agent.config.fields import show
from mlu_agent.config.text import decode_text
from mlu_agent.errors import DataError, UserError
from mlu_agent.model.bundle import MAX_LABEL
from mlu_agent.model.label_sets import COCO, LABEL_SETS

from ..support.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_LABEL_BYTES = 1 << 20
REMEDY = "give --labels FILE, one a line"


def choose_labels(
    classes: int, given: tuple[str, ...] | None, found: tuple[str, ...] | None, problem: str = "", known: bool = False
) -> tuple[str, ...]:
    """Labels given by the user, else those of the network's own file, else COCO's for 80 classes, which is said.

    ``problem`` is why names that the file holds cannot be taken; ``known`` says that the network is one that is
    published with COCO's classes. Raises UserError.
    """
    labels = given or found
    if labels is None:
        return _unnamed(classes, problem, known)
    wrong = _misfit(labels, classes)
    if wrong:
        raise UserError(f"{wrong}; {REMEDY}")
    return labels


def _unnamed(classes: int, problem: str, known: bool) -> tuple[str, ...]:
    if problem:
        raise UserError(f"{problem}: {REMEDY}" + (", or --labels coco for COCO's" if classes == len(COCO) else ""))
    if classes != len(COCO):
        raise UserError(f"the network has {classes} classes and the weights do not name them: {REMEDY}")
    what = "note: its 80 classes are called as COCO's" if known else "warning: its 80 classes are taken for COCO's"
    print(
        f"mlu-export: {what}, as its files do not name them; if they are others, {REMEDY}"
        + ("" if known else "; if they are, --labels coco says so"),
        file=sys.stderr,
    )
    return COCO


def fitting_names(names: Any, classes: int, where: str) -> tuple[tuple[str, ...] | None, str]:
    """The labels in what a file holds as names, None where it holds none or they do not fit; then why they do not.

    A list of texts, or a table by class number, be that a number or its text; numbers stand for their texts.
    ``where`` is how the sentence calls the file.
    """
    if names is None:
        return None, ""
    if isinstance(names, dict):
        entries = {_number(key): value for key, value in dict.items(names)}
        if len(entries) != len(names) or None in entries:
            return None, f"{where} names classes by something else than their numbers"
        if set(entries) != set(range(len(entries))):
            missing = next(number for number in range(len(entries)) if number not in entries)
            return None, f"{where} names {len(entries)} classes, and class {missing} is not among them"
        names = [entries[number] for number in range(len(entries))]
    if not isinstance(names, (list, tuple)):
        return None, f"{where} has {_kind(names)} where the names of classes belong"
    labels = [str(name) if type(name) is int and abs(name) < 1 << 63 else name for name in names]
    for number, name in enumerate(labels):
        if not isinstance(name, str):
            return None, f"{where} has {_kind(name)} as the name of class {number}"
    stripped = tuple(name.strip() for name in labels)
    wrong = _misfit(stripped, classes)
    return (None, f"{where}: {wrong}") if wrong else (stripped, "")


def _misfit(labels: Sequence[str], classes: int) -> str:
    """Why labels cannot be those of a network, as a sentence without an end; "" if they can."""
    if len(labels) != classes:
        return f"{len(labels)} name{'s' * (len(labels) != 1)} for {classes} class{'es' * (classes != 1)}"
    seen: set[str] = set()
    for number, label in enumerate(labels):
        if label in seen:
            return f"two classes are called {show(label)}"
        seen.add(label)
        if not label:
            return f"the name of class {number} is empty"
        if not label.isprintable():
            return f"the name of class {number} holds control characters: {show(label)}"
        if len(label.encode()) > MAX_LABEL:
            return f"the name of class {number} has {len(label.encode())} bytes, more than {MAX_LABEL}"
    return ""


def _number(key: Any) -> int | None:
    if isinstance(key, str) and re.fullmatch(r"0|[1-9][0-9]{0,5}", key):
        return int(key)
    return key if type(key) is int and 0 <= key < 10**6 else None


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


# ---- files ----


def read_labels(path: Path, classes: int) -> tuple[str, ...]:
    """The labels of a file for ``classes`` (0: any number): one a line, or a JSON list or table; ``coco`` and its like
    are sets known by name. Empty lines and comments do not count where the others fit. Raises DataError, UserError.
    """
    if str(path) in LABEL_SETS and not path.exists():
        return LABEL_SETS[str(path)]
    if path.suffix.lower() in (".yaml", ".yml"):
        raise UserError(f"--labels {path}: a data set's description; write its names into a file, one a line")
    text = decode_text(read_bounded(path, MAX_LABEL_BYTES, "labels"), str(path), DataError)
    if text.lstrip()[:1] in ("[", "{") and path.suffix.lower() == ".json":
        labels, problem = fitting_names(_json(text, path), classes, str(path))
        if labels is None:
            raise UserError(problem or f"{path} names no classes")
        return labels
    return _fitting_lines([line.strip() for line in text.rstrip().split("\n")], classes, path)


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{path} is no JSON; write one name a line, or a JSON list of names") from None


def _fitting_lines(lines: list[str], classes: int, path: Path) -> tuple[str, ...]:
    """The lines, or those that are neither empty nor comments where only these are as many as the classes."""
    if not any(lines):
        raise UserError(f"the labels {path}: the file is empty; give one name a line, and none twice")
    meant = [line for line in lines if line and not line.startswith("#")]
    left_out = len(lines) - len(meant)
    if left_out and len(meant) == classes:
        print(f"mlu-export: note: {left_out} empty lines and comments of {path} are no labels", file=sys.stderr)
        lines = meant
    wrong = _misfit(lines, classes or len(lines))
    if wrong:
        hint = f", {len(meant)} without empty lines and comments" if left_out else ""
        raise UserError(f"the labels {path}: {wrong}{hint}; give one name a line, and none twice")
    comment = next((line for line in lines if line.startswith("#")), None)
    if comment is not None:
        print(
            f"mlu-export: warning: {show(comment)} in {path} counts as the name of class {lines.index(comment)}",
            file=sys.stderr,
        )
    return tuple(lines)
