"""``torch.jit.trace`` for modules on the device: fused calls, and the export of the model file at its first call."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from mlu_agent.errors import MluAgentError, UserError
from mlu_agent.model.golden import SUFFIX

from ..formats.container import write_model
from ..formats.twins import twins_text
from ..recording.layout import pixel_sources, store, unstore
from ..recording.lowering import lower_recorded
from ..recording.values import UnsupportedError, Value, ordered
from ..runners.golden import golden_file
from ..runners.simulator import Runner
from ..support.files import write_all
from .calls import FLOATS
from .description import manifest_of
from .materialize import begin
from .settings import SETTINGS
from .tensor import Capture, MluTensor, host_of

if TYPE_CHECKING:
    from ..recording.values import Shape
    from ..values.network import Array, Network

_plain: list[Any] = []


def install() -> None:
    """Replaces ``torch.jit.trace``; a second call does nothing."""
    if not _plain:
        _plain.append(torch.jit.trace)
        torch.jit.trace = functools.wraps(torch.jit.trace)(_trace)


def _trace(func: Any, example_inputs: Any = None, *arguments: Any, **named: Any) -> Any:
    examples = pytree.tree_leaves(example_inputs)
    if not any(isinstance(one, MluTensor) for one in examples):
        return _plain[0](func, example_inputs, *arguments, **named)
    named["check_trace"] = False  # it would compare a second run with other constants
    if isinstance(func, FusedModule):  # of a file, or traced before
        return func
    with torch.no_grad(), SETTINGS.attempting():
        return FusedModule(_plain[0](func, example_inputs, *arguments, **named))


@dataclass
class _Compiled:
    network: Network
    runner: Runner
    inputs: list[Value]
    outputs: list[Value]
    structure: Any
    pixels: str | None


class FusedModule(torch.nn.Module):  # type: ignore[misc]
    """A traced module. Each new shape of inputs is compiled once; an armed export is written then or later."""

    def __init__(self, traced: Any) -> None:
        super().__init__()
        self.traced = traced
        self._compiled: dict[Any, _Compiled] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("traced"), name)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Weights are part of the compiled network: on the device they are already, whatever file they came from."""
        if not isinstance(fn(torch.zeros(1)), MluTensor):
            self.traced._apply(fn, recurse)  # noqa: SLF001 - as torch itself does
        return self

    def forward(self, *inputs: Any) -> Any:
        if inputs and not any(isinstance(one, MluTensor) for one in inputs):
            return self.traced(*inputs)  # of a file, or brought to the CPU
        with SETTINGS.attempting():
            return self._fused(*inputs)

    def _fused(self, *inputs: Any) -> Any:
        if not all(isinstance(one, MluTensor) and one.dtype in FLOATS for one in inputs):
            raise UserError(
                "a traced model takes float16 or float32 tensors of the device: move its inputs to mlu_device()"
            )
        pixels = SETTINGS.channels
        key = (tuple((tuple(one.shape), one.dtype) for one in inputs), pixels)
        if key not in self._compiled:
            self._compiled[key] = self._compile(inputs, pixels)
        compiled = self._compiled[key]
        if SETTINGS.armed:
            export(compiled.network, pixels, [value.shape for value in compiled.outputs])
        return self._run(compiled, inputs)

    def _compile(self, inputs: Any, channels: str) -> _Compiled:
        begin()
        values = [Value(tuple(one.shape), one.dtype == torch.float16, "input") for one in inputs]
        result = self._replay(values)
        leaves, structure = pytree.tree_flatten(result)
        outputs = [_output(one) for one in leaves]
        pixels = channels if _takes_pixels(values, outputs) else None
        network = lower_recorded(values, outputs, pixels)
        return _Compiled(network, Runner(network), values, outputs, structure, pixels)

    def _replay(self, values: list[Value]) -> Any:
        """Lets torch interpret the traced graph over values without numbers."""
        with Capture.running() as capture, torch.no_grad():
            try:
                return self.traced(*(MluTensor(value=value) for value in values))
            except MluAgentError:
                raise
            except RuntimeError as error:  # torch's interpreter wraps what an operator raises
                if capture.error is not None:
                    raise capture.error from None
                raise UnsupportedError(f"the traced model cannot be compiled: {_last_line(error)}") from error

    def _run(self, compiled: _Compiled, inputs: Any) -> Any:
        begin()
        arrays = [host_of(one).numpy() for one in inputs]
        stored = [_as_pixels(array, compiled.pixels) if compiled.pixels else store(array) for array in arrays]
        results = compiled.runner.run(stored)
        tensors = [
            MluTensor(_as_seen(torch.from_numpy(unstore(array, value.shape).copy()), value))
            for array, value in zip(results, compiled.outputs)
        ]
        return pytree.tree_unflatten(tensors, compiled.structure)


def _as_seen(numbers: Any, value: Value) -> Any:
    """The files hold truth values and counts as floats."""
    return numbers.bool() if value.logical else numbers.long() if value.counts else numbers


def _output(one: Any) -> Value:
    if not isinstance(one, MluTensor) or one.value is None or one.host is not None:
        raise UnsupportedError(
            "a traced model returns something that is no result of its inputs; return tensors it computes"
        )
    return one.value


def _takes_pixels(inputs: list[Value], outputs: list[Value]) -> bool:
    """Whether the only thing that reads the only input is a first convolution that normalises: then it takes bytes."""
    readers = [one for one in ordered(outputs, inputs) if any(source in inputs for source in one.inputs)]
    return len(inputs) == 1 and bool(readers) and all(one.operation == "normalize_input" for one in readers)


def _as_pixels(array: Array, channels: str) -> Array:
    """(N, C, H, W) of 0..255 -> bytes with four channels in the order of set_input_format; alpha is 255."""
    clean = np.nan_to_num(array.astype(np.float32))
    rounded = np.clip(np.rint(clean), 0, 255).astype(np.uint8)
    if not np.array_equal(rounded, array):
        SETTINGS.warn(
            "the first convolution normalises, so that the compiled model takes bytes: the input had values that are "
            "no whole numbers from 0 to 255, and they were rounded. Give pixels as they are"
        )
    n, count, height, width = array.shape
    result = np.full((n, height, width, len(channels)), 255, np.uint8)
    result[..., list(pixel_sources(channels, count))] = rounded.transpose(0, 2, 3, 1)
    return result


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def export(network: Network, channels: str, shapes: list[Shape]) -> None:
    """Writes ``NAME.cambricon``, its side-car and (for a network of pictures) its manifest, and disarms."""
    name, SETTINGS.armed = SETTINGS.armed, ""
    path = Path(name)
    cores = SETTINGS.parallelism()
    file = f"{path.name}.cambricon"
    data = write_model(network, path.name, SETTINGS.core_version, cores)
    files = {file: data, f"{file}_twins": twins_text(network, file, cores).encode("utf-8")}
    manifest = manifest_of(network, path.name, data, channels, shapes)
    if manifest is not None:
        files[f"{path.name}.toml"] = manifest.encode("utf-8")
        golden = golden_file(network, data)
        files.update({} if golden is None else {f"{path.name}{SUFFIX}": golden})
    write_all(path.parent, files)
    SETTINGS.exported.append(path.parent / file)
    mega = math.ceil(len(data) / 1e5) / 10
    others = (
        f", its _twins, and {path.name}.toml, whose first lines say what to check" if manifest else " and its _twins"
    )
    print(f"mlu-export: wrote {path.parent / file} ({SETTINGS.core_version}, {cores} cores, {mega} MB){others}")
