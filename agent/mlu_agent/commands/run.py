"""``mlu-agent run``: the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import logs
from ..config import load_config
from ..daemon.daemon import serve

if TYPE_CHECKING:
    import argparse


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")
    parser.add_argument(
        "--wait-for-subscriber",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="start the sources when somebody has subscribed, or after so many seconds",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs until a signal, or until all sources came to their end. 0 after a signal; 2 if all came to their end and one
    of them failed for good; 3 if the device failed."""
    config = load_config(arguments.config)
    logs.configure(config.log.level, config.log.format)
    return serve(config, logs.get_logger(), wait_for_subscriber_s=arguments.wait_for_subscriber)
