"""`mlu-agent check`: everything about a configuration that can be known without running it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import path_problem
from ..bundle import load_bundle
from ..cnrt import open_library
from ..cnrt.model import refuse_wrong_kind
from ..config import Config, load_config, redact
from ..errors import UserError
from ..publisher import is_socket_file

if TYPE_CHECKING:
    import argparse

    from ..bundle import ModelSpec
    from ..cnrt import Library


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints what would run; raises what would stop it."""
    config = load_config(arguments.config)
    spec = load_bundle(config.model.path)
    library = open_library(config.model.runtime)
    spec = spec.on(library.kind)
    refuse_wrong_kind(library.kind, spec.offline, str(spec.path))
    _check_paths(config)
    if arguments.json:
        print(json.dumps(_describe(config, spec, library), ensure_ascii=False))
        return 0
    size = f"{spec.input.width}x{spec.input.height}"
    print(f"model    {spec.name}, {size}, {spec.num_classes} labels, sha256 {spec.sha256[:12]}")
    print(f"runtime  {library.kind}: {library.reason}")
    for source in config.sources:
        rule = "newest frame only" if source.live else "every frame"
        print(f"source   {source.id}: {source.kind} {redact(source.location)} ({rule})")
    print(f"publish  {config.publish.endpoint}" + (" (insecure = true)" if config.publish.insecure else ""))
    problem = _socket_folder_problem(config)
    if problem:
        print(f"         {problem}")
    print(f"{arguments.config}: in order")
    return 0


def _describe(config: Config, spec: ModelSpec, library: Library) -> dict[str, Any]:
    """The same for programs."""
    return {
        "model": {"name": spec.name, "sha256": spec.sha256, "width": spec.input.width, "height": spec.input.height},
        "runtime": library.kind,
        "reason": library.reason,
        "sources": [
            {"id": source.id, "kind": source.kind, "location": redact(source.location), "live": source.live}
            for source in config.sources
        ],
        "endpoint": config.publish.endpoint,
        "insecure": config.publish.insecure,
    }


def _socket_folder_problem(config: Config) -> str:
    """A note, not an error: the unit makes the folder at each start, so it need not be there yet."""
    endpoint = config.publish.endpoint
    folder = Path(endpoint[len("ipc://") :]).parent
    if not is_socket_file(endpoint) or folder.is_dir():
        return ""
    return f"note: {folder} is no folder yet; make it, unless the unit does (RuntimeDirectory=)"


def _check_paths(config: Config) -> None:
    paths = [(source, path_problem(source.location)) for source in config.sources if source.kind == "path"]
    lines = [f"source {source.id}: {source.location}: {problem}" for source, problem in paths if problem]
    if lines:
        raise UserError("\n".join(lines))
