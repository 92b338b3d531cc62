"""The whole examination: which checks there are, for a configuration or for the machine alone."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from ..config import ControlConfig, ModelConfig, load_config
from ..errors import MluAgentError, UserError
from ..model.unpacked import CACHE_VARIABLE
from . import cameras, clock, daemon, disk, driver, limits, model, packages, permissions, runtime, sockets, unit
from .checks import Check, run
from .disk import Folder
from .finding import Finding, fine, note, trouble, troubles
from .machine import Who, me, service_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..config import Config, SourceConfig

Ask = Callable[[Path], "Mapping[str, Any]"]
USUAL = Path("/etc/mlu-agent/mlu-agent.toml")
CACHE = Path("/var/cache/mlu-agent")
JOURNALS = (Path("/var/log/journal"), Path("/run/log/journal"))
RUNTIME_S = 10.0  # for the library, the device and the model
NAMED = (
    ("password_file: ", "password-file"),
    ("an ipc path has", "socket-path"),
    ("without a key", "insecure"),
    ("", "configuration"),
)  # what a sentence about the configuration holds, and the word for it
CAMERA_S = cameras.LONGEST_S + 1.0


@dataclass(frozen=True)
class Case:
    """What is examined. ``who``: the user that the daemon runs as. ``unit``: the properties of the service.
    ``running``: whether the daemon runs, which must not be disturbed then; ``status``: what it says of itself;
    ``silent``: why it said nothing although it listens."""

    path: Path | None
    config: Config | None
    who: Who
    unit: dict[str, str] = field(default_factory=dict)
    running: bool = False
    status: Mapping[str, Any] | None = None
    silent: str = ""

    @property
    def pid(self) -> int:
        """Of the daemon that says how it is; 0: none does."""
        return int(self.status["agent"]["pid"]) if self.status else 0


def connect(path: Path, config: Config, ask: Ask) -> tuple[list[Finding], bool]:
    """What only touching tells of a configuration: each source, each model on its device, the endpoint."""
    case = _case(path, config, _service()[0], ask)
    return run([*_runtime_checks(case), *_outside_checks(case, config)])


def examine(path: Path | None, ask: Ask) -> tuple[list[Finding], bool]:
    """All findings, and whether all checks came to their end. ``path``: of the configuration; None: the usual one if
    it is there, else only the machine is looked at. ``ask(socket)``: the status of the daemon that listens there."""
    path = path or (USUAL if os.access(USUAL, os.F_OK) else None)
    first, config = read_configuration(path)
    properties, service = _service()
    findings, over = run(list(_checks(_case(path, config, properties, ask))))
    return [*first, *service, *findings], over


def _case(path: Path | None, config: Config | None, properties: dict[str, str], ask: Ask) -> Case:
    who = (service_user() if properties.get("LoadState") == "loaded" else None) or me()
    place = (config.control if config is not None else ControlConfig()).socket
    status, silent = None, ""
    if place is not None and sockets.listener(f"ipc://{place}")[0]:
        try:
            status = ask(place)
        except MluAgentError as error:
            silent = error.message
    running = status is not None or bool(silent) or _runs(config, properties)
    return Case(path, config, who, properties, running=running, status=status, silent=silent)


def _service() -> tuple[dict[str, str], list[Finding]]:
    try:
        properties = unit.look()
    except OSError as error:
        return {}, [trouble(unit.AREA, "look-failed", f"systemctl cannot be asked: {error}", "mend systemd")]
    except subprocess.TimeoutExpired:
        hangs = "systemd does not answer"
        return {}, [trouble(unit.AREA, "look-hangs", hangs, "`systemctl daemon-reexec`, or restart the box")]
    return properties, unit.judge(properties)


def read_configuration(path: Path | None) -> tuple[list[Finding], Config | None]:
    """One finding for each thing that is wrong with the file."""
    if path is None:
        return [], None
    try:
        config = load_config(path)
    except UserError as error:
        remedy = f"change {path} there, and look again: `mlu-agent check -c {path}`"
        problems = [line for line in error.message.splitlines() if line.strip()]
        return [trouble("configuration", _named(line), line.strip(), remedy) for line in problems], None
    return [fine("configuration", f"{path}: {len(config.sources)} source(s)")], config


def _named(line: str) -> str:
    """A word for what is wrong with a configuration."""
    return next(code for mark, code in NAMED if mark in line)


def _runs(config: Config | None, properties: dict[str, str]) -> bool:
    if properties.get("ActiveState") in ("active", "reloading"):
        return True
    if config is None:
        return False
    places = [config.publish.endpoint, *([f"ipc://{config.control.socket}"] if config.control.socket else [])]
    return any(sockets.listener(place)[1] for place in places)


def _checks(case: Case) -> Iterator[Check]:
    status = case.status
    if status is not None:
        yield Check(daemon.AREA, lambda: daemon.judge(status))
    if case.silent:
        yield Check(daemon.AREA, lambda: daemon.judge_silence(case.silent))
    yield Check(packages.AREA, lambda: packages.judge(packages.look(), packages.exact()))
    yield Check(clock.AREA, lambda: clock.judge(clock.look()))
    yield from _runtime_checks(case)
    if case.config is None:
        yield Check(limits.AREA, lambda: limits.judge(limits.look(case.unit, case.pid), 1))
        return
    config, path = case.config, case.path or USUAL
    for one in config.models:
        yield Check(f"model {one.name}", partial(model.look, f"model {one.name}", one, config.sources_of(one)))
    yield from _outside_checks(case, config)
    for folder in _folders(config, case):
        yield Check("disk", partial(_look_at_disk, folder))
    size = sum(one.path.stat().st_size for one in config.models if os.access(one.path, os.F_OK))
    yield Check(limits.AREA, lambda: limits.judge(limits.look(case.unit, case.pid), len(config.sources), size))
    yield Check(permissions.AREA, lambda: permissions.look(path, config, case.who))


def _outside_checks(case: Case, config: Config) -> Iterator[Check]:
    """Sources, which a running daemon has already, and where subscribers connect."""
    if not case.running:
        for source in config.sources:
            yield Check(f"source {source.id}", partial(_look_at_source, source), CAMERA_S, cameras.stuck(source))
    yield Check("endpoint", partial(_look_at_endpoint, config.publish.endpoint, case))
    if config.metrics.listen:
        yield Check("metrics", partial(_look_at_metrics, f"tcp://{config.metrics.listen}", case))
    if config.control.socket is not None:
        yield Check("control", partial(_look_at_control, f"ipc://{config.control.socket}", case))


def _look_at_source(source: SourceConfig) -> list[Finding]:
    return cameras.judge(source, cameras.look(source))


def _look_at_endpoint(endpoint: str, case: Case) -> list[Finding]:
    facts = sockets.look(endpoint, case.who)
    return sockets.judge(endpoint, facts, running=case.running, made_by_unit=case.unit.get("LoadState") == "loaded")


def _look_at_metrics(endpoint: str, case: Case) -> list[Finding]:
    return [replace(one, area="metrics") for one in _look_at_endpoint(endpoint, case)]


def _look_at_control(endpoint: str, case: Case) -> list[Finding]:
    """The daemon runs without it, so by hand its folder may be missing."""
    found = [replace(one, area="control") for one in _look_at_endpoint(endpoint, case)]
    if case.unit.get("LoadState") == "loaded":
        return found
    without = "without it `mlu-agent status` and `ctl` cannot reach a daemon; control.socket names another place"
    return [note(one.area, one.found, without) if one.code in sockets.OF_FOLDERS else one for one in found]


def _look_at_disk(folder: Folder) -> list[Finding]:
    return disk.judge(folder, disk.look(folder))


def _folders(config: Config, case: Case) -> Iterator[Folder]:
    cache = _cache()
    kept = cache.is_dir()
    for one in config.models:
        yield Folder("model, golden frame", one.path.parent, written=not kept)
    if kept:
        yield Folder("golden frames", cache)
    if config.publish.endpoint.startswith("ipc:///"):
        yield Folder("socket", Path(config.publish.endpoint[len("ipc://") :]).parent)
    if case.unit:
        yield from (Folder("journal", journal) for journal in JOURNALS if journal.is_dir())


def _cache() -> Path:
    """Where the service keeps golden frames."""
    return Path(os.environ.get(CACHE_VARIABLE, "").split(":")[0] or CACHE)


def _runtime_checks(case: Case) -> Iterator[Check]:
    config = case.config
    models = config.models if config is not None else (ModelConfig(),)
    for one in models:
        if one.runtime in ("auto", "device"):
            yield Check(driver.AREA, partial(_look_at_driver, one.runtime, case.who))
        yield Check(runtime.AREA, partial(_look_at_runtime, one, case), RUNTIME_S + 1)


def _look_at_driver(choice: str, who: Who) -> list[Finding]:
    wanted = choice == "device" or runtime.library_file(choice) is not None
    return driver.judge(driver.look(who), who, wanted=wanted)


def _look_at_runtime(config: ModelConfig, case: Case) -> list[Finding]:
    facts = runtime.look(
        config.runtime, config if _may_run(config, case) else None, RUNTIME_S, _cache(), library_only=case.running
    )
    return runtime.judge(facts, f"model {config.name}", running=case.running)


def _may_run(config: ModelConfig, case: Case) -> bool:
    """Whether the device may have it: not while the daemon does, and never files that the daemon refuses."""
    if case.running or not (config.path.is_file() and os.access(config.path, os.R_OK)):
        return False
    sources = case.config.sources_of(config) if case.config is not None else ()
    return not troubles(model.look(config.name, config, sources))
