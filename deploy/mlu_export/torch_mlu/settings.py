"""What ``torch_mlu.core.mlu_model`` was told, and what became of it. One process, one settings."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

CORE_VERSIONS = ("MLU220", "MLU270")
CORE_NUMBERS = (1, 4, 16)
INPUT_FORMATS = ("rgba", "argb", "bgra", "abgr")
MLU220_CORES = 4


def is_integer(value: object) -> bool:
    """Scripts are not typed: True is none."""
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass
class Settings:
    """``armed`` is the name of the next export, ``failed`` whether a trace or a traced call ended in an error since it
    was armed, ``exported`` the files written so far."""

    core_number: int = 1
    core_version: str = "MLU270"
    input_format: int = 0
    device: int = 0
    armed: str = ""
    failed: bool = False
    exported: list[Path] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    def set_core_number(self, number: int) -> None:
        if not is_integer(number) or number not in CORE_NUMBERS:
            raise UserError(f"set_core_number({number!r}): give 1, 4 or 16")
        self.core_number = number

    def set_core_version(self, version: str) -> None:
        if version not in CORE_VERSIONS:
            raise UserError(f"set_core_version({version!r}): give one of {', '.join(CORE_VERSIONS)}")
        self.core_version = version

    def set_input_format(self, number: int) -> None:
        if not is_integer(number) or not 0 <= number < len(INPUT_FORMATS):
            raise UserError(f"set_input_format({number!r}): give 0 (rgba), 1 (argb), 2 (bgra) or 3 (abgr)")
        self.input_format = number

    def arm(self, name: str) -> None:
        """Names the next export; an empty name takes it back. Its folder has to be there, as for the vendor's."""
        if not isinstance(name, str):
            raise UserError(f"save_as_cambricon({name!r}): give the name as a string, or '' to disarm")
        if name and not Path(name).parent.is_dir():
            raise UserError(
                f"save_as_cambricon({name!r}): there is no folder {Path(name).parent}; create it first, or name another"
            )
        if self.armed and name:
            self.warn(
                f"save_as_cambricon({self.armed!r}) was followed by {name!r} before any traced call: it wrote nothing"
            )
        self.armed, self.failed = name, False

    @contextlib.contextmanager
    def attempting(self) -> Iterator[None]:
        """Around a trace or a traced call, from which an export may come."""
        try:
            yield
        except BaseException:
            self.failed = True
            raise

    def one_device(self, asked: str, number: int | None) -> None:
        """Says that ``asked``, which names a device by its number, gets the only one."""
        if number is not None and number > 0:
            self.warn(f"{asked}: there is one simulated device, and it is used")

    @property
    def channels(self) -> str:
        return INPUT_FORMATS[self.input_format]

    def parallelism(self) -> int:
        """Cores per invocation of the compiled model; an MLU220 has four."""
        if self.core_version == "MLU220" and self.core_number > MLU220_CORES:
            self.warn(
                f"an MLU220 has {MLU220_CORES} cores: the model is compiled for {MLU220_CORES}, not {self.core_number}"
            )
            return MLU220_CORES
        return self.core_number

    def warn(self, text: str) -> None:
        """Says a sentence on stderr, once."""
        if text not in self.said:
            self.said.add(text)
            print(f"mlu-export: warning: {text}", file=sys.stderr)

    def report(self, ended: bool = True) -> None:
        """At the end of a script: an armed export that never happened. ``ended``: the script came to its own end."""
        if not self.armed:
            return
        call = f"save_as_cambricon({self.armed!r})"
        if self.failed:
            self.warn(f"{call} wrote no file: the traced model that was to be it failed")
        elif not ended:
            self.warn(f"{call} wrote no file: the script stopped before a traced model was called")
        else:
            self.warn(
                f"{call} was called, but no traced model was called afterwards: no file was written. The file is made "
                "by the first call of a traced model after arming; call the model once more"
            )


SETTINGS = Settings()
