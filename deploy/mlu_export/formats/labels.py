"""Labels: read from a file, or those of COCO's 80 classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlu_agent.errors import DataError, UserError
from mlu_agent.model.label_sets import COCO

from ..support.files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

MAX_LABEL_BYTES = 1 << 20


def read_labels(path: Path) -> tuple[str, ...]:
    """One label per line; empty lines at the end are ignored. Raises DataError."""
    try:
        text = read_bounded(path, MAX_LABEL_BYTES, "labels").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; write one label per line") from error
    return tuple(line.strip() for line in text.rstrip().splitlines())


def choose_labels(classes: int, given: tuple[str, ...] | None, found: tuple[str, ...] | None) -> tuple[str, ...]:
    """Labels given by the user, else those of the weight file, else COCO's for 80 classes; raises UserError."""
    labels = given or found or (COCO if classes == len(COCO) else None)
    if labels is None:
        raise UserError(
            f"the network has {classes} classes and the weights do not name them: give --labels FILE, one a line"
        )
    if len(labels) != classes or not all(labels):
        raise UserError(f"{len(labels)} labels for {classes} classes; give one label per line and none empty")
    if len(set(labels)) != len(labels):
        raise UserError("two classes have the same label; labels must differ")
    return labels
