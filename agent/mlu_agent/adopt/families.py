"""The families of networks that a file can be adopted as, with what their authors' programs do to pictures."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.bundle import InputSpec, Thresholds

Triple = tuple[float, float, float]
CAFFE_MEAN = (104.0, 117.0, 123.0)  # of the blue, green and red of ImageNet's pictures
ONE = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Family:
    """One word of ``--as``.

    ``decode``       the rule of its heads, "" where they are none of YOLO's.
    ``mean``, ``std``  for float inputs, in the order of ``colours``.
    ``labels``       the set taken where the number of classes fits and no labels are given.
    ``coordinates``  of the on-device detection output, "" where the vendor has none for the family.
    ``anchor_sets``  the sets that are looked at, the usual one first.
    """

    name: str
    decode: str = ""
    resize: str = "letterbox"
    pad_value: int = InputSpec.pad_value
    colours: str = "rgb"
    mean: Triple = InputSpec.mean
    std: Triple = InputSpec.std
    confidence: float = Thresholds.confidence
    iou: float = Thresholds.iou
    labels: tuple[str, ...] = ("coco",)
    coordinates: str = ""
    anchor_sets: tuple[str, ...] = ()
    softmaxed: bool = False


FAMILIES = {
    family.name: family
    for family in (
        Family("yolov3", "yolov3", coordinates="normalized", anchor_sets=("yolov3", "yolov3-tiny", "yolo-fastest")),
        Family(
            "yolov4", "yolov3", resize="stretch", coordinates="normalized", anchor_sets=("yolov4", "yolov4-tiny")
        ),
        Family("yolov5", "yolov5", pad_value=114, iou=0.6, coordinates="pixels",
               anchor_sets=("yolov5", "yolov5-p6", "yolov7")),
        Family("yolox", "yolox", resize="corner", pad_value=114, colours="bgr", std=ONE, iou=0.65),
        *(Family(name, name, pad_value=114, iou=0.7) for name in ("yolov8", "yolov8-seg")),
        *(Family(name, name, pad_value=114, iou=0.7, labels=()) for name in ("yolov8-pose", "yolov8-obb")),
        Family("ssd", resize="stretch", colours="bgr", mean=CAFFE_MEAN, std=ONE, labels=("voc", "coco"),
               coordinates="normalized",
               anchor_sets=("ssd300", "ssd300-coco", "ssd512", "mobilenet-ssd")),
        Family("retinaface", colours="bgr", mean=CAFFE_MEAN, std=ONE, confidence=0.5, iou=0.4, labels=("face",),
               coordinates="normalized", anchor_sets=("retinaface",), softmaxed=True),
        Family("classify", resize="stretch", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), labels=(),
               confidence=0.0),
        Family("tensors", resize="stretch", labels=()),
    )
}  # fmt: skip
