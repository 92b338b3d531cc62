"""``mlu-agent run``: the daemon."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import logs
from ..config import load_config, remarks
from ..daemon.daemon import serve
from ..daemon.process import Process
from ..daemon.service import Notifications
from ..errors import RuntimeFailure, UserError
from ..model.standins import choose_folder
from ..model.unpacked import remove_temporary

if TYPE_CHECKING:
    from ..config import Config

LONGEST_WAIT_S = 86400.0
LOG_PATIENCE_S = 0.3  # with whoever reads the log, for its last lines


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")
    parser.add_argument(
        "--wait-for-subscriber",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="start the sources when somebody has subscribed, or after so many seconds",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs until a signal, or until all sources came to their end. 0 after a signal; 2 if all came to their end and one
    of them failed for good; 3 if the device failed, or anything that another start may do better."""
    config = _load(arguments.config)
    choose_folder(config.simulator.standins)
    output = _standard_output()
    logs.configure(config.log.level, config.log.format, output)
    log = logs.get_logger()
    try:
        for remark in remarks(arguments.config, config):
            log.warning("configuration", remark=remark)
        return serve(
            config,
            log,
            wait_for_subscriber_s=arguments.wait_for_subscriber,
            process=Process(
                flush=lambda: output is not None and output.close(LOG_PATIENCE_S),
                set_level=logs.set_level,
                set_log=lambda chosen: logs.configure(chosen.level, chosen.format, output),
                log_lost=lambda: 0 if output is None else output.lost,
                config=Path(arguments.config).absolute(),
            ),
        )
    except OSError as error:  # not foreseen, and of the machine: no descriptor, no space, a folder that is gone
        place = f"{error.filename}: " if error.filename is not None else ""
        raise RuntimeFailure(f"{place}{error.strerror or error}") from error
    finally:
        remove_temporary()
        if output is not None:
            output.close(LOG_PATIENCE_S)


def _standard_output() -> logs.Output | None:
    """None where standard output is no descriptor: within somebody else's process."""
    try:
        return logs.Output(sys.stdout.fileno())
    except OSError:
        return None


def _load(path: str) -> Config:
    """The configuration. Under a service manager a file that is not there yet is worth another start: 3, not 2."""
    try:
        return load_config(path)
    except UserError as error:
        if error.passes and Notifications().wanted:
            raise RuntimeFailure(error.message) from None
        raise


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= LONGEST_WAIT_S:  # which also refuses what is no number
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted; give 0 to {LONGEST_WAIT_S:g} seconds")
    return value
