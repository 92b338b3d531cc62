"""A device that calls invocations a success and computes wrong: the library of faults lies, nothing wrong goes out."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.models import classifier_bundle, tensors_bundle
from tests.pipeline.conftest import Log
from tests.pipeline.runs import folder_source, run_to_end

from mlu_agent.cnrt import open_library
from mlu_agent.config import Config, ModelConfig, PublishConfig
from mlu_agent.daemon.goldens import golden_frame
from mlu_agent.daemon.models import InService, Models, serve
from mlu_agent.daemon.pipeline import Pipeline
from mlu_agent.engine import Engine
from mlu_agent.engine.golden import GoldenTest, record, weakness
from mlu_agent.engine.recovery import Recovery
from mlu_agent.engine.scrutiny import Scrutiny, _sample
from mlu_agent.errors import DeviceLost, RuntimeFailure
from mlu_agent.ledger import Ledger, ModelAccount
from mlu_agent.model.bundle import load_bundle
from mlu_agent.model.golden import GoldenFrame, golden_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults import Fault

    from mlu_agent.cnrt import Library
    from mlu_agent.engine import Slot

pytestmark = pytest.mark.cc

SHA = "0" * 64
SECONDS = 30
# what the device does, and what it is called
LIES = [
    (("out", "zero"), "zero"),
    (("out", "flip"), "corrupted"),
    (("out", "stale"), "stale"),
    (("cnrtInvokeRuntimeContext", "skip"), "skipped"),
    (("out", "skip"), "skipped"),
]
LIE_NAMES = [f"{function} {action}" for (function, action), _ in LIES]


@pytest.fixture
def lying(fault: Fault, fault_library: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """The simulator behind the library of faults, in this process."""
    for name, value in fault.environment.items():
        monkeypatch.setenv(name, value)
    return open_library(str(fault_library))


class Device:
    """An engine of two lanes with its golden frame, ladder and scrutiny."""

    def __init__(self, library: Library, model: Path, interval_s: float = 1000.0) -> None:
        self.engine = Engine(library, model, cores=2, spare=True)
        self.account = ModelAccount()
        self.golden = GoldenTest(self.engine, record(self.engine, SHA, "simulator"), self.account)
        self.log = Log()
        self.recovery = Recovery(self.engine, self.account, self.log, golden=self.golden)
        self.scrutiny = Scrutiny(self.engine, self.golden, self.recovery, self.account, self.log, interval_s)

    def run(self, value: int) -> Any:
        """One invocation as the daemon runs it; its outputs."""
        slot = self.engine.acquire(SECONDS)
        assert slot is not None
        slot.inputs[0][...] = value
        self.engine.submit(slot, defer=True)
        done = self.engine.collect(None, self.recovery, self.scrutiny.doubt)
        assert done is slot
        outputs = slot.outputs[0].copy()
        self.engine.release(slot)
        return outputs

    def run_all(self, *values: int) -> None:
        """One after another."""
        for value in values:
            self.run(value)


@pytest.fixture
def tested(lying: Library, model_path: Path) -> Iterator[Device]:
    """A device that is well so far."""
    made = Device(lying, model_path)
    with made.engine:
        yield made


@pytest.mark.parametrize("lie, kind", LIES, ids=LIE_NAMES)
def test_each_way_to_be_wrong_fails_the_golden_frame(tested: Device, fault: Fault, lie: Any, kind: str):
    """And is counted under its name; a device that keeps to it is lost after every step was tried."""
    tested.scrutiny.start()
    assert not any(tested.account.counters().values())
    fault.begin(*lie)
    with pytest.raises(RuntimeFailure, match="the golden frame failed on core group 0"):
        tested.golden.check()
    assert {name for name, count in tested.account.counters().items() if count} == {kind}
    with pytest.raises(DeviceLost, match=r"nothing helped .* the golden frame failed"):
        tested.scrutiny.start()
    assert tested.account.steps() == {"retry": 1, "renew": 1, "reopen": 1}


@pytest.mark.parametrize("bundle", [classifier_bundle, tensors_bundle])
@pytest.mark.parametrize("lie, kind", LIES[:2], ids=LIE_NAMES[:2])
def test_models_that_detect_nothing_are_watched_as_well(
    lying: Library, tmp_path: Path, fault: Fault, bundle: Any, lie: Any, kind: str
):
    """Whatever the outputs mean: their bytes are known, and mended where it helps."""
    device = Device(lying, bundle(tmp_path))
    with device.engine:
        device.scrutiny.start()
        before = device.run(90)
        fault.begin(*lie)
        with pytest.raises(RuntimeFailure, match="the golden frame failed"):
            device.golden.check()
        fault.end()
        assert (device.run(90) == before).all()
        device.scrutiny.start()
    assert device.account.counters()[kind] == 1


@pytest.mark.parametrize("lie, kind", [LIES[0], LIES[2], LIES[3]], ids=[LIE_NAMES[0], LIE_NAMES[2], LIE_NAMES[3]])
def test_outputs_that_look_wrong_are_not_published(tested: Device, fault: Fault, lie: Any, kind: str):
    """Zero, stale and skipped outputs of an ordinary frame run the golden frame at once, long before it is due."""
    for value in range(4):
        tested.run(60 * value)
    fault.begin(*lie)
    with pytest.raises(DeviceLost, match="nothing helped"):
        tested.run_all(10, 70, 130, 190)  # the first of the stale ones may be the right one
    assert tested.account.counters()[kind] >= 1
    with pytest.raises(DeviceLost):
        tested.run(7)


def test_a_single_wrong_frame_is_made_again(tested: Device, monkeypatch: pytest.MonkeyPatch):
    """The device is well when the golden frame runs: the frame's outputs are computed anew, and it is counted."""
    right = tested.run(200)
    slot = tested.engine.acquire(SECONDS)
    assert slot is not None
    slot.inputs[0][...] = 200
    tested.engine.submit(slot)
    finish = type(slot).finish

    def lie(self: Any) -> None:
        finish(self)
        monkeypatch.undo()
        self.outputs[0][...] = 0

    monkeypatch.setattr(type(slot), "finish", lie)
    done = tested.engine.collect(None, tested.recovery, tested.scrutiny.doubt)
    assert done is slot
    assert np.array_equal(slot.outputs[0], right)
    assert {name: count for name, count in tested.account.counters().items() if count} == {"zero": 1}
    tested.engine.release(slot)


@pytest.mark.parametrize("place", range(4))
def test_what_is_looked_at_are_all_bytes_of_numbers_and_all_channels(place: int):
    """Alpha is the same in every picture, and the low byte of 1.0 is zero: neither tells one picture from the next."""
    one = np.zeros((1, 416, 416, 4), np.uint8)
    other = one.copy()
    other[..., place] = 1
    assert _sample([one]) != _sample([other])


def test_a_picture_that_stands_still_is_no_doubt(tested: Device, monkeypatch: pytest.MonkeyPatch):
    """The same outputs for the same input are right; nothing is run for them."""
    probes: list[Any] = []
    monkeypatch.setattr(tested.golden, "check", probes.append)
    for _ in range(6):
        tested.run(77)
    assert probes == []


def test_an_unfounded_doubt_is_gone_into_once_in_ten_seconds(tested: Device, monkeypatch: pytest.MonkeyPatch):
    """A model that always says zero costs two golden runs in ten seconds, not two in every frame."""
    checks: list[Any] = []
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=1000.0)
    monkeypatch.setattr("mlu_agent.engine.scrutiny.time", clock)
    monkeypatch.setattr(tested.golden, "check", checks.append)
    monkeypatch.setattr(tested.scrutiny, "_suspicion", lambda _slot: "zero")
    for clock.now in (1000.0, 1005.0, 1009.9, 1010.1, 1019.9):
        tested.run(50)
    assert len(checks) == 2


def test_a_step_has_helped_only_if_the_golden_frame_passes(tested: Device, fault: Fault):
    """A device that answers again and computes wrong is not well: the next step is taken."""
    slot = tested.engine.acquire(SECONDS)
    assert slot is not None
    fault.begin("out", "flip")
    with pytest.raises(DeviceLost, match="the golden frame failed"):
        tested.recovery(slot, RuntimeFailure("injected"))
    assert tested.account.steps() == {"retry": 1, "renew": 1, "reopen": 1}


def test_a_start_in_which_one_lane_of_several_computes_wrong_is_none(tested: Device, monkeypatch: pytest.MonkeyPatch):
    """What is tried again has to pass on the lanes that were tested, not on the first one alone."""
    probe = tested.engine.probe

    @contextlib.contextmanager
    def wrong_on_lane_1(*asked: Any) -> Iterator[Slot]:
        with probe(*asked) as slot:
            slot.outputs[0][...] += slot.lane
            yield slot

    monkeypatch.setattr(tested.engine, "probe", wrong_on_lane_1)
    with pytest.raises(DeviceLost, match="core group 1"):
        tested.scrutiny.start()


def test_the_golden_frame_goes_round_the_lanes_when_it_is_due(tested: Device, monkeypatch: pytest.MonkeyPatch):
    """One after another, each time after the interval; all of them at start."""
    lanes: list[Any] = []
    monkeypatch.setattr(tested.golden, "check", lambda wanted: lanes.append(list(wanted)))
    tested.scrutiny.start()
    first = tested.scrutiny.due
    for now in (first - 0.1, first, first + 999.0, first + 1000.0, first + 2000.0):
        tested.scrutiny.look(now)
    assert lanes == [[0, 1], [1], [0], [1]]


def test_recording_needs_a_device_that_computes_the_same_twice(lying: Library, model_path: Path, fault: Fault):
    """Else anything might be recorded; one that writes nothing is refused, too."""
    with Engine(lying, model_path, cores=1, spare=True) as engine:
        fault.begin("out", "flip", 2)
        with pytest.raises(RuntimeFailure, match=r"does not compute the same twice .*golden_interval_s = 0"):
            record(engine, SHA, "simulator")
        fault.begin("cnrtInvokeRuntimeContext", "skip")
        with pytest.raises(RuntimeFailure, match="never written"):
            record(engine, SHA, "simulator")
        fault.end()
        golden = record(engine, SHA, "simulator")
        assert weakness(golden) == ""
        assert "the same outputs" in weakness(GoldenFrame(SHA, "simulator", (golden.outputs[0],) * 2))


@pytest.mark.parametrize("batch", [1, 4])
def test_golden_runs_between_frames_lose_and_change_none(
    library: Library, model_path: Path, four_core_path: Path, pictures: Path, batch: int
):
    """All thirty pictures come out with what they have without it, whatever the batch and the number of lanes."""
    model = {1: model_path, 4: four_core_path}[batch]
    plain, _ = published(library, model, pictures, None)
    with Engine(library, model, spare=True) as engine:
        golden = record(engine, SHA, "simulator")
    watched, runs = published(library, model, pictures, golden)
    assert len(plain) == 30
    assert watched == plain
    assert runs > 5


def published(library: Library, model: Path, pictures: Path, golden: GoldenFrame | None) -> tuple[list[Any], int]:
    """The detections of all thirty pictures, and how often the golden frame was run between them."""
    ledger, log = Ledger(), Log()
    sent: list[Any] = []
    runs: list[Any] = []
    config = Config("box", (ModelConfig(model),), (folder_source(pictures),), PublishConfig())
    outlet: Any = SimpleNamespace(send=lambda _topic, message: sent.append(message), look_for_subscribers=lambda: False)
    with Engine(library, model, spare=True) as engine:
        served = serve(load_bundle(model), engine, ModelConfig(model), ledger, log, None, golden, 0.001)
        probe = engine.probe
        engine.probe = lambda lane, inputs: runs.append(lane) or probe(lane, inputs)  # type: ignore[method-assign,func-returns-value]
        run_to_end(Pipeline(config, Models([InService(config.models[0], served)]), outlet, ledger, log))
    assert ledger.snapshot().sources["folder"]["published"] == 30
    return [message["detections"] for message in sent if message["kind"] == "frame"], len(runs)


def keep(model: Path, folder: Path) -> Path:
    """The model, copied with its manifest."""
    for path in (model, model.with_suffix(".toml")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / model.name


def test_a_golden_frame_that_is_missing_is_recorded_beside_the_model(
    library: Library, model_path: Path, tmp_path: Path
):
    """And said; the next start takes it, whether it is right is for the test to say."""
    model = keep(model_path, tmp_path)
    spec = load_bundle(model)
    with Engine(library, model, cores=1, spare=True) as engine:
        log = Log()
        first = golden_frame(spec, engine, log)
        assert [event for event, _ in log.calls] == [
            "golden frame recorded: from now on the same has to be computed here"
        ]
        kept = tmp_path / "small.golden"
        assert kept.read_text() == golden_text(first)
        other = GoldenFrame(first.model_sha256, "simulator", (("f" * 64,), ("e" * 64,)))
        kept.write_text(golden_text(other))
        assert golden_frame(spec, engine, Log()) == other
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("wrong", ["damaged", "another model", "another device", "another number of outputs"])
def test_a_golden_frame_that_does_not_belong_here_is_said_and_made_anew(
    library: Library, model_path: Path, tmp_path: Path, wrong: str
):
    """A daemon does not stay away for it."""
    model = keep(model_path, tmp_path)
    spec = load_bundle(model)
    row = (("f" * 64,), ("e" * 64,))
    files = {
        "damaged": "schema = 1\n",
        "another model": golden_text(GoldenFrame(SHA, "simulator", row)),
        "another device": golden_text(GoldenFrame(spec.sha256, "MLU220, CNRT 4.10.4", row)),
        "another number of outputs": golden_text(GoldenFrame(spec.sha256, "simulator", (row[0] * 2, row[1] * 2))),
    }
    (tmp_path / "small.golden").write_text(files[wrong])
    with Engine(library, model, cores=1, spare=True) as engine:
        log = Log()
        golden = golden_frame(spec, engine, log)
        assert golden == record(engine, spec.sha256, "simulator")
        assert next(event for event, _ in log.calls) == "a golden frame is not taken"
        assert golden_frame(spec, engine, Log()) == golden


def test_a_read_only_folder_has_its_golden_frame_in_the_cache_or_for_this_start_alone(
    library: Library, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As under the unit, which lets the daemon write into its cache alone; without one it is said each time."""
    cache = tmp_path / "cache"
    cache.mkdir()
    folder = tmp_path / "model"
    folder.mkdir()
    model = keep(model_path, folder)
    spec = load_bundle(model)
    (folder / "small.golden").mkdir()  # nobody can put a file there, root neither
    with Engine(library, model, cores=1, spare=True) as engine:
        log = Log()
        golden = golden_frame(spec, engine, log)
        assert "no place to keep it" in log.calls[-1][0]
        monkeypatch.setenv("CACHE_DIRECTORY", f"{cache}:/elsewhere")
        assert golden_frame(spec, engine, Log()) == golden
        assert [path.name for path in cache.iterdir()] == [f"{spec.sha256}.golden"]
        log = Log()
        assert golden_frame(spec, engine, log) == golden
        assert log.calls[-1][0] == "golden frame"
