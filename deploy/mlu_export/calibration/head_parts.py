"""What head outputs say, as torch tensors, whatever the decode rule: what refinement compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlu_agent.model.output_spec import ANCHORED, FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values.graph import ImportedModel

# Boxes (any scale of about one cell or anchor), how sure a box is there at all, and the confidence of each class:
# tensors whose axis of channels is the third from the end, of sizes 4, 1 and classes.
Parts = tuple[Any, Any, Any]


def head_parts(model: ImportedModel, torch: Any, outputs: Sequence[Any]) -> list[Parts]:
    """The parts of tensors (N, channels, H, W), one tuple per head, or per group of tensors that make one."""
    if model.decode in ANCHORED:
        return [_anchored(model, torch, output) for output in outputs]
    layout = model.layout.tensors or (FIELDS[model.decode],)
    groups = [outputs[start : start + len(layout)] for start in range(0, len(outputs), len(layout))]
    return [_anchor_free(model, torch, _fields(model, layout, group)) for group in groups]


def _anchored(model: ImportedModel, torch: Any, output: Any) -> Parts:
    """Box logits, objectness, confidence = objectness * class score, of (N, A * (5 + classes), H, W)."""
    count, _, height, width = output.shape
    split = output.reshape(count, -1, 5 + model.classes, height, width)
    objectness = torch.sigmoid(split[:, :, 4:5])
    return split[:, :, :4], objectness, objectness * torch.sigmoid(split[:, :, 5:])


def _fields(model: ImportedModel, layout: Sequence[Sequence[str]], group: Sequence[Any]) -> dict[str, Any]:
    boxes = 4 * (model.layout.reg_max if model.decode == "yolov8" else 1)
    channels = {"box": boxes, "objectness": 1, "classes": model.classes}
    found: dict[str, Any] = {}
    for names, tensor in zip(layout, group):
        pieces = tensor.split([channels[name] for name in names], 1)
        found.update(zip(names, pieces))
    return found


def _anchor_free(model: ImportedModel, torch: Any, fields: dict[str, Any]) -> Parts:
    """Without an objectness its place is taken by the best class."""
    activated = model.layout.activated
    scores = {
        name: fields[name] if name in activated else torch.sigmoid(fields[name]) for name in fields if name != "box"
    }
    classes = scores["classes"]
    if "objectness" in scores:
        return fields["box"], scores["objectness"], scores["objectness"] * classes
    return _distances(model, torch, fields["box"]), classes.amax(1, keepdim=True), classes


def _distances(model: ImportedModel, torch: Any, box: Any) -> Any:
    """(N, 4, H, W): the expectation of each side's softmax, in strides."""
    most = model.layout.reg_max
    if most == 1:
        return box
    count, _, height, width = box.shape
    weights = box.reshape(count, 4, most, height, width).softmax(2)
    return (weights * torch.arange(float(most)).reshape(1, 1, -1, 1, 1)).sum(2)
