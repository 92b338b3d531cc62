"""From a ``.bundle`` to files that may be loaded: whole, signed by whom it must be, for this agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError
from ..version import version
from .bundle_file import open_bundle, read_head, version_numbers
from .golden import read_golden
from .signatures import check_signatures
from .unpacked import last_good, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .bundle_file import Head, Index
    from .signatures import Signer, Trust
    from .unpacked import Unpacked


@dataclass(frozen=True)
class Packed:
    """A bundle that was found whole, and signed by ``signers``. ``sha256`` tells it from every other one; its members
    are files as long as ``files`` is there. ``refused``: why what lies at ``path`` now is not this bundle, but a later
    one that is not taken; "": it is this one."""

    path: Path
    sha256: str
    index: Index
    signers: tuple[Signer, ...]
    files: Unpacked
    refused: str = ""

    @property
    def manifest(self) -> Path:
        """The manifest's file, with the model beside it."""
        return self.files.folder / self.index.members[0].name

    def agree(self, name: str, models: Mapping[str, tuple[str, str]]) -> None:
        """DataError unless index and golden frames are of this model.

        ``models``: for each role of a model what its file runs on, and its digest.
        """
        index, bundle = self.index, self.path.name
        if index.name != name:
            raise DataError(f"{bundle}: its index names {index.name!r}, its manifest {name!r}; make the bundle anew")
        hardware = tuple(sorted({runs_on for runs_on, _ in models.values()}))
        if hardware != index.hardware:
            raise DataError(
                f"{bundle}: says that it is for {', '.join(index.hardware)}, and its models are for "
                f"{', '.join(hardware)}; make the bundle anew"
            )
        for role in ("model", "device_model"):
            member = index.member(role)
            if (member is not None and member.sha256) != (role in models and models[role][1]):
                raise DataError(
                    f"{bundle}: its manifest and its index name other files as {role}; make the bundle anew"
                )
        for role, of in (("golden", "model"), ("device_golden", "device_model")):
            member = index.member(role)
            if member is not None:
                self._check_golden(member.name, "" if of not in models else models[of][1])

    def _check_golden(self, member: str, sha256: str) -> None:
        if read_golden(self.files.folder / member).model_sha256 != sha256:
            raise DataError(f"{self.path.name}: the golden frame {member} is of another model; make the bundle anew")


def open_packed(path: Path, trust: Trust | None) -> Packed:
    """Reads, checks and unpacks a bundle. UserError where there is none, DataError for one that is refused."""
    with open_bundle(path) as file:
        head = read_head(file, path.name)
        signers = _accept(head, path, trust)
        return Packed(path, head.sha256, head.index, signers, unpack(file, head, path.name))


def open_last_good(path: Path, trust: Trust | None, refused: str) -> Packed | None:
    """The last good bundle of a path whose own is ``refused``, None if there is none; DataError as ``open_packed``."""
    found = last_good(path)
    if found is None:
        return None
    head, files = found
    return Packed(path, head.sha256, head.index, _accept(head, path, trust), files, refused)


def _accept(head: Head, path: Path, trust: Trust | None) -> tuple[Signer, ...]:
    signers = check_signatures(head, path.name, trust)
    here = version()
    if here[:1].isdigit() and version_numbers(here) < version_numbers(head.index.least_agent):
        raise DataError(
            f"{path.name}: wants mlu-agent {head.index.least_agent} or newer, and this is {here}: update mlu-agent, or "
            "make the bundle for this one"
        )
    return signers
