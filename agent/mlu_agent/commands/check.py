"""``mlu-agent check``: everything about a configuration that can be known without running it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..cnrt import open_library
from ..cnrt.model import refuse_wrong_kind
from ..config import Config, load_config, redact
from ..model.bundle import load_detection_bundle
from ..publish.endpoint import endpoint_note
from ..sources import check_paths

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
    check_paths(config.sources)
    note = endpoint_note(config.publish.endpoint)
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
