"""`mlu-agent check`: everything about a configuration that can be known without running it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cnrt import open_library
from ..cnrt.model import refuse_wrong_kind
from ..config import Config, load_config, redact
from ..config.files import path_problem
from ..errors import UserError
from ..model.bundle import load_detection_bundle
from ..publish.publisher import endpoint_in_use, is_socket_file

if TYPE_CHECKING:
    import argparse

    from ..cnrt import Library
    from ..model.bundle import ModelSpec


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints what would run; raises what would stop it."""
    config = load_config(arguments.config)
    spec = load_detection_bundle(config.model.path)
    library = open_library(config.model.runtime)
    spec = spec.on(library.kind)
    refuse_wrong_kind(library.kind, spec.offline, str(spec.path))
    _check_paths(config)
    note = _endpoint_note(config)
    if arguments.json:
        print(json.dumps({**_describe(config, spec, library), "endpoint_note": note}, ensure_ascii=False))
        return 0
    size = f"{spec.input.width}x{spec.input.height}"
    print(f"model    {spec.name}, {size}, {spec.num_classes} labels, sha256 {spec.sha256[:12]}")
    print(f"runtime  {library.kind}: {library.reason}")
    for source in config.sources:
        rule = "newest frame only" if source.live else "every frame"
        print(f"source   {source.id}: {source.kind} {redact(source.location)} ({rule})")
    print(f"publish  {config.publish.endpoint}" + (" (insecure = true)" if config.publish.insecure else ""))
    if note:
        print(f"         note: {note}")
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


def _endpoint_note(config: Config) -> str:
    """What is not as it will have to be at the start, but no mistake: the unit makes the folder at each start, so it
    need not be there yet, and the daemon itself may be what uses the endpoint."""
    endpoint = config.publish.endpoint
    if is_socket_file(endpoint):
        path = Path(endpoint[len("ipc://") :])
        if not path.parent.is_dir():
            return f"{path.parent} is no folder yet; make it, unless the unit does (RuntimeDirectory=)"
        if os.access(path, os.F_OK) and not os.access(path, os.W_OK):
            return f"{path} belongs to another user: whether it is in use could not be tried"
    if endpoint_in_use(endpoint):
        return f"{endpoint} is in use now; fine if that is this daemon, else end it or choose another endpoint"
    return ""


def _check_paths(config: Config) -> None:
    paths = [(source, path_problem(source.location)) for source in config.sources if source.kind == "path"]
    lines = [f"source {source.id}: {source.location}: {problem}" for source, problem in paths if problem]
    if lines:
        raise UserError("\n".join(lines))
