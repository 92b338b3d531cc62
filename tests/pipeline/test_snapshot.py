"""Pictures at an HTTP address: asked for at the wanted rate, within bounds of time, bytes and pixels; real servers."""

from __future__ import annotations

import hashlib
import re
import struct
import threading
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from tests.faulty_cameras import Faults, SnapshotCamera, closed_port, http_head, jpegs

from mlu_agent.config import SourceConfig
from mlu_agent.sources import CaptureError, make_capture
from mlu_agent.sources.base import Reason
from mlu_agent.sources.http_login import Login
from mlu_agent.sources.snapshot import SnapshotCapture

if TYPE_CHECKING:
    import socket

JPEG = jpegs()[0]
PNG = cv2.imencode(".png", np.full((240, 320, 3), 90, np.uint8))[1].tobytes()


def capture_of(url: str, **options: float) -> SnapshotCapture:
    capture = SnapshotCapture(url, **{"per_second": 100.0, "timeout_s": 1.0, **options})
    capture.open()
    return capture


def error_of(capture: SnapshotCapture) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        capture.read()
    return caught.value


@pytest.mark.parametrize("data", [JPEG, PNG])
@pytest.mark.parametrize("sized", [True, False])
def test_pictures_arrive_one_for_each_request(data, sized):
    """JPEG and PNG, with and without a Content-Length, whatever the Content-Type; capture time is when they came."""
    length = len(data) if sized else None
    kind = "application/octet-stream" if sized else "image/png"
    with SnapshotCamera(lambda connection, _: connection.sendall(http_head(kind, length) + data)) as camera:
        capture = capture_of(camera.url + "?channel=1&q=a b")
        before = time.time_ns()
        grabs = [capture.read() for _ in range(3)]
        assert camera.requests == ["GET /stream?channel=1&q=a%20b"] * 3
    assert [(grab.pixels.shape, grab.position, grab.clock) for grab in grabs if grab] == [
        ((240, 320, 3), number, "arrival") for number in range(3)
    ]
    assert all(grab and before <= grab.capture_time_ns <= time.time_ns() for grab in grabs)


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_user_and_password_are_given_to_who_asks_and_only_then(auth):
    """Encoded letters are decoded; a server that asked once is answered at once; a wrong password is asked twice."""
    with SnapshotCamera(faults=Faults(auth=auth, password="p@s/s:w")) as camera:
        capture = capture_of(camera.url_with("admin", "p%40s%2Fs%3Aw"))
        assert capture.read()
        assert capture.read()
        assert [bool(given) for given in camera.given] == [False, True, True]
        camera.given.clear()
        refused = error_of(capture_of(camera.url_with("admin", "wrong")))
        assert len(camera.given) == 2
        anonymous = error_of(capture_of(camera.url))
        assert len(camera.given) == 3
    for error in (refused, anonymous):
        assert (error.code, error.retry_after_s) == (Reason.UNAUTHORIZED, 300.0)
        assert "401 Unauthorized: user or password is wrong" in error.reason
        assert f"asked again in {error.retry_after_s / 60:g} minutes" in error.reason
        assert "wrong@" not in error.reason


def test_a_nonce_that_grew_old_is_renewed():
    """A server that took an answer before only wants a new one, also if it does not say so; a wrong one is final."""
    login = Login("u", "p")
    assert login.learn(['Digest realm="r", nonce="1"'])
    login.accepted()
    assert login.learn(['Digest realm="r", nonce="2"'])
    assert not login.learn(['Digest realm="r", nonce="3"'])
    assert login.learn(['Digest realm="r", nonce="4", stale=TRUE'])
    assert 'nonce="4"' in login.header("GET", "/")["Authorization"]


def test_the_strongest_of_several_questions_is_answered_by_the_rules():
    """RFC 7616, section 3.9.1: the response of its example, with the client's nonce that was drawn."""
    question = 'Digest realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv", algorithm='
    login = Login("Mufasa", "Circle of Life")
    assert login.learn(['Basic realm="x"', f"{question}MD5", f"{question}SHA-256"])
    text = login.header("GET", "/dir/index.html")["Authorization"]
    told = {key: quoted or plain for key, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^,]+))', text)}
    assert (told["algorithm"], told["qop"], told["nc"]) == ("SHA-256", "auth", "00000001")

    def digest(data: str) -> str:
        return hashlib.sha256(data.encode()).hexdigest()

    secret = digest("Mufasa:http-auth@example.org:Circle of Life")
    middle = f"{told['nonce']}:00000001:{told['cnonce']}:auth"
    assert told["response"] == digest(f"{secret}:{middle}:{digest('GET:/dir/index.html')}")
    assert not Login("u", "p").learn(["Negotiate", 'Digest realm="r", nonce="1", algorithm=SHA-512-256'])
    assert not Login("", "").learn(['Basic realm="x"'])


@pytest.mark.parametrize(
    "status, code", [("404 Not Found", "not_found"), ("503 Busy", "refused"), ("403 Forbidden", "unauthorized"),
                     ("302 Found", "unsupported")],
)  # fmt: skip
def test_a_refusal_is_told_with_its_code(status, code):
    """And with the server's own words."""
    with SnapshotCamera(faults=Faults(status=status)) as camera:
        error = error_of(capture_of(camera.url))
    assert error.code.value == code
    assert status in error.reason


def trickle(connection: socket.socket, stopping: threading.Event) -> None:
    for byte in http_head(length=len(JPEG)) + JPEG:
        connection.sendall(bytes([byte]))
        if stopping.wait(0.05):
            return


def endless(connection: socket.socket, stopping: threading.Event) -> None:
    connection.sendall(http_head() + JPEG)
    while not stopping.is_set():
        connection.sendall(bytes(1 << 20))


BOMB = PNG[:16] + struct.pack(">II", 30_000, 30_000) + PNG[24:]


@pytest.mark.parametrize(
    "send, code, sentence",
    [
        (lambda connection, stopping: stopping.wait(), "timeout", "no whole answer in time"),
        (trickle, "timeout", "no whole answer in time"),
        (endless, "unsupported", "sends more, and a picture may have 33554432 bytes"),
        (lambda c, _: c.sendall(http_head(length=1 << 30) + JPEG), "unsupported", "would send 1073741824 bytes"),
        (lambda c, _: c.sendall(http_head(length=len(JPEG)) + JPEG[:99]), "broken", "broke off"),
        (lambda c, _: c.sendall(http_head() + JPEG[: len(JPEG) // 2]), "broken", "the picture is cut off"),
        (lambda c, _: c.sendall(http_head() + BOMB), "broken", "900000000 pixels, more than"),
        (lambda c, _: c.sendall(http_head("text/html") + b"<html>"), "unsupported", "no picture but text/html"),
        (lambda c, _: c.sendall(http_head("multipart/x-mixed-replace; boundary=a")), "unsupported", "write url ="),
        (lambda c, _: c.sendall(b"SSH-2.0-OpenSSH\r\n"), "broken", "is not HTTP"),
        (lambda c, _: None, "broken", "broke off"),
    ],
)
def test_what_is_no_picture_within_the_bounds_is_told(send, code, sentence):
    """A server that is silent, slow byte by byte, endless, too large, cut off or something else."""
    with SnapshotCamera(send) as camera:
        error = error_of(capture_of(camera.url, timeout_s=0.5 if code == "timeout" else 10.0))
    assert error.code.value == code
    assert sentence in error.reason


def test_a_stream_of_one_picture_is_told_how_to_write_it():
    """A url whose server answers with a picture is not live and lost in turns: it says what to write instead."""
    with SnapshotCamera() as camera:
        stream = make_capture(SourceConfig("a", "url", camera.url))
        with pytest.raises(CaptureError, match="if it is one picture, write snapshot = for url =") as caught:
            stream.open()
    assert caught.value.code is Reason.UNSUPPORTED


def test_nobody_there_is_told():
    """A port that refuses, and a name that is none."""
    assert error_of(capture_of(f"http://127.0.0.1:{closed_port()}/a.jpg")).code is Reason.REFUSED
    assert error_of(capture_of("http://camera.invalid/a.jpg")).code is Reason.UNREACHABLE


def test_a_question_without_end_is_not_read_to_its_end():
    """Of a hostile server's headers a bounded part is looked at."""
    assert not Login("u", "p").learn(["Digest " + "a" * 2000 + ', nonce="1"'])
    assert not Login("u", "p").learn([*["Negotiate"] * 8, 'Digest realm="r", nonce="1"'])
    assert Login("u", "p").learn([*["Negotiate"] * 7, 'Digest realm="r", nonce="1"'])


def test_pictures_are_asked_for_at_the_rate_that_is_wanted():
    """max_fps of the source, one a second if it says nothing."""
    assert make_capture(SourceConfig("a", "snapshot", "http://cam/")).interval_s == 1.0
    assert make_capture(SourceConfig("a", "snapshot", "http://cam/", max_fps=4.0)).interval_s == 0.25
    with SnapshotCamera() as camera:
        capture = capture_of(camera.url, per_second=10.0)
        start = time.monotonic()
        for _ in range(4):
            capture.read()
        assert time.monotonic() - start >= 0.19  # one may be made up for at first


def test_an_interruption_ends_a_request_and_a_pause():
    """A daemon that stops waits for neither."""
    with SnapshotCamera(lambda _, stopping: stopping.wait()) as camera:
        waiting = capture_of(camera.url, timeout_s=60.0)
        pausing = SnapshotCapture("http://127.0.0.1:1/", per_second=0.01)
        pausing._rate.passed(time.monotonic())
        for capture in (waiting, pausing):
            timer = threading.Timer(0.2, capture.interrupt)
            timer.start()
            start = time.monotonic()
            error_of(capture)
            assert time.monotonic() - start < 30
            timer.join()
