"""The container's outputs as tensors of one picture: those that were asked for, and the strides that sizes tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config.fields import show
from .values import Tensor, listed, misfit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.offline_model import OfflineModel

MAX_STRIDE = 1024


def chosen_outputs(model: OfflineModel, numbers: tuple[int, ...]) -> list[Tensor]:
    """The outputs of those numbers, all of them where there are none. UserError for one that cannot be a head's."""
    return [_tensor(model, number) for number in output_numbers(model, numbers)]


def output_numbers(model: OfflineModel, numbers: tuple[int, ...]) -> Sequence[int]:
    """Those that were asked for, or all. UserError for one that the file has not."""
    count = len(model.outputs)
    if any(number >= count for number in numbers) or len(set(numbers)) != len(numbers):
        asked = ",".join(map(str, numbers))
        raise misfit(f"--outputs {asked}: the file has {count} outputs, counted from 0; name each that is read once")
    return numbers or range(count)


def _tensor(model: OfflineModel, number: int) -> Tensor:
    info, batch = model.outputs[number], model.inputs[0].shape[0]
    shown = f"output {number} is {'x'.join(map(str, info.shape))} {info.dtype}"
    if info.dtype not in ("float16", "float32"):
        raise misfit(f"{shown}; float16 and float32 can be read: name the others by --outputs, or compile it again")
    if info.shape[0] != batch:
        raise misfit(
            f"{shown}, but the input's batch is {batch}; each picture needs an output of its own: compile again"
        )
    sides = info.shape[1:]
    if len(sides) not in (1, 3):
        raise misfit(
            f"{shown}; heads of N x H x W x channels can be read: end the network at the convolutions, before anything "
            "is reshaped (or adopt it --as tensors)"
        )
    height, width, channels = sides if len(sides) == 3 else (1, 1, sides[0])
    return Tensor(number, info.name, height, width, channels)


def stride_of(tensor: Tensor, width: int, height: int, wanted: Sequence[int] = ()) -> int:
    """The stride that makes the tensor's grid of that input, of ``wanted`` if given; 0: none does."""
    candidates = [
        stride
        for stride in wanted or range(1, min(MAX_STRIDE, width, height) + 1)
        if (height // stride, width // stride) == tensor.grid
    ]
    exact = [stride for stride in candidates if width % stride == 0 and height % stride == 0]
    powers = [stride for stride in candidates if stride & (stride - 1) == 0]
    return (exact or powers or candidates or [0])[0]


def strides_of(tensors: Sequence[Tensor], width: int, height: int, wanted: Sequence[int]) -> list[int]:
    """The stride of each tensor. UserError where one has none."""
    strides = [stride_of(tensor, width, height, wanted) for tensor in tensors]
    wrong = [tensor for tensor, stride in zip(tensors, strides) if not stride]
    if wrong and wanted:
        grids = ", ".join(f"{height // stride}x{width // stride}" for stride in wanted)
        raise misfit(
            f"{listed(wrong)}: of an input of {width}x{height} the strides {_commas(wanted)} make {grids}; "
            f"{_fitting(tensors, width, height)}"
        )
    if wrong:
        raise misfit(
            f"{listed(wrong)}: no stride makes that of an input of {width}x{height}, so it is no head; name the heads "
            "by --outputs, or choose another family; boxes that the network decodes itself are not read: end "
            "it before that"
        )
    return strides


def _fitting(tensors: Sequence[Tensor], width: int, height: int) -> str:
    found = [stride_of(tensor, width, height) for tensor in tensors]
    return f"--strides {_commas(found)} would fit" if all(found) else "no strides fit all outputs: use --outputs"


def _commas(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def refuse(options: dict[str, object], family: str) -> None:
    """UserError for the first option that was given and means nothing to the family."""
    for name, value in options.items():
        if value not in (None, "", ()):
            given = ",".join(map(str, value)) if isinstance(value, (tuple, list)) else value
            raise misfit(f"{name} {show(given)} means nothing --as {family}: leave it out")
