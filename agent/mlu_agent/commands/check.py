"""`mlu-agent check`: everything about a configuration that can be known without running it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..bundle import load_bundle
from ..cnrt import open_library
from ..cnrt.model import refuse_wrong_kind
from ..config import Config, load_config, redact
from ..errors import UserError

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")


def run(arguments: argparse.Namespace) -> int:
    """Prints what would run; raises what would stop it."""
    config = load_config(arguments.config)
    spec = load_bundle(config.model.path)
    library = open_library(config.model.runtime)
    refuse_wrong_kind(library.kind, spec.offline, str(spec.path))
    _check_paths(config)
    size = f"{spec.input.width}x{spec.input.height}"
    print(f"model    {spec.name}, {size}, {spec.num_classes} labels, sha256 {spec.sha256[:12]}")
    print(f"runtime  {library.kind}: {library.reason}")
    for source in config.sources:
        rule = "newest frame only" if source.live else "every frame"
        print(f"source   {source.id}: {source.kind} {redact(source.location)} ({rule})")
    print(f"publish  {config.publish.endpoint}" + (" (insecure = true)" if config.publish.insecure else ""))
    print(f"{arguments.config}: in order")
    return 0


def _check_paths(config: Config) -> None:
    missing = [source for source in config.sources if source.kind == "path" and not Path(source.location).exists()]
    if missing:
        lines = [f"source {source.id}: {source.location} does not exist; correct path" for source in missing]
        raise UserError("\n".join(lines))
