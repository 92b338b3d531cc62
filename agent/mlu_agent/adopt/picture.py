"""The manifest's table ``input``: what the container tells of it, and how pictures come to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..model.bundle import CHANNELS, MAX_SIDE
from .values import misfit

if TYPE_CHECKING:
    from ..model.offline_model import OfflineModel
    from .families import Family
    from .values import Findings, Request, Triple

DTYPES = ("uint8", "float16", "float32")
OLD = (
    "a format before 2020, which describes neither inputs nor outputs, so that nothing can be adopted; compile the "
    "network again with the vendor's tools of CNRT 4.x, and give that file; or make a stand-in that says what they are "
    "(mlu-export standin), and let CNRT_SIMULATOR_STANDINS name its folder"
)


def check_input(name: str, model: OfflineModel, findings: Findings) -> None:
    """UserError where the input of the file ``name`` is none that pictures can be put into."""
    if not model.inputs:
        raise misfit(f"{name}: {OLD}")
    if len(model.inputs) != 1:
        raise misfit(
            f"{name}: has {len(model.inputs)} inputs; models with exactly 1, a picture, can be served: compile it "
            "with the others as constants"
        )
    tensor = model.inputs[0]
    shown = f"{'x'.join(map(str, tensor.shape))} {tensor.dtype} {tensor.order}"
    if len(tensor.shape) != 4 or tensor.order != "NHWC" or tensor.shape[3] not in (3, 4):
        raise misfit(f"{name}: its input is {shown}; pictures fill N x H x W x 3 or 4 in NHWC: compile it for those")
    if tensor.dtype not in DTYPES:
        raise misfit(f"{name}: its input is {shown}; inputs of {', '.join(DTYPES)} can be filled: compile it for one")
    if max(tensor.shape[1:3]) > MAX_SIDE:
        raise misfit(f"{name}: its input is {shown}; sides up to {MAX_SIDE} can be served: compile it for those")
    cores = f"{model.parallelism} core(s) for each invocation, made for {model.target}"
    if model.borrowed:
        findings.know(cores)
        findings.borrow("inputs and outputs are those of its stand-in: the file describes none")
    findings.know(f"input: {tensor.shape[2]}x{tensor.shape[1]}, {tensor.shape[3]} channels, {tensor.dtype}")
    findings.know(f"batch {tensor.shape[0]}" + ("" if model.borrowed else f", {cores}"))


def describe_input(
    name: str, model: OfflineModel, request: Request, family: Family, findings: Findings
) -> dict[str, Any]:
    """The table ``input`` of the file ``name``. UserError where an option contradicts the file."""
    tensor = model.inputs[0]
    table: dict[str, Any] = {"width": tensor.shape[2], "height": tensor.shape[1]}
    table.update(_resize(request, family, findings))
    channels = _channels(name, request.channels, tensor.shape[3], family, findings)
    table.update(channels=channels, dtype=tensor.dtype)
    if tensor.dtype == "uint8":
        if request.mean is not None or request.std is not None:
            raise misfit(
                "--mean and --std are for float inputs; the file's input is uint8, which the network normalises "
                "itself: leave them out"
            )
        return table
    table.update(_normalisation(request, family, channels, findings))
    return table


def _resize(request: Request, family: Family, findings: Findings) -> dict[str, Any]:
    resize = request.resize or family.resize
    if not request.resize:
        findings.assume(f"pictures are brought to that size by {resize}, as {family.name} has it (--resize)")
    if resize == "stretch":
        if request.pad_value is not None:
            raise misfit("--pad is the border of letterbox and corner; stretch leaves none: leave it out")
        return {"resize": resize}
    pad = family.pad_value if request.pad_value is None else request.pad_value
    if request.pad_value is None:
        findings.assume(f"the border is of grey {pad} (--pad)")
    return {"resize": resize, "pad_value": pad}


def _channels(name: str, asked: str, count: int, family: Family, findings: Findings) -> str:
    named = [one for one in CHANNELS if len(one) == count and one in re.split("[^a-z]+", name.lower())]
    if not asked and len(named) == 1:
        findings.assume(f"the channels lie as {named[0]}, as the file's name says (--channels)")
        return named[0]
    if not asked:
        chosen = family.colours + "a" * (count - 3)
        findings.assume(f"the channels lie as {chosen} (--channels)")
        return chosen
    if len(asked) != count:
        fitting = " or ".join(one for one in CHANNELS if len(one) == count)
        raise misfit(f"--channels {asked} are {len(asked)}, but the file's input has {count}; {fitting} would fit")
    return asked


def _normalisation(request: Request, family: Family, channels: str, findings: Findings) -> dict[str, Any]:
    """``mean`` and ``std`` in the tensor's order."""
    colours = channels.replace("a", "")
    table = {}
    for name in ("mean", "std"):
        asked: Triple | None = getattr(request, name)
        usual: Triple = getattr(family, name)
        own = usual if colours == family.colours else usual[::-1]
        table[name] = list(own if asked is None else asked)
        if asked is None:
            numbers = ",".join(f"{one:g}" for one in own)
            findings.assume(f"{name} of the pixels (0 to 255) {numbers}, in the channels' order (--{name})")
    return table
