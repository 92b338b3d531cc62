"""Weights of any kind -> a float state dict, as PyTorch ports of the network load it.

Darknet networks get the keys of the vendor's port (``module_list.0.Conv2d.weight``) or of the public one that it came
from (``module_list.0.conv_0.weight``); YOLOv5 keeps those of its pickled modules. All values are float32.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError, UserError

from ..formats.checkpoint import Checkpoint, write_checkpoint
from ..formats.pickle_reader import Record, children, tensors
from ..formats.state_dict import StateDict, state_dict_of
from ..formats.torch_file import read_torch
from ..importers.darknet.archs import RELEASES, find_arch
from ..importers.darknet.values import LAYOUTS
from ..importers.source import import_model, read_source
from ..importers.yolov5.importer import from_state, model_of
from ..importers.yolov5.state import usual_activation
from ..support.files import check_output
from ..values.graph import Activation, Conv

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ..importers.darknet.archs import Arch
    from ..importers.source import Source
    from ..values.graph import Graph, ImportedModel
    from ..values.heads import Head

MAX_MODULES = 100_000
MAX_DEPTH = 100

Tensors = OrderedDict[str, "npt.NDArray[Any]"]


@dataclass(frozen=True)
class Converted:
    """What was written, and what its reader must know."""

    path: Path
    tensors: int
    values: int
    notes: tuple[str, ...]


def convert(arch_name: str, weights: Path, cfg: Path | None, output: Path, layout: str = "vendor") -> Converted:
    """Writes ``output`` in torch's format before 1.6, which every torch reads. Raises UserError and DataError."""
    _check_output(output, weights, cfg)
    _check_torch()
    arch = find_arch(arch_name)
    source = read_source(arch, weights, cfg)
    model = import_model(arch, source, None)
    state = state_of(arch, source, model, layout)
    notes = (*model.warnings, *_read_back(arch, model, state))
    write_checkpoint(output, Checkpoint(state).state_dict())
    return Converted(output, len(state), sum(value.size for value in state.values()), notes)


def state_of(arch: Arch, source: Source, model: ImportedModel, layout: str = "vendor") -> Tensors:
    """The float state dict of an imported source, in the order in which torch would save it. Raises DataError."""
    if model.quantized is not None:
        raise DataError(f"{source.name} is a quantized checkpoint already; its float weights are what to convert")
    if arch.family == "darknet":
        sections = source.cfg or ()
        return darknet_state(model, [index for index, one in enumerate(sections[1:]) if one.kind == "yolo"], layout)
    content = read_torch(source.weights)
    pickled, state = model_of(content), state_dict_of(content)
    found = module_state(pickled) if pickled is not None else OrderedDict(state.items() if state is not None else ())
    return OrderedDict((key, _stored(value)) for key, value in found.items())


def darknet_state(model: ImportedModel, heads: Sequence[int], layout: str) -> Tensors:
    """The state dict of a Darknet network; ports keep anchors there, the vendor's also its grids.

    ``heads`` has the numbers of the sections of its heads, in order.
    """
    parts: dict[int, Tensors] = {}
    for node in model.graph.convolutions():
        index = int(node.name.partition("_")[0])
        parts[index] = _convolution(node, *(template.format(index) for template in LAYOUTS[layout]))
    for index, head in zip(heads, model.heads):
        make = _grids if layout == "vendor" else _anchors
        parts[index] = make(model, head, f"module_list.{index}.yolo_{index}")
    return OrderedDict((key, value) for index in sorted(parts) for key, value in parts[index].items())


def _convolution(node: Conv, key: str, norm_key: str) -> Tensors:
    state: Tensors = OrderedDict({f"{key}.weight": node.weight})
    if node.bias is not None:
        state[f"{key}.bias"] = node.bias
    if node.norm is not None:
        names = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"}
        state.update((f"{norm_key}.{name}", getattr(node.norm, what)) for name, what in names.items())
        state[f"{norm_key}.num_batches_tracked"] = np.zeros((), np.int64)
    return state


def _grids(model: ImportedModel, head: Head, key: str) -> Tensors:
    """Cell numbers ``[1, 1, cells, 1]`` and anchors in cells, ``[A, 2]`` and by side ``[1, A, 1, 1]``."""
    rows, cols = (size // head.stride for size in model.graph.input_shape[:2])
    y, x = np.divmod(np.arange(rows * cols, dtype=np.int64), cols)
    anchors = (np.array(head.anchors, np.float64) / head.stride).astype(np.float32)
    return OrderedDict(
        {
            f"{key}.grid_x": x.astype(np.float32).reshape(1, 1, -1, 1),
            f"{key}.grid_y": y.astype(np.float32).reshape(1, 1, -1, 1),
            f"{key}.scaled_anchors": anchors,
            f"{key}.anchor_w": anchors[:, :1].reshape(1, -1, 1, 1),
            f"{key}.anchor_h": anchors[:, 1:].reshape(1, -1, 1, 1),
        }
    )


def _anchors(_model: ImportedModel, head: Head, key: str) -> Tensors:
    """Anchors in pixels, ``[A, 2]`` and ``[1, A, 1, 1, 2]``."""
    anchors = np.array(head.anchors, np.float32)
    return OrderedDict({f"{key}.anchors": anchors, f"{key}.anchor_grid": anchors.reshape(1, -1, 1, 1, 2)})


def module_state(model: Record) -> Tensors:
    """What ``state_dict()`` of a pickled module gives: parameters, kept buffers, then those of its children."""
    state: Tensors = OrderedDict()
    waiting: list[tuple[str, Record]] = [("", model)]
    count = 0
    while waiting:
        prefix, module = waiting.pop()
        count += 1
        if count > MAX_MODULES or prefix.count(".") > MAX_DEPTH:
            raise DataError("the pickled model holds itself, or far too many modules; the file is damaged")
        left_out = module.get("_non_persistent_buffers_set")
        named = left_out.arguments[0] if isinstance(left_out, Record) and left_out.arguments else ()
        names = {name for name in named if isinstance(name, str)} if isinstance(named, (list, tuple)) else set()
        state.update((prefix + name, value) for name, value in tensors(module).items() if name not in names)
        inner = [(f"{prefix}{name}.", child) for name, child in children(module).items() if isinstance(child, Record)]
        waiting += reversed(inner)
    return state


def same_network(one: Graph, other: Graph) -> bool:
    """Whether two graphs have the same nodes with the same values, to the bit."""
    if (one.input_shape, one.outputs, len(one.nodes)) != (other.input_shape, other.outputs, len(other.nodes)):
        return False
    return all(type(a) is type(b) and _equal(a, b) for a, b in zip(one.nodes, other.nodes))


def _equal(one: Any, other: Any) -> bool:
    """Field by field, arrays by their bytes."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        elif field.name == "norm" and a is not None and b is not None:
            same = _equal(a, b)
        else:
            same = a == b
        if not same:
            return False
    return True


def _read_back(arch: Arch, model: ImportedModel, state: Tensors) -> tuple[str, ...]:
    """What a YOLOv5 state dict no longer tells: a note names the release to give, or says that none will do."""
    if arch.family != "yolov5":
        return ()
    used = next((node.function for node in model.graph.nodes if isinstance(node, Activation)), "")
    size = model.graph.input_shape[:2]
    name = arch.name.partition("@")[0]
    lost = f"the state dict does not hold its wiring or its activation ({used}): build from the .pt instead"
    release = next((release for release, function in RELEASES.items() if function == used), None)
    if release is None:
        return (lost,)
    try:
        again = from_state(StateDict(Checkpoint(state)), (*size, 3), used)
    except DataError:
        return (lost,)
    if not same_network(model.graph, again.graph) or model.heads != again.heads:
        return (lost,)
    if used == usual_activation(any(key.rpartition(".")[0].endswith(".cv4.conv") for key in state)):
        return ()
    return (f"state dicts do not tell the activation, here {used}: give --arch {name}@{release} with this file",)


def _stored(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return value.astype(np.float32) if value.dtype.kind == "f" else value


def _check_output(output: Path, *inputs: Path | None) -> None:
    if output.is_dir():
        raise UserError(f"--output {output} is a folder; give the file to write, such as {output / 'yolov3.pth'}")
    check_output(output, "--output", [given for given in inputs if given is not None])


def _check_torch() -> None:
    try:
        import torch  # noqa: F401, PLC0415 - the extra [torch]
    except ImportError as error:
        raise UserError("convert writes tensors of torch: pip install 'mlu-export[torch]'") from error
