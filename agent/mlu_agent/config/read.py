"""The daemon's configuration: TOML -> Config, all problems of a file told together.

Every option, its default and its reason stand in ``systemd/mlu-agent.toml``; a test proves that the two agree.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from .addresses import RAW_AT, STREAM_SCHEMES, address_problem, has_login, with_login
from .endpoints import LOOPBACK, endpoint_problem
from .fields import Fields, raise_problems, show
from .files import read_bounded
from .passwords import MAX_PASSWORD, read_password
from .toml import parse_toml

MAX_CONFIG = 1 << 20
MAX_SOURCES = 64
STOP_RESERVE_MS = 500  # for everything at the end but the last messages' leaving
SOURCE_ID = r"[A-Za-z0-9._-]{1,64}"
_ID_REMEDY = "write 1 to 64 of the characters A-Z a-z 0-9 . _ -"
_SNAPSHOT_SCHEMES = ("http", "https")
_PLACES = ("url", "snapshot", "path", "camera", "synthetic")
_SYNTHETIC = re.compile(r"(\d{1,5})x(\d{1,5})@(\d{1,4}(?:\.\d{1,3})?)")


@dataclass(frozen=True)
class ModelConfig:
    """Which model runs, and where. A threshold of None is the manifest's; ``cores`` None takes all."""

    path: Path = Path()
    confidence: float | None = None
    iou: float | None = None
    max_detections: int | None = None
    runtime: str = "auto"
    cores: int | None = None


@dataclass(frozen=True)
class WatchConfig:
    """When a camera's picture counts as frozen, black, covered or moved (``sources/watch.py``); 0 switches one off."""

    enabled: bool = True
    frozen_s: float = 10.0
    frozen_noise: float = 0.05
    black_level: float = 24.0
    covered_detail: float = 0.02
    moved_share: float = 0.6
    hold_s: float = 5.0


@dataclass(frozen=True)
class SourceConfig:
    """One source.

    ``kind``      "url", "snapshot", "path", "camera" or "synthetic": which of the five the file says.
    ``location``  the URL with user and password in it (show it with ``shown``), the path, the camera's index or device
                  path, or "WIDTHxHEIGHT@FPS".
    ``transport`` how RTSP carries its packets: "tcp" or "udp".
    ``max_fps``   frames per second taken at most; 0 takes all.
    ``password_file``  where the password was read from; None if it stands in the configuration.
    """

    id: str
    kind: str
    location: str = field(repr=False)
    loop: bool = False
    realtime: bool = False
    max_fps: float = 0.0
    stall_timeout_s: float = 2.0
    open_timeout_s: float = 3.0
    transport: str = "tcp"
    reconnect_min_s: float = 0.5
    reconnect_max_s: float = 3.0
    password_file: Path | None = None
    watch: WatchConfig = field(default_factory=WatchConfig)

    @property
    def live(self) -> bool:
        """Whether frames go by whether or not they are taken: then the newest one counts, else none is dropped."""
        return self.kind in ("url", "snapshot", "camera") or self.realtime


@dataclass(frozen=True)
class PublishConfig:
    """The ZeroMQ socket. ``high_water_mark`` is in messages per subscriber."""

    endpoint: str = "ipc:///run/mlu-agent/detections.sock"
    insecure: bool = False
    high_water_mark: int = 100
    heartbeat_s: float = 1.0
    empty_frames: bool = True
    linger_ms: int = 500


@dataclass(frozen=True)
class LogConfig:
    """``level``: debug, info, warning, error. ``format``: json or text. ``summary_s``: between summaries, 0: none."""

    level: str = "info"
    format: str = "json"
    summary_s: float = 60.0


@dataclass(frozen=True)
class ServiceConfig:
    """``watchdog``: feed systemd's, if it asks. ``stop_timeout_s``: after that the process ends, whatever hangs.

    ``device_timeout_s``, ``device_start_timeout_s``: a call of the device that takes longer hangs, when it runs and
    when it is opened and loaded. ``golden_interval_s``: between two runs of the golden frame; 0: it is never run.
    """

    watchdog: bool = True
    device_timeout_s: float = 2.0
    device_start_timeout_s: float = 4.0
    golden_interval_s: float = 300.0
    stop_timeout_s: float = 5.0


@dataclass(frozen=True)
class Config:
    """All of it. ``box`` is this machine's name in messages and topics."""

    box: str
    model: ModelConfig
    sources: tuple[SourceConfig, ...]
    publish: PublishConfig = field(default_factory=PublishConfig)
    log: LogConfig = field(default_factory=LogConfig)
    service: ServiceConfig = field(default_factory=ServiceConfig)


class _Passing(str):
    """A problem that may pass without anybody's doing, such as a file on a mount that comes late."""

    __slots__ = ()


def load_config(path: str | Path) -> Config:
    """Reads the file ``path``; relative paths in it start at its folder. UserError tells all that is wrong with it."""
    file = Path(path)
    return parse_config(read_bounded(file, MAX_CONFIG, UserError), file.name, file.parent)


def parse_config(data: bytes, name: str = "configuration", folder: Path = Path()) -> Config:
    """Reads TOML ``data``; ``name`` is what sentences call it, ``folder`` is where relative paths start."""
    root = Fields(parse_toml(data, name, UserError), "", [])
    agent = root.table("agent")
    box = agent.text("box", "", pattern=f"(?:{SOURCE_ID})?", remedy=_ID_REMEDY)
    agent.close()
    config = Config(
        box=box or _host_name(),
        model=_read_model(root.table("model", required=True), folder),
        sources=_read_sources(root, folder),
        publish=_read_publish(root.table("publish")),
        log=_read_log(root.table("log")),
        service=_read_service(root.table("service")),
    )
    longest = config.service.stop_timeout_s * 1000 - STOP_RESERVE_MS
    if config.publish.linger_ms > longest:
        root.problem(
            "publish.linger_ms",
            f"{config.publish.linger_ms} leaves nothing of service.stop_timeout_s; write at most {longest:g}",
        )
    root.close()
    try:
        raise_problems(name, root.problems, UserError)
    except UserError as error:
        error.passes = all(isinstance(problem, _Passing) for problem in root.problems)
        raise
    return config


def _host_name() -> str:
    """The host's name, cut to what a topic may hold."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "box"


def _read_model(table: Fields, folder: Path) -> ModelConfig:
    usual = ModelConfig()
    remedy = 'write "auto", "device", "simulator" or the absolute path of a libcnrt.so'
    runtime = table.text("runtime", usual.runtime, pattern=r"auto|device|simulator|/.*", remedy=remedy)
    model = ModelConfig(
        path=folder
        / table.text("path", pattern=r".+\.(cambricon|toml)", remedy="write the path of a .cambricon model"),
        confidence=table.number("confidence", 0.0, minimum=0.0, maximum=1.0) or None,
        iou=table.number("iou", 0.0, minimum=0.0, maximum=1.0) or None,
        max_detections=table.integer("max_detections", 0, minimum=0, maximum=10000) or None,
        runtime=runtime,
        cores=table.integer("cores", 0, minimum=0, maximum=64) or None,
    )
    table.close()
    return model


def _read_sources(root: Fields, folder: Path) -> tuple[SourceConfig, ...]:
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
    identity = table.text("id", pattern=SOURCE_ID, remedy=_ID_REMEDY)
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
        stall_timeout_s=table.number("stall_timeout_s", usual.stall_timeout_s, minimum=0.1, maximum=3600.0),
        open_timeout_s=table.number("open_timeout_s", usual.open_timeout_s, minimum=0.1, maximum=600.0),
        transport=table.text("transport", usual.transport, pattern="tcp|udp", remedy='write "tcp" or "udp"'),
        reconnect_min_s=table.number("reconnect_min_s", usual.reconnect_min_s, minimum=0.05, maximum=3600.0),
        reconnect_max_s=table.number("reconnect_max_s", usual.reconnect_max_s, minimum=0.05, maximum=3600.0),
        password_file=password_file,
        watch=_read_watch(table.table("watch")),
    )
    if source.reconnect_max_s < source.reconnect_min_s:
        table.problem("reconnect_max_s", f"{source.reconnect_max_s:g} is below reconnect_min_s; write at least that")
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
        kind = _Passing if error.passes else str
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


def _read_publish(table: Fields) -> PublishConfig:
    usual = PublishConfig()
    publish = PublishConfig(
        endpoint=table.text("endpoint", usual.endpoint, remedy=f"write {LOOPBACK}"),
        insecure=table.boolean("insecure", usual.insecure),
        high_water_mark=table.integer("high_water_mark", usual.high_water_mark, minimum=1, maximum=1_000_000),
        heartbeat_s=table.number("heartbeat_s", usual.heartbeat_s, minimum=0.1, maximum=3600.0),
        empty_frames=table.boolean("empty_frames", usual.empty_frames),
        linger_ms=table.integer("linger_ms", usual.linger_ms, minimum=0, maximum=4000),
    )
    reason = endpoint_problem(publish.endpoint, publish.insecure)
    if reason:
        table.problem("endpoint", reason)
    table.close()
    return publish


def _read_log(table: Fields) -> LogConfig:
    usual = LogConfig()
    log = LogConfig(
        level=table.text("level", usual.level, choices=("debug", "info", "warning", "error")),
        format=table.text("format", usual.format, choices=("json", "text")),
        summary_s=table.number("summary_s", usual.summary_s, minimum=0.0, maximum=86400.0),
    )
    table.close()
    return log


def _read_service(table: Fields) -> ServiceConfig:
    usual = ServiceConfig()
    service = ServiceConfig(
        watchdog=table.boolean("watchdog", usual.watchdog),
        device_timeout_s=table.number("device_timeout_s", usual.device_timeout_s, minimum=0.1, maximum=600.0),
        device_start_timeout_s=table.number(
            "device_start_timeout_s", usual.device_start_timeout_s, minimum=0.1, maximum=600.0
        ),
        golden_interval_s=table.number("golden_interval_s", usual.golden_interval_s, minimum=0.0, maximum=86400.0),
        stop_timeout_s=table.number("stop_timeout_s", usual.stop_timeout_s, minimum=1.0, maximum=60.0),
    )
    table.close()
    return service
