"""Commands that measure take a model file, or a quantized checkpoint, which they compile to a folder of their own."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import UserError
from mlu_agent.model.bundle import load_bundle
from mlu_agent.model.bundle_file import SUFFIX as BUNDLE

from ..values.heads import HeadRequest
from ..values.pixels import CHANNEL_SOURCES, INPUT_DTYPES
from ..values.targets import CORE_NUMBERS
from ..workflows.compile import compile_files
from ..workflows.request import CompileRequest, Pixels
from .arguments import Integer, declare_network, size, wanted_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SUFFIXES = (".pth", ".pt")
# What makes a model of a checkpoint, as `compile` takes it; a model file has it all inside.
FORM = ("arch", "labels", "size", "input", "channels", "core_number", "target")
OPTIONS = (*FORM, *(field.name for field in (*fields(HeadRequest), *fields(Pixels))))


def declare_checkpoint(parser: argparse.ArgumentParser) -> None:
    """MODEL, and how a checkpoint becomes one; ``--cfg``, ``--module`` and ``--batch`` are the command's own."""
    path: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL.cambricon|MODEL.bundle|CHECKPOINT.pth",
        help="a checkpoint is compiled first, for itself",
    )
    group = parser.add_argument_group("of a checkpoint", "as `mlu-export compile` takes them")
    group.add_argument("--arch", metavar="NAME", help="the network")
    group.add_argument("--labels", **path, help="class names, one a line")
    group.add_argument("--size", type=size, metavar="N|WxH", help="input size in pixels")
    group.add_argument("--input", choices=tuple(INPUT_DTYPES), help="input type")
    group.add_argument("--channels", choices=tuple(CHANNEL_SOURCES), help="channel order of the input")
    group.add_argument("--core-number", type=Integer(1, 64), metavar="N", help="cores per invocation")
    group.add_argument("--target", choices=tuple(CORE_NUMBERS), help="device")
    declare_network(group)


def is_checkpoint_path(path: Path) -> bool:
    """Whether MODEL is to be compiled first."""
    return path.suffix.lower() in SUFFIXES


@contextlib.contextmanager
def model_file(arguments: argparse.Namespace, *, takes_module: bool = False) -> Iterator[Path]:
    """The path of the model file, which a checkpoint's lives as long as the context; ``takes_module`` where --module
    also is the float network beside a model file. Raises UserError, DataError."""
    given = {option: getattr(arguments, option) for option in OPTIONS}
    if not is_checkpoint_path(arguments.model):
        for option, value in given.items():
            if value is not None:
                name = f"--{option.replace('_', '-')}"
                raise UserError(f"{name} is for a checkpoint; {arguments.model.name} was compiled with its own")
        if arguments.module is not None and not takes_module:
            raise UserError(f"--module is for a checkpoint; {arguments.model.name} runs as it is")
        if arguments.model.suffix == BUNDLE:
            spec = load_bundle(arguments.model)
            yield spec.path
            del spec  # its files were there as long as it was
            return
        yield arguments.model
        return
    with tempfile.TemporaryDirectory(prefix="mlu-export-") as folder:
        wanted = wanted_of(arguments)
        wanted = replace(wanted, files=replace(wanted.files, weights=arguments.model))
        files = compile_files(CompileRequest(wanted, Path(folder)))
        yield next(path for path in files if path.suffix == ".cambricon")
