"""Heads with anchors: which level each output is, and how many classes its channels hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .anchor_sets import ANCHOR_SETS, AnchorLevel
from .labels import choose_labels
from .outputs import refuse, strides_of
from .values import Described, Pairs, input_size, listed, misfit, order_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.offline_model import OfflineModel
    from .families import Family
    from .values import Findings, Request, Tensor

BOX = 5  # numbers of an anchor beside its classes


def describe_anchored(
    model: OfflineModel, tensors: Sequence[Tensor], request: Request, family: Family, findings: Findings
) -> Described:
    """The heads in the container's order. UserError where family and options do not go with the outputs."""
    refuse({"--activated": request.activated, "--variances": request.variances, "--reg-max": request.reg_max,
            "--coordinates": request.coordinates}, family.name)  # fmt: skip
    if family.decode != "yolov3":
        refuse({"--scale-x-y": request.scale_x_y}, family.name)
    width, height = input_size(model)
    if all(tensor.grid == (1, 1) for tensor in tensors):
        raise misfit(
            f"{listed(tensors)}: neither heads, which have a cell for each stride of the input, nor a detection "
            "output, which is one row of 64 + 7 x boxes numbers; --as classify or --as tensors may fit"
        )
    strides = strides_of(tensors, width, height, request.strides)
    if len(set(strides)) != len(strides):
        raise misfit(f"{listed(tensors)}: two heads of one size; name those of the network by --outputs")
    levels = _levels(strides, request, family, findings)
    classes = _classes(tensors, levels, request.labels)
    labels = choose_labels(request.labels, classes, family, findings)
    for tensor, level in zip(tensors, levels):
        findings.know(f"{tensor}: stride {level.stride}, {len(level.anchors)} anchors x ({BOX} + {classes} classes)")
    heads = [_head(level) for level in levels]
    table: dict[str, Any] = {"kind": "yolo_heads", "decode": family.decode, **order_table(tensors, model)}
    return Described({**table, "heads": heads}, labels)


def _head(level: AnchorLevel) -> dict[str, Any]:
    head: dict[str, Any] = {"stride": level.stride, "anchors": pair_list(level.anchors)}
    if level.scale_x_y != 1.0:
        head["scale_x_y"] = level.scale_x_y
    return head


def pair_list(pairs: Pairs) -> list[list[float]]:
    """Anchors for the manifest: whole pixels as whole numbers."""
    return [[int(side) if side == int(side) else side for side in pair] for pair in pairs]


def _levels(strides: list[int], request: Request, family: Family, findings: Findings) -> list[AnchorLevel]:
    """A level for each stride: from the options, or from the family's set that has the same strides."""
    if request.anchors:
        if len(request.anchors) != len(strides):
            raise misfit(
                f"--anchors name {len(request.anchors)} heads, but the file has {len(strides)}; write the pairs "
                "of each, apart by '/', in the order of the outputs"
            )
        levels = [AnchorLevel(stride, pairs) for stride, pairs in zip(strides, request.anchors)]
    else:
        levels = _from_set(strides, request, family, findings)
    if not request.scale_x_y:
        return levels
    if len(request.scale_x_y) not in (1, len(levels)):
        raise misfit(f"--scale-x-y names {len(request.scale_x_y)} heads, but the file has {len(levels)}")
    scales = request.scale_x_y * (len(levels) if len(request.scale_x_y) == 1 else 1)
    return [AnchorLevel(level.stride, level.anchors, scale) for level, scale in zip(levels, scales)]


def _from_set(strides: list[int], request: Request, family: Family, findings: Findings) -> list[AnchorLevel]:
    names = (request.anchor_set,) if request.anchor_set else family.anchor_sets
    for name in names:
        by_stride = {level.stride: level for level in ANCHOR_SETS[name]}
        if set(by_stride) == set(strides):
            if not request.anchor_set:
                others = [other for other in family.anchor_sets if other != name and _strides(other) == set(strides)]
                also = f"; {', '.join(others)} would fit too" if others else ""
                findings.assume(f"the anchors are the published ones of {name} (--anchors{also})")
            return [by_stride[stride] for stride in strides]
    known = "; ".join(f"{name} has {','.join(map(str, sorted(_strides(name))))}" for name in names)
    raise misfit(
        f"the outputs have strides {','.join(map(str, strides))}, but {known}; give --anchors W,H,W,H/W,H,… in the "
        "order of the outputs"
    )


def _strides(name: str) -> set[int]:
    return {level.stride for level in ANCHOR_SETS[name]}


def _classes(tensors: Sequence[Tensor], levels: list[AnchorLevel], labels: tuple[str, ...]) -> int:
    """How many classes all heads hold; with ``labels`` as many as there are."""
    found = set()
    for tensor, level in zip(tensors, levels):
        count = len(level.anchors)
        each, rest = divmod(tensor.channels, count)
        if labels and tensor.channels != count * (BOX + len(labels)):
            raise misfit(_wrong_labels(tensor, count, len(labels)))
        if rest or each <= BOX:
            raise misfit(
                f"{tensor}: {tensor.channels} channels are not {count} anchors x ({BOX} + classes); give --labels and "
                "--anchors of this network, or choose another family"
            )
        found.add(each - BOX)
    if len(found) != 1:
        raise misfit(
            f"{listed(tensors)} hold {' and '.join(map(str, sorted(found)))} classes by their anchors; give the "
            "--anchors of this network"
        )
    return found.pop()


def _wrong_labels(tensor: Tensor, count: int, labels: int) -> str:
    each, rest = divmod(tensor.channels, count)
    fits = []
    if not rest and each > BOX:
        fits.append(f"{each - BOX} labels")
    anchors, rest = divmod(tensor.channels, BOX + labels)
    if not rest and anchors:
        fits.append(f"{anchors} anchors for each head")
    return (
        f"{tensor}: {count} anchors x ({BOX} + {labels} labels) are {count * (BOX + labels)} channels, not "
        f"{tensor.channels}; {' or '.join(fits) + ' would fit' if fits else 'choose another family'}"
    )
