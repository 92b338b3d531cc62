"""Detection heads: what importers find, what only the user can say of an ONNX file or a module, and how both are kept.

What the agent has names for (decode rules, fields, the usual layout) are its own values.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Callable

from mlu_agent.config.fields import is_number, show
from mlu_agent.errors import UserError
from mlu_agent.model.output_spec import (
    ACTIVATIONS,
    ANCHORED,
    CLASSES,
    DECODES,
    MAX_KEYPOINTS,
    POSES,
    TENSORS,
    OutputSpec,
)

if TYPE_CHECKING:
    from mlu_agent.config.fields import Fields
    from mlu_agent.model.bundle import ModelSpec

Anchors = tuple[tuple[tuple[float, float], ...], ...]
AUTO, NONE = "auto", "none"  # what --decode may say beside a rule: look for the heads, or take the outputs as they are
MAX_SIDE = 1e5
MAX_LIST = 65536


@dataclass(frozen=True)
class Head:
    """One detection head: the output tensor, its stride and its anchors in pixels of the network's input.

    Decode rules without anchors leave ``anchors`` empty. Their levels may have several tensors (``more`` names those
    after the first), or share the tensors of all levels (``HeadLayout.joined``).
    """

    tensor: str
    stride: int
    anchors: tuple[tuple[float, float], ...] = ()
    scale_x_y: float = 1.0
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeadLayout:
    """What the tensors of heads without anchors hold, in fields named as those of the agent's ``OutputSpec``.

    The defaults are what the networks' authors export: one tensor per level, all fields in it, all of them logits.
    """

    reg_max: int = OutputSpec.reg_max
    tensors: tuple[tuple[str, ...], ...] = ()
    activated: tuple[str, ...] = ()
    joined: bool = False
    coefficients: int = OutputSpec.coefficients
    prototype_stride: int = OutputSpec.prototype_stride
    keypoints: tuple[int, int] = OutputSpec.keypoints


@dataclass(frozen=True)
class HeadRequest:
    """``outputs`` are the tensors to end at, () for the network's own; ``decode`` names the heads' rule, AUTO for what
    the network shows itself, "" or NONE for plain tensors (nothing said at all: as AUTO, where it shows something);
    ``anchors`` are pixels, one tuple of pairs per head in output order; ``strides`` one per level.
    ``classify``: the one output has a number per label, to which that activation is still to be applied ("none": it is
    a confidence); "" for networks that do not classify. ``keypoints``: of a pose how many and their dimensions, (17,
    3); () where the channels tell. Of a segmentation the prototypes are the last of ``outputs``.
    """

    outputs: tuple[str, ...] = ()
    decode: str = ""
    anchors: Anchors = ()
    strides: tuple[int, ...] = ()
    classify: str = ""
    keypoints: tuple[int, ...] = ()

    def check(self) -> HeadRequest:
        """Itself. Raises UserError where the parts do not belong together."""
        if self.decode and self.decode not in (AUTO, NONE, *DECODES):
            raise UserError(f"--decode {self.decode!r:.40} is not known; known are {', '.join((AUTO, NONE, *DECODES))}")
        if self.classify and self.classify not in ACTIVATIONS:
            raise UserError(f"--classify {self.classify!r:.40} is not known; known are {', '.join(ACTIVATIONS)}")
        if self.classify and self.decode not in ("", NONE):
            raise UserError(
                f"--classify {self.classify}: a network with --decode {self.decode} detects; give one of both"
            )
        anchored = self.decode in ANCHORED
        if self.anchors and not anchored:
            raise UserError(f"--anchors belong to --decode {' and '.join(ANCHORED)}")
        if self.strides and (anchored or not self.decode):
            free = " and ".join(name for name in DECODES if name not in ANCHORED)
            why = "heads with anchors know theirs by their size" if anchored else "say which, or leave --strides out"
            raise UserError(f"--strides belong to --decode {free}; {why}")
        if self.strides and self.decode in (AUTO, NONE):
            raise UserError(f"--strides belong to a rule, not to --decode {self.decode}")
        return self

    def complete(self) -> HeadRequest:
        """Itself. Raises UserError where a rule lacks what neither the user said nor the network shows."""
        anchored = self.decode in ANCHORED
        if anchored and not self.anchors:
            raise UserError(
                f"--decode {self.decode} needs --anchors: width,height pairs in pixels, the heads apart by '/', in the "
                "order of the outputs"
            )
        if self.keypoints and self.decode != POSES:
            raise UserError(f"--keypoints belong to --decode {POSES}")
        if self.keypoints and not _are_keypoints(list(self.keypoints)):
            raise UserError(
                f"--keypoints {','.join(map(str, self.keypoints))}: give how many there are, 1 to {MAX_KEYPOINTS}, and "
                "2 (x, y) or 3 (with visibility), as 17,3"
            )
        if self.decode and not anchored and not self.strides:
            raise UserError(f"--decode {self.decode} needs --strides, the levels' in output order: 8,16,32 as a rule")
        return self

    def over(self, base: HeadRequest) -> HeadRequest:
        """``base`` with what is said here."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.decode == AUTO and base.decode:
            said["decode"] = ""
        return replace(base, **{key: value for key, value in said.items() if value})

    def table(self) -> dict[str, Any]:
        """What a recipe keeps of it; nothing where nothing was asked."""
        parts = {
            "outputs": list(self.outputs),
            "decode": self.decode,
            "anchors": [[list(pair) for pair in head] for head in self.anchors],
            "strides": list(self.strides),
            "classify": self.classify,
            "keypoints": list(self.keypoints),
        }
        return {key: value for key, value in parts.items() if value}


def parse_anchors(text: str) -> Anchors:
    """``10,13,16,30/30,61,62,45`` -> per head the pairs. Raises ValueError."""
    return tuple(_pairs([float(side) for side in head.split(",")]) for head in text.split("/"))


def _pairs(sides: list[float]) -> tuple[tuple[float, float], ...]:
    if not sides or len(sides) % 2 or not all(0 < side <= MAX_SIDE for side in sides):
        raise ValueError("not pairs of sides above 0")
    return tuple(zip(sides[::2], sides[1::2]))


def read_request(table: Fields) -> HeadRequest:
    """The request that a recipe's table keeps; what is wrong with it is noted there."""
    before = len(table.problems)
    request = HeadRequest(
        tuple(_list(table, "outputs", "write a list of names", lambda one: isinstance(one, str))),
        table.text("decode", "", remedy=f"write one of {', '.join(DECODES)}"),
        tuple(
            tuple((float(width), float(height)) for width, height in head)
            for head in _list(table, "anchors", "write for each head a list of pairs of sides, in pixels", _is_head)
        ),
        tuple(_list(table, "strides", "write a list of whole numbers from 1 to 1024", _is_stride)),
        table.text("classify", "", remedy=f"write one of {', '.join(ACTIVATIONS)}"),
        tuple(_list(table, "keypoints", "write their number and 2 or 3, as [17, 3]", _is_stride)),
    )
    table.close()
    if len(table.problems) > before:
        return HeadRequest()
    try:
        return request.check().complete()
    except UserError as error:
        table.problem("decode", error.message)
        return HeadRequest()


def request_of(spec: ModelSpec) -> HeadRequest:
    """The request that a built model answers: its outputs by name, and its heads as the manifest describes them."""
    names = tuple(tensor.name for tensor in spec.offline.outputs)
    if spec.output.kind == TENSORS:
        return HeadRequest(names, NONE)
    if spec.output.kind == CLASSES:
        return HeadRequest(names, classify=spec.output.activation)
    anchors = tuple(tuple((float(w), float(h)) for w, h in head.anchors) for head in spec.output.heads)
    strides = tuple(head.stride for head in spec.output.heads)
    anchored = spec.output.decode in ANCHORED
    keypoints = spec.output.keypoints if spec.output.decode == POSES else ()
    return HeadRequest(
        names, spec.output.decode, anchors if anchored else (), () if anchored else strides, keypoints=keypoints
    )


def _list(table: Fields, key: str, remedy: str, fits: Callable[[Any], bool]) -> list[Any]:
    """A list of what fits; empty where it is not written, or wrong."""
    values = table.array(key, [], longest=MAX_LIST, remedy=remedy)
    if all(map(fits, values)):
        return values
    table.problem(key, f"{show(values)} is not accepted; {remedy}")
    return []


def _are_keypoints(pair: list[Any]) -> bool:
    return len(pair) == 2 and 1 <= pair[0] <= MAX_KEYPOINTS and pair[1] in (2, 3)


def _is_stride(value: Any) -> bool:
    return type(value) is int and 1 <= value <= 1024


def _is_head(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_pair, value))


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(is_number(side) and 0 < side <= MAX_SIDE for side in value)
    )
