"""``mlu-agent check``: everything about a configuration that can be known without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, TypeVar

from mlu_client.text import printable, printable_json

from ..cnrt import open_library
from ..cnrt.model import refuse_wrong_kind
from ..config import load_config, remarks, shown
from ..config.files import path_problem
from ..errors import MluAgentError, UserError
from ..model.bundle import load_detection_bundle
from ..publish.sinks import notes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from ..cnrt import Library
    from ..config import Config, SourceConfig
    from ..model.bundle import ModelSpec
    from ..publish.sink import SinkNote

T = TypeVar("T")


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints what would run; raises all that would stop it."""
    config = load_config(arguments.config)
    problems: list[MluAgentError] = []
    model = _kept(problems, lambda: _model(config))
    _kept(problems, lambda: _check_paths(config.sources))
    sinks = _kept(problems, lambda: notes(config.publish))
    if problems or model is None or sinks is None:
        raise type(problems[0])("\n".join(problem.message for problem in problems))
    spec, library = model
    remarked = remarks(arguments.config, config)
    if arguments.json:
        print(printable_json({**_describe(config, spec, library, sinks), "remarks": remarked}))
        return 0
    for line in _lines(config, spec, library, sinks):
        print(printable(line))
    for remark in remarked:
        print(printable(f"remark   {remark}"))
    print(printable(f"{arguments.config}: in order"))
    return 0


def _lines(config: Config, spec: ModelSpec, library: Library, sinks: Iterable[SinkNote]) -> Iterator[str]:
    size = f"{spec.input.width}x{spec.input.height}"
    yield f"model    {spec.name}, {size}, {spec.num_classes} labels, sha256 {spec.sha256[:12]}"
    yield f"runtime  {library.kind}: {library.reason}"
    for source in config.sources:
        rule = "newest frame only" if source.live else "every frame"
        yield f"source   {source.id}: {source.kind} {shown(source.location)} ({rule})"
    for sink in sinks:
        for number, line in enumerate(sink.lines):
            yield f"{'' if number else 'publish':<9}{line}"


def _kept(problems: list[MluAgentError], step: Callable[[], T]) -> T | None:
    """What ``step()`` gives; what it raises is kept, so that the next one is looked at too."""
    try:
        return step()
    except MluAgentError as problem:
        problems.append(problem)
        return None


def _model(config: Config) -> tuple[ModelSpec, Library]:
    spec = load_detection_bundle(config.model.path)
    library = open_library(config.model.runtime)
    spec = spec.on(library.kind)
    refuse_wrong_kind(library.kind, spec.offline, str(spec.path))
    _ = library.kernels  # UserError where the environment asks for some that this machine lacks
    return spec, library


def _check_paths(sources: Iterable[SourceConfig]) -> None:
    """UserError if a path that a source names leads nowhere; all of them are told together."""
    paths = [(source, path_problem(source.location)) for source in sources if source.kind == "path"]
    lines = [f"source {source.id}: {source.location}: {problem}" for source, problem in paths if problem]
    if lines:
        raise UserError("\n".join(lines))


def _describe(config: Config, spec: ModelSpec, library: Library, sinks: Iterable[SinkNote]) -> dict[str, Any]:
    """The same for programs."""
    description: dict[str, Any] = {
        "model": {"name": spec.name, "sha256": spec.sha256, "width": spec.input.width, "height": spec.input.height},
        "runtime": library.kind,
        "reason": library.reason,
        "sources": [
            {"id": source.id, "kind": source.kind, "location": shown(source.location), "live": source.live}
            for source in config.sources
        ],
    }
    for sink in sinks:
        description.update(sink.fields)
    return description
