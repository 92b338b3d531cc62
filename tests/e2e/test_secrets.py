"""No password leaves by any way: real commands, real cameras, and a secret of its own in each place of an address."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, unquote_plus

import cv2
import numpy as np
from tests.faulty_cameras import Faults, HttpCamera, RtspCamera, SnapshotCamera, closed_port

from mlu_agent.cli import main

PASSWORD = "p@s/s?w#r%d:ö e"
# {} a secret, {port} of a camera that asks for user and password, refuses or is not there
PLACES = (
    "rtsp://admin:{}@127.0.0.1:{port}/s",
    "rtsp://{}@127.0.0.1:{port}/s",
    "rtsp://admin:x@{}@127.0.0.1:{port}/s",
    "rtsp://admin:x:{}%21%@127.0.0.1:{port}/s",
    "http://127.0.0.1:{port}/video.cgi?user=admin&pwd={}",
    "http://127.0.0.1:{port}/v?auth_token={}",
    "http://127.0.0.1:{port}/v?{}#{}",
    "http://127.0.0.1:{port}/videostream.cgi?loginuse=admin&loginpas={}",
    "rtsp://127.0.0.1:{port}/user=admin&password={}&channel=1&stream=0.sdp",
    "rtsp://127.0.0.1:{port}/user=admin_password={}_channel=1_stream=0.sdp?real_stream",
    "rtsp://127.0.0.1:{port}/live/{}0123456789/1",
    "http://{}:{}@127.0.0.1:{port}/v?{}",
)
REFUSED = (  # by check, with the remedy
    "rtsp://admin:12/{}@127.0.0.1:1/s",
    "rtsp://admin:12#{}@127.0.0.1:1/s",
    "rtsp://admin:a?{}@127.0.0.1:1/s",
    "rtsp://admin:{}/s",
    "http://admin:{}/a.jpg",
    "rtsps//admin:{}@127.0.0.1:1/s",
    "rtsp://admin:a {}@127.0.0.1:1/s",
    "rtsx://admin:{}@127.0.0.1:1/s",
    "rtsp:/admin:{}@127.0.0.1:1/s",
)


class Secrets:
    """Hands out secrets that are found again in whatever form they are told."""

    def __init__(self) -> None:
        self._made: list[str] = []

    def address(self, place: str, port: int = 0) -> str:
        """The address of ``place`` with new secrets."""
        for _ in range(place.count("{}")):
            self._made.append(f"S3kr{len(self._made):03d}xQ7")
            place = place.replace("{}", self._made[-1], 1)
        return place.replace("{port}", str(port))

    def in_text(self, text: str) -> list[str]:
        """The lines that tell one: as it is, encoded, or in base64."""
        lines = [line for line in text.splitlines() if "S3kr" in line or "S3kr" in unquote_plus(unquote_plus(line))]
        words = re.findall(r"[A-Za-z0-9+/]{12,}", text)
        return lines + [word for word in words if b"S3kr" in base64.b64decode(word[: len(word) // 4 * 4])]


def command(*words: object, code: int, simulator: Path, folder: Path) -> str:
    """What ``mlu-agent`` prints, with stderr, and the names of the files it made in ``folder``."""
    env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator)}
    done = subprocess.run(
        [sys.executable, "-m", "mlu_agent.cli", *map(str, words)],
        capture_output=True, text=True, timeout=100, env=env, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return "\n".join([done.stdout, done.stderr, *(path.name for path in folder.rglob("*"))])


def test_no_place_of_an_address_tells_its_secret(run_daemon, listen, endpoint, model_path, simulator_path, tmp_path):
    """Not in the log, the messages, the status, what check and detect print, nor in the names of files: whether the
    camera asks for a password, does not know the path, or is not there."""
    secrets = Secrets()
    asking, unknowing = Faults(auth="digest", status=""), Faults(status="404 Not Found")
    with RtspCamera(faults=asking) as one, RtspCamera(faults=unknowing) as two, HttpCamera(faults=unknowing) as three:
        ports = {"rtsp": [one.port, two.port, closed_port()], "http": [three.port, closed_port()]}
        addresses = [secrets.address(place, port) for place in PLACES for port in ports[place.partition(":")[0]]]
        # an HTTP address is read in both ways
        lines = [f'url = "{address}"' for address in addresses]
        lines += [f'snapshot = "{address}"' for address in addresses if address.startswith("http")]
        sources = "".join(
            f'[[source]]\nid = "c{number}"\n{line}\nopen_timeout_s = 2\n' for number, line in enumerate(lines)
        )
        daemon = run_daemon(sources + '[log]\nlevel = "debug"\n')
        listener = listen(endpoint)
        every = {f"c{number}" for number in range(len(lines))}
        listener.wait_for(
            lambda: {m["source"] for m in listener.of_kind("state") if m["state"] in ("lost", "failed")} >= every
        )
        assert daemon.stop() == 0
        told = "\n".join(map(json.dumps, [*daemon.lines, *listener.messages])) + daemon.errors
        told += command("check", "-c", tmp_path / "agent0.toml", code=0, simulator=simulator_path, folder=tmp_path)
        told += command(
            "check", "--json", "-c", tmp_path / "agent0.toml", code=0, simulator=simulator_path, folder=tmp_path
        )
        told += command(
            "detect", model_path, *addresses[::3], "--frames", 1, "--output", tmp_path / "drawn",
            code=2, simulator=simulator_path, folder=tmp_path,
        )  # fmt: skip
    assert told.count("127.0.0.1") > len(addresses)
    assert secrets.in_text(told) == []


def test_an_address_that_is_refused_is_not_repeated_either(model_path, simulator_path, tmp_path, capsys):
    """By check and by detect; with how to write it where that is the mistake."""
    secrets = Secrets()
    addresses = [secrets.address(place) for place in REFUSED]
    config = tmp_path / "a.toml"
    sources = "".join(f'[[source]]\nid = "c{n}"\nurl = "{address}"\n' for n, address in enumerate(addresses))
    config.write_text(f'[model]\npath = "{model_path}"\n{sources}')
    told = command("check", "-c", config, code=2, simulator=simulator_path, folder=tmp_path)
    assert [number for number in range(len(addresses)) if f"source[{number}].url" not in told] == []
    assert told.count("%2F for /") == 3
    assert [line for line in told.splitlines() if "is not accepted" in line and "%2" not in line] == []
    for address in addresses:
        assert main(["detect", str(model_path), address]) == 2
    assert secrets.in_text(told + "".join(capsys.readouterr())) == []


def test_a_password_of_any_letters_opens_a_camera(run_daemon, listen, endpoint, tmp_path):
    """Written as it is beside the url, in a file, or in the url, by either way of asking for it; a stream that runs
    does not tell it."""
    raw = "p@s:w!$&*("
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    with contextlib.ExitStack() as cameras:
        sources = ""
        for number in range(4):
            password = PASSWORD if number else raw
            faults = Faults(auth="basic" if number % 2 else "digest", password=password)
            camera = cameras.enter_context(RtspCamera(faults=faults))
            lines = (
                f'url = "{camera.url_with("admin", raw)}"\n',
                f'url = "{camera.url_with("admin", quote(password, safe=""))}"\n',
                f'url = "{camera.url}"\nuser = "admin"\npassword = "{password}"\n',
                f'url = "{camera.url}"\nuser = "admin"\npassword_file = "secret"\n',
            )
            sources += f'[[source]]\nid = "c{number}"\n{lines[number]}'
        daemon = run_daemon(sources)
        listener = listen(endpoint)
        listener.wait_for(lambda: len({message["source"] for message in listener.of_kind("frame")}) == 4)
        assert daemon.stop() == 0
    told = "\n".join(json.dumps(one, ensure_ascii=False) for one in [*daemon.lines, *listener.messages])
    for password in (raw, PASSWORD):
        assert password not in told + daemon.errors
        assert quote(password, safe="") not in told + daemon.errors


def test_detect_on_a_stream_tells_no_password(model_path, simulator_path, tmp_path):
    """Boxes, JSON and progress name the stream; user and password may come from a file instead of the command line."""
    secret = "S3kr000xQ7"
    (tmp_path / "secret").write_text(secret)
    with RtspCamera(faults=Faults(auth="digest", password=secret)) as camera:
        in_address = camera.url_with("admin", secret) + "?token=S3kr001xQ7"
        told = command(
            "detect", model_path, in_address, in_address + "2", camera.url,
            "--user", "admin", "--password-file", tmp_path / "secret",
            "--frames", 2, "--json", "--output", tmp_path / "drawn",
            code=0, simulator=simulator_path, folder=tmp_path / "drawn",
        )  # fmt: skip
    assert Secrets().in_text(told) == []
    inputs = {json.loads(line)["input"] for line in told.splitlines() if line.startswith("{")}
    shown = f"rtsp://***@127.0.0.1:{camera.port}/stream?…"
    assert inputs == {f"{shown} (1)", f"{shown} (2)", camera.url}
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        "stream-2.mp4",
        "stream-3.mp4",
        "stream.mp4",
    ]


def test_detect_reads_a_picture_at_an_address(model_path, simulator_path, tmp_path):
    """One, or as many as --frames says, with user and password, and drawn like other pictures."""
    with SnapshotCamera(faults=Faults(auth="digest", password="S3kr000xQ7")) as camera:
        address = camera.url_with("admin", "S3kr000xQ7").replace("/stream", "/a.jpg?key=S3kr001xQ7")
        told = ""
        for more, drawn in (([], ["a.jpg"]), (["--frames", 3], ["a-2.jpg", "a-3.jpg", "a.jpg"])):
            told += command(
                "detect", model_path, address, "--json", "--output", tmp_path / "drawn", *more,
                code=0, simulator=simulator_path, folder=tmp_path / "drawn",
            )  # fmt: skip
            assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == drawn
    assert Secrets().in_text(told) == []
    assert told.count(f'"input": "http://***@127.0.0.1:{camera.port}/a.jpg?…", "frame": 0, "width": 320') == 4


def test_detect_names_an_address_that_fails_once(model_path, simulator_path):
    """Whoever tells the reason: without user and password."""
    for address in ("http://u:S3kr000xQ7@127.0.0.1:{}/a.jpg", "rtsp://u:S3kr000xQ7@127.0.0.1:{}/a"):
        port = closed_port()
        told = command(
            "detect", model_path, address.format(port), code=2, simulator=simulator_path, folder=Path("/none")
        )
        assert told.count(f"***@127.0.0.1:{port}") == 1
        assert Secrets().in_text(told) == []


def test_words_that_a_terminal_obeys_are_escaped(model_path, simulator_path, tmp_path):
    """Names of files and labels: a picture's name must not paint over the terminal of who looks at it."""

    evil = tmp_path / "a\x1b]0;owned\x07\x9b2J\u202e.png"
    cv2.imwrite(str(evil), np.zeros((40, 60, 3), np.uint8))
    named = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.png")
    Path(named).write_bytes(evil.read_bytes())
    for more in ([], ["--json"]):
        told = command("detect", model_path, evil, named, *more, code=0, simulator=simulator_path, folder=Path("/none"))
        assert all(letter.isprintable() or letter == "\n" for letter in told), told
        assert "owned" in told
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert [line["input"] for line in lines] == [str(evil), named]
