"""Writing a ``.bundle`` (FORMAT.md section 5): always the same bytes for the same files, signatures included."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlu_agent.config.new_files import remove_left, whole_file
from mlu_agent.config.toml_text import dump
from mlu_agent.errors import DataError, UserError
from mlu_agent.model.bundle_file import (
    DIGESTED,
    HEADER,
    MAGIC,
    MAX_INDEX,
    MAX_MEMBER_NAME,
    MAX_SIGNATURES,
    ROLES,
    SIGNATURE,
    SIGNED_PREFIX,
    VERSION,
    Signature,
    contents,
    open_bundle,
    read_head,
)

from ..support.files import check_regular, check_target, make_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Facts:
    """What a bundle says of itself beside its members."""

    name: str
    version: str
    least_agent: str
    hardware: tuple[str, ...]


def index_bytes(facts: Facts, members: Mapping[str, Path]) -> bytes:
    """The index of these files, by their roles. DataError for one that a bundle cannot hold."""
    document: dict[str, Any] = {"schema": 1, **facts.__dict__, "member": []}
    for role, limit in ROLES.items():
        if role in members:
            path = members[role]
            size, digest = _measure(path)
            if not size <= limit:
                raise DataError(f"{path}: has {size} bytes; a bundle takes {limit} of a {role} at most")
            if len(path.name.encode()) > MAX_MEMBER_NAME:
                raise DataError(f"{path}: a bundle takes names of {MAX_MEMBER_NAME} bytes at most; shorten this one")
            document["member"].append({"role": role, "name": path.name, "size": size, "sha256": digest})
    data = dump(document).encode()
    if len(data) > MAX_INDEX:
        raise DataError(f"the index has {len(data)} bytes; {MAX_INDEX} are accepted")
    return data


def write_bundle(path: Path, index: bytes, files: Sequence[Path], signatures: Iterable[Signature]) -> None:
    """The bundle of an index and its files, in the index's order; it appears whole. Checked as the agent does."""

    def write(file: Any) -> None:
        file.write(_head(index, signatures))
        for member in files:
            with member.open("rb") as source:
                while piece := source.read(1 << 20):
                    file.write(piece)

    _write(path, write)


def sign_bundle(path: Path, output: Path, sign: Callable[[bytes], Signature]) -> Signature:
    """The bundle with one signature more, the same key's replaced. Raises what the agent's reader does."""
    with open_bundle(path) as source:
        head = read_head(source, path.name)
        made = sign(head.index.signed)
        signatures = [*(one for one in head.signatures if one.public_key != made.public_key), made]

        def write(file: Any) -> None:
            file.write(_head(head.index.signed[len(SIGNED_PREFIX) :], signatures))
            for member in head.index.members:
                for piece in contents(source, member, path.name):
                    file.write(piece)

        _write(output, write)
    return made


def signed_bytes(index: bytes) -> bytes:
    """What a signature of a bundle is of."""
    return SIGNED_PREFIX + index


def _head(index: bytes, signatures: Iterable[Signature]) -> bytes:
    ordered = sorted(signatures, key=lambda one: one.public_key)
    if len(ordered) > MAX_SIGNATURES:
        raise UserError(f"a bundle takes {MAX_SIGNATURES} signatures at most")
    rest = index + b"".join(SIGNATURE.pack(one.public_key, one.value) for one in ordered)
    header = HEADER.pack(MAGIC, VERSION, len(index), len(rest) - len(index), 0, bytes(32))[:DIGESTED]
    return header + hashlib.sha256(header + rest).digest() + rest


def _write(path: Path, write: Callable[[Any], None]) -> None:
    make_directory(path.parent)
    check_target(path)
    remove_left(path.parent)
    try:
        with whole_file(path) as file:
            write(file)
            file.flush()
            file.seek(0)
            head = read_head(file, path.name)
            for member in head.index.members:  # what changed while it was copied is noticed before it has its name
                for _ in contents(file, member, path.name):
                    pass
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _measure(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    check_regular(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return size, digest.hexdigest()
