"""``--module FILE.py:FUNCTION``: the user's own Python, run because the user names it, gives the torch module."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import runpy
import sys
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError, MluAgentError, UserError

from ...support.files import read_bounded, sha256_hex
from ...support.torch_needed import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...values.quantizer_parameters import QuantParameters

MAX_SOURCE_BYTES = 8 << 20
NESTED = ("state_dict", "model", "net")  # where training scripts put the weights in their checkpoints
PREFIX = "module."  # of torch's data-parallel wrapper


@dataclass(frozen=True)
class LoadedModule:
    """The module, the file it came from, digests of its weights and of the file, and the quantization of its layers by
    path where the weights are a quantized checkpoint."""

    module: Any
    file: str
    sha256: str
    file_sha256: str
    parameters: Mapping[str, QuantParameters] = field(default_factory=dict)


def load_module(where: str, state: bytes | None) -> LoadedModule:
    """Calls FUNCTION of FILE.py and loads a state dict into what it returns. Raises UserError, DataError."""
    name, _, function = where.rpartition(":")
    path = Path(name)
    if not name or not function.isidentifier() or path.suffix != ".py":
        raise UserError(f"--module {where!r:.80}: write FILE.py:FUNCTION, a function that returns the torch module")
    text = read_bounded(path, MAX_SOURCE_BYTES, "module")
    torch = import_torch()
    module = _called(path, function)
    if not isinstance(module, torch.nn.Module):
        raise UserError(f"{where} returns {type(module).__name__}; it must return a torch.nn.Module")
    if state is None:
        return LoadedModule(module, path.name, _digest(module), sha256_hex(text))
    parameters = _load(torch, module, state)
    return LoadedModule(module, path.name, sha256_hex(state), sha256_hex(text), parameters)


def _called(path: Path, function: str) -> Any:
    try:
        with _importing_beside(path):
            found = runpy.run_path(str(path), run_name=path.stem)
            if not callable(found.get(function)):
                raise UserError(f"{path} has no function {function}; name one that returns the torch module")
            return found[function]()
    except MluAgentError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f"{path}, line {lines[-1]}" if lines else str(path)
        if isinstance(error, SystemExit):
            raise UserError(
                f"{place}: it ends the program (sys.exit({error.code!r:.80})) where the module was to be made; "
                "--module runs the file, and then calls the function: let both return"
            ) from error
        raise UserError(f"{place}: {type(error).__name__}: {' '.join(str(error).split()):.300}") from error


@contextlib.contextmanager
def _importing_beside(path: Path) -> Iterator[None]:
    """The file imports what lies beside it, as it does when it is run by itself."""
    folder = str(path.parent.resolve())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _load(torch: Any, module: Any, state: bytes) -> dict[str, QuantParameters]:
    from ...quantizer.module_checkpoint import split_state  # noqa: PLC0415 - torch

    try:
        with warnings.catch_warnings():  # torch's own words about the file; what is wrong with it is a sentence below
            warnings.simplefilter("ignore")
            found = torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is no checkpoint makes torch's readers raise
        asks = re.search(r"GLOBAL ([\w.]{1,80})", str(error))
        said = f"it asks for {asks[1].rstrip('.')}" if asks else f"{error!s:.100}".partition(". ")[0]
        said = " ".join(said.split()) or type(error).__name__
        raise DataError(
            f"the weights are no state dict that torch reads without running code of it ({said}); save "
            "module.state_dict()"
        ) from error
    for key in NESTED:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(one, torch.Tensor) for one in found.values()):
        raise DataError("the weights are no state dict: a mapping from names to tensors; save module.state_dict()")
    if found and all(str(key).startswith(PREFIX) for key in found):
        found = {str(key)[len(PREFIX) :]: one for key, one in found.items()}
    found, parameters = split_state(found)
    try:
        module.load_state_dict(found)
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise DataError(f"the weights do not belong to the module: {text:.300}") from error
    return parameters


def _digest(module: Any) -> str:
    """Of names, shapes and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{name} {array.shape} {array.dtype}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
