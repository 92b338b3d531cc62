"""Bundles for tests, written from deploy/FORMAT.md section 5 alone: no writer of the project's is used."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ORDER = ("manifest", "model", "device_model", "golden", "device_golden", "provenance")


def index_text(members, *, name="small", version="1", least_agent="0.1.0", hardware='["simulator"]'):
    """The index of ``members``, (role, file name, bytes) each."""
    text = f'schema = 1\nname = "{name}"\nversion = "{version}"\nleast_agent = "{least_agent}"\n'
    text += f"hardware = {hardware}\n"
    for role, file, data in members:
        digest = hashlib.sha256(data).hexdigest()
        text += f'\n[[member]]\nrole = "{role}"\nname = "{file}"\nsize = {len(data)}\nsha256 = "{digest}"\n'
    return text


def bundle_bytes(index, members, signatures=(), *, version=1):
    """A bundle of an index's text, (role, file name, bytes) of each member, and (public key, signature) pairs."""
    index = index.encode()
    signed = b"".join(key + value for key, value in sorted(signatures))
    start = b"\x7fMLUB\r\n\x1a" + struct.pack("<IIIIQ", version, len(index), len(signed), 0, 0)
    head = start + hashlib.sha256(start + index + signed).digest() + index + signed
    return head + b"".join(data for _, _, data in members)


def small_members(model: Path, **more: bytes):
    """Those of a model with its manifest beside it, and whatever else is given by its role."""
    files = {
        "manifest": (model.with_suffix(".toml").name, model.with_suffix(".toml").read_bytes()),
        "model": (model.name, model.read_bytes()),
        **{role: (f"{role}.x", data) for role, data in more.items()},
    }
    return [(role, *files[role]) for role in ORDER if role in files]


def write_bundle(path: Path, members, signatures=(), **facts) -> Path:
    """The file of these members."""
    path.write_bytes(bundle_bytes(index_text(members, **facts), members, signatures))
    return path
