"""Keys that sign bundles: ed25519, as files of PEM; the door to ``cryptography``, an extra."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import stat
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import UserError
from mlu_agent.model.bundle_file import Signature, key_id
from mlu_agent.model.signatures import MAX_KEY_FILE, PUBLIC_SUFFIX

from ..support.files import make_directory, read_bounded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRIVATE_SUFFIX = ".key"


def _require() -> None:
    if importlib.util.find_spec("cryptography") is None:
        raise UserError("signing needs the package cryptography: pip install 'mlu-export[sign]'")


def make_key(private: Path) -> tuple[Path, str]:
    """A new key: the file ``private``, which nobody else can read, and the public one beside it; its path and the key's
    id. UserError where one of the two is there already: no key is ever replaced."""
    _require()
    from cryptography.hazmat.primitives import serialization as to  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    public = private.with_suffix(PUBLIC_SUFFIX)
    if private == public:
        raise UserError(f"{private}: give the private key's file, as NAME{PRIVATE_SUFFIX}")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.NoEncryption())
    shared = key.public_key().public_bytes(to.Encoding.PEM, to.PublicFormat.SubjectPublicKeyInfo)
    make_directory(private.parent)
    _write_new(public, shared, 0o644)
    try:
        _write_new(private, secret, 0o600)
    except UserError:
        with contextlib.suppress(OSError):
            public.unlink()
        raise
    return public, key_id(_raw(key.public_key()))


def signer(private: Path) -> Callable[[bytes], Signature]:
    """What signs with that key. UserError for a file that others can read, or that is no key of ed25519."""
    _require()
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    data = read_bounded(private, MAX_KEY_FILE, "private key")
    mode = stat.S_IMODE(private.stat().st_mode)
    if mode & 0o077:
        raise UserError(f"{private}: others can read this private key (mode {mode:04o}); chmod 0600 it")
    try:
        key = serialization.load_pem_private_key(data, None)
    except TypeError:
        raise UserError(f"{private}: is encrypted, and nobody is asked here; give one without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{private}: is no private key of ed25519; give the file that mlu-export keygen wrote")
    public = _raw(key.public_key())
    return lambda data: Signature(public, key.sign(data))


def _raw(public_key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra

    raw: bytes = public_key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return raw


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise UserError(f"{path}: is there already, and no key is replaced; give another name") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
