"""Changes that are asked for at a bad moment: before anything is read, and just before the end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from tests.e2e.test_daemon import source
from tests.models import small_bundle

from mlu_agent.cli import main

if TYPE_CHECKING:
    from pathlib import Path

LIVE = source("live", synthetic="64x48@50", realtime=True)
SLOW_LOAD = '[[fault]]\nfunction = "cnrtLoadModel"\nnth = 2\nslow_ms = 8000\n'


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A model beside the one that serves."""
    (tmp_path / "other").mkdir()
    path = small_bundle(tmp_path / "other")
    manifest = path.with_suffix(".toml")
    manifest.write_text(manifest.read_text().replace('name = "small"', 'name = "other"'))
    return path


def test_changes_are_made_while_a_subscriber_is_waited_for(
    run_daemon, listen, endpoint: str, tmp_path: Path, other: Path, capsys: pytest.CaptureFixture[str]
):
    """A reload by HUP, a source more, a source less, and a swap: all before the first frame is read, which is the new
    model's."""
    control = f'[control]\nsocket = "{tmp_path}/control.sock"\n'
    daemon = run_daemon(LIVE + source("less", synthetic="64x48@50") + control, "--wait-for-subscriber", "600")
    daemon.wait_for_log("control socket")
    daemon.wait_for_log("ready")
    file = tmp_path / "agent0.toml"
    file.write_text(
        file.read_text().replace('id = "less"', 'id = "more"').replace("[model]", "[model]\nconfidence = 0.77")
    )
    daemon.process.send_signal(signal.SIGHUP)
    changed = daemon.wait_for_log("changed", what="reload")
    assert changed["done"] == "thresholds of model main; source added more; source removed less"
    assert main(["ctl", "--socket", f"{tmp_path}/control.sock", "swap", "main", str(other)]) == 0
    assert "model main is other" in capsys.readouterr().out
    assert not [line for line in daemon.lines if line["event"] == "source" and line["state"] == "live"]
    listener = listen(endpoint)
    frames = listener.wait_for(lambda: listener.of_kind("frame", "live") and listener.of_kind("frame", "more"))
    assert daemon.stop() == 0
    frames = listener.of_kind("frame")
    assert {frame["source"] for frame in frames} == {"live", "more"}
    assert {(frame["model"]["name"], frame["model"]["thresholds"]["confidence"]) for frame in frames} == {
        ("other", 0.77)
    }


def test_an_end_does_not_wait_for_a_model_that_is_being_loaded(run_daemon, listen, endpoint: str, tmp_path: Path):
    """The device is inside a call of eight seconds and the service has two to stop: all of the pipeline is cleaned up,
    and the exit code is 0."""
    faults = tmp_path / "faults.toml"
    faults.write_text(SLOW_LOAD)
    daemon = run_daemon(LIVE + "[service]\nstop_timeout_s = 2.0\n", environment={"CNRT_SIMULATOR_FAULTS": str(faults)})
    listener = listen(endpoint)
    listener.wait_for(lambda: listener.of_kind("frame", "live"))
    (tmp_path / "other").mkdir()
    file = tmp_path / "agent0.toml"
    file.write_text(file.read_text() + f'[[model]]\nname = "more"\npath = "{small_bundle(tmp_path / "other")}"\n')
    text = file.read_text().replace("[model]", '[[model]]\nname = "main"', 1)
    file.write_text(text + source("more", synthetic="64x48@50", model="more"))
    daemon.process.send_signal(signal.SIGHUP)
    runtimes = daemon.lines
    listener.wait_for(lambda: sum(line["event"] == "runtime" for line in runtimes) == 2)
    assert daemon.stop() == 0
    daemon.wait_for_log("a change is left behind: the device is at work on its model still")
    daemon.wait_for_log("stopped", clean=True)
    listener.wait_for(lambda: listener.of_kind("end", "live"))
