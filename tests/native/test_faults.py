"""The simulator as a test bench: each fault of CNRT_SIMULATOR_FAULTS does to a program what its file says.

All cases run before the first test, in one process that forks (fault_cases.py); each test looks at one answer.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.models import small_bundle

SCRIPT = Path(__file__).with_name("fault_cases.py")
RIGHT = "right"


def rule(function: str, *lines: str) -> str:
    """One [[fault]] for a function."""
    return "\n".join(("[[fault]]", f'function = "{function}"', *lines, ""))


INVOKE = "cnrtInvokeRuntimeContext"
QUEUE = 'code = "CNRT_RET_ERR_QUEUE"'
# Text of a fault file -> what the four invocations give, then one after a new context, and one after a new cnrtInit:
# "right", another picture's outputs, or words of the sentence.
CASES: dict[str, tuple[str, list[str]]] = {
    "nothing": ("", [RIGHT] * 6),
    "invocation-refused": (rule(INVOKE, "nth = 2", QUEUE), [RIGHT, "Invoke", *[RIGHT] * 4]),
    "invocation-in-queue": (
        rule(INVOKE, "nth = 2", 'at = "queue"', QUEUE),
        [RIGHT, "cnrtSyncQueue failed with QUEUE (632025): Call 2 of cnrtInvokeRuntimeContext failed because line 1 of"]
        + [RIGHT] * 4,
    ),
    "invocations-until-context": (
        rule(INVOKE, "nth = 2", QUEUE, 'until = "context"'),
        [RIGHT, "Call 2", "Call 3", "Call 4", RIGHT, RIGHT],
    ),
    "invocations-until-init": (
        rule(INVOKE, "nth = 2", QUEUE, 'until = "init"'),
        [RIGHT, "Call 2", "Call 3", "Call 4", "Call 5", RIGHT],
    ),
    "invocations-for-ever": (
        rule(INVOKE, "nth = 3", QUEUE, 'until = "forever"'),
        [RIGHT, RIGHT, "Call 3", "Call 4", "Call 5", "Call 6"],
    ),
    "every-second-invocation": (rule(INVOKE, "every = 2", QUEUE), [RIGHT, "Call 2", RIGHT, "Call 4", RIGHT, "Call 6"]),
    "two-invocations": (rule(INVOKE, "nth = 2", "count = 2", QUEUE), [RIGHT, "Call 2", "Call 3", *[RIGHT] * 3]),
    "copy-in": (
        rule("cnrtMemcpy", 'direction = "in"', "nth = 2", 'code = "CNRT_RET_ERR_MEMCPY"'),
        [RIGHT, "cnrtMemcpy failed with MEMCPY (632036): Call 2 of cnrtMemcpy", *[RIGHT] * 4],
    ),
    "copy-out": (
        rule("cnrtMemcpy", 'direction = "out"', "nth = 3", "code = 632013"),
        [RIGHT, RIGHT, "cnrtMemcpy failed with FAULT (632013): Call 3", *[RIGHT] * 3],
    ),
    "place": (
        rule("cnrtPlaceNotifier", "nth = 3", 'code = "CNRT_RET_ERR_BUSY"'),
        [RIGHT, "cnrtPlaceNotifier failed with BUSY", *[RIGHT] * 4],
    ),
    "place-in-queue": (
        rule("cnrtPlaceNotifier", "nth = 3", 'at = "queue"', QUEUE),
        [RIGHT, "cnrtSyncQueue failed with QUEUE (632025): Call 3 of cnrtPlaceNotifier", *[RIGHT] * 4],
    ),
    "wait": (rule("cnrtWaitNotifier", "nth = 1", QUEUE), ["cnrtWaitNotifier failed with QUEUE", *[RIGHT] * 5]),
    "sync": (rule("cnrtSyncQueue", "nth = 4", QUEUE), [RIGHT] * 3 + ["cnrtSyncQueue failed with QUEUE", RIGHT, RIGHT]),
    "duration": (
        rule("cnrtNotifierDuration", "nth = 2", 'code = "CNRT_RET_ERR_FUNC_CALL"'),
        [RIGHT, "cnrtNotifierDuration failed with FUNC_CALL", *[RIGHT] * 4],
    ),
    "new-context": (
        rule("cnrtInitRuntimeContext", "nth = 2", 'code = "CNRT_RET_ERR_NOMEM"'),
        [RIGHT] * 4 + ["cnrtInitRuntimeContext failed with NOMEM", "is not a runtime context"],
    ),
    "lost-until-init": (
        rule("cnrtSyncQueue", "nth = 2", "lost = true"),
        [RIGHT, "failed with NODEV (632009): Device 0 is lost because line 1 of faults.toml says so: a new cnrtInit"]
        + ["cnrtMemcpy failed with NODEV"] * 2
        + ["cnrtCreateRuntimeContext failed with NODEV", "is not a runtime context"],
    ),
    "lost-for-ever": (
        rule(INVOKE, "nth = 4", "lost = true", 'until = "forever"', 'code = "CNRT_RET_ERR_MLU"'),
        [RIGHT] * 3 + ["MLU (632032): Device 0", "CreateRuntimeContext failed", "cnrtInit failed"],
    ),
    "another-device": (rule(INVOKE, "device = 1", QUEUE), [RIGHT] * 6),
    "this-device": ("# on device 1\n" + rule(INVOKE, "device = 1", "nth = 2", QUEUE), [RIGHT, "Call 2", *[RIGHT] * 4]),
    "another-device-lost": (
        "# on device 1\n" + rule("cnrtGetDeviceHandle", "device = 0", "lost = true", 'until = "forever"'),
        [RIGHT] * 6,
    ),
    "output-zero": (rule(INVOKE, "nth = 2", 'output = "zero"'), [RIGHT, "zero", *[RIGHT] * 4]),
    "output-stale": (rule(INVOKE, "nth = 2", 'output = "stale"'), [RIGHT, "of 1", *[RIGHT] * 4]),
    "output-stale-twice": (
        rule(INVOKE, "nth = 2", "count = 2", 'output = "stale"'),
        [RIGHT, "of 1", "of 2", *[RIGHT] * 3],
    ),
    "output-skipped": (
        rule(INVOKE, "nth = 2", "count = 2", 'output = "skipped"'),
        [RIGHT, "of 1", "of 1", *[RIGHT] * 3],
    ),
    "output-corrupted": (rule(INVOKE, "nth = 2", 'output = "corrupted"', "bits = 9"), [RIGHT, "other", *[RIGHT] * 4]),
    "output-of-another-tensor": (rule(INVOKE, "tensor = 1", 'output = "zero"'), [RIGHT] * 6),
    "copy-out-skipped": (
        rule("cnrtMemcpy", 'direction = "out"', "nth = 2", 'output = "skipped"'),
        [RIGHT, "of 1", *[RIGHT] * 4],
    ),
    "copy-in-skipped": (
        rule("cnrtMemcpy", 'direction = "in"', "nth = 3", 'output = "skipped"'),
        [RIGHT, RIGHT, "of 2", *[RIGHT] * 3],
    ),
    "copy-out-corrupted": (
        rule("cnrtMemcpy", 'direction = "out"', "nth = 2", 'output = "corrupted"'),
        [RIGHT, "other", *[RIGHT] * 4],
    ),
    **{
        f"opening-{function}": (rule(function, "nth = 1", 'code = "CNRT_RET_ERR_SYS"'), [f"opening: {function} failed"])
        for function in (
            "cnrtInit",
            "cnrtGetDeviceHandle",
            "cnrtGetDeviceInfo",
            "cnrtLoadModel",
            "cnrtExtractFunction",
            "cnrtGetOutputDataSize",
            "cnrtCreateRuntimeContext",
            "cnrtInitRuntimeContext",
            "cnrtCreateQueue",
            "cnrtMalloc",
            "cnrtCreateNotifier",
        )
    },
    "no-rule": ("# nothing\n", ["opening: cnrtInit failed with INIT (632024): CNRT_SIMULATOR_FAULTS="]),
}
HANGS = {
    **{
        f"hang-{function}": rule(function, "nth = 1", "hang = true")
        for function in ("cnrtInit", "cnrtLoadModel", INVOKE, "cnrtSyncQueue", "cnrtPlaceNotifier", "cnrtWaitNotifier")
    },
    "hang-copy-in": rule("cnrtMemcpy", 'direction = "in"', "hang = true"),
    "hang-copy-out": rule("cnrtMemcpy", 'direction = "out"', "hang = true"),
    "hang-in-queue": rule(INVOKE, 'at = "queue"', "hang = true"),
}
TIMES = {
    "hang-ends": rule(INVOKE, "nth = 2", "hang_s = 0.3"),
    "slow": rule("cnrtMemcpy", 'direction = "in"', "nth = 2", "slow_ms = 200"),
    "slow-in-queue": rule(INVOKE, "nth = 2", 'at = "queue"', "slow_ms = 200"),
    "many-times-slower": rule(INVOKE, "nth = 2", 'at = "queue"', "slow_factor = 1000"),
    "duration-nan": rule("cnrtNotifierDuration", "nth = 2", "duration = nan"),
    "duration-negative": rule("cnrtNotifierDuration", "nth = 2", "duration = -1.0"),
    "duration-factor": rule("cnrtNotifierDuration", "nth = 2", "duration = 1e6"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, simulator_path: Path) -> dict[str, Any]:
    """What came of each case."""
    model = small_bundle(tmp_path_factory.mktemp("small"))
    texts = {**{name: text for name, (text, _) in CASES.items()}, **HANGS, **TIMES}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(simulator_path), str(model)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        env={**os.environ, "CNRT_SIMULATOR_DEVICES": "2"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert {name for name, answer in told.items() if answer["status"] != 0} == set()
    return told


def _word(output: str, number: int, right: list[str]) -> str:
    """A digest in words: right for the picture of its number, another picture's, or neither."""
    if output == right[number]:
        return RIGHT
    if output in right:
        return f"of {right.index(output) + 1}"
    return output if " " in output or output == "zero" else "other"


@pytest.mark.parametrize("name", CASES)
def test_a_fault_does_what_its_file_says_and_nothing_else(answers: dict[str, Any], name: str):
    """Each failure names the call, its number and the line of the file; what the file leaves alone is right."""
    answer, expected = answers[name], CASES[name][1]
    right = answers["nothing"]["outputs"][:4]
    assert len(set(right)) == 4
    found = [_word(text, number, right) for number, text in zip((0, 1, 2, 3, 0, 0), answer["outputs"])]
    if "opening" in answer:
        found = ["opening: " + answer["opening"]]
        expected = [expected[0].replace("opening: ", "")]
    assert len(found) == len(expected)
    for text, words in zip(found, expected):
        assert words in text, found
    assert CASES[name][0] == "" or "faults.toml" in answer["said"] + str(found)


@pytest.mark.parametrize("name", HANGS)
def test_a_hang_is_for_ever_and_ends_with_the_process(answers: dict[str, Any], name: str):
    """The call, or the wait for its queue, never returns; the process goes when it is told to."""
    assert answers[name]["hangs"] is True
    assert "line 1 of faults.toml" in answers[name]["said"]


@pytest.mark.parametrize("name", ["hang-ends", "slow", "slow-in-queue"])
def test_a_delay_is_as_long_as_it_says_and_the_result_right(answers: dict[str, Any], name: str):
    """The second invocation alone takes longer."""
    answer = answers[name]
    assert answer["outputs"] == answers["nothing"]["outputs"]
    assert answer["seconds"][1] >= 0.2
    assert sum(answer["seconds"]) - answer["seconds"][1] < answer["seconds"][1]
    assert (answer["times"][1] > 200_000) == (name != "slow")  # what happens between its marks is the device's time


def test_work_is_made_slower_by_a_factor(answers: dict[str, Any]):
    """Of what it takes on this machine."""
    times = answers["many-times-slower"]["times"]
    assert times[1] > 50 * max(times[0], times[2], times[3])


def test_a_device_time_is_told_wrong(answers: dict[str, Any]):
    """Not a number, negative, or far too long; the second alone."""
    assert math.isnan(answers["duration-nan"]["times"][1])
    assert answers["duration-negative"]["times"][1] < 0
    assert answers["duration-factor"]["times"][1] > 1e6
    for name in ("duration-nan", "duration-negative", "duration-factor"):
        assert all(0 < us < 1e6 for number, us in enumerate(answers[name]["times"]) if number != 1)


def test_there_are_thirty_faults():
    """So many ways in which a device fails are tried."""
    assert len({**CASES, **HANGS, **TIMES}) > 30


def test_the_example_is_read(simulator_path: Path):
    """sim/faults.example.toml shows six of them."""
    example = Path(__file__).resolve().parents[2] / "native" / "sim" / "faults.example.toml"
    env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), "CNRT_SIMULATOR_FAULTS": str(example)}
    command = [sys.executable, "-m", "mlu_agent.cli", "devices", "--runtime", "simulator"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=True)
    assert f"6 faults as CNRT_SIMULATOR_FAULTS={example} says" in done.stderr
    assert "faults are asked for" in done.stdout
