"""A file whose network ends in the vendor's detection output operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.output_spec import ROW_FIELDS, ROW_HEADER
from .labels import choose_labels, needed_labels
from .outputs import refuse
from .values import Described, misfit, order_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.offline_model import OfflineModel
    from .families import Family
    from .values import Findings, Request, Tensor

MAX_BOXES = 65536


def is_detection_output(tensors: Sequence[Tensor]) -> bool:
    """Whether that is one row of 64 + 7 x N numbers and nothing else."""
    if len(tensors) != 1 or tensors[0].elements != max(*tensors[0].grid, tensors[0].channels):
        return False
    boxes, rest = divmod(tensors[0].elements - ROW_HEADER, ROW_FIELDS)
    return not rest and 1 <= boxes <= MAX_BOXES


def describe_detection_output(
    model: OfflineModel, tensors: Sequence[Tensor], request: Request, family: Family, findings: Findings
) -> Described:
    """Coordinates and labels of the operator's rows. UserError where the family has no such operator."""
    if not family.coordinates:
        raise misfit(
            f"{tensors[0]} is a row of the vendor's detection output, which it has not for {family.name}; "
            "--as yolov3, yolov4, yolov5, ssd or retinaface would fit"
        )
    refuse(
        {
            "--anchors": request.anchor_set or request.anchors, "--strides": request.strides,
            "--activated": request.activated, "--scale-x-y": request.scale_x_y, "--variances": request.variances,
        },
        f"{family.name} for a file that ends in the detection output, which has decoded the boxes",
    )  # fmt: skip
    boxes = (tensors[0].elements - ROW_HEADER) // ROW_FIELDS
    findings.know(f"{tensors[0]}: the detection output operator's row of up to {boxes} boxes")
    if family.name == "retinaface" and not request.labels:
        labels = choose_labels((), 1, family, findings)
    else:
        labels = needed_labels(request.labels, "a detection output does not tell how many classes there are")
    table = {"kind": "detection_output", "coordinates": request.coordinates or family.coordinates, "max_boxes": boxes}
    if not request.coordinates:
        whose = "pixels of the network's input" if family.coordinates == "pixels" else "shares of the network's input"
        findings.assume(f"coordinates are {whose}, as the operator of {family.name} writes them (--coordinates)")
    if family.name in ("ssd", "retinaface"):
        table["background"] = True
        findings.assume("class 0 is the background and the first label is class 1, as SSD's operator counts")
    return Described({**table, **order_table(tensors, model)}, labels)
