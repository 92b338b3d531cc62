"""The manifest's table [output] of kind "ssd_heads"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config.fields import is_number, show
from .prior_spec import PRIOR_FIELDS, PriorLevel, PriorSpec

if TYPE_CHECKING:
    from typing import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ..config.fields import Fields

    ReadAnchors = Callable[[Fields], NDArray[np.float32]]
    ReadTensors = Callable[[Fields, tuple[str, ...]], tuple[tuple[str, ...], ...]]

MAX_CELLS = 4096
LEAST_VARIANCE, MOST_VARIANCE = 1e-3, 100.0


def read_priors(table: Fields, read_anchors: ReadAnchors, read_tensors: ReadTensors) -> PriorSpec:
    """Levels, variances and layout; what is wrong is noted in the table."""
    levels = tuple(_read_level(head, read_anchors) for head in table.tables("heads", longest=16))
    if not levels:
        table.problem("heads", "is missing; write one [[output.heads]] per level")
    activated = table.array("activated", [], longest=1, remedy='write ["classes"] after a softmax in the network')
    if any(one != "classes" for one in activated):
        table.problem("activated", f'{show(activated)} is not accepted; write ["classes"] or []')
    return PriorSpec(
        levels,
        _read_variances(table),
        read_tensors(table, PRIOR_FIELDS),
        softmaxed=bool(activated),
        joined=table.boolean("joined", False),
    )


def _read_variances(table: Fields) -> tuple[float, float]:
    remedy = f"write two numbers from {LEAST_VARIANCE:g} to {MOST_VARIANCE:g}"
    values = table.array("variances", list(PriorSpec.variances), longest=2, remedy=remedy)
    if len(values) != 2 or not all(is_number(one) and LEAST_VARIANCE <= one <= MOST_VARIANCE for one in values):
        table.problem("variances", f"{show(values)} is not accepted; {remedy}")
        return PriorSpec.variances
    return float(values[0]), float(values[1])


def _read_level(table: Fields, read_anchors: ReadAnchors) -> PriorLevel:
    anchors = read_anchors(table)
    stride = table.integer("stride", 0, minimum=1, maximum=1024)
    remedy = f"write rows and columns, each 1 to {MAX_CELLS}"
    cells = table.array("cells", [], longest=2, remedy=remedy)
    right = len(cells) == 2 and all(type(one) is int and 1 <= one <= MAX_CELLS for one in cells)
    if cells and not right:
        table.problem("cells", f"{show(cells)} is not accepted; {remedy}")
    if bool(stride) == bool(cells):
        table.problem("stride", "one of stride and cells says how the level lies; write one of them")
    table.close()
    if right:
        return PriorLevel(0, (cells[0], cells[1]), anchors)
    return PriorLevel(stride or 1, (0, 0), anchors)
