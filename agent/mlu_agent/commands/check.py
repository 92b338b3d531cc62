"""``mlu-agent check``: everything about a configuration that can be known without running it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, TypeVar

from mlu_client.text import printable, printable_json

from ..cnrt import open_library
from ..cnrt.model import find_standin, refuse_wrong_kind
from ..config import SourceConfig, check_group, load_config, remarks, shown
from ..config.files import lost_paths
from ..daemon.metrics import require
from ..doctor import finding
from ..doctor.doctor import connect
from ..errors import MluAgentError, UserError
from ..model.configured import read_configured
from ..model.labels import label_remarks
from ..model.standins import choose_folder
from ..publish.sinks import notes
from .asking import daemon_status

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from ..cnrt import Library
    from ..config import Config, ModelConfig
    from ..model.bundle import ModelSpec
    from ..model.standins import Standin
    from ..publish.sink import SinkNote

T = TypeVar("T")


class Loaded(NamedTuple):
    """A model of the configuration, as it is on its runtime."""

    model: ModelConfig
    spec: ModelSpec
    library: Library
    standin: Standin | None


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    also = "touch it, too: a frame of each source, each model and its golden frame on the device, the endpoint"
    parser.add_argument("--connect", action="store_true", help=also)


def run(arguments: argparse.Namespace) -> int:
    """Prints what would run; raises all that would stop it. 1 if touching it found something to do."""
    try:
        return _run(arguments)
    except MluAgentError as refused:
        if not arguments.json:
            raise
        print(printable_json({"ok": False, "error": refused.message}))
        return refused.exit_code


def _run(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.config)
    choose_folder(config.simulator.standins)
    problems: list[MluAgentError] = []
    models = [_kept(problems, functools.partial(_load, config, model)) for model in config.models]
    lost = lost_paths(config.sources)
    if lost and not arguments.connect:  # touching them tells each one beside the others: `run` waits for a path
        problems.append(UserError("\n".join(lost)))
    _kept(problems, lambda: check_group(config.control))
    _kept(problems, lambda: require(config.metrics))
    sinks = _kept(problems, lambda: notes(config.publish))
    if problems or sinks is None:
        raise type(problems[0])("\n".join(problem.message for problem in problems))
    found = [model for model in models if model is not None]
    doubled = [remark for model in found for remark in label_remarks(model.spec)]
    remarked = [*remarks(arguments.config, config), *doubled]
    findings, over = connect(Path(arguments.config), config, daemon_status) if arguments.connect else ([], True)
    code = 1 if finding.troubles(findings) else 0
    if arguments.json:
        touched = {"findings": finding.described(findings)} if arguments.connect else {}
        print(printable_json({**_describe(config, found, sinks), "remarks": remarked, **touched}))
        return finding.end(code, over=over)
    for line in _lines(config, found, sinks):
        print(printable(line))
    for remark in remarked:
        print(printable(f"remark   {remark}"))
    for line in finding.lines(findings):
        print(printable(line))
    print(printable(f"{arguments.config}: {'something to do' if code else 'in order'}"))
    return finding.end(code, over=over)


def _lines(config: Config, models: Sequence[Loaded], sinks: Iterable[SinkNote]) -> Iterator[str]:
    several = len(models) > 1
    for model, spec, library, standin in models:
        size = f"{spec.input.width}x{spec.input.height}"
        called = f"{model.name}: " if several else ""
        yield f"model    {called}{spec.name}, {size}, {spec.num_classes} labels, sha256 {spec.sha256[:12]}"
        yield f"runtime  {library.kind}: {library.reason}"
        if standin is not None:
            yield f"         {standin.words}"
    for source in config.sources:
        rule = "newest frame only" if source.live else "every frame"
        to = f", model {source.model or config.models[0].name}" if several else ""
        yield f"source   {source.id}: {source.kind} {shown(source.location)} ({rule}{to})"
        wishes = _wishes(source)
        if wishes:
            yield f"         {wishes}"
    for sink in sinks:
        for number, line in enumerate(sink.lines):
            yield f"{'' if number else 'publish':<9}{line}"
    group = f" (group {config.control.group})" if config.control.group else ""
    yield f"control  {config.control.socket or 'no socket'}{group}"


def _wishes(source: SourceConfig) -> str:
    """What a source asks for that is not what all do."""
    usual = SourceConfig(source.id, source.kind, source.location)
    parts = []
    if source.classes:
        wanted = (f"{label} from {own:g} on" if own else label for label, own in source.classes)
        parts.append(f"only {', '.join(wanted)}")
    if source.confidence:
        parts.append(f"from {source.confidence:g} on")
    if source.roi != usual.roi:
        parts.append("within {:g}, {:g} to {:g}, {:g} of the frame".format(*source.roi))
    if source.priority != usual.priority:
        parts.append(f"priority {source.priority}")
    if source.min_fps:
        parts.append(f"at least {source.min_fps:g} frames a second")
    return "; ".join(parts)


def _kept(problems: list[MluAgentError], step: Callable[[], T]) -> T | None:
    """What ``step()`` gives; what it raises is kept, so that the next one is looked at too."""
    try:
        return step()
    except MluAgentError as problem:
        problems.append(problem)
        return None


def _load(config: Config, model: ModelConfig) -> Loaded:
    spec = read_configured(model, config.sources_of(model))
    library = open_library(model.runtime)
    spec = spec.on(library.kind)
    refuse_wrong_kind(library.kind, spec.offline, str(spec.given))
    _ = library.kernels  # UserError where the environment asks for some that this machine lacks
    return Loaded(model, spec, library, find_standin(library, spec.offline, spec.path, str(spec.given)))


def _describe(config: Config, models: Sequence[Loaded], sinks: Iterable[SinkNote]) -> dict[str, Any]:
    """The same for programs; ``model``, ``runtime`` and ``reason`` are those of the first model."""
    first = models[0]
    description: dict[str, Any] = {
        "model": _describe_model(first.spec),
        "runtime": first.library.kind,
        "reason": first.library.reason,
        "models": [
            {
                "id": one.model.name,
                **_describe_model(one.spec),
                "runtime": one.library.kind,
                "standin": "" if one.standin is None else str(one.standin.path),
            }
            for one in models
        ],
        "sources": [
            {
                "id": source.id,
                "kind": source.kind,
                "location": shown(source.location),
                "live": source.live,
                "model": source.model or first.model.name,
                "classes": dict(source.classes),
                "confidence": source.confidence,
                "roi": source.roi,
                "priority": source.priority,
                "min_fps": source.min_fps,
            }
            for source in config.sources
        ],
    }
    for sink in sinks:
        description.update(sink.fields)
    description["control"] = {"socket": str(config.control.socket or ""), "group": config.control.group}
    return description


def _describe_model(spec: ModelSpec) -> dict[str, Any]:
    return {"name": spec.name, "sha256": spec.sha256, "width": spec.input.width, "height": spec.input.height}
