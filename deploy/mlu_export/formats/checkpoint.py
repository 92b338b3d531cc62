"""The vendor's checkpoint: torch's legacy file (before 1.6, no zip) of an OrderedDict of tensors with ``_metadata``.

Reading runs nothing of the file: it goes through the restricted unpickler of ``pickle_reader``. Writing gives the same
bytes for the same state dict, which ``torch.save`` does not: that one numbers storages by their addresses.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlu_agent.errors import DataError

from ..support.files import read_bounded, write_all
from .torch_file import MAGIC, MAX_ARCHIVE_BYTES, PROTOCOL, read_torch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SYSTEM = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
MAX_NAME = 1024

Tensors = OrderedDict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by key in the file's order, and the version of each module by name."""

    tensors: Tensors
    metadata: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict)

    def state_dict(self) -> Any:
        """The same as torch tensors, for ``load_state_dict``."""
        import torch  # noqa: PLC0415 - reading a checkpoint needs none

        state = OrderedDict((name, torch.from_numpy(np.array(value))) for name, value in self.tensors.items())
        state._metadata = self.metadata  # type: ignore[attr-defined]  # noqa: SLF001 - where torch looks for it
        return state

    @property
    def quantized(self) -> tuple[str, ...]:
        """Names of the layers with scales, in order."""
        return tuple(name[: -len(".scale")] for name in self.tensors if name.endswith(".scale"))


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint from disk, legacy or zip. Raises DataError with one sentence; nothing of the file is run."""
    data = read_bounded(path, MAX_ARCHIVE_BYTES, "checkpoint")
    try:
        return parse_checkpoint(data)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error


def parse_checkpoint(data: bytes) -> Checkpoint:
    """A checkpoint from its bytes. Raises DataError."""
    return checkpoint_of(read_torch(data))


def checkpoint_of(loaded: Any) -> Checkpoint:
    """The state dict that a file held. Raises DataError if it is something else, or not finite."""
    if not isinstance(loaded, dict):
        raise DataError(f"the file holds a {type(loaded).__name__}, not the state dict of a network")
    tensors: Tensors = OrderedDict()
    for name, value in dict.items(loaded):
        named = isinstance(name, str) and len(name) <= MAX_NAME and name.isprintable()  # sentences repeat names
        if not named or not isinstance(value, np.ndarray):
            raise DataError(f"entry {str(name)[:60]!r} is no tensor: this is not the state dict of a network")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise DataError(f"{name} holds NaN or infinite values; the weights are damaged")
        tensors[name] = value
    if not tensors:
        raise DataError("the checkpoint is empty")
    return Checkpoint(tensors, _metadata(vars(loaded).get("_metadata") if hasattr(loaded, "__dict__") else None))


def _metadata(found: Any) -> OrderedDict[str, dict[str, Any]]:
    """Module versions; anything else that hides in a hostile file is left behind."""
    kept: OrderedDict[str, dict[str, Any]] = OrderedDict()
    for name, value in dict.items(found) if isinstance(found, dict) else ():
        version = value.get("version") if type(value) is dict else None
        if isinstance(name, str) and isinstance(version, int):
            kept[name] = {"version": version}
    return kept


def checkpoint_bytes(state: Mapping[str, Any]) -> bytes:
    """A state dict of torch tensors as the vendor's tool would save it; equal states give equal bytes."""
    stream = io.BytesIO()
    for part in (MAGIC, PROTOCOL, SYSTEM):
        pickle.dump(part, stream, protocol=2)
    pickler = _Pickler(stream)
    pickler.dump(state)
    pickle.dump(sorted(pickler.storages), stream, protocol=2)
    for key in sorted(pickler.storages):
        raw = pickler.storages[key]
        stream.write(struct.pack("<q", raw[1]))
        stream.write(raw[0])
    return stream.getvalue()


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a state dict under a temporary name and renames it. Raises UserError where that cannot be done."""
    write_all(path.parent, {path.name: checkpoint_bytes(state)})


class _Pickler(pickle.Pickler):
    """Writes storages by number, of eight digits so that their order is also that of the text."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=2)
        self.storages: dict[str, tuple[bytes, int]] = {}
        self._keys: dict[int, str] = {}
        self._kept: list[Any] = []  # an address is a name only while the storage lives

    def persistent_id(self, item: Any) -> Any:
        import torch  # noqa: PLC0415 - only tensors need it, and they have it

        if type(item).__name__ != "TypedStorage":
            return None
        untyped = item._untyped_storage  # noqa: SLF001 - as torch.save does
        address = untyped._cdata  # noqa: SLF001
        if address not in self._keys:
            self._keys[address] = f"{len(self._keys):08d}"
            self._kept.append(untyped)
            raw = torch.empty(0, dtype=torch.uint8).set_(untyped.cpu())
            self.storages[self._keys[address]] = (raw.numpy().tobytes(), item._size())  # noqa: SLF001
        kind = getattr(torch, item._pickle_storage_type())  # noqa: SLF001
        return ("storage", kind, self._keys[address], "cpu", item._size(), None)  # noqa: SLF001
