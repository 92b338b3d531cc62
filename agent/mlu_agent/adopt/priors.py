"""Heads of the SSD family: which outputs are boxes and which are scores, and which priors they belong to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..model.prior_spec import SSD_HEADS
from .anchor_free import depth_of
from .anchor_sets import ANCHOR_SETS, AnchorLevel, AnchorSet
from .anchored import pair_list
from .labels import choose_labels
from .outputs import refuse
from .values import Described, input_size, listed, misfit, order_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.offline_model import OfflineModel
    from .families import Family
    from .values import Findings, Request, Tensor

BOX = 4
LANDMARKS = 10  # numbers of RetinaFace's five points


def describe_priors(
    model: OfflineModel, tensors: Sequence[Tensor], request: Request, family: Family, findings: Findings
) -> Described:
    """Priors, and where boxes and scores lie. UserError where family and options do not go with the outputs."""
    refuse({"--scale-x-y": request.scale_x_y, "--reg-max": request.reg_max, "--coordinates": request.coordinates},
           family.name)  # fmt: skip
    width, height = input_size(model)
    sets = _sets(request, family)
    name, found = _match(tensors, sets, width, height, request)
    if found is None:
        raise misfit(_unfit(tensors, sets, width, height, request))
    levels = sets[name]
    chosen, layout, joined, classes = found
    if not request.anchors and not request.anchor_set:
        findings.assume(f"the priors are the published ones of {name} (--anchors)")
    labels = choose_labels(request.labels, classes, family, findings)
    what = f"{' and '.join(layout)} of {len(levels)} levels"
    findings.know(f"{listed(chosen)}: {what}, classes beside the background: {classes}")
    left = [tensor for tensor in tensors if tensor not in chosen]
    if left:
        findings.know(f"{listed(left)}: landmarks, which are not read")
    table: dict[str, Any] = {"kind": SSD_HEADS, **order_table(chosen, model)}
    table["variances"] = list(request.variances or (0.1, 0.2))
    if request.variances is None:
        findings.assume("the boxes' variances are 0.1,0.2 (--variances)")
    table.update(tensors=[[field] for field in layout], joined=joined)
    table["activated"] = _activated(request, family, findings)
    return Described({**table, "heads": [_head(level) for level in levels]}, labels)


def _head(level: AnchorLevel) -> dict[str, Any]:
    place: dict[str, Any] = {"cells": [level.cells, level.cells]} if level.cells else {"stride": level.stride}
    return {**place, "anchors": pair_list(level.anchors)}


def _activated(request: Request, family: Family, findings: Findings) -> list[str]:
    if request.activated not in ((), ("none",), ("classes",)):
        raise misfit(f"--activated {','.join(request.activated)}: {family.name} has classes, or none")
    if request.activated:
        return ["classes"] if request.activated == ("classes",) else []
    if family.softmaxed:
        findings.assume("the scores went through the softmax in the network (--activated none where they did not)")
        return ["classes"]
    findings.assume("the scores are logits (--activated classes where the network ends in a softmax)")
    return []


def _sets(request: Request, family: Family) -> dict[str, AnchorSet]:
    """The sets of priors that may be meant."""
    if not request.anchors:
        if request.strides:
            raise misfit("--strides need --anchors here: the known sets have their own")
        names = (request.anchor_set,) if request.anchor_set else family.anchor_sets
        return {name: ANCHOR_SETS[name] for name in names}
    if len(request.strides) != len(request.anchors):
        raise misfit(
            f"--anchors name {len(request.anchors)} levels, --strides {len(request.strides)}; give one stride for each"
        )
    return {"": tuple(AnchorLevel(stride, own) for stride, own in zip(request.strides, request.anchors))}


Found = tuple[list["Tensor"], list[str], bool, int]


def _joined(tensors: Sequence[Tensor], levels: AnchorSet, width: int, height: int, request: Request) -> Found | None:
    """The tensors that hold the priors of all levels, if they do."""
    count = sum(_cells(level, width, height) * len(level.anchors) for level in levels)
    depths = [depth_of(tensor, count) for tensor in tensors]
    fields = _fields(depths, len(request.labels))
    if fields is None:
        return None
    chosen = [tensor for tensor, field in zip(tensors, fields) if field]
    classes = depths[fields.index("classes")] - 1
    return chosen, [field for field in fields if field], True, classes


def _cells(level: AnchorLevel, width: int, height: int) -> int:
    rows, columns = level.grid(width, height)
    return rows * columns


def _fields(depths: list[int], labels: int) -> list[str] | None:
    """For each tensor "box", "classes" or "" for landmarks; None where that cannot be told, or there are others."""
    if len(depths) not in (2, 3) or not all(depths) or depths.count(BOX) < 1:
        return None
    fields = ["box" if depth == BOX else "classes" for depth in depths]
    if depths.count(BOX) == 2 and len(depths) == 2 and labels in (0, BOX - 1):
        return ["box", "classes"]  # three classes and a background: boxes come first in every exporter
    if len(depths) == 3:
        if LANDMARKS not in depths:
            return None
        fields[depths.index(LANDMARKS)] = ""
    if sorted(field for field in fields if field) != ["box", "classes"]:
        return None
    scores = depths[fields.index("classes")]
    return fields if scores > 1 and (not labels or scores == 1 + labels) else None


def _by_level(tensors: Sequence[Tensor], levels: AnchorSet, width: int, height: int, request: Request) -> Found | None:
    """The tensors level by level, if the grid of each level has its own."""
    chosen: list[Tensor] = []
    layouts, counts = set(), set()
    for level in levels:
        own = [tensor for tensor in tensors if tensor.grid == level.grid(width, height)]
        depths = [tensor.channels // len(level.anchors) for tensor in own if not tensor.channels % len(level.anchors)]
        fields = _fields(depths, len(request.labels)) if len(depths) == len(own) else None
        if fields is None:
            return None
        by_field = {field: tensor for field, tensor in zip(fields, own) if field}
        chosen += [by_field["box"], by_field["classes"]]
        layouts.add(("box", "classes"))
        counts.add(depths[fields.index("classes")] - 1)
    if len(counts) != 1 or len(chosen) != len({tensor.number for tensor in chosen}):
        return None
    return chosen, list(layouts.pop()), False, counts.pop()


def _match(
    tensors: Sequence[Tensor], sets: dict[str, AnchorSet], width: int, height: int, request: Request
) -> tuple[str, Found | None]:
    """The first set whose priors the tensors belong to, and how."""
    for name, levels in sets.items():
        found = _joined(tensors, levels, width, height, request) or _by_level(tensors, levels, width, height, request)
        if found is not None:
            return name, found
    return "", None


def _unfit(tensors: Sequence[Tensor], sets: dict[str, AnchorSet], width: int, height: int, request: Request) -> str:
    _, unnamed = _match(tensors, sets, width, height, replace(request, labels=()))
    if unnamed is not None:
        count = len(request.labels)
        return f"{listed(unnamed[0])} hold {unnamed[3]} classes beside the background; --labels names {count}"
    sizes = []
    for name, levels in sets.items():
        priors = sum(_cells(level, width, height) * len(level.anchors) for level in levels)
        sizes.append(f"{name or 'those priors'} {'make' if not name else 'makes'} {priors}")
    classes = f"1 + {len(request.labels)}" if request.labels else "1 + classes"
    return (
        f"{listed(tensors)} are no boxes (4 numbers for each prior) and scores ({classes}) of an input of "
        f"{width}x{height}, of which {', '.join(sizes)} priors; give --labels, --anchors W,H,W,H/… and --strides of "
        "this network, or name the two by --outputs"
    )
