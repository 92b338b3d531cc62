"""What heads of segmentation, poses and turned boxes have beside box and classes: how many numbers of a cell it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..model.output_spec import KEYPOINTS, MAX_COEFFICIENTS, MAX_PROTOTYPE_STRIDE, ORIENTED, POSES, SEGMENTS
from .outputs import stride_of
from .values import input_size, listed, misfit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.offline_model import OfflineModel
    from .families import Family
    from .values import Findings, Request, Tensor


@dataclass(frozen=True)
class Third:
    """``field`` and its ``size``, "" and 0 of other families; ``table``: what the manifest says of it."""

    field: str
    size: int
    table: dict[str, Any]


def apart(tensors: Sequence[Tensor], family: Family) -> tuple[list[Tensor], list[Tensor]]:
    """The levels' tensors, and the prototypes: the finest one of a segmentation."""
    if family.decode != SEGMENTS or len(tensors) < 2:
        return list(tensors), []
    finest = max(tensors, key=lambda tensor: tensor.height * tensor.width if tensor.width > 1 else 0)
    return [tensor for tensor in tensors if tensor is not finest], [finest]


def third(model: OfflineModel, shared: Sequence[Tensor], request: Request, family: Family, findings: Findings) -> Third:
    """Of a family. UserError where the prototypes are none, or the keypoints cannot be."""
    if family.decode == SEGMENTS:
        return _coefficients(model, shared, findings)
    if family.decode == POSES:
        return _keypoints(request, findings)
    return Third("angle", 1, {}) if family.decode == ORIENTED else Third("", 0, {})


def _coefficients(model: OfflineModel, shared: Sequence[Tensor], findings: Findings) -> Third:
    stride = stride_of(shared[0], *input_size(model), range(1, MAX_PROTOTYPE_STRIDE + 1)) if shared else 0
    count = shared[0].channels if shared else 0
    if not stride or count > MAX_COEFFICIENTS:
        raise misfit(
            f"{listed(shared) or 'no output'}: of a segmentation the finest output holds the prototypes, at most "
            f"{MAX_COEFFICIENTS}; name the heads and the prototypes by --outputs, or choose another family"
        )
    findings.know(f"{listed(shared)}: {count} prototypes of stride {stride}")
    return Third("coefficients", count, {"coefficients": count, "prototype_stride": stride})


def _keypoints(request: Request, findings: Findings) -> Third:
    pair = request.keypoints or KEYPOINTS
    if len(pair) != 2 or pair[1] not in (2, 3):
        given = ",".join(map(str, pair))
        raise misfit(f"--keypoints {given}: write how many, and 2 (x, y) or 3 (with visibility), as 17,3")
    if not request.keypoints:
        findings.assume(f"a pose has {pair[0]} keypoints of {pair[1]} numbers (--keypoints)")
    return Third("keypoints", pair[0] * pair[1], {"keypoints": list(pair)})
