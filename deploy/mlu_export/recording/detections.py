"""The vendor's detection outputs: heads are decoded, sorted and suppressed on the device."""

from __future__ import annotations

from typing import Any, Callable

from mlu_agent.model.output_spec import ROW_FIELDS, ROW_HEADER

from ..lowering.detection_output import MOST_HEADS
from .values import UnsupportedError, Value

NMS_TYPES = ("yolov4", "yolov4_diou", "yolov4_single")  # by the vendor's nms_type
MOST_BETA = 16
MOST_CLASSES = 4096  # that the vendor's operator takes
MOST_BOXES, MOST_SIDE = 1 << 20, 1 << 16  # of a detection output and its picture


def _detection(kind: str, heads: Any, anchors: Any, classes: int, count: int, size: Any, conf: float, iou: float,
               most: int, scale: float = 1.0, beta: float | None = None) -> Value:  # fmt: skip
    each = _check_detection(_call(kind), heads, anchors, classes)
    _check_count(_call(kind), count, len(anchors), len(heads))
    if not (0 <= conf <= 1 and 0 <= iou <= 1):
        raise UnsupportedError(f"{_call(kind)}: confidence {conf} and overlap {iou} must lie within 0 and 1")
    if not 1 <= most <= MOST_BOXES or not 1 <= min(size) <= max(size) <= MOST_SIDE:
        raise UnsupportedError(
            f"{_call(kind)}: up to {most} boxes of a picture of {tuple(size)}: give 1 to {MOST_BOXES} boxes and sides "
            f"of 1 to {MOST_SIDE}"
        )
    attributes = {
        "kind": kind, "classes": int(classes), "anchors": tuple(float(side) for side in anchors), "each": each,
        "height": int(size[0]), "width": int(size[1]), "confidence": float(conf), "iou": float(iou), "most": int(most),
        "scale": float(scale), "beta": beta,
    }  # fmt: skip
    shape = (heads[0].shape[0], ROW_HEADER + ROW_FIELDS * int(most), 1, 1)
    return Value(shape, True, "detection", tuple(heads), attributes)


def _check_detection(call: str, heads: Any, anchors: Any, classes: int) -> int:
    """How many anchors each place of a head has. Raises UnsupportedError where anchors, classes and heads differ."""
    if not heads or not all(isinstance(head, Value) and len(head.shape) == 4 for head in heads):
        raise UnsupportedError(f"{call} takes heads N, A * (5 + classes), H, W that the network computes")
    if len(heads) > MOST_HEADS:
        raise UnsupportedError(f"{call}: {len(heads)} heads; the device's operator takes 1 to {MOST_HEADS}")
    if classes > MOST_CLASSES:
        raise UnsupportedError(f"{call}: num_classes {classes}; the device's operator takes 1 to {MOST_CLASSES}")
    if len({head.shape[0] for head in heads}) > 1:
        raise UnsupportedError(f"{call}: heads {', '.join(str(head.shape) for head in heads)} differ in pictures")
    if not anchors or len(anchors) % (2 * len(heads)):
        raise UnsupportedError(
            f"{call}: {len(anchors)} numbers of anchors for {len(heads)} heads; each head has the same number of pairs "
            "of width and height"
        )
    if min(anchors) <= 0:
        raise UnsupportedError(f"{call}: an anchor has a side of {min(anchors)}; sides are pixels, above 0")
    each = len(anchors) // 2 // len(heads)
    for head in heads:
        if classes < 1 or head.shape[1] != each * (5 + classes):
            raise UnsupportedError(
                f"{call}: a head has {head.shape[1]} channels; {each} anchors of {classes} classes need "
                f"{each * (5 + classes)}{_fitting(head.shape[1], each)}"
            )
    return each


def _check_count(call: str, count: int, sides: int, heads: int) -> None:
    """``num_anchors`` is how many numbers the list has in all scripts known; pairs, in all or a head, are meant too."""
    if count not in (sides, sides // 2, sides // 2 // heads):
        raise UnsupportedError(
            f"{call}: num_anchors {count} is not the anchors', which are {sides} numbers for {heads} heads: give "
            f"{sides}"
        )


def _fitting(channels: int, each: int) -> str:
    classes = channels // each - 5
    fits = channels % each == 0 and classes > 0
    return f": give num_classes {classes}, which these heads are for" if fits else ""


def _call(kind: str) -> str:
    return f"{kind.partition('_')[0]}_detection_output"


def _yolov3(a: Any, b: Any, c: Any, anchors: Any, classes: int, count: int, size: int, conf: float, iou: float,
            most: int) -> Value:  # fmt: skip
    return _yolov3_heads((a, b, c), anchors, classes, count, size, conf, iou, most)


def _yolov3_heads(heads: Any, anchors: Any, classes: int, count: int, size: int, conf: float, iou: float,
                  most: int) -> Value:  # fmt: skip
    return _detection("yolov3", tuple(heads), anchors, classes, count, (size, size), conf, iou, most)


def _yolov5(a: Any, b: Any, c: Any, anchors: Any, classes: int, count: int, height: int, width: int, conf: float,
            iou: float, most: int) -> Value:  # fmt: skip
    return _yolov5_heads((a, b, c), anchors, classes, count, height, width, conf, iou, most)


def _yolov5_heads(heads: Any, anchors: Any, classes: int, count: int, height: int, width: int, conf: float,
                  iou: float, most: int) -> Value:  # fmt: skip
    return _detection("yolov5", tuple(heads), anchors, classes, count, (height, width), conf, iou, most)


def _yolov4(heads: Any, anchors: Any, classes: int, count: int, width: int, height: int, conf: float, iou: float,
            most: int, scale: float = 1.0, beta: float = 0.6, nms_type: int = 0) -> Value:  # fmt: skip
    if nms_type not in range(len(NMS_TYPES)):
        raise UnsupportedError(
            f"yolov4_detection_output with nms_type {nms_type} has no operator; 0, 1 (DIoU) and 2 (one class per box) "
            "have"
        )
    kind = NMS_TYPES[nms_type]
    power = float(beta) if nms_type == 1 else None
    if power is not None and not 0 < power <= MOST_BETA:
        raise UnsupportedError(f"yolov4_detection_output with beta {beta} has no operator; give a number like 0.6")
    return _detection(kind, tuple(heads), anchors, classes, count, (height, width), conf, iou, most, scale, power)


DETECTIONS: dict[str, Callable[..., Any]] = {
    "torch_mlu.yolov3_detection_output.default": _yolov3,
    "torch_mlu.yolov3_detection_output.heads": _yolov3_heads,
    "torch_mlu.yolov4_detection_output.default": _yolov4,
    "torch_mlu.yolov5_detection_output.default": _yolov5,
    "torch_mlu.yolov5_detection_output.heads": _yolov5_heads,
}
