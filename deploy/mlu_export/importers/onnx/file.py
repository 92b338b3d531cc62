"""ONNX files as untrusted bytes: parsed by the package ``onnx`` (extra ``[onnx]``), every size checked before use.

Weights may lie in other files beside it (external data); those are read from the file's own folder alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlu_agent.errors import DataError, UserError

from ...support.files import read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MAX_FILE_BYTES = (1 << 31) - 1
MAX_NODES = 1 << 16
MAX_ELEMENTS = 1 << 28  # of one tensor
MAX_COMPANIONS = 64
FIRST_OPSET, LAST_OPSET = 11, 20  # what was tried
USUAL_OPSET = 17
Tensor = npt.NDArray[Any]


def import_package() -> Any:
    """The package ``onnx``. Raises UserError with the remedy where it is not installed."""
    try:
        import onnx  # noqa: PLC0415 - the extra [onnx]
    except ImportError as error:
        raise UserError("ONNX files need the package onnx: pip install 'mlu-export[onnx]'") from error
    return onnx


def parse(data: bytes) -> Any:
    """The ModelProto of a file. Raises DataError."""
    onnx = import_package()
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"the file has {len(data)} bytes; at most {MAX_FILE_BYTES} are accepted")
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # the reader's own errors are no public classes in all its versions
        raise DataError("it is no ONNX file, or it was cut: it cannot be parsed") from error
    if not model.graph.node:
        raise DataError("it is no ONNX file, or it was cut: it holds no operators")
    if len(model.graph.node) > MAX_NODES or len(model.graph.initializer) > MAX_NODES:
        raise DataError(f"it holds more than {MAX_NODES} operators or weights; no network for this device is so large")
    return model


def opset_of(model: Any) -> int:
    """The version of ONNX's own operators. Raises DataError where it is older or newer than what was tried."""
    versions = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise DataError("it does not say which opset its operators are of; export it again")
    opset = int(versions[0])
    if not FIRST_OPSET <= opset <= LAST_OPSET:
        raise DataError(
            f"its operators are of opset {opset}; {FIRST_OPSET} to {LAST_OPSET} are read: export it with "
            f"opset_version={USUAL_OPSET}"
        )
    return opset


def read_companions(data: bytes, path: Path) -> dict[str, bytes]:
    """The files beside ``path`` that hold weights of it, by name. Raises DataError."""
    found: dict[str, bytes] = {}
    room = MAX_FILE_BYTES
    for tensor in _tensors(parse(data)):
        name = _external(tensor).get("location", "")
        if not _is_external(tensor) or name in found:
            continue
        if not name or name in (".", "..") or any(letter in name for letter in "/\\:\0"):
            raise DataError(
                f"the weights {tensor.name!r:.60} lie in {name!r:.80}; only files in its own folder are read"
            )
        if len(found) == MAX_COMPANIONS or not (path.parent / name).is_file() or (path.parent / name).is_symlink():
            raise DataError(
                f"its weights lie in {name}, which is no plain file beside it; copy both, or save the "
                "model with its weights inside"
            )
        found[name] = read_bounded(path.parent / name, room, "external weights")
        room -= len(found[name])
    return found


def _tensors(model: Any) -> Iterator[Any]:
    """Everything in the graph that holds numbers."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _is_external(tensor: Any) -> bool:
    return bool(tensor.data_location == 1)  # TensorProto.EXTERNAL


def _external(tensor: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def tensor_array(tensor: Any, companions: Mapping[str, bytes]) -> Tensor:
    """The numbers of a TensorProto. Raises DataError."""
    onnx = import_package()
    name = tensor.name
    shape = tuple(int(size) for size in tensor.dims)
    if any(size < 0 for size in shape) or len(shape) > 8 or math.prod(shape) > MAX_ELEMENTS:
        raise DataError(f"weights {name!r:.60}: impossible shape {list(shape)!s:.80}")
    try:
        if _is_external(tensor):
            return _external_array(onnx, tensor, shape, companions)
        array = np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        raise DataError(f"weights {name!r:.60} are damaged: {' '.join(str(error).split()):.120}") from error
    if array.shape != shape or array.dtype.kind not in "fiubV":
        raise DataError(f"weights {name!r:.60} are damaged or of a type that no network computes with")
    return array.astype(np.float32) if array.dtype.kind == "V" else array  # bfloat16 and its kin


def _external_array(onnx: Any, tensor: Any, shape: tuple[int, ...], companions: Mapping[str, bytes]) -> Tensor:
    entries = _external(tensor)
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    if dtype.kind not in "fiub":
        raise ValueError(f"external data of type {dtype}")
    data = companions[entries["location"]]
    start, size = int(entries.get("offset", "0")), math.prod(shape) * dtype.itemsize
    if start < 0 or start + size > len(data) or int(entries.get("length", size)) != size:
        raise ValueError(f"{size} bytes from {start} on are not in {entries['location']}")
    return np.frombuffer(data, dtype, math.prod(shape), start).reshape(shape)
