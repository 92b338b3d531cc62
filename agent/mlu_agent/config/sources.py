"""The tables [[source]] of the configuration: where frames come from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import UserError
from .addresses import RAW_AT, STREAM_SCHEMES, address_problem, has_login, with_login
from .choices import read_classes, read_roi
from .fields import Fields, Passing, show
from .passwords import MAX_PASSWORD, read_password
from .values import SourceConfig, WatchConfig

if TYPE_CHECKING:
    from pathlib import Path

MAX_SOURCES = 64
SOURCE_ID = r"[A-Za-z0-9._-]{1,64}"
ID_REMEDY = "write 1 to 64 of the characters A-Z a-z 0-9 . _ -"
_SNAPSHOT_SCHEMES = ("http", "https")
_PLACES = ("url", "snapshot", "path", "camera", "synthetic")
_SYNTHETIC = re.compile(r"(\d{1,5})x(\d{1,5})@(\d{1,4}(?:\.\d{1,3})?)")


def read_sources(root: Fields, folder: Path) -> tuple[SourceConfig, ...]:
    """All of them, each with an id of its own; relative paths start at ``folder``."""
    tables = root.tables("source", longest=MAX_SOURCES)
    if not tables and not root.has("source"):
        root.problem("source", "is missing; write one [[source]] per camera, stream or file")
    sources = tuple(_read_source(table, folder) for table in tables)
    seen: set[str] = set()
    for table, source in zip(tables, sources):
        if source.id and source.id in seen:
            table.problem("id", f"{show(source.id)} names two sources; give each its own")
        seen.add(source.id)
    return sources


def _read_source(table: Fields, folder: Path) -> SourceConfig:
    identity = table.text("id", pattern=SOURCE_ID, remedy=ID_REMEDY)
    kind, location = _read_place(table, folder)
    location, password_file = _read_login(table, kind, location, folder)
    usual = SourceConfig(identity, kind, location)
    source = SourceConfig(
        identity,
        kind,
        location,
        loop=table.boolean("loop", usual.loop),
        realtime=table.boolean("realtime", usual.realtime),
        max_fps=table.number("max_fps", usual.max_fps, minimum=0.0, maximum=1000.0),
        min_fps=table.number("min_fps", usual.min_fps, minimum=0.0, maximum=1000.0),
        priority=table.integer("priority", usual.priority, minimum=1, maximum=9),
        classes=read_classes(table),
        confidence=table.number("confidence", usual.confidence, minimum=0.0, maximum=1.0),
        roi=read_roi(table, usual.roi),
        stall_timeout_s=table.number("stall_timeout_s", usual.stall_timeout_s, minimum=0.1, maximum=3600.0),
        open_timeout_s=table.number("open_timeout_s", usual.open_timeout_s, minimum=0.1, maximum=600.0),
        transport=table.text("transport", usual.transport, pattern="tcp|udp", remedy='write "tcp" or "udp"'),
        reconnect_min_s=table.number("reconnect_min_s", usual.reconnect_min_s, minimum=0.05, maximum=3600.0),
        reconnect_max_s=table.number("reconnect_max_s", usual.reconnect_max_s, minimum=0.05, maximum=3600.0),
        password_file=password_file,
        watch=_read_watch(table.table("watch")),
        model=table.text("model", usual.model, pattern=f"(?:{SOURCE_ID})?", remedy="write the name of a model"),
    )
    if source.reconnect_max_s < source.reconnect_min_s:
        table.problem("reconnect_max_s", f"{source.reconnect_max_s:g} is below reconnect_min_s; write at least that")
    if 0 < source.max_fps < source.min_fps:
        table.problem("min_fps", f"{source.min_fps:g} is more than max_fps = {source.max_fps:g}; write at most that")
    if source.transport != usual.transport and not location.lower().startswith(("rtsp://", "rtsps://")):
        table.problem("transport", '"udp" is for rtsp addresses only; remove it')
    if source.loop and kind in ("url", "snapshot", "camera"):
        table.problem("loop", "true is not accepted; only a path can be played again: remove it")
    table.close()
    return source


def _read_watch(table: Fields) -> WatchConfig:
    usual = WatchConfig()
    watch = WatchConfig(
        enabled=table.boolean("enabled", usual.enabled),
        frozen_s=table.number("frozen_s", usual.frozen_s, minimum=0.0, maximum=3600.0),
        frozen_noise=table.number("frozen_noise", usual.frozen_noise, minimum=0.0, maximum=255.0),
        black_level=table.number("black_level", usual.black_level, minimum=0.0, maximum=255.0),
        covered_detail=table.number("covered_detail", usual.covered_detail, minimum=0.0, maximum=1.0),
        moved_share=table.number("moved_share", usual.moved_share, minimum=0.0, maximum=1.0),
        hold_s=table.number("hold_s", usual.hold_s, minimum=0.0, maximum=3600.0),
    )
    table.close()
    return watch


def _read_place(table: Fields, folder: Path) -> tuple[str, str]:
    """The one of _PLACES that is written, and what it says."""
    written = [place for place in _PLACES if table.has(place)]
    if len(written) != 1:
        found = " and ".join(written) or "none"
        table.problem("url", f"one of {', '.join(_PLACES)} is needed, found {found}; write exactly one")
        return "path", ""
    kind = written[0]
    if kind == "camera":
        return kind, _read_camera(table)
    if kind == "path":
        remedy = "write the path of a video, a picture or a folder of pictures; an address belongs to url"
        value = table.text("path", pattern=r"(?!\w+://).+", remedy=remedy)
        return kind, str(folder / value)
    if kind == "synthetic":
        value = table.text("synthetic", pattern=r".+", remedy="write WIDTHxHEIGHT@FPS")
        if value and parse_synthetic(value) is None:
            table.problem("synthetic", f'{show(value)} is not accepted; write WIDTHxHEIGHT@FPS, as "1280x720@25"')
        return kind, value
    return kind, _read_url(table, kind, _SNAPSHOT_SCHEMES if kind == "snapshot" else STREAM_SCHEMES)


def _read_login(table: Fields, kind: str, location: str, folder: Path) -> tuple[str, Path | None]:
    """The location with user and password in it, and the file that the password came from."""
    user = table.text("user", "", longest=MAX_PASSWORD, secret=True)
    password = table.text("password", "", longest=MAX_PASSWORD, secret=True)
    name = table.text("password_file", "", remedy="write the path of a file that holds the password and nothing else")
    file = folder / name if name else None
    if file is not None and password:
        table.problem("password", "is written beside password_file; write one of them")
    elif file is not None:
        password = _read_password(table, file)
    if not (user or password):
        return location, file
    key = "user" if user else "password"
    if kind not in ("url", "snapshot"):
        table.problem(key, "belongs to a url or a snapshot; remove it")
    elif has_login(location):
        table.problem(key, "is written, and the url has a user or password too; write them in one place")
    else:
        location = with_login(location, user, password)
    return location, file


def _read_password(table: Fields, file: Path) -> str:
    """What the file holds; "" where it cannot be read, which is noted."""
    try:
        return read_password(file)
    except UserError as error:
        kind = Passing if error.passes else str
        table.problems.append(kind(f"{table.path('password_file')}: {error.message}"))
        return ""


def _read_camera(table: Fields) -> str:
    value = table.raw("camera")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"/dev/[\w/.:-]{1,200}", value):
        return value
    table.problem("camera", f'{show(value)} is not accepted; write an index from 0 to 255 or a path as "/dev/video0"')
    return ""


def _read_url(table: Fields, key: str, schemes: tuple[str, ...]) -> str:
    """The address, with user and password percent-encoded."""
    remedy = (
        f"write SCHEME://HOST/… with one of the schemes {', '.join(schemes)}, and a blank in it as %20; "
        "a file belongs to path"
    )
    url = with_login(table.text(key, pattern=r"\S+", remedy=remedy))
    problem = address_problem(url, schemes) if url else ""
    if problem:
        table.problem(key, f"{show(url)} is not accepted; {RAW_AT if problem == RAW_AT else remedy}")
    return url


def parse_synthetic(text: str) -> tuple[int, int, float] | None:
    """ "1280x720@25" -> width, height, frames per second; None if it is not of that form and of a sane size."""
    match = _SYNTHETIC.fullmatch(text)
    if not match:
        return None
    width, height, fps = int(match[1]), int(match[2]), float(match[3])
    return (width, height, fps) if 1 <= width <= 16384 and 1 <= height <= 16384 and 0 < fps <= 1000 else None
