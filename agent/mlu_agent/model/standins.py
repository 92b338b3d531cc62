"""Stand-ins: models of the simulator that compute for device files, in a folder by the device file's digest.

The simulator finds and checks them itself (``native/ABI.md``, section 5.1). Here is what it does not do: choosing the
folder, describing a file that describes nothing of itself, and telling one stand-in from another at the same path.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.files import read_bounded
from ..errors import DataError
from .offline_model import MAX_FILE, read_offline_model

if TYPE_CHECKING:
    from .offline_model import OfflineModel

VARIABLE = "CNRT_SIMULATOR_STANDINS"


@dataclasses.dataclass(frozen=True)
class Standin:
    """The file that computes; its digest when it was looked at, and what its model is called: both "" if it cannot be
    read (any more)."""

    path: Path
    sha256: str = ""
    name: str = ""

    @property
    def words(self) -> str:
        """For people."""
        return f'the stand-in {self.path} ("{self.name}") computes for the device file'

    @staticmethod
    def at(path: Path) -> Standin:
        """What lies there now."""
        try:
            data = read_bounded(path, MAX_FILE, DataError)
            return Standin(path, hashlib.sha256(data).hexdigest(), read_offline_model(data).name)
        except DataError:
            return Standin(path)


def choose_folder(folder: Path | None) -> None:
    """From now on the simulator of this process, and of those that it starts, looks there; None: where it did."""
    if folder is not None:
        os.environ[VARIABLE] = str(folder)


def standin_path(sha256: str) -> Path | None:
    """Where the stand-in of a device file lies, or would lie; None if there is no folder of them."""
    folder = os.environ.get(VARIABLE, "")
    return Path(folder) / f"{sha256}.cambricon" if folder else None


def described(model: OfflineModel, sha256: str) -> OfflineModel:
    """A container of 2019, which describes no inputs and outputs, with those of its stand-in; without one, and any
    other, as it is. DataError if there is a stand-in that cannot be read."""
    path = None if model.inputs else standin_path(sha256)
    if path is None or not os.path.lexists(path):
        return model
    other = read_offline_model(path)
    return dataclasses.replace(model, inputs=other.inputs, outputs=other.outputs, borrowed=True)


def read_described(path: Path) -> OfflineModel:
    """The container in a file, as ``described``. Raises DataError."""
    model = read_offline_model(path)
    if model.inputs or standin_path("") is None:
        return model
    return described(model, hashlib.sha256(read_bounded(path, MAX_FILE, DataError)).hexdigest())
