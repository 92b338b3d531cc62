"""Thirty faults of the simulator's test bench, each named by the daemon's log and counted in its heartbeats.

Those that are mended follow each other in one daemon; those that end the process have one each, side by side.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

INVOKE = "cnrtInvokeRuntimeContext"
QUEUE = 'code = "CNRT_RET_ERR_QUEUE"'
SOURCE = '[[source]]\nid = "clip"\npath = "{clip}"\nloop = true\n'
STEPS = ("retry", "renew", "reopen")


class Failure(NamedTuple):
    """A fault that the device reports, the step that mends it, and the call that tells of it."""

    function: str
    lines: tuple[str, ...]
    step: str
    told_by: str


FAILURES = (
    Failure(INVOKE, (QUEUE,), "retry", INVOKE),
    Failure(INVOKE, (QUEUE, 'at = "queue"'), "retry", "cnrtSyncQueue"),
    Failure("cnrtMemcpy", ('direction = "in"', 'code = "CNRT_RET_ERR_MEMCPY"'), "retry", "cnrtMemcpy"),
    Failure("cnrtMemcpy", ('direction = "out"', 'code = "CNRT_RET_ERR_FAULT"'), "retry", "cnrtMemcpy"),
    Failure("cnrtPlaceNotifier", ('code = "CNRT_RET_ERR_BUSY"',), "retry", "cnrtPlaceNotifier"),
    Failure("cnrtPlaceNotifier", (QUEUE, 'at = "queue"'), "retry", "cnrtSyncQueue"),
    Failure("cnrtQueueWaitNotifier", ('code = "CNRT_RET_ERR_NORES"',), "retry", "cnrtQueueWaitNotifier"),
    Failure("cnrtQueueWaitNotifier", (QUEUE, 'at = "queue"'), "retry", "cnrtSyncQueue"),
    Failure("cnrtWaitNotifier", ('code = "CNRT_RET_ERR_INVALID"',), "retry", "cnrtWaitNotifier"),
    Failure("cnrtSyncQueue", ("code = 632032",), "retry", "cnrtSyncQueue"),
    Failure("cnrtNotifierDuration", ('code = "CNRT_RET_ERR_FUNC_CALL"',), "retry", "cnrtNotifierDuration"),
    Failure(INVOKE, (QUEUE, 'until = "context"'), "renew", INVOKE),
    Failure("cnrtMemcpy", ('direction = "out"', QUEUE, 'until = "context"'), "renew", "cnrtMemcpy"),
    Failure(INVOKE, (QUEUE, 'at = "queue"', 'until = "init"'), "reopen", "cnrtSyncQueue"),
    Failure("cnrtWaitNotifier", ("lost = true",), "reopen", "cnrtWaitNotifier"),
    Failure("cnrtMemcpy", ('direction = "in"', "lost = true", QUEUE), "reopen", "cnrtMemcpy"),
)


def nth(number: int) -> int:
    """The call of its function that meets a failure: each is over before the next one comes.

    Invocations are counted, those of the golden frame at the start and after each step among them; each has two marks,
    and those of the golden frame two copies in."""
    failure = FAILURES[number]
    invocation = 80 + 50 * number + (100 * (number - 12) if number > 12 else 0)
    if failure.function == "cnrtPlaceNotifier":
        return 2 * invocation
    if 'direction = "in"' in failure.lines:
        return invocation + 25 + 8 * number
    return invocation


WRONG_TIMES = ("nan", "-1.0", "1e9")
OUTPUTS = ("zero", "skipped", "stale", "corrupted")
# What a daemon at its start may be told, and which ends it with 3: the service manager tries again.
AT_START = (
    ("cnrtInit", "code = 632011"),
    ("cnrtGetDeviceHandle", 'code = "CNRT_RET_ERR_INVALID"'),
    ("cnrtLoadModel", 'code = "CNRT_RET_ERR_SYS"'),
    ("cnrtExtractFunction", 'code = "CNRT_RET_ERR_NO_EXIST"'),
    ("cnrtInitRuntimeContext", 'code = "CNRT_RET_ERR_NOMEM"'),
    ("cnrtMalloc", 'code = "CNRT_RET_ERR_NOMEM"'),
)
HANGS = (
    ("cnrtSyncQueue", ("nth = 30",), "cnrtSyncQueue"),
    ("cnrtPlaceNotifier", ("nth = 30",), "cnrtPlaceNotifier"),
    (INVOKE, ("nth = 30", 'at = "queue"'), "cnrtWaitNotifier"),
)


def test_there_are_thirty():
    """So many ways to fail are tried on the daemon; tests/native/test_faults.py has more."""
    assert len(FAILURES) + len(WRONG_TIMES) + len(OUTPUTS) + len(AT_START) + len(HANGS) >= 30


def rule(function: str, *lines: str) -> str:
    """One [[fault]]."""
    return "\n".join(("[[fault]]", f'function = "{function}"', *lines, ""))


def write(folder: Path, name: str, text: str) -> dict[str, str]:
    """A fault file, as environment."""
    path = folder / f"{name}.toml"
    path.write_text(text)
    return {"CNRT_SIMULATOR_FAULTS": str(path)}


def line_numbers(text: str) -> list[int]:
    """Where each [[fault]] stands, as sentences name it."""
    return [number for number, line in enumerate(text.splitlines(), 1) if line == "[[fault]]"]


def counters(listener: Any) -> dict[str, int]:
    """Of the latest heartbeat."""
    beats = listener.of_kind("heartbeat")
    found: dict[str, int] = beats[-1]["counters"] if beats else {}
    return found


def test_each_failure_is_named_mended_and_counted(run_daemon, listen, endpoint: str, clip: Path, tmp_path: Path):
    """One after the other in one daemon: the log repeats the call, its number and the line that asked for the fault;
    heartbeats count every step; no frame is lost."""
    text = "".join(
        rule(failure.function, f"nth = {nth(number)}", *failure.lines) for number, failure in enumerate(FAILURES)
    ) + "".join(
        rule("cnrtNotifierDuration", f"nth = {60 + 5 * number}", f"duration = {factor}")
        for number, factor in enumerate(WRONG_TIMES)
    )
    listener = listen(endpoint)
    daemon = run_daemon(
        SOURCE.format(clip=clip), "--wait-for-subscriber", "30", environment=write(tmp_path, "all", text)
    )
    numbers = line_numbers(text)[: len(FAILURES)]

    def reasons() -> list[tuple[str, str]]:
        failed = [line for line in list(daemon.lines) if line.get("event") == "the device failed"]
        return [(line["step"], line["reason"]) for line in failed]

    def named(number: int) -> list[tuple[str, str]]:
        return [one for one in reasons() if f"line {number} of all.toml says so" in one[1]]

    def mended(number: int, failure: Failure) -> bool:
        # by a step higher where the invocation that mends one fault meets the next one
        steps = [STEPS.index(step) for step, _ in named(number)]
        return max(steps, default=-1) >= STEPS.index(failure.step)

    listener.wait_for(lambda: all(map(mended, numbers, FAILURES)) or daemon.process.poll() is not None)
    for number, failure in zip(numbers, FAILURES):
        assert mended(number, failure), (failure, reasons())
        assert any(reason.startswith(f"{failure.told_by} failed with ") for _, reason in named(number)), failure
    listener.wait_for(lambda: sum(counters(listener).get(f"device_{step}", 0) for step in STEPS) >= len(reasons()))
    assert daemon.stop() == 0
    (end,) = listener.wait_for(lambda: listener.of_kind("end", "clip"))
    assert end["counters"]["failed"] == 0
    counted = counters(listener)
    assert {step: counted[f"device_{step}"] for step in STEPS} == {
        step: sum(1 for one, _ in reasons() if one == step) for step in STEPS
    }
    assert counted["device_wrong_time"] == len(WRONG_TIMES)
    daemon.wait_for_log("the device tells times that cannot be: the host's are used instead, and it is counted")
    assert "faults are asked for" in daemon.wait_for_log("runtime")["reason"]


def test_each_wrong_output_is_found_named_and_counted(run_daemon, listen, endpoint: str, clip: Path, tmp_path: Path):
    """Outputs of a device that reports no error; from the n-th invocation on all, until the next context."""
    text = "".join(
        rule(INVOKE, f"nth = {400 * (number + 1)}", f'output = "{output}"', 'until = "context"')
        for number, output in enumerate(OUTPUTS)
    )
    listener = listen(endpoint)
    tail = "[service]\ngolden_interval_s = 0.1"
    daemon = run_daemon(SOURCE.format(clip=clip), publish=tail, environment=write(tmp_path, "outputs", text))

    def named(output: str) -> list[str]:
        words = {"zero": "are all zero", "skipped": "were never written", "corrupted": "are others than they were"}
        # what stays from before may be another frame's, which is neither the golden frame's
        said = words.get(output, "(?:are those of the invocation before|are others than they were)")
        failed = [line["reason"] for line in list(daemon.lines) if line.get("event") == "the device failed"]
        return [reason for reason in failed if re.search(said, reason)]

    for output in OUTPUTS:
        listener.wait_for(lambda output=output: named(output) or daemon.process.poll() is not None)
        assert "the golden frame failed on core group" in named(output)[0]
    listener.wait_for(lambda: counters(listener).get("device_renew", 0) >= len(OUTPUTS))
    counted = counters(listener)
    assert counted["device_zero"] >= 1
    assert counted["device_skipped"] >= 1
    assert counted["device_stale"] + counted["device_corrupted"] >= 2
    assert daemon.stop() == 0


def test_each_failure_at_the_start_ends_the_process_and_is_named(run_daemon, clip: Path, tmp_path: Path):
    """With exit code 3: it may pass, so the service manager tries again."""
    daemons = [
        run_daemon(
            SOURCE.format(clip=clip),
            publish=f'endpoint = "ipc://{tmp_path}/{function}.sock"',
            environment=write(tmp_path, function, rule(function, "nth = 1", code)),
        )
        for function, code in AT_START
    ]
    for daemon, (function, _) in zip(daemons, AT_START):
        assert daemon.wait() == 3, function
        words = f"{function} failed with .*Call 1 of {function} failed because line 1 of {function}.toml says so"
        assert re.search(words, daemon.errors + str(daemon.lines)), function


def test_each_hang_ends_the_process_and_is_named(run_daemon, clip: Path, tmp_path: Path):
    """The call that does not return, whether it hangs itself or the queue that it waits for."""
    daemons = [
        run_daemon(
            SOURCE.format(clip=clip),
            publish=f'endpoint = "ipc://{tmp_path}/{number}.sock"\n[service]\ndevice_timeout_s = 0.5',
            environment=write(tmp_path, f"hang{number}", rule(function, *lines, "hang = true")),
        )
        for number, (function, lines, _) in enumerate(HANGS)
    ]
    for daemon, (_, _, inside) in zip(daemons, HANGS):
        assert daemon.wait() == 3
        reason = daemon.wait_for_log("the device hangs")["reason"]
        assert reason.startswith(f"the device hangs: {inside} has not returned for more than"), reason
        assert "does what line 1 of hang" in daemon.errors


def test_estimated_times_and_recorded_outputs_are_told_with_every_message(
    run_daemon, listen, endpoint: str, clip: Path, tmp_path: Path, model_path: Path
):
    """A daemon that computes nothing, or whose times are another machine's, is not to be taken for one that does."""
    model = tmp_path / "own"
    shutil.copytree(model_path.parent, model)
    once = SOURCE.format(clip=clip).replace("loop = true", "loop = false")
    told = []
    for value in ("record", "0"):
        listener = listen(endpoint)
        environment = {"CNRT_SIMULATOR_COMPUTE": value, "CNRT_SIMULATOR_TIMING": "mlu220"}
        daemon = run_daemon(once, "--wait-for-subscriber", "30", environment=environment, model=model / model_path.name)
        listener.wait_for(lambda listener=listener: listener.of_kind("end", "clip"))
        assert daemon.wait() == 0
        told.append((daemon.wait_for_log("runtime")["reason"], listener.of_kind("frame")))
        listener.stop()
    (recording, frames), (recorded, again) = told
    assert "device times are estimates for MLU220-M.2; outputs are being recorded" in recording
    assert "nothing is computed, outputs are recorded ones" in recorded
    assert len(frames) == len(again) == 40
    for frame in again:
        assert {"simulated", "estimated", "recorded"} <= set(frame["flags"])
    assert {"simulated", "estimated"} <= set(frames[0]["flags"])
    assert "recorded" not in frames[0]["flags"]
    assert [frame["detections"] for frame in again] == [frame["detections"] for frame in frames]
    times = {round(frame["latency_ms"]["device"], 6) for frame in again}
    assert len(times) == 1
