"""Networks that detect nothing: a number for each label, or tensors that are handed on as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .labels import needed_labels
from .outputs import refuse
from .values import Described, misfit

if TYPE_CHECKING:
    from ..model.offline_model import OfflineModel
    from .families import Family
    from .values import Findings, Request

TOP = 5


def _refuse_heads(request: Request, family: Family) -> None:
    refuse({"--anchors": request.anchor_set or request.anchors, "--strides": request.strides,
            "--outputs": request.outputs, "--activated": request.activated, "--scale-x-y": request.scale_x_y,
            "--variances": request.variances, "--reg-max": request.reg_max, "--coordinates": request.coordinates,
            "--iou": request.iou, "--max-detections": request.max_detections}, family.name)  # fmt: skip


def describe_classes(model: OfflineModel, request: Request, family: Family, findings: Findings) -> Described:
    """One number for each label. UserError where the file has no such output."""
    _refuse_heads(request, family)
    shown = ", ".join("x".join(map(str, one.shape)) for one in model.outputs)
    if len(model.outputs) != 1:
        raise misfit(f"the file has {len(model.outputs)} outputs ({shown}), not one with a number for each label; --as "
                     "tensors hands all of them on")  # fmt: skip
    batch = model.inputs[0].shape[0]
    numbers, rest = divmod(math.prod(model.outputs[0].shape), batch)
    if rest:
        raise misfit(f"the file's output is {shown}, which is no batch of {batch}; --as tensors hands it on")
    labels = needed_labels(request.labels, f"the file's output holds {numbers} numbers for each picture without names")
    if len(labels) != numbers:
        raise misfit(
            f"the file's output is {shown}: {numbers} numbers for each picture, but --labels names {len(labels)}; "
            f"{numbers} labels would fit"
        )
    findings.know(f"output: {numbers} numbers for each picture, one for each label")
    if not request.activation:
        findings.assume("the numbers are logits of a softmax (--activation none where the network ends in it)")
    table = {"kind": "classes", "activation": request.activation or "softmax",
             "top": min(request.top or TOP, numbers)}  # fmt: skip
    return Described(table, labels)


def describe_tensors(model: OfflineModel, request: Request, family: Family, findings: Findings) -> Described:
    """Every output with its name and its shape for one picture."""
    _refuse_heads(request, family)
    refuse({"--activation": request.activation, "--top": request.top, "--confidence": request.confidence}, family.name)
    batch = model.inputs[0].shape[0]
    names: list[str] = []
    shapes: list[list[int]] = []
    for number, info in enumerate(model.outputs):
        shown = f"output {number} is {'x'.join(map(str, info.shape))}"
        if info.shape[0] != batch:
            raise misfit(f"{shown}, but the input's batch is {batch}; each picture needs an output of its own")
        names.append(info.name if info.name and info.name not in names else f"output{number}")
        shapes.append([1, *info.shape[1:]])
        findings.know(f"{shown} {info.dtype} {info.order}, handed on as {names[-1]}")
    table: dict[str, Any] = {"kind": "tensors", "names": names, "shapes": shapes}
    return Described(table, request.labels)
