"""Who may read what: secrets kept from others, and the service kept from nothing that it needs."""

from __future__ import annotations

import grp
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import remarks
from .finding import Finding, fine, trouble
from .machine import READ, Who, owned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..config import Config, SourceConfig

AREA = "permissions"


def look(path: Path, config: Config, who: Who) -> list[Finding]:
    """Of the configuration at ``path`` and what it names."""
    exposed = [_exposed(remark) for remark in remarks(path, config)]
    files = [path, *(one.password_file for one in config.sources if one.password_file)]
    files += [one.path for one in config.models]
    found = [*exposed, *_unreadable(files, who), *_cameras(config, who)]
    return found or [fine(AREA, f"{who.name} can read all that it needs, and nobody else the secrets")]


def _exposed(remark: str) -> Finding:
    found, _, remedy = remark.rpartition("; ")
    return trouble(AREA, "secret-exposed", found, remedy)


def _unreadable(files: Iterable[Path], who: Who) -> Iterator[Finding]:
    for file in dict.fromkeys(files):
        if file.exists() and not who.may_reach(file, READ):
            found = f"{file} cannot be read by {who.name} ({owned(file)})"
            yield trouble(AREA, "file-unreadable", found, "chown root:mlu-agent and chmod 0640 it, its folders 0750")


def _cameras(config: Config, who: Who) -> Iterator[Finding]:
    """Cameras of this machine belong to a group, usually "video"."""
    for source in config.sources:
        device = device_of(source)
        if device is not None and device.exists() and not who.may_reach(device, READ):
            yield of_camera(source.id, device, who)


def device_of(source: SourceConfig) -> Path | None:
    """The device file of a camera of this machine; None for all other sources."""
    if source.kind != "camera":
        return None
    return Path(f"/dev/video{source.location}" if source.location.isdigit() else source.location)


def of_camera(source_id: str, device: Path, who: Who) -> Finding:
    """What is told of a camera whose device file is closed."""
    return trouble(
        AREA,
        "camera-permission",
        f"source {source_id}: {device} cannot be read by {who.name} ({owned(device)})",
        f"`usermod -aG {_group(device)} {who.name}`, then restart the service",
    )


def _group(device: Path) -> str:
    try:
        return grp.getgrgid(device.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "video"
