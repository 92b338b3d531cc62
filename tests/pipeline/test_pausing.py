"""Sources that are told to wait, pictures of sources, and who asked: in a real pipeline."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any, Callable

import cv2
import numpy as np
import pytest
from tests.faulty_cameras import HttpCamera
from tests.pipeline.conftest import Log
from tests.pipeline.runs import folder_source

from mlu_agent.config import SourceConfig
from mlu_agent.daemon import snapshots
from mlu_agent.daemon.control import Request
from mlu_agent.daemon.orders import Orders
from mlu_agent.daemon.requests import Asked
from mlu_agent.daemon.snapshots import LONGEST, MAX_JPEG, MAX_WAITING, as_jpeg
from mlu_agent.daemon.status import Changes, Status
from mlu_agent.sources import SourceState

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.daemon.pipeline import Pipeline

SECONDS = 30


class Asker:
    """Stands where the control socket does, and the main loop around it."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.log, self.changes = Log(), Changes()
        self.levels: list[str] = []
        self._requests: list[Request] = []
        self.orders = Orders(
            self, self.log, self.changes, status=lambda: Status(None), set_level=self.levels.append  # type: ignore[arg-type]
        )  # fmt: skip
        self.orders.pipeline = pipeline
        self.due = float("inf")

    def take(self, _now: float) -> list[Request]:
        requests, self._requests = self._requests, []
        return requests

    def ask(self, do: str, **fields: str) -> list[Any]:
        """The answers: none yet where it takes its time."""
        answers: list[Any] = []
        self._requests.append(Request(Asked(do, fields), "uid 7, pid 8", answers.append))
        self.orders.look(time.monotonic())
        return answers

    def turn(self, until: Callable[[], Any]) -> None:
        """Turns as the main loop does until it is so."""
        end = time.monotonic() + SECONDS
        while not until():
            assert time.monotonic() < end, [source.status for source in self.pipeline.sources.values()]
            self.pipeline.tick(time.monotonic())
            self.orders.look(time.monotonic())
            time.sleep(0.005)

    def state(self, source: str) -> SourceState:
        return self.pipeline.sources[source].status.state

    def published(self, source: str) -> int:
        return self.pipeline.sources[source].account.counters()["published"]


@pytest.fixture
def asker(make):
    """A function from a model and sources to an Asker of a pipeline that runs."""
    made: list[Pipeline] = []

    def start(model: Path, *sources: SourceConfig) -> Asker:
        made.append(make(model, *sources))
        made[-1].start()
        return Asker(made[-1])

    yield start
    for pipeline in made:
        assert pipeline.stop(10)


CAMERA = SourceConfig("camera", "synthetic", "64x48@50", realtime=True)


def test_a_paused_source_reads_nothing_until_it_is_resumed(asker, model_path: Path):
    """It is closed, says who did it, is silent without being stalled, and delivers again with its numbers going on."""
    desk = asker(model_path, CAMERA)
    desk.turn(lambda: desk.published("camera") >= 3)
    assert desk.ask("pause", source="camera")[0]["ok"]
    source = desk.pipeline.sources["camera"]
    assert (source.status.state, source.status.reason) == (SourceState.PAUSED, "paused by uid 7, pid 8")
    desk.turn(lambda: (not source.account.counters()["in_flight"] and source._liveness.due(0, 1, None) > 1e9) or True)
    time.sleep(0.2)
    before = source.account.counters()["frames_read"]
    assert source.stall_due(time.monotonic()) == float("inf")
    source.check_stall(time.monotonic() + 3600)
    time.sleep(0.2)
    assert source.account.counters()["frames_read"] == before
    assert desk.state("camera") is SourceState.PAUSED
    assert desk.ask("resume", source="camera")[0]["ok"]
    desk.turn(lambda: desk.state("camera") is SourceState.LIVE and source.account.counters()["frames_read"] > before)
    assert [change.what for change in desk.changes.newest_first()] == ["resume camera", "pause camera"]
    told = [fields for event, fields in desk.log.calls if event == "asked to change"]
    assert {fields["who"] for fields in told} == {"uid 7, pid 8"}


def test_a_paused_camera_is_let_go_and_called_again(asker, model_path: Path):
    """Its connection is closed, for whoever else wants the camera; resuming makes a new one."""
    with HttpCamera(fps=20.0) as camera:
        desk = asker(model_path, SourceConfig("gate", "url", camera.url))
        desk.turn(lambda: desk.state("gate") is SourceState.LIVE)
        desk.ask("pause", source="gate")
        desk.turn(lambda: not camera._open)
        assert desk.state("gate") is SourceState.PAUSED
        before = camera.connections
        desk.ask("resume", source="gate")
        desk.turn(lambda: desk.state("gate") is SourceState.LIVE)
        assert camera.connections > before


def test_a_paused_path_stands_still_and_loses_no_frame(asker, model_path: Path, pictures: Path):
    """It goes on where it was: every picture once."""
    desk = asker(model_path, SourceConfig("folder", "path", str(pictures), max_fps=100.0))
    desk.turn(lambda: desk.published("folder") >= 3)
    desk.ask("pause", source="folder")
    source = desk.pipeline.sources["folder"]
    desk.turn(lambda: not source.account.counters()["in_flight"])
    time.sleep(0.1)
    read = source.account.counters()["frames_read"]
    time.sleep(0.1)
    assert source.account.counters()["frames_read"] == read < 30
    assert desk.state("folder") is SourceState.PAUSED
    desk.ask("resume", source="folder")
    desk.turn(lambda: source.finished)
    assert source.account.counters()["frames_read"] == 30


def test_a_pause_outlives_a_source_that_is_made_anew(asker, model_path: Path):
    """Another configuration of it does not end the pause; resuming does."""
    desk = asker(model_path, CAMERA)
    desk.turn(lambda: desk.published("camera") >= 1)
    desk.ask("pause", source="camera")
    before = desk.pipeline.sources["camera"]
    desk.pipeline.remove("camera", CAMERA)
    desk.turn(lambda: desk.pipeline.sources["camera"] is not before)
    assert desk.state("camera") is SourceState.PAUSED
    time.sleep(0.1)
    assert desk.state("camera") is SourceState.PAUSED
    desk.ask("resume", source="camera")
    desk.turn(lambda: desk.state("camera") is SourceState.LIVE)


def test_a_lost_source_may_be_paused_and_is_lost_again_afterwards(asker, model_path: Path):
    """Nobody is asked while it is paused; then it is tried when that was due anyway."""
    desk = asker(model_path, SourceConfig("gate", "path", "/nothing/there.mp4", loop=True, reconnect_max_s=0.5))
    desk.turn(lambda: desk.state("gate") is SourceState.LOST)
    desk.ask("pause", source="gate")
    time.sleep(1.0)
    assert desk.state("gate") is SourceState.PAUSED
    tried = desk.pipeline.sources["gate"].account.counters()["reconnects"]
    desk.ask("resume", source="gate")
    assert desk.pipeline.sources["gate"].status.state is SourceState.LOST
    assert "there is no such file or folder" in desk.pipeline.sources["gate"].status.reason
    desk.turn(lambda: desk.pipeline.sources["gate"].account.counters()["reconnects"] > tried)


def test_a_paused_source_stops_when_the_agent_does(asker, model_path: Path, pictures: Path):
    """The end waits for nobody to resume it."""
    desk = asker(model_path, CAMERA, folder_source(pictures))
    desk.turn(lambda: desk.published("camera") >= 1)
    desk.ask("pause", source="camera")
    assert desk.pipeline.stop(10)
    assert desk.state("camera") is SourceState.ENDED


def test_what_cannot_be_done_is_one_sentence(asker, model_path: Path, pictures: Path):
    """A source that is not there, or over; and what is so already is no failure."""
    desk = asker(model_path, CAMERA, folder_source(pictures))
    desk.turn(lambda: desk.pipeline.sources["folder"].finished)
    (unknown,) = desk.ask("pause", source="gaet")
    assert unknown == {"ok": False, "error": "source: there is no 'gaet'; known here: camera, folder"}
    assert "it is over (ended" in desk.ask("resume", source="folder")[0]["error"]
    assert "no picture will come: it is ended" in desk.ask("snapshot", source="folder")[0]["error"]
    assert desk.ask("resume", source="camera")[0]["done"] == "source camera is not paused"
    desk.ask("pause", source="camera")
    assert desk.ask("pause", source="camera")[0]["done"] == "source camera is paused already"
    assert "it is paused" in desk.ask("snapshot", source="camera")[0]["error"]
    assert not desk.ask("reload")[0]["ok"]


def test_the_log_level_is_changed_and_noted(asker, model_path: Path):
    """Who made the log silent must be found afterwards."""
    desk = asker(model_path, CAMERA)
    assert desk.ask("log", level="error")[0]["ok"]
    assert desk.levels == ["error"]
    assert desk.changes.newest_first()[0].what == "log error"


def test_a_snapshot_is_the_next_picture_of_a_source(asker, model_path: Path):
    """As a JPEG of its size, while frames go on."""
    desk = asker(model_path, CAMERA)
    answers = desk.ask("snapshot", source="camera")
    desk.turn(lambda: answers)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(answers[0]["jpeg"]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (48, 64, 3)
    assert (answers[0]["width"], answers[0]["height"], answers[0]["shrunk"]) == (64, 48, False)
    before = desk.published("camera")
    desk.turn(lambda: desk.published("camera") > before)


def test_a_snapshot_that_does_not_come_is_told_why(asker, model_path: Path, monkeypatch):
    """It has a deadline, and the sentence tells how the source is."""
    monkeypatch.setattr(snapshots, "DEADLINE_S", 0.2)
    desk = asker(model_path, SourceConfig("gate", "path", "/nothing/there.mp4", loop=True))
    answers = desk.ask("snapshot", source="gate")
    assert desk.orders.due <= time.monotonic() + 0.2
    desk.turn(lambda: answers)
    assert answers[0]["error"].startswith("source gate: no picture came within 0.2 s; it is lost: ")
    assert desk.orders.due == float("inf")


def test_only_so_many_snapshots_are_waited_for(asker, model_path: Path):
    """Each holds the pixels of a picture: further ones are refused."""
    desk = asker(model_path, SourceConfig("gate", "path", "/nothing/there.mp4", loop=True))
    waiting = [desk.ask("snapshot", source="gate") for _ in range(MAX_WAITING)]
    assert waiting == [[]] * MAX_WAITING
    assert "are being waited for already" in desk.ask("snapshot", source="gate")[0]["error"]


def test_pictures_that_were_waited_for_in_vain_leave_nothing(asker, model_path: Path, monkeypatch):
    """However often somebody asks a camera that is lost, for years."""
    monkeypatch.setattr(snapshots, "DEADLINE_S", 0.0)
    desk = asker(model_path, SourceConfig("gate", "path", "/nothing/there.mp4", loop=True))
    for _ in range(100):
        answers = desk.ask("snapshot", source="gate")
        desk.turn(lambda answers=answers: answers)
    assert len(desk.pipeline.sources["gate"]._wanted) <= 8
    assert desk.orders.due == float("inf")


def test_a_snapshot_is_of_bounded_size():
    """The longest side has LONGEST pixels; noise, which no JPEG makes small, is made smaller until it fits."""
    pixels, jpeg = as_jpeg(np.zeros((20, LONGEST + 100, 3), np.uint8))
    assert pixels.shape[1] == LONGEST
    noise = np.random.default_rng(0).integers(0, 255, (3000, 3000, 3), np.uint8)
    pixels, jpeg = as_jpeg(noise)
    assert len(jpeg) <= MAX_JPEG
    assert pixels.shape[:2] == (1500, 1500)


def test_before_the_start_is_over_little_can_be_asked(asker, model_path: Path):
    """How it is, and what is logged; the rest is told to wait."""
    desk = asker(model_path, CAMERA)
    desk.orders.pipeline = None
    for do in ("pause", "snapshot", "reload"):
        assert desk.ask(do, source="camera")[0]["error"].startswith("the agent is starting")
    assert desk.ask("log", level="info")[0]["ok"]


def test_a_request_that_fails_inside_ends_nothing(asker, model_path: Path):
    """Whoever asked is told, the log has the traceback, and the next request is answered."""
    desk = asker(model_path, CAMERA)

    def broken(_answer: Any) -> None:
        raise KeyError("camera")

    desk.orders.reload = broken
    given = desk.ask("reload")
    assert given == [{"ok": False, "error": "reload: internal error: KeyError: 'camera'; see the log"}]
    assert ("a request could not be carried out", {"what": "reload", "who": "uid 7, pid 8"}) in [
        call[-2:] for call in desk.log.calls
    ]
    assert desk.ask("log", level="info")[0]["ok"]
