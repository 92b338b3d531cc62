"""Another configuration for a daemon that serves: SIGHUP, a real subscriber, a real service manager's ear."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import struct
import time
import zlib
from typing import TYPE_CHECKING, Any

from tests.containers import device_file
from tests.e2e.test_daemon import Manager, check_balance, check_sequence, source
from tests.models import small_bundle

from mlu_agent.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FILE = source("file", path="{clip}", loop=True)
LIVE = source("live", synthetic="64x48@50", realtime=True)


class Reloading:
    """A daemon, its configuration's file and its subscriber."""

    def __init__(self, run_daemon: Any, listener: Any, tmp_path: Path, sources: str, **environment: str) -> None:
        self.daemon = run_daemon(sources, environment=environment)
        self.listener = listener
        self.file = tmp_path / "agent0.toml"
        self.text = self.file.read_text()
        self.counts = {"reload": 0, "refused": 0}

    def frames(self, name: str) -> list[dict[str, Any]]:
        """Those of a source so far."""
        return list(self.listener.of_kind("frame", name))

    def go_on(self, *names: str) -> None:
        """Waits for ten frames more of each of these sources."""
        before = {name: len(self.frames(name)) for name in names}
        self.listener.wait_for(lambda: all(len(self.frames(name)) > count + 10 for name, count in before.items()))

    def reload(self, text: str, *, refused: bool = False) -> str:
        """Writes the file, sends SIGHUP, and gives what it came to, once that is told."""
        event = "a change was refused: what served before goes on unchanged" if refused else "changed"
        before = sum(line["event"] == event for line in self.daemon.lines)
        self.file.write_text(text)
        self.daemon.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 60
        while sum(line["event"] == event for line in self.daemon.lines) == before:
            assert time.monotonic() < end, self.daemon.lines[-5:]
            assert self.daemon.process.poll() is None
            time.sleep(0.01)
        told = [line for line in self.daemon.lines if line["event"] == event][-1]
        return str(told["reason" if refused else "done"])


def test_a_reload_changes_what_differs_and_nothing_else(run_daemon, listen, endpoint: str, clip: Path, tmp_path: Path):
    """A source and a model more, an option, thresholds, a source less, each while a file and a live source go on."""
    (tmp_path / "other").mkdir()
    other = small_bundle(tmp_path / "other")
    base = FILE.format(clip=clip) + LIVE
    box = Reloading(run_daemon, listen(endpoint), tmp_path, base)
    box.go_on("file", "live")
    assert box.reload(box.text) == "nothing differs"

    more = f'[[model]]\nname = "second"\npath = "{other}"\nruntime = "simulator"\nconfidence = 0.75\n'
    several = box.text.replace("[model]", '[[model]]\nname = "main"').replace("[publish]", more + "[publish]")
    comes = source("comes", synthetic="64x48@50", realtime=True, model="second")
    assert box.reload(several + comes) == "model loaded second; source added comes"
    box.go_on("file", "live", "comes")
    changed = (
        (several + comes)
        .replace("confidence = 0.75", "confidence = 0.8")
        .replace("@50", "@50")
        .replace('id = "live"', 'id = "live"\nmax_fps = 5')
    )
    assert box.reload(changed.replace("heartbeat_s = 0.2", "heartbeat_s = 0.1")) == (
        "thresholds of model second; options of source live; option publish.heartbeat_s"
    )
    box.go_on("file", "live", "comes")
    assert box.reload(several + comes.replace("64x48", "80x48")) == (
        "thresholds of model second; source begun anew comes; options of source live; option publish.heartbeat_s"
    )
    box.listener.wait_for(lambda: box.frames("comes")[-1]["width"] == 80)
    assert box.reload(box.text) == "model removed second; source removed comes"
    box.listener.wait_for(lambda: box.listener.of_kind("end", "comes"))
    box.go_on("file", "live")
    assert box.daemon.stop() == 0
    for name in ("file", "live", "comes"):
        check_sequence(box.frames(name), box.frames(name)[0]["seq"])
        check_balance(box.daemon.wait_for_log("source ended", source=name))
    assert {frame["model"]["thresholds"]["confidence"] for frame in box.frames("comes")} == {0.75, 0.8}
    assert {frame["model"]["thresholds"]["confidence"] for frame in box.frames("file")} == {0.6}
    assert len({frame["boot_id"] for frame in box.frames("live")}) == 1
    file = [line for line in box.daemon.lines if line.get("source") == "file" and line.get("state") == "connecting"]
    assert len(file) == 1


def test_a_configuration_with_relative_paths_differs_in_nothing_from_itself(
    run_daemon, monkeypatch: pytest.MonkeyPatch, model_path: Path, clip: Path, tmp_path: Path
):
    """However the file was named at the start: a reload right after it changes nothing and plays no file anew."""
    for path in (model_path, model_path.with_suffix(".toml"), clip):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    control = '[control]\nsocket = "control.sock"\n'
    sources = source("file", path=clip.name, loop=True) + control
    daemon = run_daemon(sources, model=model_path.name, config="agent0.toml")
    daemon.wait_for_log("source", state="live")
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.wait_for_log("changed")["done"] == "nothing differs"
    assert daemon.stop() == 0


def test_what_is_wrong_with_a_file_leaves_everything_as_it_is(
    run_daemon, listen, endpoint: str, clip: Path, tmp_path: Path
):
    """Broken TOML, an unknown option, no model there, a flipped bit, a path that leads nowhere, what a restart takes:
    each is told with its reason, and frames flow. The next good file is taken."""
    box = Reloading(run_daemon, listen(endpoint), tmp_path, FILE.format(clip=clip))
    box.go_on("file")
    (tmp_path / "bad").mkdir()
    bad = small_bundle(tmp_path / "bad")
    data = bytearray(bad.read_bytes())
    data[len(data) // 2] ^= 1
    bad.write_bytes(data)
    model = next(line for line in box.text.splitlines() if line.startswith("path"))
    for text, reason in (
        (box.text + "[", "agent0.toml: not valid TOML"),
        (box.text.replace("loop = true", "lopp = true"), 'source[0].lopp: is not an option; did you mean "loop"?'),
        (box.text.replace(model, f'path = "{tmp_path}/none.cambricon"'), "model main: "),
        (box.text.replace(model, f'path = "{bad}"'), "sha256"),
        (box.text + source("more", path=f"{tmp_path}/none.mp4"), "none.mp4: there is no such file or folder"),
        (box.text + LIVE + 'classes = ["zebra"]\n', "'zebra' is no label of 'small'"),
        (box.text.replace('box = "testbox"', 'box = "b"'), "box: changes with a restart of the service only"),
        (box.text.replace("100000", "100001"), "publish.high_water_mark: changes with a restart of the service only"),
    ):
        assert reason in box.reload(text, refused=True)
        box.go_on("file")
    assert box.reload(box.text + LIVE) == "source added live"
    box.go_on("file", "live")
    assert box.daemon.stop() == 0
    check_sequence(box.frames("file"), box.frames("file")[0]["seq"])


def test_a_model_is_swapped_by_command_and_the_service_manager_hears_why_not(
    run_daemon, listen, endpoint: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """`ctl swap` of a good model, then of one with a flipped bit: the answer, the status and STATUS= have the reason,
    and each frame of the file arrives once, in order. A stop in the middle of a swap ends with 0 in time."""
    (tmp_path / "other").mkdir()
    other = small_bundle(tmp_path / "other")
    manifest = other.with_suffix(".toml")
    manifest.write_text(manifest.read_text().replace('name = "small"', 'name = "other"'))
    manager = Manager(tmp_path)
    control = f'[control]\nsocket = "{tmp_path}/control.sock"\n'

    def ctl(*words: str) -> tuple[int, str]:
        code = main(["ctl", "--socket", f"{tmp_path}/control.sock", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    try:
        box = Reloading(
            run_daemon, listen(endpoint), tmp_path, FILE.format(clip=clip) + control, NOTIFY_SOCKET=manager.path
        )
        box.go_on("file")
        code, said = ctl("swap", "main", str(other))
        assert (code, "model main is other" in said, "until a reload or a restart" in said) == (0, True, True)
        box.listener.wait_for(lambda: box.frames("file")[-1]["model"]["name"] == "other")
        data = bytearray(other.read_bytes())
        data[-1] ^= 1
        other.write_bytes(data)
        code, said = ctl("swap", "main", str(other))
        assert (code, "sha256" in said) == (2, True)
        while not any("the last swap of main was refused: model main: " in text for text in manager.received):
            manager.received.append(manager._socket.recv(65536).decode())
        code, said = ctl("status", "--json")
        status = json.loads(said)
        newest = status["changes"][0]
        assert status["models"][0]["change"] == newest
        assert (newest["what"], newest["ok"], "sha256" in newest["came_to"]) == ("swap main", False, True)
        box.go_on("file")
        manager.received.clear()
        assert ctl("reload")[0] == 0
        manager.wait_for("RELOADING=1")
        manager.wait_for("READY=1")
        box.listener.wait_for(lambda: box.frames("file")[-1]["model"]["name"] == "small")
        box.daemon.process.send_signal(signal.SIGHUP)
        assert box.daemon.stop() == 0
    finally:
        manager.close()
    check_sequence(box.frames("file"), box.frames("file")[0]["seq"])
    positions = [frame["position"] for frame in box.frames("file")]
    assert all(after == (before + 1) % 40 for before, after in zip(positions, positions[1:]))


def test_a_reload_takes_another_stand_in(run_daemon, listen, endpoint: str, clip: Path, tmp_path: Path):
    """The device file and its manifest are the same; what computes for them is not, and each is said. The device's own
    golden frame is left alone."""
    folder = tmp_path / "stand-ins"
    folder.mkdir()
    ours = small_bundle(tmp_path)
    vendor = tmp_path / "vendor.cambricon"
    vendor.write_bytes(device_file([((1, 32, 32, 4), "uint8")], [((1, 16, 16, 18), "float16")], names=["head"]))
    digests = [hashlib.sha256(model.read_bytes()).hexdigest() for model in (ours, vendor)]
    manifest = ours.with_suffix(".toml").read_text().replace(*digests)
    vendor.with_suffix(".toml").write_text(manifest.replace("small.cambricon", "vendor.cambricon"))
    standin = folder / f"{digests[1]}.cambricon"
    shutil.copy(ours, standin)
    listener = listen(endpoint)
    sources = f'[simulator]\nstandins = "{folder}"\n{FILE.format(clip=clip)}'
    daemon = run_daemon(sources, model=vendor)
    said = "a stand-in computes for the device file"
    assert daemon.wait_for_log(said)["sha256"] == digests[0]
    listener.wait_for(lambda: listener.of_kind("frame"))
    assert listener.of_kind("frame")[0]["model"]["sha256"] == digests[1]
    data = bytearray(ours.read_bytes())
    data[0x10 : 0x10 + 5] = b"other"  # its name: another file that computes the same
    struct.pack_into("<I", data, 0x4C0, 0)
    struct.pack_into("<I", data, 0x4C0, zlib.crc32(data))
    standin.write_bytes(data)
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.wait_for_log("changed")["done"] == "model loaded main"
    assert daemon.wait_for_log(said, network="other")["sha256"] == hashlib.sha256(data).hexdigest()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_log("changed", done="nothing differs")
    standin.write_bytes(data[:-1])
    daemon.process.send_signal(signal.SIGHUP)
    reason = daemon.wait_for_log("a change was refused: what served before goes on unchanged")["reason"]
    assert "its header claims" in reason
    assert daemon.stop() == 0
    assert standin.with_suffix(".golden").exists()
    assert not vendor.with_suffix(".golden").exists()
