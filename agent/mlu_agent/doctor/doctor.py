"""The whole examination: which checks there are, for a configuration or for the machine alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from ..config import ControlConfig, ModelConfig, load_config, shown
from ..config.files import path_problem
from ..errors import MluAgentError, UserError
from ..model.standins import choose_folder
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
    """What is examined. ``who``: the user that the daemon runs as. ``unit``: the properties of the service. Of the
    daemon that this configuration runs: ``status``: what it says of itself; ``silent``: why it said nothing although
    it listens; ``presumed``: why it is taken to run although nobody could ask it. ``process``: what listens on the
    control socket, "" nobody."""

    path: Path | None
    config: Config | None
    who: Who
    unit: dict[str, str] = field(default_factory=dict)
    status: Mapping[str, Any] | None = None
    silent: str = ""
    presumed: str = ""
    process: str = ""

    @property
    def running(self) -> bool:
        """Whether the daemon runs, which must not be disturbed then."""
        return self.status is not None or bool(self.silent or self.presumed)

    def has(self, source: SourceConfig) -> bool:
        """Whether the daemon reads that source, as it is written here."""
        wanted = (source.id, source.kind, shown(source.location))
        theirs = self.status["sources"] if self.status else ()
        return any((one["id"], one["kind"], one["location"]) == wanted for one in theirs)

    @property
    def pid(self) -> int:
        """Of the daemon that says how it is; 0: none does."""
        return int(self.status["agent"]["pid"]) if self.status else 0


def connect(path: Path, config: Config, ask: Ask) -> tuple[list[Finding], bool]:
    """What only touching tells of a configuration: each source, each model on its device, the endpoint."""
    case = _case(path, config, _service()[0], ask)
    return run([*_runtime_checks(case), *_outside_checks(case, config), *_missing_paths(case, config)])


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
    process = "" if place is None else sockets.listener(f"ipc://{place}")[0]
    case = Case(path, config, who, properties, process=process)
    if place is None or not process:
        return replace(case, presumed=_presumed(case))
    try:
        status = ask(place)
    except MluAgentError as error:
        return replace(case, silent=error.message)
    return replace(case, status=status) if _is_of(status, case) else case


def _is_of(status: Mapping[str, Any], case: Case) -> bool:
    """Whether what answers is the daemon of this configuration, and not another one's that has its control socket."""
    agent, config = status["agent"], case.config
    if config is None:
        return True
    with contextlib.suppress(OSError, ValueError):
        if case.path is not None and case.path.samefile(agent["config"]):
            return True
    wanted = config.publish.endpoint  # a port that was left to the system is another one by now
    any_port = wanted.endswith(":*") and agent["endpoint"].startswith(wanted[:-1])
    return agent["box"] == config.box and (any_port or agent["endpoint"] in ("", wanted))


def _presumed(case: Case) -> str:
    """Why the daemon is taken to run although nothing listens on its control socket; "": it is not."""
    if case.path in (None, USUAL) and case.unit.get("ActiveState") in ("active", "reloading"):
        return "the service is active, and nothing listens on its control socket"
    if case.config is not None and case.config.control.socket is None:
        user, ours = sockets.listener(case.config.publish.endpoint)
        if ours:
            return f'{user} listens on the endpoint, and control.socket = "" leaves nothing to ask it by'
    return ""


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
        choose_folder(config.simulator.standins)
    except UserError as error:
        remedy = f"change {path} there, and look again: `mlu-agent check -c {path}`"
        problems = [line for line in error.message.splitlines() if line.strip()]
        return [trouble("configuration", _named(line), line.strip(), remedy) for line in problems], None
    return [fine("configuration", f"{path}: {len(config.sources)} source(s)")], config


def _named(line: str) -> str:
    """A word for what is wrong with a configuration."""
    return next(code for mark, code in NAMED if mark in line)


def _checks(case: Case) -> Iterator[Check]:
    status = case.status
    if status is not None:
        ours = {source.id for source in case.config.sources} if case.config is not None else set()
        others = [one for one in status["sources"] if one["id"] not in ours]
        yield Check(daemon.AREA, lambda: daemon.judge({**status, "sources": others}))
    yield Check(packages.AREA, lambda: packages.judge(packages.look(), packages.exact()))
    yield Check(clock.AREA, lambda: clock.judge(clock.look()))
    yield from _runtime_checks(case)
    if case.config is None:
        if case.silent:
            yield Check(daemon.AREA, lambda: daemon.judge_silence(case.silent))
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
    """Sources, but for those that a running daemon reads, of which it tells; and where subscribers connect."""
    if case.silent:
        yield Check(daemon.AREA, lambda: daemon.judge_silence(case.silent))
    if case.running and case.status is None:
        yield Check(daemon.AREA, lambda: [daemon.left_alone(case.silent or case.presumed)])
    else:
        for source in config.sources:
            look = partial(_told if case.has(source) else _look_at_source, source, case)
            yield Check(f"source {source.id}", look, CAMERA_S, cameras.stuck(source))
    yield Check("endpoint", partial(_look_at_endpoint, config.publish.endpoint, case))
    if config.metrics.listen:
        yield Check("metrics", partial(_look_at_metrics, f"tcp://{config.metrics.listen}", case))
    if config.control.socket is not None:
        yield Check("control", partial(_look_at_control, f"ipc://{config.control.socket}", case))


def _missing_paths(case: Case, config: Config) -> Iterator[Check]:
    """Beside a daemon that does not tell of its sources: to see that a path leads nowhere disturbs nobody."""
    for source in config.sources if case.running and case.status is None else ():
        if source.kind == "path" and path_problem(source.location):
            yield Check(f"source {source.id}", partial(_look_at_source, source, case), CAMERA_S, cameras.stuck(source))


def _look_at_source(source: SourceConfig, _case: Case) -> list[Finding]:
    return cameras.judge(source, cameras.look(source))


def _told(source: SourceConfig, case: Case) -> list[Finding]:
    """What the daemon says of it."""
    theirs = case.status["sources"] if case.status else ()
    return [daemon.judge_source(one) for one in theirs if one["id"] == source.id]


def _look_at_endpoint(endpoint: str, case: Case) -> list[Finding]:
    facts = sockets.look(endpoint, case.who)
    by_daemon = case.running and facts.user in (case.process or facts.user, sockets.UNKNOWN)
    return sockets.judge(endpoint, facts, running=by_daemon, made_by_unit=case.unit.get("LoadState") == "loaded")


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
