"""When the pictures of a live stream were taken, and which are a backlog; told what time it is."""

from __future__ import annotations

import pytest

from mlu_agent.sources.video.clock import LiveClock, Pace

FPS = 25.0


class Played:
    """A stream as it is read: what became of its pictures, (age, stale) each."""

    def __init__(self, *, timed: bool = True, held: bool = False, fps: float = FPS) -> None:
        self.clock = LiveClock(timed=timed, held=held)
        self.fps = fps
        self.now = 1000.0
        self.taken = 0.0  # by the camera's clock
        self.seen: list[tuple[float, bool]] = []

    def packet(self, after: float, media: float | None = None, *, pts: bool = True) -> None:
        """One that is read ``after`` seconds, taken ``media`` seconds after the one before."""
        self.now += after
        self.taken += 1 / self.fps if media is None else media
        time_s = self.taken if pts else None
        self.clock.packet(time_s, self.now, after)
        age = self.clock.age(time_s)
        self.seen.append((age, self.clock.is_stale(age)))

    def play(self, frames: int, every: float | None = None, **options: bool) -> list[tuple[float, bool]]:
        start = len(self.seen)
        for _ in range(frames):
            self.packet(1 / self.fps if every is None else every, **options)
        return self.seen[start:]


def test_what_waited_when_the_connection_began_is_a_backlog():
    """Ten packets that are there at once are left out, whatever they say of themselves; the first that was waited for
    is of this moment, and so are all that follow."""
    stream = Played()
    assert all(stale for _, stale in stream.play(10, every=0.0005))
    fresh = stream.play(50)
    assert [age for age, _ in fresh] == pytest.approx([0.0] * 50, abs=1e-6)
    assert not any(stale for _, stale in fresh)


def test_a_backlog_shows_its_true_age_and_is_left_out():
    """Stopped for six seconds, then six seconds of pictures in a burst: the first is six seconds old, none older than a
    second is used, the last is new; then it goes on as before."""
    stream = Played()
    stream.play(50)
    stream.packet(6.0)
    first = stream.seen[-1]
    burst = stream.play(149, every=0.001)
    assert first == (pytest.approx(5.96, abs=0.01), True)
    assert [stale for age, stale in burst] == [age > 1.0 for age, _ in burst]
    assert burst[-1][0] == pytest.approx(0.15, abs=0.05)
    assert not any(stale for _, stale in stream.play(50))


def test_a_slow_camera_is_no_backlog():
    """One picture each two seconds: three intervals old is no backlog, more is."""
    stream = Played(held=True, fps=0.5)
    stream.play(20)
    assert not any(stale for _, stale in stream.seen[3:])
    assert not stream.clock.is_stale(5.9)
    assert stream.clock.is_stale(6.1)


def test_pictures_that_come_in_lumps_are_told_apart_by_their_own_times():
    """Five at once every fifth of a second: the first of each lump is 0.16 s old, the last one new."""
    stream = Played()
    for _ in range(20):
        stream.packet(0.2)
        stream.play(4, every=0.0)
    ages = [age for age, stale in stream.seen[-5:] if not stale]
    assert ages == pytest.approx([0.16, 0.12, 0.08, 0.04, 0.0], abs=1e-6)


def test_a_camera_that_paused_its_own_clock_is_not_late_for_ever():
    """Silent for five seconds, it goes on without a gap in its times: left out for about two seconds at most."""
    stream = Played()
    stream.play(50)
    stream.packet(5.0)
    after = stream.play(200)
    assert 0 < sum(stale for _, stale in after) < 2.2 * FPS
    assert after[-1] == (pytest.approx(0.0, abs=0.01), False)


@pytest.mark.parametrize("pace", [0.95, 1.0005, 1.05])
def test_a_camera_whose_clock_runs_at_another_pace_is_never_late(pace: float):
    """Five percent slow or fast, ten minutes: no picture is left out, none looks older than a second."""
    stream = Played()
    stream.play(5)
    for _ in range(600 * 25):
        stream.packet(1 / FPS, pace / FPS)
    assert not any(stale for _, stale in stream.seen[5:])
    assert max(age for age, _ in stream.seen[5:]) < 0.7


def test_times_that_start_again_are_followed():
    """The camera starts its clock again at zero: its pictures are of this moment."""
    stream = Played()
    stream.taken = 5000.0
    stream.play(50)
    stream.packet(0.04, -5000.0)
    assert not any(stale for _, stale in stream.play(50))
    assert stream.seen[-1][0] == pytest.approx(0.0, abs=1e-6)


def test_a_packet_that_is_held_until_the_next_one_begins_is_one_interval_old():
    """One picture a second, given out when the next one comes: one second old, and no backlog."""
    stream = Played(held=True, fps=1.0)
    seen = stream.play(20)[5:]
    assert [age for age, _ in seen] == pytest.approx([1.0] * 15, abs=1e-6)
    assert not any(stale for _, stale in seen)


def test_without_times_what_follows_a_silence_at_once_is_a_backlog():
    """Pictures without times (MJPEG over HTTP), stopped for six seconds: nothing of the burst is used, and after a
    silence of the camera no more than its first picture is lost."""
    stream = Played(timed=False)
    stream.play(50, pts=False)
    stream.packet(6.0, pts=False)
    assert stream.seen[-1][1]
    assert all(stale for _, stale in stream.play(100, every=0.001, pts=False))
    assert not any(stale for _, stale in stream.play(50, pts=False))
    stream.packet(6.0, pts=False)
    assert stream.seen[-1][1]
    assert not any(stale for _, stale in stream.play(50, pts=False))


def test_times_that_stand_still_are_none():
    """Every packet at zero: each counts as of its arrival."""
    stream = Played()
    for _ in range(50):
        stream.packet(0.04, 0.0)
    assert all(age == 0.0 for age, _ in stream.seen)
    assert not any(stale for _, stale in stream.seen[2:])


def test_the_interval_is_measured():
    """Whatever the header says: five pictures a second, by their times or by their arrival."""
    for timed in (True, False):
        stream = Played(timed=timed, fps=5.0)
        stream.play(20)
        assert stream.clock.interval_s == pytest.approx(0.2)
    assert Played().clock.interval_s == 0.0


def test_the_pace_spreads_what_comes_at_once():
    """Six seconds of pictures in no time (HLS): each waits for its moment; a jump begins anew."""
    pace = Pace()
    assert [pace.wait(pts, 100.0) for pts in (50.0, 51.0, 56.0)] == [0.0, 1.0, 6.0]
    assert pace.wait(57.0, 108.0) == 0.0
    assert pace.wait(3.0, 108.0) == 0.0
    assert pace.wait(4.0, 108.0) == 1.0
    assert pace.wait(None, 108.0) == 0.0
