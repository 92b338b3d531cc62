"""A TorchScript file as its graph of torch's own operators.

torch.jit.load runs what a file's classes do when they are made from their state (``__setstate__``), and some operators
read or write files. So classes with such a method are refused before the file is loaded, operators are looked at before
any is carried out, and ``forward`` is never called: the graph is followed here, operator by operator. A zip may show
one reader what it hides from another (two directories, names that differ in case), so torch is given an archive that is
written anew from what was looked at.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
import zlib
from typing import Any

from mlu_agent.errors import DataError

from ...formats.torch_file import check_archive, read_pt
from ...recording.values import UnsupportedError
from ...support.torch_needed import import_torch

MAX_CODE_BYTES = 64 << 20
STATE = (b"__setstate__", b"__getstate__")
OWN_CLASSES = b"torch.classes"  # of libraries, which make themselves from a state by code of their own
# What loading needs; debugging's pickles, extra files and traced inputs are left out.
LOADED = re.compile(
    r"code(?:/[A-Za-z_]\w*)+\.py|(?:data|constants)\.pkl|(?:data|constants)/\d+|version|byteorder", re.ASCII
)
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


def load_graph(data: bytes) -> tuple[Any, Any]:
    """A file's network and its graph with everything in line, of which nothing was computed. Raises DataError."""
    torch = import_torch()
    checked = _checked(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(io.BytesIO(checked), map_location="cpu").eval()
            graph = module.inlined_graph
            for node in graph.nodes():
                _check_node(node)
            return module, graph  # torch.jit.freeze would carry out what depends on weights alone, however large
    except (DataError, UnsupportedError):
        raise
    except Exception as error:  # whatever a damaged file makes torch's reader raise
        raise DataError(f"it is no TorchScript file that torch reads: {' '.join(str(error).split()):.200}") from error


def _checked(data: bytes) -> bytes:
    """The archive anew, of the entries that were looked at and no others; the same bytes for the same entries.

    Raises DataError where loading would run anything, or the archive claims more than its size allows.
    """
    entries = _entries(data)
    code = [text for name, text in entries.items() if name.startswith("code/")]
    if sum(map(len, code)) > MAX_CODE_BYTES:
        raise DataError(f"its code has more than {MAX_CODE_BYTES} bytes; no network needs so much")
    if any(word in text for text in code for word in STATE):
        raise DataError(
            "its code has __setstate__, which loading it would run: trace the plain network anew with torch.jit.trace"
        )
    pickles = [name for name in ("data.pkl", "constants.pkl") if name in entries]
    if any(OWN_CLASSES in text for text in [*code, *(entries[name] for name in pickles)]):
        raise DataError("it holds objects of torch.classes, which loading would make by code: trace the float network")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    for name in pickles:
        read_pt(made.getvalue(), name.partition(".")[0])  # it refuses names of code, and sizes that do not fit
    return made.getvalue()


def _entries(data: bytes) -> dict[str, bytes]:
    """The content of what loading needs, by name without the folder that all of it lies in."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = check_archive(archive, len(data))
            names = [one.filename for one in found]
            if len({name.lower() for name in names}) != len(names):  # torch's reader takes a and A for the same
                raise DataError("two entries of its archive have the same name")
            if len({name.partition("/")[0] for name in names}) != 1:
                raise DataError("the entries of its archive lie in more than one folder")
            kept = [(one.filename.partition("/")[2], one) for one in found]
            return {name: archive.read(one) for name, one in kept if LOADED.fullmatch(name)}
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
