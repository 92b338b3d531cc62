"""A device that does wrong: a library between agent and simulator that hangs, fails and lies when it is told to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.hangs import CONFIG, POINTS, outage

from mlu_agent.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Fault

pytestmark = pytest.mark.cc


def events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("point", ["load", "copy in", "wait"])
def test_detections_flow_again_after_a_hang_anywhere(
    tmp_path: Path, model_path: Path, endpoint: str, fault: Fault, point: str
):
    """The process says which call hangs and ends with 3, waiting for nothing; the next one serves.

    ``benchmarks/hangs.py`` measures every call; the promise is 10 s on a machine that has time, 2 s of them the
    manager's."""
    config = tmp_path / "agent.toml"
    config.write_text(CONFIG.format(size="64x48", model=model_path, endpoint=endpoint))
    found = outage(POINTS[point], config, endpoint, fault)
    assert found.code == 3
    function = {"load": "cnrtLoadModel", "copy in": "cnrtMemcpy", "wait": "cnrtWaitNotifier"}[point]
    (said,) = [line for line in events(found.output) if line["event"] == "the device hangs"]
    assert said["reason"].startswith(f"the device hangs: {function} has not returned for more than")


def test_a_hung_device_is_told_to_subscribers(run_daemon, listen, endpoint: str, clip: Path, fault: Fault):
    """Each source ends with its reason and counters that add up, before the process does."""
    listener = listen(endpoint)
    text = f'[[source]]\nid = "clip"\npath = "{clip}"\nloop = true\n'
    daemon = run_daemon(text, "--wait-for-subscriber", "30", environment=fault.environment)
    listener.wait_for(lambda: len(listener.of_kind("frame")) > 20)
    fault.begin("cnrtInvokeRuntimeContext", "hang")
    assert daemon.wait() == 3
    (end,) = listener.wait_for(lambda: listener.of_kind("end"))
    assert end["reason"] == "the device hangs"
    counters = end["counters"]
    assert counters["failed"] >= 1
    assert counters["frames_read"] == sum(counters[name] for name in ("published", "failed", "dropped", "in_flight"))
    assert "cnrtInvokeRuntimeContext has not returned" in daemon.wait_for_log("giving up")["reason"]


def test_a_signal_ends_a_daemon_whose_device_hangs(run_daemon, clip: Path, fault: Fault):
    """Told to stop before the deadline, it is gone after stop_timeout_s at the latest, with 3."""
    tail = "[service]\ndevice_timeout_s = 600\nstop_timeout_s = 2.0"
    text = f'[[source]]\nid = "clip"\npath = "{clip}"\nloop = true\n'
    daemon = run_daemon(text, publish=tail, environment=fault.environment)
    daemon.wait_for_log("ready")
    fault.begin("cnrtWaitNotifier", "hang")
    fault.wait_until_seen()
    assert daemon.stop() == 3
    assert daemon.wait_for_log("not stopped in time: ending the process")


@pytest.mark.parametrize("action", ["fail", "hang"])
def test_a_device_that_cannot_load_another_model(
    run_daemon, listen, endpoint: str, clip: Path, fault: Fault, tmp_path: Path, model_path: Path, action: str
):
    """Where loading fails the swap is refused and frames flow on; where it hangs the process ends with 3, as ever."""
    listener = listen(endpoint)
    text = f'[[source]]\nid = "clip"\npath = "{clip}"\nloop = true\n[control]\nsocket = "{tmp_path}/control.sock"\n'
    daemon = run_daemon(text + "[service]\ndevice_start_timeout_s = 1.0\n", environment=fault.environment)
    listener.wait_for(lambda: len(listener.of_kind("frame")) > 20)
    fault.begin("cnrtLoadModel", action)
    code = main(["ctl", "--socket", f"{tmp_path}/control.sock", "swap", "main", str(model_path)])
    if action == "hang":
        assert daemon.wait() == 3
        assert "cnrtLoadModel has not returned" in daemon.wait_for_log("the device hangs")["reason"]
        return
    assert code == 2
    told = daemon.wait_for_log("a change was refused: what served before goes on unchanged")
    assert "cnrtLoadModel failed" in told["reason"]
    before = len(listener.of_kind("frame"))
    listener.wait_for(lambda: len(listener.of_kind("frame")) > before + 20)
    assert daemon.stop() == 0
