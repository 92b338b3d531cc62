"""Video from cameras with faults: real servers, real FFmpeg; what is read of them, when it ends, and why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.faulty_cameras import Blackhole, Faults, HttpCamera, RtspCamera, clip, closed_port
from tests.outages import returns

from mlu_agent.sources import CaptureError
from mlu_agent.sources.base import Reason
from mlu_agent.sources.video import CameraCapture, StreamCapture

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.sources import Capture, Grab


def stream(url: str, **options: object) -> StreamCapture:
    return StreamCapture(url, **{"open_timeout_s": 10.0, "read_timeout_s": 1.0, **options})  # type: ignore[arg-type]


def read(capture: Capture, count: int) -> list[Grab]:
    capture.open()
    try:
        return [grab for _ in range(count) for grab in [capture.read()] if grab is not None]
    finally:
        capture.close()


def failing(url: str) -> CaptureError:
    capture = stream(url, open_timeout_s=1.0)
    with pytest.raises(CaptureError) as caught:
        read(capture, 1)
    return caught.value


@pytest.mark.parametrize(
    "faults, code, words",
    [
        (Faults(auth="digest"), Reason.UNAUTHORIZED, "401 Unauthorized"),
        (Faults(status="403 Forbidden"), Reason.UNAUTHORIZED, "403 Forbidden"),
        (Faults(status="404 Not Found"), Reason.NOT_FOUND, "404 Not Found"),
        (Faults(status="453 Bandwidth Is Short"), Reason.REFUSED, "453 Bandwidth Is Short"),
        (Faults(status="503 Five Watch Already"), Reason.REFUSED, "503 Five Watch Already"),
        (Faults(silent_before_play=True), Reason.TIMEOUT, "no answer within 1 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_camera_that_refuses_says_why_in_a_code_and_in_its_own_words(faults: Faults, code: Reason, words: str):
    """Wrong password, wrong path, too many viewers and a silent server are four things, by RTSP."""
    with RtspCamera(faults=faults) as camera:
        error = failing(camera.url)
    assert (error.code, error.permanent) == (code, False)
    assert words in error.reason


def test_http_cameras_refuse_with_the_same_codes():
    """401, 404 and 503 by HTTP, and half a picture."""
    for status, code in (("401 No", Reason.UNAUTHORIZED), ("404 No", Reason.NOT_FOUND), ("503 No", Reason.REFUSED)):
        with HttpCamera(faults=Faults(status=status)) as camera:
            assert failing(camera.url).code is code
    with HttpCamera(faults=Faults(part=True)) as camera:
        assert failing(camera.url).code is Reason.TIMEOUT


def test_a_closed_port_an_unknown_name_and_a_silent_server_are_three_things():
    """Refused, unreachable and timeout, each with its own sentence."""
    refused = failing(f"rtsp://127.0.0.1:{closed_port()}/")
    assert (refused.code, "nothing listens" in refused.reason) == (Reason.REFUSED, True)
    unknown = failing("rtsp://camera.invalid/stream")
    assert (unknown.code, "the name camera.invalid" in unknown.reason) == (Reason.UNREACHABLE, True)
    with Blackhole() as hole:
        start = time.monotonic()
        silent = failing(hole.url)
        assert (silent.code, silent.reason) == (Reason.TIMEOUT, "no answer within 1 s")
        assert time.monotonic() - start < 3
    assert failing("ftp://127.0.0.1/x").code is Reason.UNSUPPORTED


def test_wrong_passwords_are_tried_minutes_apart():
    """Cameras lock accounts: 5, 10, 20, then 30 minutes, said each time; another error begins anew."""
    with RtspCamera(faults=Faults(auth="digest")) as camera:
        capture = stream(camera.url_with("admin", "wrong"))
        pauses = []
        for _ in range(5):
            with pytest.raises(CaptureError, match="because cameras lock accounts") as caught:
                capture.open()
            pauses.append(caught.value.retry_after_s)
        assert pauses == [300, 600, 1200, 1800, 1800]
        camera.faults = Faults(status="404 Not Found")
        with pytest.raises(CaptureError) as caught:
            capture.open()
        assert caught.value.retry_after_s == 0
        camera.faults = Faults(auth="digest")
        with pytest.raises(CaptureError) as caught:
            capture.open()
        assert caught.value.retry_after_s == 300
    assert sum(request.startswith("DESCRIBE") for request in camera.requests) == 2 * 6 + 1


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_camera_is_read_with_its_password(auth: str):
    """By both ways to prove it."""
    with RtspCamera(faults=Faults(auth=auth)) as camera:
        grabs = read(stream(camera.url_with("admin", "secret")), 3)
    assert [grab.pixels.shape for grab in grabs] == [(240, 320, 3)] * 3


def test_a_stream_that_breaks_off_and_one_that_falls_silent_are_two_things():
    """Broken at once, timeout after the read timeout; both are tried again."""
    with RtspCamera(faults=Faults(drop_after=20)) as camera:
        capture = stream(camera.url)
        with pytest.raises(CaptureError, match="connection broke off") as caught:
            read(capture, 100)
        assert caught.value.code is Reason.BROKEN
    with RtspCamera(faults=Faults(half_open_after=20)) as camera:
        capture = stream(camera.url)
        with pytest.raises(CaptureError, match="nothing came for 1 s") as caught:
            read(capture, 100)
        assert (caught.value.code, caught.value.permanent) == (Reason.TIMEOUT, False)


@pytest.mark.parametrize("phase", ["connecting", "asking", "watching"])
def test_a_thread_that_waits_for_a_camera_ends_when_asked(phase: str):
    """With deadlines of a minute: within a second, wherever FFmpeg waits."""
    faults = {"connecting": Faults(silent=True), "asking": Faults(silent_before_play=True)}.get(phase, Faults())
    with RtspCamera(faults=faults) as camera:
        capture = StreamCapture(camera.url, open_timeout_s=60, read_timeout_s=60)
        told: list[CaptureError] = []

        def work() -> None:
            try:
                read(capture, 1_000_000)
            except CaptureError as error:
                told.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        time.sleep(0.3)
        camera.faults.stop_sending = True
        time.sleep(0.3)
        capture.interrupt()
        thread.join(5)
        assert not thread.is_alive()
        assert [error.reason for error in told] == ["stopped"]
        assert capture._interrupt.heard


def test_each_picture_has_the_size_of_its_own_moment():
    """A stream that changes its size, turns interlaced and back: every picture as it is now, none squeezed or black."""
    clips = [clip(), clip(640, 360), clip(320, 240, interlaced=True), clip()]
    with RtspCamera(clips, each=15) as camera:
        grabs = read(stream(camera.url), 55)
    sizes = [grab.pixels.shape[:2] for grab in grabs]
    assert {(240, 320), (360, 640)} == set(sizes)
    assert sizes[-1] == (240, 320)
    for grab in grabs:
        assert grab.pixels.max() > 230  # the white square
        assert 80 < grab.pixels.mean() < 150


@pytest.mark.parametrize("faults", [Faults(garbage_from=20), Faults(cut_from=20)], ids=["noise", "cut"])
def test_damaged_pictures_are_counted_and_not_handed_out(monkeypatch: pytest.MonkeyPatch, faults: Faults):
    """Noise in place of pictures, and halves that the decoder made up the rest of: none comes out as good, all are
    counted, and the connection is given up."""
    monkeypatch.setattr("mlu_agent.sources.video.stream.NOTHING_DECODES_S", 1.0)
    with RtspCamera([clip(noise=40)], faults=faults) as camera:
        capture = stream(camera.url)
        with pytest.raises(CaptureError, match="no picture could be decoded for 1 s") as caught:
            read(capture, 100)
    assert caught.value.code is Reason.BROKEN
    assert capture.damaged > 10


def test_key_frames_are_waited_for_fifteen_seconds(monkeypatch: pytest.MonkeyPatch):
    """Saving cameras send one each ten seconds; what decodes to nothing for longer is opened again."""
    capture = stream("rtsp://127.0.0.1/")
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 1000)
    capture._decoded_at = now + 1000 - 14.9
    capture._check_decoding()
    capture._decoded_at = now + 1000 - 15.1
    with pytest.raises(CaptureError, match="no picture could be decoded for 15 s"):
        capture._check_decoding()


def test_times_are_those_at_which_pictures_were_taken():
    """Bursts of five at 25 fps: each picture's time is a twenty-fifth of a second after the one before, however they
    came, and none is later than its packet; with a camera whose times stand still every one counts as of its
    arrival."""
    for faults, spread in ((Faults(burst=5), True), (Faults(zero_times=True), False)):
        with RtspCamera(faults=faults) as camera:
            capture = stream(camera.url)
            capture.open()
            seen = []
            for _ in range(35):
                grab = capture.read()
                assert grab is not None
                assert capture.arrived_s is not None
                came = time.time() - (time.monotonic() - capture.arrived_s)
                assert grab.capture_time_ns / 1e9 <= came + 0.005
                seen.append((grab.position, grab.capture_time_ns / 1e9, came))
            capture.close()
        late = seen[10:]  # the least late packets are known by now
        for (first, taken, _), (second, later, came) in zip(late, late[1:]):
            expected = taken + (second - first) / 25 if spread else came
            assert later == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("behind, clock", [(0.5, "rtcp_sr"), (100.0, "arrival"), (-0.5, "arrival"), (None, "arrival")])
def test_the_cameras_own_clock_is_used_where_it_sends_one_that_can_be_right(behind: float | None, clock: str):
    """Sender reports of a clock half a second behind ours: its times. One of another
    day, one ahead of ours, and none: the times of arrival."""
    offset = None if behind is None else -behind
    with RtspCamera(faults=Faults(clock_offset_s=offset)) as camera:
        capture = stream(camera.url)
        capture.open()
        for _ in range(8):
            grab = capture.read()
            assert grab is not None
        capture.close()
    assert grab.clock == clock
    age = time.time() - grab.capture_time_ns / 1e9
    assert age > (0.5 if clock == "rtcp_sr" else 0.0)
    assert age < 2.0


def test_a_local_camera_that_is_not_there_says_so():
    """By index and by file; a file that is no camera is no camera."""
    for device in ("99", "/dev/no-such-camera"):
        with pytest.raises(CaptureError, match="does not exist") as caught:
            CameraCapture(device).open()
        assert (caught.value.code, caught.value.permanent) == (Reason.NOT_FOUND, False)
    with pytest.raises(CaptureError, match="camera /dev/null cannot be opened") as caught:
        CameraCapture("/dev/null").open()
    assert caught.value.code in (Reason.UNSUPPORTED, Reason.NOT_FOUND, Reason.UNAUTHORIZED)


READ = """
import json, sys
from mlu_agent.sources.video import StreamCapture
capture = StreamCapture(sys.argv[1])
capture.open()
while True:
    grab = capture.read()
    print(json.dumps([grab.position, grab.capture_time_ns / 1e9, capture.stale]), flush=True)
"""


def test_after_a_pause_of_the_process_nothing_old_is_stamped_as_new():
    """Stopped for three seconds while a camera goes on: its pictures of meanwhile keep the times that they were taken
    at, and what is older than a second is left out and counted."""
    with RtspCamera() as camera:
        command = [sys.executable, "-c", READ, camera.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seen = [json.loads(process.stdout.readline()) for _ in range(30)]
            process.send_signal(signal.SIGSTOP)
            time.sleep(3)
            process.send_signal(signal.SIGCONT)
            seen += [json.loads(process.stdout.readline()) for _ in range(60)]
            process.kill()
    first, first_time, stale_before = seen[29]
    for position, taken, _ in seen:
        assert taken - first_time == pytest.approx((position - first) / 25, abs=0.25)
    assert seen[-1][2] - stale_before > 25


def test_silent_cameras_hold_up_no_other_one():
    """A camera and three more come back beside eight that accept and say nothing: all have frames within five seconds
    of when they answer again, and all twelve threads end when asked."""
    assert max(returns(cameras=4, silent=8, away_s=1.0)) < 5


def test_detect_says_which_stream_failed_and_why(simulator_path: Path, model_path: Path):
    """Of several addresses each refusal names its own, with the server's words; the exit status is 2."""
    with RtspCamera(faults=Faults(status="404 Not Found")) as one, RtspCamera(faults=Faults(auth="basic")) as two:
        command = [sys.executable, "-m", "mlu_agent.cli", "detect", str(model_path), one.url, two.url]
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path)}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
    assert done.returncode == 2
    assert f"{one.url}: the server answers 404 Not Found" in done.stderr
    assert f"{two.url}: the server answers 401 Unauthorized" in done.stderr
