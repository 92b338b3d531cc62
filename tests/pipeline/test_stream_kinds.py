"""The other streams: a film on a web server, HLS, RTSP over UDP; and what a server may not make us open."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.clips import picture, write_video

from mlu_agent.sources import CaptureError
from mlu_agent.sources.base import Reason
from mlu_agent.sources.video import StreamCapture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The URL of a web server of ``tmp_path``."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_nothing_of_a_film_on_a_server_is_a_backlog(tmp_path: Path, site: str):
    """A video file over HTTP comes as fast as the network brings it: every picture of it, then its end."""
    write_video(tmp_path / "a.mp4", (picture(number, 160, 120) for number in range(40)))
    capture = StreamCapture(f"{site}/a.mp4")
    capture.open()
    positions = [grab.position for _ in range(40) for grab in [capture.read()] if grab is not None]
    with pytest.raises(CaptureError, match="ended the stream"):
        capture.advance()
    capture.close()
    assert positions == list(range(40))
    assert capture.stale == 0


def write_playlist(folder: Path, lines: list[str]) -> None:
    head = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2"]
    (folder / "list.m3u8").write_text("\n".join([*head, *lines, "#EXT-X-ENDLIST"]) + "\n")


def test_hls_is_spread_over_the_time_that_it_was_taken_in(tmp_path: Path, site: str):
    """A second of pictures comes at once and is handed out in a second; none is left out."""
    write_video(tmp_path / "a.ts", (picture(number, 160, 120) for number in range(50)), "mpeg2video")
    write_playlist(tmp_path, ["#EXTINF:2,", "a.ts"])
    capture = StreamCapture(f"{site}/list.m3u8")
    capture.open()
    start = time.monotonic()
    grabs = [capture.read() for _ in range(26)]
    spent = time.monotonic() - start
    capture.close()
    assert [grab.position for grab in grabs if grab] == list(range(26))
    assert spent > 0.9


@pytest.mark.parametrize("name", ["file:{folder}/a.ts", "{folder}/a.ts", "concat:{folder}/a.ts"])
def test_a_playlist_opens_no_file_of_this_machine(tmp_path: Path, site: str, name: str):
    """A server that names a local file as a piece of its stream gets nothing of it."""
    write_video(tmp_path / "a.ts", [picture(0, 160, 120)] * 20, "mpeg2video")
    write_playlist(tmp_path, ["#EXTINF:2,", name.format(folder=tmp_path)])
    capture = StreamCapture(f"{site}/list.m3u8", open_timeout_s=1.0, read_timeout_s=1.0)
    with pytest.raises(CaptureError):
        _first(capture)


def _first(capture: StreamCapture) -> None:
    try:
        capture.open()
        capture.read()
    finally:
        capture.close()


def test_what_is_no_video_is_said_to_be_none(tmp_path: Path, site: str):
    """A page, a picture, a sound: unsupported or broken, and not waited for."""
    (tmp_path / "page.html").write_text("<html>" + "words " * 1000)
    with pytest.raises(CaptureError) as caught:
        StreamCapture(f"{site}/page.html").open()
    assert caught.value.code in (Reason.UNSUPPORTED, Reason.BROKEN)


@pytest.mark.rtsp
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_rtsp_is_carried_as_the_configuration_says(tmp_path: Path, rtsp_server, transport: str):
    """Another's server, by UDP and by TCP: pictures come, as old as they are."""
    clip = write_video(tmp_path / "a.mp4", (picture(number, 160, 120) for number in range(50)))
    capture = StreamCapture(rtsp_server(clip).url, open_timeout_s=10, transport=transport)
    capture.open()
    ages = []
    for _ in range(30):
        grab = capture.read()
        assert grab is not None
        ages.append(time.time() - grab.capture_time_ns / 1e9)
    capture.close()
    assert max(ages) < 1.2
