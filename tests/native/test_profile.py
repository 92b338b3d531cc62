"""Where a model's time goes: CNRT_SIMULATOR_PROFILE, in a process of its own each time."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.models import small_bundle
from tests.native.codes import ADD, FLOAT16, INT16, UINT8
from tests.native.make_model import Layers, Model

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
for path in sys.argv[2:]:
    with Engine(open_library("simulator"), path) as engine:
        for _ in range(int(sys.argv[1])):
            engine.submit(engine.acquire())
            engine.release(engine.collect())
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of three convolutions."""
    return small_bundle(tmp_path_factory.mktemp("small"))


@pytest.fixture
def invoke(simulator_path: Path):
    """Three invocations of each model under a value of the variable; what stderr said."""

    def run(value: str, *models: Path) -> str:
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), "CNRT_SIMULATOR_PROFILE": value}
        command = [sys.executable, "-c", PROGRAM, "3", *map(str, models)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


def test_a_folder_gets_the_profile_of_each_model(invoke, small: Path, tmp_path: Path):
    """One whole file a model, with every step that runs: what is fused or a view has none."""
    assert invoke(str(tmp_path), small, small) == ""
    files = sorted(tmp_path.iterdir())
    assert [path.suffix for path in files] == [".json", ".json"]
    for path in files:
        told = json.loads(path.read_text(encoding="ascii"))
        assert (told["schema"], told["runs"]) == (1, 3)
        assert [(step["kind"], step["name"]) for step in told["steps"]] == [
            ("conv", "conv0"),
            ("max_pool", "pool"),
            ("conv", "conv1"),
            ("conv", "head"),
        ]
        assert (told["steps"][0]["input"], told["steps"][0]["output"]) == ([1, 32, 32, 4], [1, 32, 32, 8])
        assert [step["multiplications"] for step in told["steps"]] == [
            32 * 32 * 8 * 27,
            0,
            16 * 16 * 16 * 72,
            16 * 16 * 18 * 16,
        ]
        assert all(0 < step["least_ns"] <= step["mean_ns"] for step in told["steps"])


def _types(invoke, folder: Path, grow) -> dict[str, tuple[str, list[str]]]:
    """What each step of a network reads and writes, as this processor's table of kernels keeps it."""
    model = Model("formats")
    layers = Layers(model, random.Random(0), FLOAT16)
    grow(model, layers, model.input("data", (1, 8, 8, 16), FLOAT16))
    path = folder / "formats.cambricon"
    path.write_bytes(model.build())
    invoke(str(folder), path)
    (written,) = folder.glob("profile-*.json")
    told = json.loads(written.read_text(encoding="ascii"))
    assert told["arena_bytes"] > 0
    assert told["packed_bytes"] > 0
    assert all(step["bytes"] > 0 for step in told["steps"])
    assert all(step["algorithm"] and step["limit_permille"] >= 0 for step in told["steps"] if step["kind"] == "conv")
    return {step["name"]: (step["input_type"], step["output_types"]) for step in told["steps"]}


@pytest.mark.vectors
def test_what_all_readers_quantize_alike_is_kept_quantized(invoke, tmp_path: Path):
    """Through a pool, an upsampling and a concatenation too; the network's own input and output stay values."""

    def grow(model: Model, layers: Layers, x: int) -> None:
        a = layers.conv(x, 16, name="a")
        b = layers.upsample(layers.max_pool(a, 2, 2, 0, 4, 4), 2, 2)
        joined = layers.concat([a, b], 3)
        c = layers.conv(joined, 16, name="c", absmax=3.0)
        model.output(layers.binary(ADD, c, layers.conv(joined, 16, name="d", absmax=3.0)), "out")

    assert _types(invoke, tmp_path, grow) == {
        "a": ("float16", ["quantized"]),
        "pool": ("quantized", ["quantized"]),
        "up": ("quantized", ["quantized"]),
        "c": ("quantized", ["float16"]),
        "d": ("quantized", ["float16"]),  # and the sum
    }


@pytest.mark.vectors
def test_what_is_read_otherwise_too_is_kept_as_values(invoke, tmp_path: Path):
    """With other scales, by operators that are no convolution, by int16 weights: beside the bytes where a convolution
    writes it, in place of them where it does not.
    """

    def grow(model: Model, layers: Layers, x: int) -> None:
        a = layers.conv(x, 16, name="a")
        b = layers.conv(a, 16, name="b", absmax=2.0)
        c = layers.conv(a, 16, name="c", absmax=3.0)
        pool = layers.max_pool(b, 2, 2, 0, 4, 4)
        model.output(layers.conv(pool, 8, name="d", absmax=2.0), "d")
        model.output(layers.conv(pool, 8, name="e", absmax=3.0), "e")
        model.output(layers.softmax(layers.conv(c, 8, name="f", kind=INT16), 3), "f")

    assert _types(invoke, tmp_path, grow) == {
        "a": ("float16", ["float16", "quantized"]),
        "b": ("float16", ["float16"]),
        "c": ("quantized", ["float16"]),
        "pool": ("float16", ["float16"]),
        "d": ("float16", ["float16"]),
        "e": ("float16", ["float16"]),
        "f": ("float16", ["float16"]),
        "softmax": ("float16", ["float16"]),
    }


def test_one_prints_a_table_and_nothing_asks_for_nothing(invoke, small: Path):
    """The table is for people: a line for each step, and one that adds them up."""
    lines = invoke("1", small).splitlines()
    assert lines[0].startswith("cnrt simulator profile: kernels ")
    assert lines[0].endswith(", 3 runs")
    assert lines[2].split()[5] == "conv"
    assert lines[2].split()[7:9] == ["conv0", "32x32x4"]
    assert " all: conv " in lines[-1]
    assert len(lines) == 7
    assert invoke("", small) == invoke("0", small) == ""


def test_a_folder_that_is_not_there_is_said(invoke, small: Path, tmp_path: Path):
    """The model ran all the same; the sentence says what the variable may be."""
    told = invoke(str(tmp_path / "none"), small)
    assert "cannot be written: No such file or directory" in told
    assert "CNRT_SIMULATOR_PROFILE must be 1, a folder" in told


def test_a_name_of_any_bytes_stays_json(simulator_path: Path, tmp_path: Path):
    """Names come from the file; quotes, backslashes and bytes beyond ASCII come back as they were."""
    model = Model("named")
    layers = Layers(model, random.Random(0), FLOAT16)
    name = 'a"b\\c\N{MULTIPLICATION SIGN}'
    x = model.input("data", (1, 4, 4, 4), UINT8)
    model.output(layers.conv(layers.normalize(x, [0, 1, 2]), 4, (1, 1), name=name), "out")
    path = tmp_path / "named.cambricon"
    path.write_bytes(model.build())
    env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), "CNRT_SIMULATOR_PROFILE": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM, "3", str(path)]
    subprocess.run(command, env=env, timeout=60, check=True)
    (written,) = tmp_path.glob("profile-*.json")
    (step,) = json.loads(written.read_text(encoding="ascii"))["steps"]
    assert step["name"].encode("latin-1").decode("utf-8") == name


def test_the_benchmark_reads_it(small: Path):
    """benchmarks/layers.py prints the steps, those that take longest first, and their shares of the whole."""
    command = [sys.executable, str(ROOT / "benchmarks" / "layers.py"), str(small), "3"]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    assert lines[0].startswith("3 runs, kernels ")
    assert {(line.split()[5], line.split()[-4]) for line in lines[1:]} == {
        ("conv", "conv0"),
        ("max_pool", "pool"),
        ("conv", "conv1"),
        ("conv", "head"),
    }
    times = [float(line.split()[0]) for line in lines[1:]]
    assert times == sorted(times, reverse=True)
