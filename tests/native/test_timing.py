"""CNRT_SIMULATOR_TIMING: an estimated device's clock. Each case in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.models import small_bundle

PROFILES = Path(__file__).resolve().parents[2] / "native" / "sim" / "profiles"
FLOAT16_BYTES = 2
PROGRAM = """
import json, sys, time
from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
library = open_library("simulator")
with Engine(library, sys.argv[1]) as engine:
    times, begun = [], time.monotonic()
    for _ in range(3):
        engine.submit(engine.acquire())
        slot = engine.collect()
        times.append(slot.device_us)
        engine.release(slot)
    seconds = time.monotonic() - begun
print(json.dumps({"times": times, "seconds": seconds, "reason": library.reason}))
"""
PROFILE = """\
name = "test card"
device = "MLU220"
cores = 4
clock_mhz = 100.0
macs_int8 = 100
macs_int16 = 50
macs_float = 10
efficiency = 0.5
bandwidth_gb_s = 1.0
memory_efficiency = 0.25
launch_us = 3.0
transfer_gb_s = 1.0
transfer_us = 0
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of three convolutions and a pooling, for one core."""
    return small_bundle(tmp_path_factory.mktemp("small"))


@pytest.fixture
def invoke(simulator_path: Path):
    """Three invocations of a model with these variables."""

    def run(model: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), **variables}
        command = [sys.executable, "-c", PROGRAM, str(model)]
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)

    return run


def test_device_times_are_the_estimates_of_all_steps(invoke, small: Path, tmp_path: Path):
    """The same each time; the profile tells each step's, and what the sum is."""
    profile = tmp_path / "card.toml"
    profile.write_text(PROFILE)
    done = invoke(small, CNRT_SIMULATOR_TIMING=str(profile), CNRT_SIMULATOR_PROFILE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (written,) = tmp_path.glob("profile-*.json")
    document = json.loads(written.read_text(encoding="ascii"))
    estimate, steps = document["estimate"], document["steps"]
    assert (estimate["profile"], estimate["cores"]) == ("test card", 1)
    assert estimate["estimate_ns"] == pytest.approx(sum(step["estimate_ns"] for step in steps), abs=4)
    assert told["times"] == [pytest.approx(estimate["estimate_ns"] / 1e3, rel=1e-6)] * 3
    assert len(set(told["times"])) == 1
    assert "device times are estimates for test card" in told["reason"]
    assert "device times are estimates for test card, as CNRT_SIMULATOR_TIMING says" in done.stderr
    expected = [_bounds_us(step) for step in steps]
    for step, (low, high) in zip(steps, expected):
        assert low - 0.001 <= step["estimate_ns"] / 1e3 <= high + 0.001, step


def _bounds_us(step: dict[str, object]) -> tuple[float, float]:
    """The formula of ABI.md section 10.2 for PROFILE; between: constants of at most 8 kB are read too."""
    size = {"conv0": 1}.get(str(step["name"]), FLOAT16_BYTES)  # the picture is uint8
    read, written = (int(_product(step[field])) for field in ("input", "output"))
    compute = float(str(step["multiplications"])) / (100e6 * 100 * 0.5)
    bytes_ = read * size + written * FLOAT16_BYTES
    rate = 1e9 * 0.25
    return tuple(1e6 * (max(compute, moved / rate) + 3e-6) for moved in (bytes_ - 1, bytes_ + 8192))  # type: ignore[return-value]


def _product(dims: object) -> int:
    product = 1
    for dim in dims:  # type: ignore[attr-defined]
        product *= dim
    return product


def test_more_cores_and_faster_arithmetic_take_less(invoke, tmp_path: Path):
    """Where the multiplications decide: four cores are four times as fast, less what each step costs."""
    text = re.sub(r"(?m)^(bandwidth_gb_s) = .*", r"\1 = 1000.0", re.sub(r"(?m)^(launch_us) = .*", r"\1 = 0", PROFILE))
    profile = tmp_path / "card.toml"
    profile.write_text(text.replace("macs_int8 = 100", "macs_int8 = 1"))
    times = []
    for cores in (1, 4):
        folder = tmp_path / str(cores)
        folder.mkdir()
        done = invoke(small_bundle(folder, parallelism=cores), CNRT_SIMULATOR_TIMING=str(profile))
        times.append(json.loads(done.stdout)["times"][0])
    assert times[0] == pytest.approx(4 * times[1], rel=0.01)


def test_a_paced_simulator_is_not_faster_than_the_device(invoke, small: Path, tmp_path: Path):
    """The host waits for the rest of each estimate; without pace it does not."""
    profile = tmp_path / "card.toml"
    text = PROFILE.replace("launch_us = 3.0", "launch_us = 25000.0")  # 0.1 s an invocation
    profile.write_text(text)
    free = json.loads(invoke(small, CNRT_SIMULATOR_TIMING=str(profile)).stdout)
    profile.write_text(text + "pace = true\n")
    paced = json.loads(invoke(small, CNRT_SIMULATOR_TIMING=str(profile)).stdout)
    assert free["times"] == paced["times"]
    assert free["times"][0] > 100_000
    assert free["seconds"] < 0.3 <= paced["seconds"]


@pytest.mark.parametrize("name, device", [("mlu220", "MLU220"), ("mlu270", "MLU270")])
def test_the_profiles_that_come_with_it_are_found_by_name(simulator_path: Path, name: str, device: str):
    """Beside the library; each says of every figure where it comes from."""
    env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), "CNRT_SIMULATOR_TIMING": name}
    command = [sys.executable, "-m", "mlu_agent.cli", "devices", "--runtime", "simulator"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**env, "CNRT_SIMULATOR_DEVICE": device}, check=True
    )
    assert f"device times are estimates for {device}" in done.stdout
    text = (PROFILES / f"{name}.toml").read_text(encoding="utf-8")
    assert text == (simulator_path.parent / "profiles" / f"{name}.toml").read_text(encoding="utf-8")
    figures = re.findall(r"^\w+ = [0-9.]+(.*)$", text, re.MULTILINE)
    assert len(figures) == 11
    assert all(re.search(r"known|[Dd]erived|assumed|measured|published", words) for words in figures[1:])


@pytest.mark.parametrize(
    "text, words",
    [
        (PROFILE.replace("efficiency = 0.5", "efficiency = 1.5", 1), "line 8: efficiency = 1.5 must be a number from"),
        (PROFILE.replace("cores = 4\n", ""), "cores is missing"),
        (PROFILE.replace("MLU220", "MLU270"), "it is for an MLU270 of 4 cores, simulated is an MLU220 of 4"),
        (PROFILE.replace("cores = 4", "cores = 16"), "it is for an MLU220 of 16 cores"),
        ("[device]\n", "line 1: [device]: a timing profile has no tables"),
        (PROFILE + "#" * 70000, "line 1: the file has more than 65536 bytes"),
        (None, "cannot be opened: No such file"),
    ],
    ids=["range", "missing", "device", "cores", "table", "long", "none"],
)
def test_a_profile_that_cannot_be_used_refuses_the_device(invoke, small: Path, tmp_path: Path, text, words: str):
    """Times that silently were the host's would be taken for estimates."""
    profile = tmp_path / "card.toml"
    if text is not None:
        profile.write_text(text)
    done = invoke(small, CNRT_SIMULATOR_TIMING=str(profile))
    assert done.returncode != 0
    assert "cnrtInit failed with INIT (632024): CNRT_SIMULATOR_TIMING=" in done.stderr
    assert words in done.stderr


TWO_DEVICES = """
import sys, time
from mlu_agent.cnrt import Context, Device, DeviceBuffer, Model, Queue, open_library
library = open_library("simulator")
jobs = []
for ordinal in map(int, sys.argv[2:]):
    device = Device(library, ordinal)
    model = Model(library, sys.argv[1])
    sizes = [tensor.bytes for tensor in (*model.description.inputs, *model.description.outputs)]
    buffers = [DeviceBuffer(library, size) for size in sizes]
    parameters = library.ffi.new("void *[]", [buffer.pointer for buffer in buffers])
    jobs.append((device, model, Context(device, model), Queue(library), buffers, parameters))
begun = time.monotonic()
for _, _, context, queue, _, parameters in jobs:
    context.invoke(parameters, queue)
for *_, queue, _, _ in jobs:
    queue.sync()
print(time.monotonic() - begun)
"""


def test_each_device_has_cores_of_its_own(simulator_path: Path, tmp_path: Path):
    """Two invocations that each take all cores run side by side on two devices, one after the other on one."""
    profile = tmp_path / "card.toml"
    profile.write_text(PROFILE.replace("launch_us = 3.0", "launch_us = 150000.0") + "pace = true\n")  # 0.6 s each
    model = small_bundle(tmp_path, parallelism=4)
    env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path), "CNRT_SIMULATOR_TIMING": str(profile)}
    env["CNRT_SIMULATOR_DEVICES"] = "2"
    seconds = []
    for ordinals in (("0", "1"), ("1", "1")):
        command = [sys.executable, "-c", TWO_DEVICES, str(model), *ordinals]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=True)
        seconds.append(float(done.stdout))
    assert 0.6 <= seconds[0] < 1.2 <= seconds[1]
