"""Who signed a bundle, and whom this box trusts: the door to ``cryptography``, an extra of the agent.

A signature is ed25519's over the bundle's index. It brings its public key along, so that one by a key that nobody here
knows is checked too and a damaged one is told from a stranger's; trust is in keys that lie on this box alone.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config.files import path_problem, read_bounded
from ..errors import DataError, UserError
from .bundle_file import key_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..config import ModelConfig
    from .bundle_file import Head, Signature

PUBLIC_SUFFIX = ".pub"
MAX_KEYS = 64
MAX_KEY_FILE = 4096
EXTRA = "install the extra that checks signatures: pip install 'mlu-agent[sign]'"


@dataclass(frozen=True)
class Signer:
    """``name``: of the trusted key's file, "" for a key that is not trusted here; ``checked``: False where the extra
    that could check the signature is not installed."""

    key_id: str
    name: str
    checked: bool


@dataclass(frozen=True)
class Trust:
    """The keys that are trusted, by their raw public halves; ``place`` is where they lie. ``required``: one of them
    must have signed what is loaded."""

    place: Path
    keys: dict[bytes, str]
    required: bool = True


def trust_of(model: ModelConfig) -> Trust | None:
    """Whom the configuration wants to have signed a model. UserError as ``read_trust``."""
    return None if model.trust is None else read_trust(model.trust, required=model.require_signature)


def can_check() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("cryptography") is not None


def read_trust(place: Path, *, required: bool = True) -> Trust:
    """The public keys of a folder (NAME.pub, each a key of PEM) or of one file. UserError if there are none."""
    if not can_check():
        raise UserError(f"{place}: keys are trusted, and nothing here can check a signature; {EXTRA}")
    problem = path_problem(place)
    if problem:
        raise UserError(f"{place}: {problem}")
    try:
        files = sorted(place.glob(f"*{PUBLIC_SUFFIX}")) if place.is_dir() else [place]
    except OSError as failure:
        raise UserError(f"{place}: cannot be read ({failure.strerror}); check its permissions") from None
    if not 1 <= len(files) <= MAX_KEYS:
        raise UserError(f"{place}: holds {len(files)} keys NAME{PUBLIC_SUFFIX}; put 1 to {MAX_KEYS} there")
    return Trust(place, {read_public_key(file): file.stem for file in files}, required)


def read_public_key(file: Path) -> bytes:
    """The raw public key of a file of PEM, which holds an ed25519 key and nothing else."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    data = read_bounded(file, MAX_KEY_FILE, UserError)
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise UserError(f"{file}: is no public key of ed25519; give the .pub file that mlu-export keygen wrote")
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def check_signatures(head: Head, name: str, trust: Trust | None) -> tuple[Signer, ...]:
    """Who signed. DataError for a signature that is wrong, and where one by a trusted key is required and missing."""
    signers = tuple(_check(head, signature, name, trust) for signature in head.signatures)
    if trust is None or not trust.required or any(signer.name for signer in signers):
        return signers
    known = ", ".join(sorted(f"{label} ({key_id(key)})" for key, label in trust.keys.items()))
    if not signers:
        raise DataError(f"{name}: nobody signed it, and one of {known} has to; sign it with mlu-export sign")
    strangers = ", ".join(signer.key_id for signer in signers)
    raise DataError(
        f"{name}: is signed by {strangers}, which {trust.place} does not hold; one of {known} has to sign it, "
        "or put the signer's public key there if you trust it"
    )


def _check(head: Head, signature: Signature, name: str, trust: Trust | None) -> Signer:
    label = "" if trust is None else trust.keys.get(signature.public_key, "")
    if not can_check():
        return Signer(signature.key_id, "", checked=False)
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(signature.public_key).verify(signature.value, head.index.signed)
    except (InvalidSignature, ValueError):
        raise DataError(
            f"{name}: the signature by {label or signature.key_id} is not of this bundle: one of the two was "
            "changed; get it anew from where it was signed"
        ) from None
    return Signer(signature.key_id, label, checked=True)


def described(signers: tuple[Signer, ...]) -> Iterator[str]:
    """Each signer, for people."""
    for signer in signers:
        if not signer.checked:
            yield f"{signer.key_id} (not checked: {EXTRA})"
        else:
            yield f"{signer.name} ({signer.key_id})" if signer.name else f"{signer.key_id} (not among the trusted)"
