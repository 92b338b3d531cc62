"""What a source says of itself when its input is silent or refusing: with real cameras."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.faulty_cameras import Faults, RtspCamera, clip
from tests.pipeline.runs import tick
from tests.pipeline.test_sources import Recorder, counted

from mlu_agent.config import SourceConfig, WatchConfig
from mlu_agent.ledger import SourceAccount
from mlu_agent.sources import Exchange, Grab, Source, SourceState, make_capture

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 30


@pytest.fixture
def watched() -> Iterator[list[Source]]:
    """Sources that a loop looks at every 10 ms, and that are ended."""
    sources: list[Source] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            for source in sources.copy():
                source.check_stall(time.monotonic())

    thread = threading.Thread(target=look)
    thread.start()
    yield sources
    done.set()
    thread.join()
    for source in sources:
        source.stop()
    assert all(source.join(SECONDS) for source in sources)


def stream(camera: RtspCamera, watched: list[Source], **options: object) -> tuple[Source, Timed]:
    config = SourceConfig("cam", "url", camera.url, reconnect_min_s=0.1, reconnect_max_s=0.2, **options)  # type: ignore[arg-type]
    exchange: Exchange[Grab] = Exchange()
    timed = Timed()
    source = Source(config, make_capture(config), exchange.mailbox("cam", live=True), SourceAccount(), timed)
    source.start()
    watched.append(source)
    return source, timed


class Timed(Recorder):
    """When each state came, too."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def __call__(self, source: Source) -> None:
        self.times.append(time.monotonic())
        super().__call__(source)

    @property
    def states(self) -> list[str]:
        return [state.value for state, _ in self.seen]


def test_a_camera_that_falls_silent_is_stalled_then_lost_and_live_only_when_frames_come_again(watched):
    """Stalled in 2 s, lost after the read timeout, not after a multiple of it; connections that deliver nothing, and
    what the decoder still has, do not make it live. When it sends again it is live again."""
    with RtspCamera(fps=25.0) as camera:
        source, timed = stream(camera, watched)
        timed.wait_for(SourceState.LIVE)
        time.sleep(0.5)
        camera.faults = Faults(stop_sending=True)
        silent_at = time.monotonic()
        timed.wait_for(SourceState.LOST)
        assert timed.states == ["connecting", "live", "stalled", "lost"]
        stalled, lost = (at - silent_at for at in timed.times[2:])
        assert 1.5 <= stalled < 3.0
        assert 4.0 <= lost < 7.5
        assert source.status.code == "timeout"
        time.sleep(1.0)
        assert timed.states == ["connecting", "live", "stalled", "lost"]
        camera.faults = Faults()
        tick(source, SourceState.LIVE, 10.0)
        assert counted(source)["stalls"] == 1


def test_why_a_camera_is_lost_is_told_once_and_in_a_word(watched):
    """Attempt after attempt is refused: one change, whose count goes on."""
    with RtspCamera(faults=Faults(status="404 Not Found")) as camera:
        source, timed = stream(camera, watched)
        timed.wait_for(SourceState.LOST)
        end = time.monotonic() + SECONDS
        while counted(source)["reconnects"] < 4 and time.monotonic() < end:
            time.sleep(0.01)
        assert timed.states == ["connecting", "lost"]
        assert source.status.code == "not_found"
        assert "(tried" in source.status.reason


def test_a_camera_whose_picture_stands_still_is_frozen_and_its_frames_flow_on(watched):
    """The same encoded picture again and again; once it moves, the camera is live without having been lost."""
    with RtspCamera([clip(frames=1), clip()], fps=25.0, each=75) as camera:
        source, timed = stream(camera, watched, watch=WatchConfig(frozen_s=1.0))
        timed.wait_for(SourceState.FROZEN)
        read = counted(source)["frames_read"]
        assert source.doubts == ["frozen"]
        tick(source, SourceState.LIVE)
        assert timed.states == ["connecting", "live", "frozen", "live"]
        assert counted(source)["frames_read"] > read + 25
        assert source.doubts == []


def test_a_camera_in_the_dark_is_black_and_its_frames_flow_on(watched):
    """Hardly any light, though something moves; once there is light it is live without having been lost."""
    with RtspCamera([clip(darker=40), clip()], fps=25.0, each=75) as camera:
        source, timed = stream(camera, watched, watch=WatchConfig(hold_s=1.0))
        timed.wait_for(SourceState.BLACK)
        read = counted(source)["frames_read"]
        assert source.doubts == ["black"]
        tick(source, SourceState.LIVE)
        assert timed.states == ["connecting", "live", "black", "live"]
        assert counted(source)["frames_read"] > read + 25
        assert source.doubts == []


def test_a_picture_is_not_looked_at_where_that_was_switched_off(watched):
    """It stands still and the camera is live."""
    with RtspCamera([clip(frames=1)], fps=25.0) as camera:
        source, timed = stream(camera, watched, watch=WatchConfig(enabled=False, frozen_s=0.2))
        timed.wait_for(SourceState.LIVE)
        end = time.monotonic() + SECONDS
        while counted(source)["frames_read"] < 40 and time.monotonic() < end:
            time.sleep(0.01)
        assert timed.states == ["connecting", "live"]
