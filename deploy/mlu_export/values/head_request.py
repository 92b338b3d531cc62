"""What only the user can say of an ONNX file or a traced module: where it ends, and how its outputs are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import DataError, UserError
from mlu_agent.model.output_spec import ANCHORED, DECODES

from .graph import TENSORS

if TYPE_CHECKING:
    from mlu_agent.model.bundle import ModelSpec

Anchors = tuple[tuple[tuple[float, float], ...], ...]
MAX_SIDE = 1e5


@dataclass(frozen=True)
class HeadRequest:
    """``outputs`` are the tensors to end at, () for the network's own; ``decode`` names the heads' rule, "" for plain
    tensors; ``anchors`` are pixels, one tuple of pairs per head in output order; ``strides`` one per level.
    """

    outputs: tuple[str, ...] = ()
    decode: str = ""
    anchors: Anchors = ()
    strides: tuple[int, ...] = ()

    def check(self) -> HeadRequest:
        """Itself. Raises UserError where the parts do not belong together."""
        if self.decode and self.decode not in DECODES:
            raise UserError(f"--decode {self.decode!r:.40} is not known; known are {', '.join(DECODES)}")
        anchored = self.decode in ANCHORED
        if self.anchors and not anchored:
            raise UserError(f"--anchors belong to --decode {' and '.join(ANCHORED)}")
        if self.strides and (anchored or not self.decode):
            free = " and ".join(name for name in DECODES if name not in ANCHORED)
            raise UserError(f"--strides belong to --decode {free}; heads with anchors know theirs by their size")
        if anchored and not self.anchors:
            raise UserError(
                f"--decode {self.decode} needs --anchors: width,height pairs in pixels, the heads apart by '/', in the "
                "order of the outputs"
            )
        if self.decode and not anchored and not self.strides:
            raise UserError(f"--decode {self.decode} needs --strides, the levels' in output order: 8,16,32 as a rule")
        return self

    def table(self) -> dict[str, Any]:
        """What a recipe keeps of it; nothing where nothing was asked."""
        parts = {
            "outputs": list(self.outputs),
            "decode": self.decode,
            "anchors": [[list(pair) for pair in head] for head in self.anchors],
            "strides": list(self.strides),
        }
        return {key: value for key, value in parts.items() if value}


def parse_anchors(text: str) -> Anchors:
    """``10,13,16,30/30,61,62,45`` -> per head the pairs. Raises ValueError."""
    return tuple(_pairs([float(side) for side in head.split(",")]) for head in text.split("/"))


def _pairs(sides: list[float]) -> tuple[tuple[float, float], ...]:
    if not sides or len(sides) % 2 or not all(0 < side <= MAX_SIDE for side in sides):
        raise ValueError("not pairs of sides above 0")
    return tuple(zip(sides[::2], sides[1::2]))


def read_request(table: Any, path: str) -> HeadRequest:
    """The request that a recipe's table keeps. Raises DataError."""
    try:
        decode = _texts([table.get("decode", "")])[0]
        request = HeadRequest(
            tuple(_texts(table.get("outputs", []))),
            decode,
            tuple(_pairs([float(side) for pair in head for side in pair]) for head in table.get("anchors", [])),
            tuple(_strides(table.get("strides", []))),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: [heads] is not as mlu-export writes it ({error})") from error
    try:
        return request.check()
    except UserError as error:
        raise DataError(f"{path}: [heads]: {error}") from error


def request_of(spec: ModelSpec) -> HeadRequest:
    """The request that a built model answers: its outputs by name, and its heads as the manifest describes them."""
    names = tuple(tensor.name for tensor in spec.offline.outputs)
    if spec.output.kind == TENSORS:
        return HeadRequest(names)
    anchors = tuple(tuple((float(w), float(h)) for w, h in head.anchors) for head in spec.output.heads)
    strides = tuple(head.stride for head in spec.output.heads)
    anchored = spec.output.decode in ANCHORED
    return HeadRequest(names, spec.output.decode, anchors if anchored else (), () if anchored else strides)


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise ValueError("texts are missing")
    return values


def _strides(values: Any) -> list[int]:
    if not isinstance(values, list) or not all(type(one) is int and 1 <= one <= 1024 for one in values):
        raise ValueError("strides are whole numbers from 1 to 1024")
    return values
