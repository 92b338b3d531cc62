"""The daemon's configuration: TOML -> Config, all problems of a file told together.

Every option, its default and its reason stand in ``systemd/mlu-agent.toml``; a test proves that the two agree.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from ..errors import UserError
from .control import read_control
from .endpoints import LOOPBACK, endpoint_problem
from .fields import Fields, Passing, raise_problems
from .files import read_bounded
from .metrics import read_metrics
from .models import check_models_of, read_models
from .sources import ID_REMEDY, SOURCE_ID, read_sources
from .toml import parse_toml
from .values import Config, ControlConfig, LogConfig, PublishConfig, ServiceConfig, SimulatorConfig

MAX_CONFIG = 1 << 20
STOP_RESERVE_MS = 500  # for everything at the end but the last messages' leaving


def load_config(path: str | Path) -> Config:
    """Reads the file ``path``; relative paths in it start at its folder and come out absolute, however it was named:
    what is read again later is the same. UserError tells all that is wrong with it."""
    file = Path(path)
    return parse_config(read_bounded(file, MAX_CONFIG, UserError), file.name, file.absolute().parent)


def load_control(path: str | Path) -> ControlConfig:
    """``[control]`` of the file ``path`` alone: who asks a running daemon needs no more of it, right or wrong."""
    file = Path(path)
    root = Fields(parse_toml(read_bounded(file, MAX_CONFIG, UserError), file.name, UserError), "", [])
    control = read_control(root.table("control"), file.absolute().parent)
    raise_problems(file.name, root.problems, UserError)
    return control


def parse_config(data: bytes, name: str = "configuration", folder: Path = Path()) -> Config:
    """Reads TOML ``data``; ``name`` is what sentences call it, ``folder`` is where relative paths start."""
    root = Fields(parse_toml(data, name, UserError), "", [])
    agent = root.table("agent")
    box = agent.text("box", "", pattern=f"(?:{SOURCE_ID})?", remedy=ID_REMEDY)
    agent.close()
    config = Config(
        box=box or _host_name(),
        models=read_models(root, folder),
        sources=read_sources(root, folder),
        publish=_read_publish(root.table("publish")),
        log=_read_log(root.table("log")),
        service=_read_service(root.table("service")),
        control=read_control(root.table("control"), folder),
        metrics=read_metrics(root.table("metrics")),
        simulator=_read_simulator(root.table("simulator"), folder),
    )
    check_models_of(config.sources, config.models, root)
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
        error.passes = all(isinstance(problem, Passing) for problem in root.problems)
        raise
    return config


def _host_name() -> str:
    """The host's name, cut to what a topic may hold."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "box"


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


def _read_simulator(table: Fields, folder: Path) -> SimulatorConfig:
    """A relative path starts at ``folder``. Whether it is there is asked with the model: a box needs none."""
    standins = table.text("standins", "", remedy='write the path of a folder, or ""')
    table.close()
    return SimulatorConfig(folder / standins if standins else None)


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
