"""``compile --backend vendor``: the vendor's own compiler makes the device's file, beside ours. No torch here.

The SDK comes with a Python and a torch of its own, older than ours; ``driver.py`` runs there, from a plan:

    checkpoint, name         files in the working folder
    nodes, outputs           the float network in execution order, layers with their places in the state dict
    shape, input             N, 3, H, W; u8 (a first convolution that normalises), half or float
    core_number, core_version, input_format, fake_device      what ``torch_mlu.core.mlu_model`` is told
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from mlu_agent.errors import DataError, RuntimeFailure, UserError
from mlu_agent.model.offline_model import read_offline_model

from ..formats.checkpoint import parse_checkpoint
from ..lowering.detection_output import NONE
from ..values.graph import Activation, Add, Concat, Conv, MaxPool, Mul, Slice, Upsample
from ..values.network import DTYPES
from ..values.pixels import INPUT_DTYPES
from .layout import norm_key

if TYPE_CHECKING:
    from ..formats.checkpoint import Checkpoint
    from ..formats.recipe import Settings
    from ..values.graph import ImportedModel, Node

INPUT_FORMATS = {"rgba": 0, "argb": 1, "bgra": 2, "abgr": 3}
FIND = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('torch_mlu') else 7)"
LONGEST_TOLD = 400


def compile_for_device(
    model: ImportedModel, settings: Settings, checkpoint: bytes, python: Path | None
) -> tuple[bytes, bytes]:
    """Bytes of the device's file and of its text side-car, made by the SDK in the interpreter ``python`` (None: ours).

    Raises UserError where there is no SDK or a network that it cannot be told, RuntimeFailure where it fails.
    """
    interpreter = str(python or sys.executable)
    plan = make_plan(model, settings, parse_checkpoint(checkpoint))
    if checkpoint[:2] == b"PK":
        raise UserError(
            "the vendor's torch cannot read a checkpoint in a zip file: write it with `mlu-export quantize`, or with "
            "torch.save(..., _use_new_zipfile_serialization=False)"
        )
    _find_sdk(interpreter)
    with tempfile.TemporaryDirectory(prefix="mlu-export-") as name:
        folder = Path(name)
        (folder / plan["checkpoint"]).write_bytes(checkpoint)
        (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        (folder / "driver.py").write_bytes(Path(__file__).with_name("driver.py").read_bytes())
        _run([interpreter, "driver.py", "plan.json"], folder)
        made = [folder / f"{plan['name']}.cambricon{suffix}" for suffix in ("", "_twins")]
        if not all(path.is_file() for path in made):
            raise RuntimeFailure("the vendor's SDK ran to its end and wrote no model; see what it printed")
        data, twins = (path.read_bytes() for path in made)
    _check(data, settings)
    return data, twins


def make_plan(model: ImportedModel, settings: Settings, checkpoint: Checkpoint) -> dict[str, Any]:
    """What the driver is told. Raises UserError for what the vendor's flow has no way to say."""
    if settings.detection_output != NONE:
        raise UserError(
            "--detection-output: the vendor's compiler is driven for networks that end in heads; leave it out with "
            "--backend vendor, or write the port's own call for `mlu-export run`"
        )
    normalises = any(one.mean is not None for one in (model.quantized or {}).values())
    if settings.input == "u8" and not normalises:
        raise UserError(
            "on the device, bytes are normalised by the first convolution, which this checkpoint does not do: make it "
            "with `mlu-export quantize --first-conv`, or compile with --input half"
        )
    if settings.input != "u8" and normalises:
        raise UserError(
            f"this checkpoint's first convolution normalises pixels itself, so on the device its input is u8, not "
            f"{settings.input}: make one with `mlu-export quantize` without --first-conv"
        )
    if settings.input == "u8" and settings.channels not in INPUT_FORMATS:
        raise UserError(
            f"--channels {settings.channels}: a u8 input of the device has one of {', '.join(INPUT_FORMATS)}"
        )
    return {
        "checkpoint": "checkpoint.pth",
        "name": "made",
        "nodes": [_describe(node, model, checkpoint) for node in model.graph.nodes],
        "outputs": list(model.graph.outputs),
        "shape": [settings.batch, 3, settings.height, settings.width],
        "input": settings.input,
        "core_number": settings.core_number,
        "core_version": settings.target,
        "input_format": INPUT_FORMATS.get(settings.channels, 0),
        "fake_device": True,
    }


def _describe(node: Node, model: ImportedModel, checkpoint: Checkpoint) -> dict[str, Any]:
    made = _KINDS.get(type(node))
    if made is None:
        raise UserError(
            f"layer {node.name}: the vendor's backend knows no {type(node).__name__}; compile without --backend vendor"
        )
    kind, fields = made
    described = {"kind": kind, "name": node.name, "inputs": list(node.inputs), **fields(node)}
    if isinstance(node, Conv):
        place = (model.keys or {}).get(node.name, "")
        norm = norm_key(place) if node.norm is not None else ""
        for key in [place] if node.norm is None else [place, norm]:
            if f"{key}.weight" not in checkpoint.tensors:
                raise UserError(_elsewhere(node.name, key))
        described.update(path=place, norm=norm)
    return described


def _elsewhere(name: str, key: str) -> str:
    return (
        f"layer {name}: the checkpoint has no {key or 'batch-norm'} beside its convolution, as in BottleneckCSP of "
        "YOLOv5's release 3 or in the public layout of Darknet ports: compile it without --backend vendor"
    )


def _conv(node: Any) -> dict[str, Any]:
    out, per_group, *kernel = node.weight.shape
    return {
        "in": per_group * node.groups,
        "out": out,
        "kernel": kernel,
        "stride": list(node.stride),
        "pad": list(node.pad),
        "dilation": list(node.dilation),
        "groups": node.groups,
        "bias": node.bias is not None,
        "eps": node.norm.eps if node.norm is not None else 0.0,
    }


def _of(*names: str) -> Callable[[Any], dict[str, Any]]:
    def fields(node: Any) -> dict[str, Any]:
        values = ((name, getattr(node, name)) for name in names)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

    return fields


_KINDS: dict[type[Node], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    Conv: ("conv", _conv),
    MaxPool: ("max_pool", _of("kernel", "stride", "pad")),
    Slice: ("slice", _of("begin", "step", "count")),
    Activation: ("activation", _of("function", "a")),
    Upsample: ("upsample", _of("scale")),
    Concat: ("concat", _of()),
    Add: ("add", _of()),
    Mul: ("mul", _of()),
}


def _find_sdk(interpreter: str) -> None:
    try:
        found = subprocess.run([interpreter, "-c", FIND], stdin=subprocess.DEVNULL, check=False).returncode
    except OSError as error:
        raise UserError(f"--vendor-python {interpreter}: {error.strerror}; give the interpreter of the SDK") from error
    if found:
        raise UserError(
            f"the vendor's torch_mlu is not installed for {interpreter}: --backend vendor runs where the SDK is (its "
            "Docker image; --vendor-python names its interpreter); leave --backend out for the simulator's file alone"
        )


def _run(command: list[str], folder: Path) -> None:
    """The driver, with what it prints on our stderr; its last line is told where it fails."""
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    text = done.stdout.decode("utf-8", "replace")
    sys.stderr.write(text)
    if done.returncode:
        told = (text.strip().splitlines() or ["nothing"])[-1][:LONGEST_TOLD]
        raise RuntimeFailure(f"the vendor's SDK failed (exit code {done.returncode}): {told}")


def _check(data: bytes, settings: Settings) -> None:
    """Whether the SDK made what was asked for. Raises DataError."""
    made = read_offline_model(data)
    if made.kind != "device":
        raise DataError("the vendor's SDK wrote no device code: is the torch_mlu that was found the vendor's?")
    dtype = str(DTYPES[INPUT_DTYPES[settings.input]])
    channels = 4 if settings.input == "u8" else 3
    wanted = (settings.batch, settings.height, settings.width, channels)
    for tensor in made.inputs:
        if tensor.shape != wanted or tensor.dtype != dtype:
            raise DataError(
                f"the vendor's SDK made a model for an input of {list(tensor.shape)} {tensor.dtype}, where "
                f"{list(wanted)} {dtype} was asked for"
            )
