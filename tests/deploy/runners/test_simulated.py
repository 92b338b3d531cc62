"""A model for an MLU270 on the simulator, which is an MLU220 unless it is told otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

CLI = {"mlu-export": "mlu_export.cli", "mlu-agent": "mlu_agent.cli"}
SAID = "tiny.cambricon is for an MLU270: the simulator is one (CNRT_SIMULATOR_DEVICE=MLU270)"


@pytest.fixture
def big(tiny, tiny_recipe, export):
    """The small network for all cores of an MLU270."""
    code, _, err = export(
        "build", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--recipe", tiny_recipe,
        "--target", "MLU270", "--core-number", "16", "--output", tiny / "big",
    )  # fmt: skip
    assert code == 0, err
    return tiny / "big" / "tiny.cambricon"


@pytest.fixture
def start(simulator_path):
    """Runs a command in a process of its own, which has one kind of device."""

    def call(command, *arguments, device=None):
        kept = {key: value for key, value in os.environ.items() if key != "CNRT_SIMULATOR_DEVICE"}
        environment = {**kept, "MLU_AGENT_SIMULATOR": str(simulator_path)}
        if device is not None:
            environment["CNRT_SIMULATOR_DEVICE"] = device
        return subprocess.run(
            [sys.executable, "-m", CLI[command], *map(str, arguments)],
            env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return call


@pytest.mark.parametrize("options", [(), ("--online",)])
def test_bench_lets_the_simulator_be_the_models_device(start, big, tiny_model, options):
    """It says so on stderr; a model for an MLU220 needs no word."""
    done = start("mlu-export", "bench", big, "--count", 1, "--json", *options)
    assert (done.returncode, SAID in done.stderr) == (0, True), done.stderr
    assert json.loads(done.stdout)["cores"] == (1 if options else 16)
    assert start("mlu-export", "bench", tiny_model, "--count", 1, *options).stderr == ""


@pytest.mark.eval
def test_eval_lets_the_simulator_be_the_models_device(start, big, tiny, tiny_annotations):
    """It says so once, however many pictures there are."""
    done = start("mlu-export", "eval", big, "--images", tiny / "pictures", "--annotations", tiny_annotations)
    assert (done.returncode, done.stderr.count(SAID)) == (0, 1), done.stderr


@pytest.mark.parametrize("command", ["mlu-export", "mlu-agent"])
def test_a_simulator_of_too_few_cores_is_refused_with_the_remedy(start, big, tiny, command):
    """The agent changes nothing by itself, and nothing overrides a variable that is set."""
    words = ("bench", big, "--count", 1) if command == "mlu-export" else ("detect", big, tiny / "pictures" / "0.png")
    done = start(command, *words, device="MLU220")
    assert done.returncode == 2
    assert "cores = 4: the model takes 16 cores per invocation; it is for an MLU270" in done.stderr
    assert "set CNRT_SIMULATOR_DEVICE=MLU270" in done.stderr
    assert start(command, *words, device="MLU270").returncode == 0
