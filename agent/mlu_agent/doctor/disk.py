"""Room on the disks that the agent writes to, or reads from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .finding import Finding, fine, note, trouble

if TYPE_CHECKING:
    from pathlib import Path

LEAST_BYTES = 50_000_000  # a log of a day, a model that is being copied
LEAST_INODES = 500


@dataclass(frozen=True)
class Folder:
    """A folder that matters. ``use``: what for, as findings say it. ``written``: whether the agent has to write."""

    use: str
    path: Path
    written: bool = True


@dataclass(frozen=True)
class Facts:
    """``free``: bytes that users may take; ``inodes``: files that they may make, None where that has no limit."""

    there: bool
    free: int = 0
    inodes: int | None = None
    read_only: bool = False


def look(folder: Folder) -> Facts:
    """The file system under a folder."""
    try:
        status = os.statvfs(folder.path)
    except OSError:
        return Facts(there=False)
    inodes = status.f_favail if status.f_files else None
    return Facts(True, status.f_bavail * status.f_frsize, inodes, bool(status.f_flag & os.ST_RDONLY))


def judge(folder: Folder, facts: Facts) -> list[Finding]:
    """One finding for one folder; none where the folder is not there, which others tell of."""
    area, what = "disk", f"{folder.path} ({folder.use})"
    if not facts.there:
        return []
    if facts.read_only:
        if not folder.written:
            return [note(area, f"{what} is read-only, and need not be written to")]
        return [
            trouble(
                area,
                "disk-read-only",
                f"{what} is on a disk that is read-only",
                "`mount -o remount,rw` it; a disk that became so by itself is damaged: `dmesg` tells",
            )
        ]
    if facts.free < LEAST_BYTES:
        return [
            trouble(
                area,
                "disk-full",
                f"{what} has {facts.free / 1e6:.0f} MB left",
                f"make room: `du -xh {folder.path} | sort -h | tail`, `journalctl --vacuum-size=100M`",
            )
        ]
    if facts.inodes is not None and facts.inodes < LEAST_INODES:
        return [
            trouble(
                area,
                "disk-inodes",
                f"{what} has room for {facts.inodes} more files only",
                f"remove small files: `du --inodes -x {folder.path} | sort -n | tail`",
            )
        ]
    return [fine(area, f"{what}: {facts.free / 1e9:.1f} GB left")]
