"""What is done when the device fails: real failures of the simulator, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.models import small_bundle

from mlu_agent.cnrt import Library, open_library
from mlu_agent.engine import Engine
from mlu_agent.engine.recovery import Recovery
from mlu_agent.errors import DeviceLost, RuntimeFailure
from mlu_agent.ledger import ModelAccount

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, sys
from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
from mlu_agent.errors import MluAgentError
from mlu_agent.ledger import ModelAccount
from mlu_agent.engine.recovery import Recovery
class Log:
    def warning(self, event, **fields):
        said.append([event, fields.get("step"), fields.get("reason", "")])
said, sums, end = [], [], ""
with Engine(open_library("simulator"), sys.argv[1]) as engine:
    account = ModelAccount()
    recovery = Recovery(engine, account, Log())
    submitted = 0
    try:
        for number in range(40):
            while submitted < 40 and submitted - number < engine.slots:
                slot = engine.acquire()
                slot.inputs[0][:] = submitted * 6
                engine.submit(slot, defer=True)
                submitted += 1
            slot = engine.collect(recover=recovery if sys.argv[2:] else None)
            sums.append(float(slot.outputs[0].astype("f8").sum()))
            engine.release(slot)
    except MluAgentError as error:
        end = f"{type(error).__name__}: {error}"
print(json.dumps({"sums": sums, "said": said, "end": end, "counts": account.steps()}))
"""


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-core model of batch 1."""
    return small_bundle(tmp_path_factory.mktemp("small"))


@pytest.fixture
def invoke(model_path: Path, simulator_path: Path):
    """Forty different pictures over all cores in a process of its own; what came of it."""

    def run(*arguments: str, **environment: str) -> Any:
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), **environment}
        command = [sys.executable, "-c", PROGRAM, str(model_path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_outputs_of_a_failed_invocation_are_never_taken_for_those_of_its_picture(invoke):
    """The device writes nothing when it fails: what lay there before is another picture's."""
    told = invoke(CNRT_SIMULATOR_FAIL_INVOCATION="9")
    assert told["end"].startswith(
        "RuntimeFailure: cnrtSyncQueue failed with QUEUE (632025): Call 9 of cnrtInvokeRuntimeContext"
    )
    assert len(told["sums"]) <= 8 + 4  # of the cores that run side by side each may be the ninth


@pytest.mark.parametrize(
    "until, steps",
    [("", ["retry"]), ("context", ["retry", "renew"]), ("init", ["retry", "renew", "reopen"])],
)
def test_each_kind_of_failure_is_mended_by_its_step_and_nothing_is_lost(invoke, until: str, steps: list[str]):
    """All forty pictures come out, in order and right, whatever was in flight; each step is said with its reason."""
    expected = invoke()["sums"]
    told = invoke("recover", CNRT_SIMULATOR_FAIL_INVOCATION="19", CNRT_SIMULATOR_FAIL_UNTIL=until)
    assert told["end"] == ""
    assert told["sums"] == expected
    assert len(set(expected)) == 40
    assert [step for event, step, _ in told["said"] if event == "the device failed"] == steps
    assert [step for event, step, _ in told["said"] if event == "the device works again"] == steps[-1:]
    assert all("FAIL_INVOCATION" in reason for event, _, reason in told["said"] if event == "the device failed")
    assert told["counts"] == {name: int(name in steps) for name in ("retry", "renew", "reopen")}


def test_a_device_that_nothing_helps_is_lost(invoke):
    """After every step was taken once."""
    told = invoke("recover", CNRT_SIMULATOR_FAIL_INVOCATION="19", CNRT_SIMULATOR_FAIL_UNTIL="forever")
    assert told["end"].startswith("DeviceLost: the device failed and nothing helped (retry 1, renew 1, reopen 1)")
    assert told["counts"] == {"retry": 1, "renew": 1, "reopen": 1}


class Log:
    """Remembers warnings."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields.get("step")))


@pytest.fixture
def library(simulator_path: Path) -> Library:
    """The simulator."""
    return open_library(str(simulator_path))


def test_a_device_that_fails_every_invocation_comes_to_the_end(library: Library, model_path: Path):
    """Each recovery helps its own invocation, and the next one fails again: the fourth ends it, at the latest."""
    with Engine(library, model_path, cores=1) as engine:
        slot = engine.acquire()
        assert slot is not None
        log, account = Log(), ModelAccount()
        recovery = Recovery(engine, account, log)
        for _ in range(3):
            recovery(slot, RuntimeFailure("injected"))
        assert [step for event, step in log.said if event == "the device failed"] == ["retry", "renew", "reopen"]
        with pytest.raises(DeviceLost, match=r"retry 1, renew 1, reopen 1\), the last: injected"):
            recovery(slot, RuntimeFailure("injected"))
        with pytest.raises(DeviceLost):
            recovery(slot, RuntimeFailure("again"))
        assert account.steps() == {"retry": 1, "renew": 1, "reopen": 1}
        engine.release(slot)


def test_errors_that_recover_never_end_the_process(library: Library, model_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One every 3 s for a day, each mended by repeating it, with an invocation between them that needs no help."""
    clock = SimpleNamespace(monotonic=lambda: clock.now, time_ns=lambda: 0)
    monkeypatch.setattr(sys.modules[Recovery.__module__], "time", clock)
    with Engine(library, model_path, cores=1) as engine:
        slot = engine.acquire()
        assert slot is not None
        account = ModelAccount()
        recovery = Recovery(engine, account, Log())
        monkeypatch.setitem(recovery._steps, "retry", lambda _slot: None)
        for number in range(28800):
            clock.now = 1000.0 + 3 * number
            recovery(slot, RuntimeFailure("injected"))
            recovery.worked()
        assert recovery.lost is None
        assert account.steps() == {"retry": 28800, "renew": 0, "reopen": 0}
        engine.release(slot)


def test_how_the_device_is_can_be_asked_at_any_time(
    library: Library, model_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Recovering while a step is taken, then suspect for a minute, then ok with its last fault; at last lost."""
    clock = SimpleNamespace(monotonic=lambda: clock.now, time_ns=lambda: int(clock.now * 1e9), now=1000.0)
    monkeypatch.setattr(sys.modules[Recovery.__module__], "time", clock)
    with Engine(library, model_path, cores=1) as engine:
        slot = engine.acquire()
        assert slot is not None
        recovery = Recovery(engine, ModelAccount(), Log())
        told = []
        monkeypatch.setitem(recovery._steps, "retry", lambda _slot: told.append(recovery.health().state))
        assert (recovery.health().state, recovery.health().reason) == ("ok", "")
        recovery(slot, RuntimeFailure("injected"))
        assert told == ["recovering"]
        assert (recovery.health().state, recovery.health().reason) == ("suspect", "injected")
        clock.now = 1059.0
        assert recovery.health().state == "suspect"
        clock.now = 1060.5
        assert (recovery.health().state, recovery.health().reason) == ("ok", "injected")
        for name in ("retry", "renew", "reopen"):
            monkeypatch.setitem(recovery._steps, name, fail)
        with pytest.raises(DeviceLost):
            recovery(slot, RuntimeFailure("injected"))
        assert recovery.health().state == "lost"
        engine.release(slot)


def fail(_slot: Any) -> None:
    raise RuntimeFailure("and again")


def test_another_model_file_is_not_taken_up_by_reopening(library: Library, tmp_path: Path):
    """Messages would name the old one: the process has to start again. The device is left as it was."""
    model = small_bundle(tmp_path)
    with Engine(library, model, cores=1) as engine:
        slot = engine.acquire()
        assert slot is not None
        model.write_bytes(model.read_bytes())
        os.utime(model, ns=(1, 1))
        with pytest.raises(RuntimeFailure, match="the file was changed meanwhile; a restart takes the new one"):
            engine.reopen(slot)
        engine.renew(slot)
        engine.release(slot)


def test_a_device_that_cannot_be_opened_again_fails_every_invocation_and_closes_cleanly(
    library: Library, model_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """No call reaches a handle that is closed; what is in flight fails with a sentence."""
    with Engine(library, model_path, cores=1) as engine:
        slots = [engine.acquire(), engine.acquire()]
        for slot in slots:
            assert slot is not None
            slot.inputs[0][:] = 9
            engine.submit(slot)

        def refuse(*_: object) -> None:
            raise RuntimeFailure("cnrtInit failed")

        monkeypatch.setattr("mlu_agent.engine.engine.Device", refuse)

        def reopen(slot: Any, _error: RuntimeFailure) -> None:
            engine.reopen(slot)

        slots[0].failure = RuntimeFailure("injected")  # type: ignore[union-attr]
        with pytest.raises(RuntimeFailure, match="cnrtInit failed"):
            engine.collect(recover=reopen)
        with pytest.raises(RuntimeFailure, match="could not be made ready again"):
            engine.collect()
        slot = engine.acquire(0)
        assert slot is not None
        with pytest.raises(RuntimeFailure, match="could not be made ready again"):
            engine.submit(slot)
        assert np.all(slot.inputs[0] == 9)
