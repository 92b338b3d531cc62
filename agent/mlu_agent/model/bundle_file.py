"""A ``.bundle``: a model, its manifest, golden frames and provenance in one file (``deploy/FORMAT.md`` section 5).

    header 64 bytes | index, TOML | signatures | members in the index's order, to the last byte of the file

The index names every member with its size and digest, the header holds the digest of itself, index and signatures: so
each byte of the file is held by some digest. Everything is bounded before it is used; nothing is compressed and no name
leads anywhere, so that the worst a hostile file can do is to be refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from ..config.fields import Fields, raise_problems
from ..config.files import may_pass, reason
from ..config.toml import parse_toml
from ..errors import DataError, UserError
from .golden import MAX_GOLDEN
from .offline_model import MAX_FILE, MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX = ".bundle"
MAGIC = b"\x7fMLUB\r\n\x1a"  # the last three are what a transfer as text would change
VERSION = 1
HEADER = struct.Struct("<8sIIII8x32s")  # magic, version, bytes of the index, bytes of the signatures, 0, 0, digest
DIGESTED = 32  # of the header's bytes
SIGNATURE = struct.Struct("32s64s")  # ed25519: public key, signature
MAX_INDEX = 1 << 16
MAX_SIGNATURES = 16
SIGNED_PREFIX = b"mlu-agent bundle 1\n"  # before the index: so a key's signature of anything else is none of a bundle
# what a bundle may hold, each once, in this order; the greatest sizes
ROLES = {
    "manifest": 1 << 20,
    "model": MAX_FILE,
    "device_model": MAX_FILE,
    "golden": MAX_GOLDEN,
    "device_golden": MAX_GOLDEN,
    "provenance": 1 << 24,
}
HARDWARE = ("simulator", "MLU220", "MLU270", "unknown")
MAX_MEMBER_NAME = 200  # bytes
_COPIED = 1 << 20  # bytes at a time
_MEMBER_NAME = r"(?!\.)[^/\\:]+"


@dataclass(frozen=True)
class Member:
    """One file inside. ``offset``: where its bytes begin."""

    role: str
    name: str
    size: int
    sha256: str
    offset: int


@dataclass(frozen=True)
class Signature:
    """Of the index, by the key whose public half is ``public_key``."""

    public_key: bytes
    value: bytes

    @property
    def key_id(self) -> str:
        """What people call the key: 16 hexadecimal digits of its digest."""
        return key_id(self.public_key)


@dataclass(frozen=True)
class Index:
    """What a bundle says of itself; all of it is signed.

    ``hardware``     what its models run on: "simulator", "MLU220", "MLU270" or "unknown", sorted.
    ``least_agent``  the version of the agent that it wants at least.
    ``signed``       the bytes that signatures are of.
    """

    name: str
    version: str
    least_agent: str
    hardware: tuple[str, ...]
    members: tuple[Member, ...]
    signed: bytes

    def member(self, role: str) -> Member | None:
        """The one of that role, None where the bundle has none."""
        return next((one for one in self.members if one.role == role), None)


@dataclass(frozen=True)
class Head:
    """All but the members. ``raw``: its bytes; ``sha256``: of them, and so of everything that the file holds."""

    raw: bytes
    sha256: str
    index: Index
    signatures: tuple[Signature, ...]


def key_id(public_key: bytes) -> str:
    """Of a raw public key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def open_bundle(path: Path) -> IO[bytes]:
    """The file, for ``read_head`` and ``contents``. UserError where there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer holds nobody up
    except (OSError, ValueError) as failure:
        unreadable = UserError(f"{path}: cannot be read ({reason(failure)}); check the path and its permissions")
        unreadable.passes = may_pass(failure)
        raise unreadable from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UserError(f"{path}: not a regular file; give the path of a bundle")
    return os.fdopen(handle, "rb")


def read_head(file: IO[bytes], name: str, *, alone: bool = False) -> Head:
    """The head of an open bundle, whose size is that of all that the head names; ``name`` is what sentences call it.

    Nothing of a member was read yet. ``alone``: the file holds the head and nothing else. DataError for whatever is no
    bundle.
    """
    header = file.read(HEADER.size)
    if header[: len(MAGIC)] != MAGIC:
        raise DataError(f"{name}: does not begin with 7F 'MLUB': no bundle; give the file that mlu-export bundle wrote")
    if len(header) < HEADER.size:
        raise _damaged(name, "it ends in its header")
    _, version, index_bytes, signature_bytes, zero, digest = HEADER.unpack(header)
    if version != VERSION:
        raise DataError(f"{name}: is a bundle of version {version}, this agent reads {VERSION}: update mlu-agent")
    if zero or any(header[24:DIGESTED]) or not 0 < index_bytes <= MAX_INDEX:
        raise _damaged(name, "its header is wrong")
    if signature_bytes % SIGNATURE.size or signature_bytes > MAX_SIGNATURES * SIGNATURE.size:
        raise _damaged(name, f"it has no whole number of signatures up to {MAX_SIGNATURES}")
    rest = file.read(index_bytes + signature_bytes)
    if len(rest) < index_bytes + signature_bytes:
        raise _damaged(name, "it ends in its index")
    if hashlib.sha256(header[:DIGESTED] + rest).digest() != digest:
        raise _damaged(name, "its index has another digest than it says")
    raw = header + rest
    index = _read_index(rest[:index_bytes], name, len(raw))
    end = len(raw) if alone else index.members[-1].offset + index.members[-1].size
    size = os.fstat(file.fileno()).st_size
    if size != end:
        raise _damaged(name, f"it has {size} bytes, its index names {end}")
    return Head(raw, hashlib.sha256(raw).hexdigest(), index, _read_signatures(rest[index_bytes:], name))


def contents(file: IO[bytes], member: Member, name: str) -> Iterator[bytes]:
    """The member's bytes, piece by piece. DataError after the last one if their digest is another: believe none of them
    before."""
    file.seek(member.offset)
    digest, left = hashlib.sha256(), member.size
    while left and (piece := file.read(min(left, _COPIED))):
        digest.update(piece)
        left -= len(piece)
        yield piece
    if left or digest.hexdigest() != member.sha256:
        raise _damaged(name, f"{member.name} in it has another digest than its index says")


def _damaged(name: str, why: str) -> DataError:
    return DataError(f"{name}: the bundle is damaged, {why}; copy it again")


def _read_index(data: bytes, name: str, start: int) -> Index:
    root = Fields(parse_toml(data, f"{name}: index", DataError), "", [])
    root.integer("schema", minimum=1, maximum=1)
    hardware = root.array("hardware", longest=len(HARDWARE), remedy=f"write some of {', '.join(HARDWARE)}")
    index = Index(
        name=root.text("name", longest=MAX_NAME),
        version=root.text("version", longest=MAX_NAME),
        least_agent=root.text("least_agent", pattern=r"\d{1,6}(\.\d{1,6}){2}", remedy="write three numbers with dots"),
        hardware=tuple(str(one) for one in hardware),
        members=tuple(_read_members(root, start)),
        signed=SIGNED_PREFIX + data,
    )
    if not hardware or hardware != sorted(set(HARDWARE) & {str(one) for one in hardware}):
        root.problem("hardware", f"is not a sorted list of some of {', '.join(HARDWARE)}")
    root.close()
    raise_problems(f"{name}: index", root.problems, DataError)
    return index


def _read_members(root: Fields, offset: int) -> Iterator[Member]:
    tables = root.tables("member", longest=len(ROLES))
    order, names = list(ROLES), set()
    for table in tables:
        role = table.text("role", choices=order)
        member = Member(
            role,
            table.text("name", pattern=_MEMBER_NAME, remedy="write a file name without directories", longest=200),
            table.integer("size", minimum=0, maximum=ROLES.get(role, 0)),
            table.text("sha256", pattern="[0-9a-f]{64}", remedy="write the 64 hexadecimal digits of sha256sum"),
            offset,
        )
        table.close()
        if len(member.name.encode("utf-8", "replace")) > MAX_MEMBER_NAME or member.name in names:
            table.problem("name", "is longer than 200 bytes, or there twice")
        names.add(member.name)
        order = order[order.index(role) + 1 :] if role in order else order  # each once, and in their order
        offset += member.size
        yield member
    if [table.raw("role") for table in tables][:2] != ["manifest", "model"]:
        root.problem("member", 'does not begin with the roles "manifest" and "model"')


def _read_signatures(data: bytes, name: str) -> tuple[Signature, ...]:
    found = tuple(Signature(key, value) for key, value in SIGNATURE.iter_unpack(data))
    keys = [one.public_key for one in found]
    if keys != sorted(set(keys)):
        raise _damaged(name, "its signatures are not sorted by their keys, each once")
    return found


def version_numbers(text: str) -> tuple[int, ...]:
    """Of a version such as "0.1.0" or "0.2.0rc1", its first three numbers, for comparison."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
