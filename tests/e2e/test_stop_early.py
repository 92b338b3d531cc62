"""The daemon ends cleanly however early it is told to."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_that_waits_for_a_subscriber_stops_cleanly(run_daemon, clip: Path, number: int):
    """A signal between READY and the first frame, when no thread runs yet, ends it with exit code 0."""
    text = f'[[source]]\nid = "clip"\npath = "{clip}"\n'
    daemon = run_daemon(text, "--wait-for-subscriber", "60")
    daemon.wait_for_log("ready")
    assert daemon.stop(number) == 0
