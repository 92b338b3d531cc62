"""Heads without anchors: how many tensors a level has, and which fields each holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..model.output_reader import ACTIVATED
from ..model.output_spec import DISTANCES, FIELDS, MAX_REG, POSES, SHAPED
from ..model.prior_spec import lies_in_rows
from .labels import choose_labels
from .outputs import refuse, strides_of
from .third import apart, third
from .values import Described, input_size, listed, misfit, order_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.offline_model import OfflineModel
    from .families import Family
    from .third import Third
    from .values import Findings, Request, Tensor

LEVELS = ((8, 16, 32), (8, 16, 32, 64))  # strides of joined outputs, the usual ones first
USUAL_REG = 16
Fields = tuple[str, ...]
# How exporters split a level, the whole one first.
SPLITS: dict[str, tuple[tuple[Fields, ...], ...]] = {
    "yolox": (
        (("box", "objectness", "classes"),),
        (("box",), ("objectness",), ("classes",)),
        (("box", "objectness"), ("classes",)),
        (("box",), ("objectness", "classes")),
    ),
    "yolov8": ((("box", "classes"),), (("box",), ("classes",))),
    **{decode: (tuple((field,) for field in FIELDS[decode]),) for decode in SHAPED},
}


@dataclass(frozen=True)
class Level:
    """``tensors`` of one level in the container's order, with the numbers that each holds for a cell."""

    stride: int
    tensors: list[Tensor]
    depths: list[int]


def describe_anchor_free(
    model: OfflineModel, tensors: Sequence[Tensor], request: Request, family: Family, findings: Findings
) -> Described:
    """Strides and fields of the levels. UserError where family and options do not go with the outputs."""
    refuse({"--anchors": request.anchor_set or request.anchors, "--scale-x-y": request.scale_x_y,
            "--variances": request.variances, "--coordinates": request.coordinates}, family.name)  # fmt: skip
    distances = family.decode in DISTANCES
    if not distances:
        refuse({"--reg-max": request.reg_max}, family.name)
    if family.decode != POSES:
        refuse({"--keypoints": request.keypoints}, family.name)
    tensors, shared = apart(tensors, family)
    more = third(model, shared, request, family, findings)
    strides, levels = _joined(model, tensors, request)
    joined = bool(strides)
    if not joined:
        levels = _by_size(model, tensors, request)
        strides = [level.stride for level in levels]
    layout, sizes = _fit(levels, request, family, more)
    reg_max, classes = sizes["box"] // 4, sizes["classes"]
    labels = choose_labels(request.labels, classes, family, findings)
    ordered = [tensor for level in levels for tensor in _arranged(level, layout, sizes)]
    ordered += shared
    parts = ", then ".join(" + ".join(fields) for fields in layout)
    findings.know(f"{listed(tensors)}: {parts} of strides {','.join(map(str, strides))}, {classes} classes")
    table: dict[str, Any] = {"kind": "yolo_heads", "decode": family.decode, **order_table(ordered, model)}
    if distances:
        table["reg_max"] = reg_max
        findings.know(f"each side of a box is {reg_max} numbers")
    table.update(tensors=[list(fields) for fields in layout], joined=joined)
    table["activated"] = _activated(request, family, findings)
    table.update(more.table)
    if joined and not request.strides:
        findings.assume(f"the levels follow one another by strides {','.join(map(str, strides))} (--strides)")
    return Described({**table, "heads": [{"stride": stride} for stride in strides]}, labels)


def _activated(request: Request, family: Family, findings: Findings) -> list[str]:
    scores = [field for field in FIELDS[family.decode] if field in ACTIVATED]
    if not request.activated:
        findings.assume(
            f"{' and '.join(scores)} are logits (--activated {','.join(scores)} where the network ends in a sigmoid)"
        )
        return []
    if request.activated == ("none",):
        return []
    if any(field not in scores for field in request.activated):
        raise misfit(f"--activated {','.join(request.activated)}: {family.name} has {', '.join(scores)}, or none")
    return list(request.activated)


def _joined(model: OfflineModel, tensors: Sequence[Tensor], request: Request) -> tuple[list[int], list[Level]]:
    """Strides and the one group of tensors, where each holds the cells of all levels; nothing where they do not."""
    width, height = input_size(model)
    for strides in (request.strides,) if request.strides else LEVELS:
        cells = sum((height // stride) * (width // stride) for stride in strides)
        depths = [depth_of(tensor, cells) for tensor in tensors]
        if cells and len(strides) > 1 and all(depths):
            return list(strides), [Level(0, list(tensors), depths)]
    return [], []


def depth_of(tensor: Tensor, count: int) -> int:
    """Numbers for each of ``count`` cells or priors that a joined tensor holds, 0: it does not hold as many."""
    depth, rest = divmod(tensor.elements, count or 1)
    shape = (tensor.height, tensor.width, tensor.channels)
    return depth if depth and not rest and lies_in_rows(shape, count, depth) is not None else 0


def _by_size(model: OfflineModel, tensors: Sequence[Tensor], request: Request) -> list[Level]:
    """Tensors of one size are a level; the levels in the order in which they come first."""
    strides = strides_of(tensors, *input_size(model), request.strides)
    levels: dict[int, list[Tensor]] = {}
    for tensor, stride in zip(tensors, strides):
        levels.setdefault(stride, []).append(tensor)
    return [Level(stride, group, [one.channels for one in group]) for stride, group in levels.items()]


def _fit(
    levels: list[Level], request: Request, family: Family, more: Third
) -> tuple[tuple[Fields, ...], dict[str, int]]:
    """The layout (in the first level's order) and the numbers of each field that all levels agree with."""
    total = sum(levels[0].depths)
    fixed = more.size or len(FIELDS[family.decode]) - 2  # the objectness
    for reg_max in _reg_maxes(request, family):
        classes = total - fixed - 4 * reg_max
        if classes < 1 or (request.labels and classes != len(request.labels)):
            continue
        for split in SPLITS[family.decode]:
            sizes = {"objectness": 1, more.field: more.size, "box": 4 * reg_max, "classes": classes}
            wanted = sorted(_depth(fields, sizes) for fields in split)
            if all(sorted(level.depths) == wanted for level in levels):
                return _in_order(levels[0], split, sizes), sizes
    raise misfit(_unfit(levels, total, fixed, request, family))


def _reg_maxes(request: Request, family: Family) -> list[int]:
    """What ``reg_max`` may be, the likeliest first."""
    if family.decode not in DISTANCES:
        return [1]
    if request.reg_max is not None:
        return [request.reg_max]
    return [USUAL_REG, 1]


def _depth(fields: Fields, sizes: dict[str, int]) -> int:
    return sum(sizes[field] for field in fields)


def _in_order(level: Level, split: tuple[Fields, ...], sizes: dict[str, int]) -> tuple[Fields, ...]:
    """The parts of ``split`` in the order in which the level's tensors stand in the container."""
    waiting = list(split)
    found = []
    for depth in level.depths:
        part = next(fields for fields in waiting if _depth(fields, sizes) == depth)
        waiting.remove(part)
        found.append(part)
    return tuple(found)


def _arranged(level: Level, layout: tuple[Fields, ...], sizes: dict[str, int]) -> list[Tensor]:
    """The level's tensors in the order of ``layout``."""
    waiting = list(zip(level.depths, level.tensors))
    found = []
    for fields in layout:
        one = next(one for one in waiting if one[0] == _depth(fields, sizes))
        waiting.remove(one)
        found.append(one[1])
    return found


def _unfit(levels: list[Level], total: int, fixed: int, request: Request, family: Family) -> str:
    shown = "; ".join(listed(level.tensors) for level in levels)
    distances = family.decode in DISTANCES
    reg_max = request.reg_max or (USUAL_REG if distances else 1)
    need = f"box {4 * reg_max}" + (f", {FIELDS[family.decode][-1 if distances else 1]} {fixed}" if fixed else "")
    need += ", classes one per label"
    classes = total - fixed - 4 * reg_max
    by_labels, odd = divmod(total - fixed - len(request.labels), 4)
    named = distances and request.labels and not odd and 1 <= by_labels <= MAX_REG
    other = f"; --reg-max {by_labels} would fit {len(request.labels)} labels" if named else ""
    if request.labels and classes >= 1:
        return f"{shown}: {need} are {total} channels with {classes} labels, not with {len(request.labels)}{other}"
    return (
        f"{shown} are no levels of {family.name} ({need}){other}; name the heads by --outputs, or choose another family"
    )
