"""What may be given to the operators of ``torch.ops.torch_mlu``, and the sentences for everything else."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree

from mlu_agent.errors import UserError

from ..recording.values import UnsupportedError

OWN = "torch_mlu."
DETECTIONS = "_detection_output"
# Those that torch computes on the CPU as well, in float.
ON_CPU = ("conv1d", "conv2d", "conv_transpose2d", "linear", "mish")
SCALE_PLACE = {"conv1d": 7, "conv2d": 7, "linear": 3}
USUAL_HEADS = 3
FLOATS = (torch.float16, torch.float32)


def base_of(name: str) -> str:
    """``conv2d`` of ``torch_mlu.conv2d.default``; empty for torch's own operators."""
    return name[len(OWN) :].partition(".")[0] if name.startswith(OWN) else ""


def check_operands(base: str, arguments: Any, device: str) -> None:
    """Raises UserError where what an operator works on lies elsewhere, UnsupportedError where it is of another kind."""
    heads = base.endswith(DETECTIONS)
    operands = [one for one in pytree.tree_leaves(arguments if heads else arguments[:1]) if _is_tensor(one)]
    for number, one in enumerate(operands):
        what = f"head {number + 1} of {len(operands)}" if heads else "its input"
        if one.device.type != device:
            raise UserError(
                f"torch_mlu.{base}: {what} is on the CPU, and others of its tensors on the device: move it there with "
                ".to(mlu_device())"
            )
        if one.dtype not in FLOATS:
            raise UnsupportedError(
                f"torch_mlu.{base}: {what} is {str(one.dtype).rpartition('.')[2]}; float16 and float32 are taken: "
                "convert it with .half() or .float()"
            )
    if len({one.dtype for one in operands}) > 1:
        raise UnsupportedError(f"torch_mlu.{base}: some heads are float16 and others float32; convert them alike")


def stays_on_device(base: str, arguments: Any) -> bool:
    """Whether the CPU has no such operator, or one that would compute a quantized layer in float."""
    if base not in ON_CPU:
        return bool(base)
    place = SCALE_PLACE.get(base, len(arguments))
    return any(one is not None for one in arguments[place:])


def _is_tensor(one: Any) -> bool:
    return isinstance(one, torch.Tensor)


class Operator:
    """An operator as scripts call it: whole numbers may be written as floats, wrong arguments are one sentence."""

    def __init__(self, base: str, packet: Any) -> None:
        self._base, self._packet = base, packet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._packet, name)  # torch itself asks for its overloads here

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Raises UserError for arguments that the operator does not take."""
        try:
            arguments, function = self._of_heads(arguments)
            return function(*map(_whole, arguments), **{key: _whole(one) for key, one in named.items()})
        except NotImplementedError as error:
            raise UserError(f"torch_mlu.{self._base}: it was given no tensor at all") from error
        except (RuntimeError, TypeError) as error:
            if not str(error).startswith(f"torch_mlu::{self._base}()"):
                raise
            raise UserError(_fault(self._base, str(error))) from error

    def _of_heads(self, arguments: Any) -> tuple[Any, Any]:
        """Detection outputs have three heads as the vendor declares them; one, two, or up to seven go in a list."""
        place = next((place for place, one in enumerate(arguments) if isinstance(one, (list, tuple))), USUAL_HEADS)
        if place == USUAL_HEADS or not hasattr(self._packet, "heads") or not all(map(_is_tensor, arguments[:place])):
            return arguments, self._packet.default
        return ((list(arguments[:place]), *arguments[place:]) if place else arguments), self._packet.heads


def _whole(one: Any) -> Any:
    """Lists of whole numbers, such as anchors, as integers."""
    if isinstance(one, (list, tuple)) and one and all(isinstance(part, float) and part.is_integer() for part in one):
        return [int(part) for part in one]
    return one


def _fault(base: str, said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    fault = lines[0].partition("()")[2].partition(" Declaration:")[0].strip(" :").replace("instead ", "").rstrip(".")
    value = next((line for line in lines if line.startswith("Value: ")), "")
    takes = said.partition("Declaration: ")[2].partition("(")[2].partition(") -> ")[0]
    return f"torch_mlu.{base}: {fault}{f' ({value[:80]})' if value else ''}; it takes ({takes})"
