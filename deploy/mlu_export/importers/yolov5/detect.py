"""What the last layer of a pickled YOLOv5 holds beside its convolutions: anchors, and how many masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlu_agent.errors import DataError

from ...formats.pickle_reader import Record, class_name, shown, tensors
from .values import floats

if TYPE_CHECKING:
    from collections.abc import Sequence

STRIDES = (4, 8, 16, 32, 64)
MAX_MASKS = 256
MASKS = "it is a segmentation network: its boxes are taken, its masks are left out"


def mask_channels(layer: Record, name: str) -> int:
    """How many mask coefficients a box of Segment has; none of Detect."""
    if class_name(layer) != "Segment":
        return 0
    count = layer.get("nm")
    if not isinstance(count, int) or not 1 <= count <= MAX_MASKS:
        raise DataError(f"layer {name}: {shown(count)} mask coefficients of a box cannot be")
    return count


def anchor_count(layer: Record, name: str) -> int:
    stored = floats(tensors(layer).get("anchors"), f"{name} anchors")
    return stored.shape[1] if stored.ndim == 3 else 1


def without_masks(level: Any, anchors: int, mask: int, name: str) -> Any:
    """A head's convolution without the outputs of mask coefficients, which are the last of each anchor."""
    if not mask or class_name(level) != "Conv2d":
        return level
    held = tensors(level)
    kept = {}
    for key, array in held.items():
        if not array.ndim or array.shape[0] % anchors or array.shape[0] // anchors <= mask + 5:
            raise DataError(
                f"layer {name}: {key} of shape {array.shape} does not fit {anchors} anchors with {mask} masks"
            )
        apart = array.reshape(anchors, -1, *array.shape[1:])[:, :-mask]
        kept[key] = apart.reshape(-1, *array.shape[1:])
    made: Record = type("Record", (Record,), {"kind": "Conv2d"})()
    made.state = {**level.state, "_parameters": kept, "_buffers": {}}
    return made


def anchors_of(layer: Record, strides: Sequence[int], name: str) -> list[tuple[tuple[float, float], ...]]:
    """Anchors in pixels; the file keeps them divided by the stride."""
    stored = floats(tensors(layer).get("anchors"), f"{name} anchors")
    if stored.ndim != 3 or stored.shape[0] != len(strides) or stored.shape[2] != 2 or not 1 <= stored.shape[1] <= 16:
        raise DataError(f"layer {name}: anchors of shape {stored.shape} do not fit {len(strides)} levels")
    if any(stride not in STRIDES for stride in strides) or (stored <= 0).any():
        raise DataError(f"layer {name}: strides {list(strides)} or anchors cannot be")
    # Checkpoints keep float16 anchors: pixels are rounded to what three decimals show.
    return [
        tuple((round(float(w) * stride, 3), round(float(h) * stride, 3)) for w, h in level)
        for level, stride in zip(stored, strides)
    ]
