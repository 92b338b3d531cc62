"""The pipeline in this process, with real simulator and real socket: failures of the device and of frames."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import pytest
from tests.pipeline.runs import counted, folder_source, run_to_end

from mlu_agent import cnrt
from mlu_agent.config import ModelConfig, SourceConfig
from mlu_agent.daemon.models import effective_thresholds
from mlu_agent.daemon.service import Notifications, Watchdog
from mlu_agent.errors import DeviceLost, RuntimeFailure
from mlu_agent.model.bundle import load_bundle
from mlu_agent.sources import liveness

if TYPE_CHECKING:
    from pathlib import Path


def test_a_batch_model_serves_several_sources_and_loses_nothing(make, four_core_path: Path, pictures: Path):
    """Batches of four are filled from two folders, the last one partly: 60 frames in, 60 published."""
    counters = run_to_end(make(four_core_path, folder_source(pictures, "a"), folder_source(pictures, "b")))
    for name in ("a", "b"):
        assert counters[name]["published"] == counters[name]["frames_read"] == 30
        assert counters[name]["in_flight"] == 0


def test_a_busy_device_is_shared_evenly(make, model_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch):
    """Three sources that always have a frame ready get equally many invocations of a slow device, within a fifth."""
    names = ("a", "b", "c")
    pipeline = make(model_path, *(SourceConfig(name, "path", str(pictures), loop=True) for name in names))
    original = cnrt.Notifier.wait

    def slow(self: cnrt.Notifier) -> None:
        original(self)
        time.sleep(0.01)

    monkeypatch.setattr(cnrt.Notifier, "wait", slow)
    pipeline.start()
    deadline = time.monotonic() + 60
    while pipeline.ledger.snapshot().totals["published"] < 300 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pipeline.stop(10)
    counters = list(counted(pipeline).values())
    published = [one["published"] for one in counters]
    assert min(published) > 0.8 * max(published) > 0
    assert [one["in_flight"] for one in counters] == [0, 0, 0]


def test_a_live_frame_stays_replaceable_until_a_lane_is_about_to_be_free(make, model_path: Path):
    """While no lane is, a live source's frames replace each other in the mailbox, counted, and fill no slot; then the
    newest goes, and the balance holds."""
    pipeline = make(model_path, SourceConfig("cam", "synthetic", "64x48@200", realtime=True))
    engine, line = pipeline.models.main.engine, next(iter(pipeline._lines.values()))
    due = [math.inf]
    engine.due = lambda _slot: due[0]
    pipeline.start()
    _until(lambda: counted(pipeline)["cam"].get("dropped_newer_frame", 0) >= 5)
    assert engine.in_flight == counted(pipeline)["cam"]["published"] == 0
    due[0] = 0.0
    line.exchange.look_again()
    _until(lambda: counted(pipeline)["cam"]["published"] >= 5)
    assert pipeline.stop(10)
    cam = counted(pipeline)["cam"]
    assert cam["frames_read"] == cam["published"] + cam["dropped"] + cam["failed"]


def test_recorded_frames_wait_for_no_lane(make, model_path: Path, pictures: Path):
    """A folder fills every slot as fast as it can: only what can be replaced is held back."""
    pipeline = make(model_path, folder_source(pictures))
    pipeline.models.main.engine.due = lambda _slot: math.inf
    counters = run_to_end(pipeline)["folder"]
    assert counters["published"] == counters["frames_read"] == 30


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_frames_of_a_failing_device_are_counted_and_the_pipeline_gives_up(
    make, model_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    """A device that fails whatever is done: every step is taken once, each frame has failed, the device is lost."""
    pipeline = make(model_path, folder_source(pictures))

    def fail(self: object) -> None:
        raise RuntimeFailure("cnrtWaitNotifier failed with MLU", status=632032)

    monkeypatch.setattr(cnrt.Notifier, "wait", fail)
    counters = run_to_end(pipeline)["folder"]
    assert isinstance(pipeline.failure, DeviceLost)
    assert "nothing helped (retry 1, renew 1, reopen 1), the last: cnrtWaitNotifier" in pipeline.failure.message
    assert pipeline.failure.status == 632032
    assert counters["failed"] >= 1
    assert counters["published"] == 0


@pytest.mark.parametrize("method", ["wait", "place"])
def test_one_failed_invocation_costs_nothing(
    make, model_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, method: str
):
    """After a single failure, when waiting or when submitting, the frame is tried again; all are published."""
    pipeline = make(model_path, folder_source(pictures))
    original = getattr(cnrt.Notifier, method)
    calls = []

    def fail_once(self: cnrt.Notifier, *arguments: Any) -> None:
        calls.append(1)
        original(self, *arguments)
        if len(calls) == 7:
            raise RuntimeFailure("injected")

    monkeypatch.setattr(cnrt.Notifier, method, fail_once)
    counters = run_to_end(pipeline)["folder"]
    assert pipeline.failure is None
    assert (counters["failed"], counters["published"], counters["in_flight"]) == (0, 30, 0)
    (steps,) = pipeline.ledger.snapshot().models.values()
    assert {name: count for name, count in steps.items() if count} == {"retry": 1}


def test_a_frame_that_cannot_be_prepared_fails_alone(
    make, model_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    """A decoder that hands over nonsense costs that frame, is counted by reason and logged."""
    pipeline = make(model_path, folder_source(pictures))
    original = pipeline.models.main._preprocess

    def picky(pixels: np.ndarray, out: np.ndarray) -> Any:
        return original(pixels[:, :, 0] if pixels.shape[0] == 25 else pixels, out)

    pipeline.models.main._preprocess = picky
    counters = run_to_end(pipeline)["folder"]
    assert (counters["failed"], counters["published"], counters["in_flight"]) == (1, 29, 0)
    assert pipeline.ledger.source("folder").failed() == {"preprocess": 1}


def test_numbers_that_are_not_finite_are_counted_and_said(make, model_path: Path, pictures: Path):
    """A model that answers NaN: the candidates are counted, the log tells it once, the messages call it degraded."""
    pipeline = make(model_path, folder_source(pictures))
    original, sent = pipeline.models.main.read, []

    def broken(slot: Any, index: int, letterbox: Any, choice: Any) -> Any:
        slot.outputs[0][index, 0, 0] = np.nan
        return original(slot, index, letterbox, choice)

    def keep(topic: str, message: dict[str, Any]) -> None:
        sent.append(message)

    pipeline.models.main.read = broken
    pipeline._outlet.send = keep
    counters = run_to_end(pipeline)["folder"]
    assert counters["invalid_candidates"] >= counters["published"] == 30
    frames = [message for message in sent if message["kind"] == "frame"]
    assert {message["flags"].count("degraded") for message in frames} == {1}
    assert frames[-1]["counters"]["invalid_candidates"] == counters["invalid_candidates"]
    assert len([event for event, _ in pipeline._log.calls if "not finite" in event]) == 1


def test_every_stage_is_measured(make, model_path: Path, pictures: Path):
    """Each published frame counts once in grab, wait, preprocess, device and postprocess."""
    pipeline = make(model_path, folder_source(pictures))
    run_to_end(pipeline)
    stages = pipeline.ledger.snapshot().latencies
    assert {name: stage.count for name, stage in stages.items()} == dict.fromkeys(
        ("grab", "wait", "preprocess", "device", "postprocess"), 30
    )
    assert all(stage.max_ms > 0 and sum(stage.buckets) == 30 for stage in stages.values())


def test_a_frame_in_preparation_is_not_idleness(make, model_path: Path, pictures: Path):
    """A feeder that hangs with the only frame in its hands must not feed the watchdog."""
    entered, release = threading.Event(), threading.Event()
    one = pictures / "00.png"
    pipeline = make(model_path, SourceConfig("one", "path", str(one)))
    original = pipeline.models.main._preprocess

    def hang(pixels: np.ndarray, out: np.ndarray) -> Any:
        entered.set()
        assert release.wait(60)
        return original(pixels, out)

    pipeline.models.main._preprocess = hang
    assert pipeline.workers()[0].idle
    pipeline.start()
    assert entered.wait(20)
    assert not pipeline.workers()[0].idle
    release.set()
    assert pipeline.stop(10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_source_whose_thread_dies_ends_the_daemon(make, model_path: Path, pictures: Path):
    """A bug in a source's thread is a failure of the daemon, not a camera that is silent for ever."""
    pipeline = make(model_path, folder_source(pictures))

    def bug(source: Any, counters: Any) -> None:
        raise ValueError("surprise")

    pipeline._announcer.state = bug
    source = pipeline.sources["folder"]
    source.start()
    assert source.join(20)
    pipeline._announcer.state = lambda source, counters: None
    pipeline.tick(time.monotonic())
    assert isinstance(pipeline.failure, RuntimeFailure)
    assert "source folder" in pipeline.failure.message


def test_sources_come_and_go_while_others_stay(make, model_path: Path, pictures: Path):
    """By id: one that is added starts at once, one that is removed gets its ``end`` and is forgotten. If it comes
    again, its counters go on."""
    pipeline = make(model_path, SourceConfig("stays", "path", str(pictures), loop=True))
    sent: list[tuple[str, str]] = []

    def keep(topic: str, message: dict[str, Any]) -> None:
        sent.append((message["kind"], message.get("source", "")))

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            pipeline.tick(time.monotonic())
            time.sleep(0.005)

    pipeline._outlet.send = keep
    pipeline.start()
    for times in (1, 2):
        pipeline.add(SourceConfig("comes", "path", str(pictures), loop=True))
        with pytest.raises(ValueError, match="'comes'"):
            pipeline.add(SourceConfig("comes", "path", str(pictures)))
        before = sent.count(("frame", "comes"))
        until(lambda before=before: sent.count(("frame", "comes")) > before + 10)
        pipeline.remove("comes")
        until(lambda: "comes" not in pipeline.sources)
        assert sent.count(("end", "comes")) == times
        counters = pipeline.ledger.source("comes").counters()
        assert (counters["in_flight"], counters["published"]) == (0, sent.count(("frame", "comes")))
    assert not pipeline.finished
    assert pipeline.stop(10)
    assert sent.count(("end", "stays")) == 1


def test_the_configuration_overrides_the_manifests_thresholds(model_path: Path):
    """What is not written stays the manifest's."""
    spec = load_bundle(model_path)
    chosen = effective_thresholds(ModelConfig(model_path, confidence=0.9), spec)
    assert (chosen.confidence, chosen.iou, chosen.max_detections) == (
        0.9,
        spec.thresholds.iou,
        spec.thresholds.max_detections,
    )


def test_a_source_that_hangs_for_good_starves_the_watchdog_and_one_that_is_silent_does_not(
    make, model_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    """A read that delivered and does not return any more, beside a source that works: another process may mend it."""
    monkeypatch.setattr(liveness, "HUNG_S", 0.1)
    sources = [SourceConfig(name, "path", str(pictures), loop=True, stall_timeout_s=0.1) for name in ("a", "b")]
    pipeline = make(model_path, *sources)
    release, calls = threading.Event(), []
    advance = pipeline.sources["a"].capture.advance

    def hang() -> bool:
        calls.append(1)
        return advance() if len(calls) < 5 else release.wait(60)

    pipeline.sources["a"].capture.advance = hang
    watchdog = Watchdog(Notifications("", "400000"), pipeline.workers)
    assert watchdog.tick()
    pipeline.start()
    end = time.monotonic() + 30
    while not watchdog.starving(time.monotonic()):
        assert time.monotonic() < end
        watchdog.tick()
        time.sleep(0.005)
    assert watchdog.starving(time.monotonic()) == ["source a"]
    release.set()
    pipeline.stop(10)
