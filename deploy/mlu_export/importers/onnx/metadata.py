"""What exporters write into an ONNX file beside the network (``metadata_props``): texts from outside, bounded and
parsed here, never evaluated, and believed only where they fit the network.

Ultralytics' keys: ``names`` and ``kpt_shape`` and ``imgsz`` as Python or JSON would print them, ``stride``, ``task``.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlu_agent.model.output_spec import ORIENTED, POSES, SEGMENTS

from ...formats.labels import fitting_names

if TYPE_CHECKING:
    from ...values.graph import ImportedModel
    from ...values.heads import HeadRequest

MAX_NAMES_BYTES = 1 << 20  # 4096 labels of 128 bytes each, quoted and escaped
MAX_TEXT = 4096
NAMES = ("names", "classes", "class_names", "labels")  # the first that is there
TELLING = {"segment": SEGMENTS, "pose": POSES, "obb": ORIENTED}  # tasks whose objects are more than boxes
_STRING = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_TOKEN = re.compile(rf"\s*(?:(?P<text>{_STRING})|(?P<number>-?[0-9]{{1,9}})|(?P<mark>[\[\](){{}},:]))", re.DOTALL)
_CLOSING = {"[": "]", "(": ")", "{": "}"}


class _NoLiteral(Exception):
    """The text is no flat list or table."""


@dataclass(frozen=True)
class Metadata:
    """``names`` as they were written down, None if there are none, and how a sentence calls them; ``size`` (height,
    width), ``stride`` and ``keypoints`` are None, 0 and () where the file does not say them, or not in a way that can
    be.
    """

    names: Any = None
    place: str = ""
    size: tuple[int, int] | None = None
    stride: int = 0
    task: str = ""
    keypoints: tuple[int, ...] = ()

    def over(self, asked: HeadRequest) -> HeadRequest:
        """What is asked for, with the keypoints of a pose where nobody gave them."""
        if asked.decode != POSES or asked.keypoints or not self.keypoints:
            return asked
        return replace(asked, keypoints=self.keypoints).check()

    def applied(self, model: ImportedModel) -> ImportedModel:
        """The model with its names, and warned of what it says otherwise than the network is."""
        warnings = list(model.warnings)
        strides = [head.stride for head in model.heads]
        if strides and self.stride and max(strides) != self.stride:
            warnings.append(
                f"its metadata says that its stride is {self.stride}, its heads have {max(strides)} at most"
            )
        if model.decode == POSES and self.keypoints and self.keypoints != model.layout.keypoints:
            warnings.append(
                f"its metadata says that its keypoints are {_pair(self.keypoints)}, it is built with "
                f"{_pair(model.layout.keypoints)}"
            )
        wanted = TELLING.get(self.task)
        if wanted and model.heads and model.decode != wanted:
            warnings.append(
                f"its metadata says that it is for {self.task!r}: --decode {model.decode} tells boxes alone, --decode "
                f"{wanted} the rest"
            )
        labels, problem = model.labels, ""
        if model.classes and labels is None:
            labels, problem = fitting_names(self.names, model.classes, self.place)
        return replace(model, labels=labels, names_problem=problem, warnings=tuple(warnings))


def read_metadata(model: Any) -> Metadata:
    """Of a ModelProto."""
    texts = {entry.key: entry.value for entry in model.metadata_props if len(entry.value) <= MAX_NAMES_BYTES}
    large = {entry.key for entry in model.metadata_props if entry.key not in texts}
    key = next((key for key in NAMES if key in texts or key in large), "")
    small = {key: value for key, value in texts.items() if len(value) <= MAX_TEXT}
    return Metadata(
        names=_names(texts.get(key, "")) if key else None,
        place=f"its metadata ({key})" if key else "",
        size=_sides(small.get("imgsz", "")),
        stride=int(small["stride"]) if re.fullmatch(r"[0-9]{1,4}", small.get("stride", "")) else 0,
        task=small.get("task", "")[:40],
        keypoints=_whole_numbers(small.get("kpt_shape", ""), 2),
    )


def _names(text: str) -> Any:
    """A list or table; another text, which is no names, where it is neither."""
    found = _literal(text)
    if found is None and "," in text and not set(text) & set("[](){}'\""):
        return [name.strip() for name in text.split(",")]
    return text if found is None else found


def _pair(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def _sides(text: str) -> tuple[int, int] | None:
    """(height, width); one number is both."""
    sides = _whole_numbers(f"[{text}]", 1) * 2 or _whole_numbers(text, 2)
    return (sides[0], sides[1]) if sides else None


def _whole_numbers(text: str, count: int) -> tuple[int, ...]:
    found = _literal(text)
    right = isinstance(found, list) and len(found) == count and all(type(one) is int and one > 0 for one in found)
    return tuple(found) if right and isinstance(found, list) else ()


def _literal(text: str) -> list[Any] | dict[Any, Any] | None:
    """A flat list, tuple or table of numbers and texts as JSON or Python prints it; None for everything else."""
    if re.match(r"\s*[\[{]", text):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, (list, dict)):
            return found
    try:
        return _parsed(list(_tokens(text)))
    except _NoLiteral:
        return None


def _tokens(text: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    place, text = 0, text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _NoLiteral
        kind = str(match.lastgroup)
        found.append((kind, _value(kind, match[kind])))
        place = match.end()
    return found


def _value(kind: str, text: str) -> Any:
    if kind == "number":
        return int(text)
    if kind == "mark":
        return text
    try:
        return ast.literal_eval(text)  # one quoted text: it cannot nest
    except (ValueError, SyntaxError):
        raise _NoLiteral from None


def _parsed(tokens: list[tuple[str, Any]]) -> list[Any] | dict[Any, Any]:
    """Entries between brackets that belong together, with commas between them and one more at most at the end."""
    if len(tokens) < 2 or tokens[0][0] != "mark" or tokens[-1] != ("mark", _CLOSING.get(tokens[0][1])):
        raise _NoLiteral
    table, inner = tokens[0][1] == "{", tokens[1:-1]
    width = 4 if table else 2
    if inner and inner[-1] != ("mark", ","):
        inner.append(("mark", ","))
    rows = [inner[place : place + width] for place in range(0, len(inner), width)]
    values: list[Any] = []
    pairs: dict[Any, Any] = {}
    for row in rows:
        marks = [value for kind, value in row if kind == "mark"]
        places = [index for index, (kind, _) in enumerate(row) if kind == "mark"]
        if (marks, places) != (([":", ","], [1, 3]) if table else ([","], [1])):
            raise _NoLiteral
        if table and row[0][1] in pairs:
            raise _NoLiteral
        if table:
            pairs[row[0][1]] = row[2][1]
        else:
            values.append(row[0][1])
    return pairs if table else values
