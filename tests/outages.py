"""How long cameras are away from us after an outage; real servers, the daemon's own sources."""

from __future__ import annotations

import contextlib
import time

from tests.faulty_cameras import Blackhole, RtspCamera

from mlu_agent.config import SourceConfig
from mlu_agent.ledger import SourceAccount
from mlu_agent.sources import Exchange, Grab, Source, SourceState, make_capture

LONGEST_S = 60.0


class Watched:
    """A source as the daemon runs it, and when its last frame came."""

    def __init__(self, url: str, name: str, exchange: Exchange[Grab]) -> None:
        config = SourceConfig(name, "url", url)
        self.source = Source(
            config, make_capture(config), exchange.mailbox(name, live=True), SourceAccount(), lambda _: None
        )
        self.source.start()

    @property
    def frames(self) -> int:
        return self.source.account.counters()["frames_read"]

    def wait_for_frame(self, since: float) -> float:
        """Seconds from ``since``, monotonic, to the next frame."""
        before = self.frames
        while self.frames == before:
            assert time.monotonic() - since < LONGEST_S, self.source.status
            time.sleep(0.02)
        return time.monotonic() - since

    def wait_for(self, state: SourceState) -> None:
        end = time.monotonic() + LONGEST_S
        while self.source.status.state is not state:
            assert time.monotonic() < end, self.source.status
            time.sleep(0.02)


def returns(*, cameras: int, silent: int, away_s: float) -> list[float]:
    """``cameras`` go away all at once, for ``away_s``, beside ``silent`` ones that accept and never say a word: seconds
    from when each answers again to its next frame."""
    exchange: Exchange[Grab] = Exchange()
    with contextlib.ExitStack() as exits:
        holes = [exits.enter_context(Blackhole()) for _ in range(silent)]
        healthy = [exits.enter_context(RtspCamera()) for _ in range(cameras)]
        hung = [Watched(hole.url, f"silent{number}", exchange) for number, hole in enumerate(holes)]
        watched = [Watched(camera.url, f"camera{number}", exchange) for number, camera in enumerate(healthy)]
        for one in watched:
            one.wait_for(SourceState.LIVE)
        for camera in healthy:
            camera.stop()
        for one in watched:
            one.wait_for(SourceState.LOST)
        time.sleep(away_s)
        for camera in healthy:
            camera.start()
        start = time.monotonic()
        times = [one.wait_for_frame(start) for one in watched]
        for one in (*watched, *hung):
            one.source.stop()
        for one in (*watched, *hung):
            assert one.source.join(5), "a thread did not end"
    return times
