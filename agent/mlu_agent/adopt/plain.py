"""Networks that detect nothing: a number for each label, or tensors that are handed on as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .labels import needed_labels
from .outputs import output_numbers, refuse
from .values import Described, misfit

if TYPE_CHECKING:
    from ..model.offline_model import OfflineModel
    from .families import Family
    from .values import Findings, Request

TOP = 5


def _refuse_heads(request: Request, family: Family) -> None:
    refuse({"--anchors": request.anchor_set or request.anchors, "--strides": request.strides,
            "--activated": request.activated, "--scale-x-y": request.scale_x_y,
            "--variances": request.variances, "--reg-max": request.reg_max, "--coordinates": request.coordinates,
            "--iou": request.iou, "--max-detections": request.max_detections}, family.name)  # fmt: skip


def describe_classes(model: OfflineModel, request: Request, family: Family, findings: Findings) -> Described:
    """One number for each label. UserError where the file has no such output."""
    _refuse_heads(request, family)
    outputs = [model.outputs[number] for number in output_numbers(model, request.outputs)]
    shown = ", ".join("x".join(map(str, one.shape)) for one in outputs)
    if len(outputs) != 1:
        raise misfit(
            f"the file has {len(outputs)} outputs ({shown}); name the one with a number for each label by --outputs, "
            "or hand all of them on --as tensors"
        )
    batch = model.inputs[0].shape[0]
    numbers, rest = divmod(math.prod(outputs[0].shape), batch)
    if rest:
        raise misfit(f"the file's output is {shown}, which is no batch of {batch}; --as tensors hands it on")
    labels = needed_labels(
        request.labels, f"the file's output holds {numbers} numbers for each picture without names", numbers
    )
    if len(labels) != numbers:
        raise misfit(
            f"the file's output is {shown}: {numbers} numbers for each picture, but --labels names {len(labels)}; "
            f"{numbers} labels would fit"
        )
    findings.know(f"output: {numbers} numbers for each picture, one for each label")
    if not request.activation:
        findings.assume("the numbers are logits of a softmax (--activation none where the network ends in it)")
    table: dict[str, Any] = {"kind": "classes"}
    if len(model.outputs) > 1:
        table["order"] = list(request.outputs)
    table.update(activation=request.activation or "softmax", top=min(request.top or TOP, numbers))
    return Described(table, labels)


def describe_tensors(model: OfflineModel, request: Request, family: Family, findings: Findings) -> Described:
    """Every output with its name and its shape for one picture."""
    _refuse_heads(request, family)
    refuse({"--outputs": request.outputs, "--activation": request.activation, "--top": request.top,
            "--confidence": request.confidence}, family.name)  # fmt: skip
    batch = model.inputs[0].shape[0]
    names: list[str] = []
    shapes: list[list[int]] = []
    for number, info in enumerate(model.outputs):
        shown = f"output {number} is {'x'.join(map(str, info.shape))}"
        if info.shape[0] != batch:
            raise misfit(f"{shown}, but the input's batch is {batch}; each picture needs an output of its own")
        names.append(info.name if info.name and info.name not in names else f"output{number}")
        shapes.append(_network_shape(info.shape))
        shape = "x".join(map(str, shapes[-1]))
        findings.know(f"{shown} {info.dtype} {info.order}, handed on as {names[-1]} {shape}")
    table: dict[str, Any] = {"kind": "tensors", "names": names, "shapes": shapes}
    return Described(table, request.labels)


def _network_shape(stored: tuple[int, ...]) -> list[int]:
    """For one picture, in the network's order: N, H, W, C of the file is its N, C, H, W; a row has no sides. Of three
    axes nothing is known but how many numbers there are, and more of them keep their order."""
    if len(stored) == 3:
        return [1, math.prod(stored[1:])]
    if len(stored) != 4:
        return [1, *stored[1:]]
    _, height, width, channels = stored
    return [1, channels] if height == width == 1 else [1, channels, height, width]
