"""A daemon whose model is a bundle: at a start with a damaged one the last good one serves, and says so."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from tests.bundles import small_members, write_bundle
from tests.e2e.conftest import Daemon

from mlu_agent.client import Subscriber

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Box:
    """A folder with a bundle, a cache and a configuration; ``start`` runs a daemon there."""

    def __init__(self, folder: Path, model: Path, simulator: Path) -> None:
        self.folder, self.simulator = folder, simulator
        self.cache = folder / "cache"
        self.cache.mkdir()
        self.members = small_members(model)
        self.bundle = write_bundle(folder / "m.bundle", self.members)
        self.endpoint = f"ipc://{folder}/out.sock"
        self.config = folder / "agent.toml"
        self.config.write_text(
            f'[model]\npath = "{self.bundle}"\nruntime = "simulator"\n[publish]\nendpoint = "{self.endpoint}"\n'
            f'[control]\nsocket = "{folder}/control.sock"\n[[source]]\nid = "camera"\nsynthetic = "64x48@20"\n'
        )
        self.daemons: list[Daemon] = []

    def start(self, code: str = "") -> Daemon:
        self.daemons.append(Daemon(self.config, self.simulator, code, CACHE_DIRECTORY=str(self.cache)))
        return self.daemons[-1]

    def damage(self) -> None:
        data = bytearray(self.bundle.read_bytes())
        data[-1] ^= 1
        self.bundle.write_bytes(data)

    def frame(self) -> Any:
        with Subscriber(self.endpoint) as subscriber:
            while True:
                message = subscriber.receive(30)
                assert message is not None
                if message["kind"] == "frame":
                    return message

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlu_agent.cli", *words, "--socket", f"{self.folder}/control.sock"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def box(tmp_path: Path, model_path: Path, simulator_path: Path) -> Iterator[Box]:
    made = Box(tmp_path, model_path, simulator_path)
    yield made
    for daemon in made.daemons:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.wait()


def test_the_last_good_bundle_serves_until_a_good_one_is_there(box: Box):
    """It is verified anew; log, status and every frame say so, and a reload takes the new one."""
    daemon = box.start()
    daemon.wait_for_log("ready")
    assert "last_good" not in box.frame()["flags"]
    assert daemon.stop() == 0
    box.damage()
    daemon = box.start()
    line = daemon.wait_for_log("the bundle is refused, and the last good one serves")
    assert line["level"] == "error"
    assert "m.bundle: the bundle is damaged" in line["reason"]
    daemon.wait_for_log("ready")
    assert "last_good" in box.frame()["flags"]
    done = box.ask("status", "--json")
    (model,) = json.loads(done.stdout)["models"]
    assert (done.returncode, model["path"]) == (1, str(box.bundle))
    assert "the bundle is damaged" in model["refused"]
    assert box.ask("ctl", "reload").returncode == 2
    write_bundle(box.bundle, box.members)
    assert box.ask("ctl", "reload").returncode == 0
    assert "last_good" not in box.frame()["flags"]
    assert box.ask("status").returncode == 0
    assert daemon.stop() == 0


def test_without_a_last_good_one_a_damaged_bundle_is_final(box: Box):
    """And so it is where what was kept is damaged, too: nothing serves that is not whole."""
    daemon = box.start()
    daemon.wait_for_log("ready")
    daemon.stop()
    box.damage()
    (kept,) = [folder for folder in (box.cache / "bundles").iterdir() if folder.is_dir()]
    model = kept / "small.cambricon"
    model.write_bytes(model.read_bytes()[:-1] + b"X")
    daemon = box.start()
    assert daemon.wait() == 2
    assert "m.bundle: the bundle is damaged" in daemon.errors


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from mlu_agent.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_where_there_is_no_room_for_a_new_bundle_the_last_good_one_serves(box: Box):
    """It is unpacked already; a disk that is full keeps no box from its work."""
    daemon = box.start()
    daemon.wait_for_log("ready")
    assert daemon.stop() == 0
    write_bundle(box.bundle, [*box.members, ("provenance", "p.txt", bytes(200_000))])
    daemon = box.start(FULL)
    line = daemon.wait_for_log("the bundle is refused, and the last good one serves")
    assert "m.bundle: cannot be unpacked into" in line["reason"]
    daemon.wait_for_log("ready")
    assert "last_good" in box.frame()["flags"]
    assert daemon.stop() == 0


def test_a_bundle_serves_without_its_cache(box: Box):
    """Somebody else made the folder: a temporary one is taken, and that is said."""
    (box.cache / "bundles").mkdir()
    (box.cache / "bundles").chmod(0o777)
    daemon = box.start()
    line = daemon.wait_for_log("the cache of bundles cannot be used: unpacked into a temporary folder")
    assert "is no folder of ours alone" in line["reason"]
    daemon.wait_for_log("ready")
    assert "last_good" not in box.frame()["flags"]
    assert daemon.stop() == 0


@pytest.mark.metrics
def test_figures_are_there_from_the_start(box: Box):
    """Of a daemon that waits for its model they say so."""
    box.config.write_text(box.config.read_text() + '[metrics]\nlisten = "127.0.0.1:0"\n')
    box.bundle.rename(box.folder / "later")
    daemon = box.start()
    address = daemon.wait_for_log("figures are given out")["endpoint"]
    daemon.wait_for_log("waiting")
    assert 'mlu_agent_phase{phase="starting"} 1.0' in _figures(address)
    (box.folder / "later").rename(box.bundle)
    daemon.wait_for_log("ready")
    box.frame()
    assert 'mlu_agent_source_state{source="camera",state="live"} 1.0' in _figures(address)
    assert daemon.stop() == 0


def _figures(address: str) -> str:

    time.sleep(1.0)  # they are made once a second at most
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        return str(answer.read(), "utf-8")
