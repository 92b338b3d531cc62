"""A TorchScript file as its graph of torch's own operators.

torch.jit.load runs what a file's classes do when they are made from their state (``__setstate__``), and some operators
read or write files. So classes with such a method are refused before the file is loaded, operators are looked at before
any is carried out, and ``forward`` is never called: the graph is followed here, operator by operator.
"""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from typing import Any

from mlu_agent.errors import DataError

from ...recording.values import UnsupportedError
from ...support.torch_needed import import_torch

MAX_CODE_BYTES = 64 << 20
MAX_ENTRIES = 100_000
MAX_RATIO, SLACK = 20, 1 << 20
STATE = (b"__setstate__", b"__getstate__")
FORBIDDEN = ("aten::save", "aten::from_file", "aten::load")
KINDS = (
    "prim::Constant", "prim::ListConstruct", "prim::TupleConstruct", "prim::ListUnpack", "prim::TupleUnpack",
    "prim::NumToTensor", "prim::GetAttr",
)  # fmt: skip


def is_torchscript(data: bytes) -> bool:
    """Whether it is a zip with the code of TorchScript beside its weights."""
    if data[:2] != b"PK":
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError):
        return False


def load_graph(data: bytes) -> Any:
    """The graph of a file's network with everything in line, its weights as constants. Raises DataError."""
    torch = import_torch()
    _check_code(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
            for node in module.inlined_graph.nodes():
                _check_node(node)
            return torch.jit.freeze(module).graph
    except (DataError, UnsupportedError):
        raise
    except Exception as error:  # whatever a damaged file makes torch's reader raise
        raise DataError(f"it is no TorchScript file that torch reads: {' '.join(str(error).split()):.200}") from error


def _check_code(data: bytes) -> None:
    """Raises DataError where loading would run anything, or the archive claims more than its size allows."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if len(entries) > MAX_ENTRIES or total > MAX_RATIO * len(data) + SLACK:
                raise DataError(f"the archive of {len(data)} bytes claims {len(entries)} entries of {total} bytes")
            code = [one for one in entries if one.filename.endswith(".py")]
            if sum(one.file_size for one in code) > MAX_CODE_BYTES:
                raise DataError(f"its code has more than {MAX_CODE_BYTES} bytes; no network needs so much")
            if any(word in archive.read(one) for one in code for word in STATE):
                raise DataError(
                    "its code has __setstate__, which loading it would run: trace the plain network anew with "
                    "torch.jit.trace"
                )
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise DataError(f"it is no TorchScript file: {error!s:.100}") from error


def _check_node(node: Any) -> None:
    kind = node.kind()
    if kind in ("prim::If", "prim::Loop"):
        raise UnsupportedError(
            f"its network has {kind.partition('::')[2].lower()}s in its code (torch.jit.script): trace it with a "
            "picture, torch.jit.trace"
        )
    if kind in FORBIDDEN or not (kind in KINDS or kind.startswith("aten::")):
        raise UnsupportedError(f"its code has {kind:.60}, which no network for the device needs")
