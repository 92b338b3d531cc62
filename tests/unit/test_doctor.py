"""What doctor says of what it saw: each judge by invented facts, each look by what is really here."""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests import troubles

from mlu_agent.commands import asking
from mlu_agent.config import Config, ModelConfig, SourceConfig
from mlu_agent.doctor import (
    cameras,
    checks,
    clock,
    daemon,
    disk,
    doctor,
    driver,
    limits,
    machine,
    model,
    runtime,
    sockets,
    unit,
)
from mlu_agent.doctor.finding import Finding, Verdict, described, fine, lines
from mlu_agent.sources.video.failures import failure

FOUND = troubles.found()


@pytest.mark.parametrize("code", FOUND)
def test_each_trouble_is_one_finding_with_its_word_and_what_to_do(code: str):
    """A trouble has its code, a sentence and a remedy; no secret of an address is in it."""
    one = FOUND[code]
    assert (one.code, one.verdict) == (code, Verdict.TROUBLE)
    assert one.found
    assert len(one.remedy) > 20
    assert "secret" not in one.found


def test_findings_are_told_to_people_and_to_programs():
    """A fine finding is one line; one with something to do has a second, which says what."""
    wrong = FOUND["clock-wrong"]
    told = list(lines([fine("clock", "right"), wrong]))
    assert len(told) == 3
    assert told[0].split() == ["fine", "clock", "right"]
    assert told[1].startswith("trouble  clock")
    assert "-> do" in told[2]
    assert wrong.remedy in told[2]
    assert described([wrong]) == [
        {"area": "clock", "verdict": "trouble", "code": "clock-wrong", "found": wrong.found, "remedy": wrong.remedy}
    ]


# ---- running ------------------------------------------------------------------------------------------------------


def test_a_look_that_hangs_is_a_finding_and_keeps_nobody_waiting():
    """The others are told as ever, and whoever asked learns that a thread is left."""
    release = threading.Event()
    stuck = checks.Check("disk", lambda: [fine("disk", str(release.wait()))], 0.05)
    camera = replace(stuck, late=cameras.stuck(troubles.CAMERA))
    well = checks.Check("clock", lambda: [fine("clock", "right")])
    found, over = checks.run([stuck, camera, well])
    release.set()
    assert [(one.area, one.code) for one in found] == [
        ("disk", "look-hangs"),
        ("source gate", "source-stuck"),
        ("clock", ""),
    ]
    assert not over


def test_all_looks_together_take_no_longer_than_promised():
    """15 s with all that is asked before the looks, which run side by side."""
    source = SourceConfig("gate", "url", "rtsp://camera/")
    config = Config("box", (ModelConfig(Path("m.cambricon")),), (source,))
    looks = list(doctor._checks(doctor.Case(Path("agent.toml"), config, machine.me())))
    longest = {one.area: one.deadline_s for one in looks}
    assert longest.pop("runtime") == 11.0
    assert longest.pop("source gate") == 10.0
    assert set(longest.values()) == {5.0}
    assert unit.ANSWER_S + asking.STATUS_S + 11.0 <= 15.0


def test_a_look_that_breaks_off_is_a_finding():
    """Whatever it raises: the others are told, too. What two looks find alike is told once."""

    def broken() -> list[Finding]:
        raise ValueError("not what it should be")

    same = checks.Check("clock", lambda: [fine("clock", "right")])
    found, over = checks.run([checks.Check("disk", broken), same, same])
    assert [(one.area, one.code) for one in found] == [("disk", "look-failed"), ("clock", "")]
    assert "ValueError: not what it should be" in found[0].found
    assert over


# ---- rights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode, uid, gid, may",
    [
        (0o600, 990, 0, True),
        (0o060, 990, 44, False),  # the owner has the owner's rights alone
        (0o060, 0, 44, True),
        (0o606, 0, 44, False),  # and a member of the group the group's
        (0o006, 0, 0, True),
        (0o660, 0, 0, False),
    ],
)
def test_rights_are_those_of_the_first_class_that_fits(mode: int, uid: int, gid: int, may: bool):
    """Owner, else group, else others: as the kernel decides."""
    assert troubles.SERVICE.may(mode, uid, gid, machine.READ | machine.WRITE) is may


def test_root_may_everything():
    """Root's rights are no question of modes."""
    assert machine.Who("root", 0, frozenset()).may(0, 990, 990, machine.READ)


def test_a_file_is_reached_through_folders_that_may_be_entered(tmp_path: Path):
    """A file that everybody may read is closed in a folder that nobody may enter."""
    folder = tmp_path / "closed"
    folder.mkdir()
    file = folder / "open"
    file.touch(0o644)
    stranger = machine.Who("stranger", 64_000, frozenset({64_000}))
    for one in (tmp_path, *tmp_path.parents):
        if one.owner() == file.owner() and os.access(one, os.W_OK):
            one.chmod(one.stat().st_mode | 0o001)
    assert stranger.may_reach(file, machine.READ)
    folder.chmod(0o700)
    assert not stranger.may_reach(file, machine.READ)
    assert not stranger.may_reach(folder / "absent", machine.READ)


# ---- driver -------------------------------------------------------------------------------------------------------


def test_the_driver_is_looked_for_on_the_bus_among_modules_and_device_files(tmp_path: Path):
    """A card without a module, and a file where a device should be."""
    card = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0xcabc\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/modules").write_text("nvme 49152 2 - Live 0x0\n")
    facts = driver.look(machine.me(), tmp_path)
    assert (facts.on_bus, facts.modules, facts.nodes) == (1, (), ())
    (tmp_path / "proc/modules").write_text("cambricon_drv 49152 2 - Live 0x0\n")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/cambricon_dev0").touch(0o600)
    facts = driver.look(machine.me(), tmp_path)
    assert facts.modules == ("cambricon_drv",)
    assert [(node.path, node.device, node.usable) for node in facts.nodes] == [("/dev/cambricon_dev0", False, True)]


def test_a_box_without_a_card_is_no_trouble_unless_a_device_is_wanted():
    """The simulator computes there, which is said."""
    nothing = driver.Facts(0, (), ())
    (said,) = driver.judge(nothing, troubles.SERVICE, wanted=False)
    assert said.verdict is Verdict.NOTE
    (said,) = driver.judge(nothing, troubles.SERVICE, wanted=True)
    assert said.code == "device-node-missing"


def test_device_files_are_told_one_by_one():
    """One that is open is fine, whatever the next one is."""
    closed = driver.Node("/dev/cambricon_ctl", device=True, usable=False, owned="root:root 0600")
    found = driver.judge(driver.Facts(1, ("cambricon",), (troubles.NODE, closed)), troubles.SERVICE, wanted=True)
    assert [one.code for one in found] == ["", "device-node-permission"]
    assert "root:root 0600" in found[1].found


# ---- runtime ------------------------------------------------------------------------------------------------------


def test_what_the_child_said_is_read_as_far_as_it_came():
    """A line that is cut off is passed over."""
    output = b'{"step": "library"}\n{"fact": {"kind": "device"}}\n{"fact": {"warning": "w"}}\n{"step": "dev'
    facts = runtime.read(output, killed=11)
    assert (facts.step, facts.told["kind"], facts.told["warnings"], facts.signal) == ("library", "device", ["w"], 11)


def test_nothing_behind_a_trouble_of_the_library_is_judged():
    """Without a library there is no device, and without a device no model: one trouble, not three."""
    assert "SIGSEGV" in FOUND["library-broken"].found
    broken = runtime.judge(runtime.Facts("version", troubles.DEVICE, signal=11))
    assert [one.code for one in broken] == ["library-broken"]
    found = runtime.judge(runtime.Facts("devices", troubles.DEVICE, failed="NODEV"))
    assert [one.code for one in found if one.code] == ["device-lost"]


@pytest.mark.parametrize(
    "step, code",
    [("", "look-hangs"), ("library", "device-hangs"), ("devices", "device-hangs"), ("load", "device-hangs")],
)
def test_a_box_that_is_too_busy_is_no_device_that_hangs(step: str, code: str):
    """A process that has not begun within its time has asked no device for anything."""
    told = troubles.MLU220 if step == "load" else troubles.DEVICE if step == "devices" else {}
    found = runtime.judge(runtime.Facts(step, told, late=True))
    assert [one.code for one in found if one.code] == [code]


def test_a_running_daemon_keeps_its_device():
    """Then only the library is looked at, and it is said who has the device."""
    found = runtime.judge(runtime.Facts("version", troubles.DEVICE), running=True)
    assert [one.verdict for one in found] == [Verdict.FINE, Verdict.NOTE]


def test_a_library_tells_the_processor_that_it_is_for(tmp_path: Path):
    """By its ELF header; another kind of file tells nothing."""
    file = tmp_path / "libcnrt.so"
    file.write_bytes(b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little"))
    assert runtime.built_for(file) == "aarch64"
    file.write_bytes(b"\x7fELF")
    assert runtime.built_for(file) == ""
    assert runtime.built_for(tmp_path / "absent") == runtime.built_for(None) == ""


# ---- model, sources -----------------------------------------------------------------------------------------------


def test_every_problem_of_a_model_is_a_finding(tmp_path: Path):
    """A manifest that is missing, and a model that is."""
    (found,) = model.look("model main", ModelConfig(tmp_path / "m.cambricon"), ())
    assert found.code == "model-missing"
    (tmp_path / "m.cambricon").touch()
    (found,) = model.look("model main", ModelConfig(tmp_path / "m.cambricon"), ())
    assert found.code == "manifest-missing"


def test_a_source_that_delivers_tells_size_rate_and_times():
    """One line with all that its one frame told."""
    config = SourceConfig("test", "synthetic", "64x48@10")
    (found,) = cameras.judge(config, cameras.look(config))
    assert found.verdict is Verdict.FINE
    assert "64x48, 10 fps, clock arrival" in found.found


@pytest.mark.parametrize("bright, code", [(24.0, "source-black"), (24.1, "")])
def test_a_picture_is_black_up_to_the_configured_level(bright: float, code: str):
    """Of cameras and streams that are watched; a file may show what it likes."""
    facts = cameras.Facts(size=(64, 48), bright=bright)
    assert cameras.judge(troubles.CAMERA, facts)[0].code == code
    assert not cameras.judge(SourceConfig("clip", "path", "a.mp4"), facts)[0].code


def test_no_file_is_no_source(tmp_path: Path):
    """A path that leads nowhere is told as such."""
    config = SourceConfig("clip", "path", str(tmp_path / "absent.mp4"))
    assert cameras.judge(config, cameras.look(config))[0].code == "source-not-found"


# ---- clock, disk, limits ------------------------------------------------------------------------------------------


def test_this_machines_clock_can_be_asked():
    """Without any right, or else it is said that it could not be asked; and it is not 1970 here."""
    (found,) = clock.judge(clock.look())
    assert found.code in ("", "clock-unsynchronised")
    assert " UTC" in found.found


@pytest.mark.parametrize(
    "now, code",
    [
        (clock.BUILT_S - 1, "clock-wrong"),
        (clock.BUILT_S, ""),
        (clock.BUILT_S + clock.PLAUSIBLE_S, ""),
        (clock.BUILT_S + clock.PLAUSIBLE_S + 1, "clock-wrong"),
    ],
)
def test_a_time_before_this_program_or_far_beyond_it_is_wrong(now: float, code: str):
    """On either side of both bounds; also where nothing tells whether it is kept right."""
    assert clock.judge(clock.Facts(now, synchronised=True, error_s=0.01))[0].code == code
    assert clock.judge(clock.Facts(now, synchronised=None))[0].code == code


@pytest.mark.parametrize(
    "facts, code",
    [
        (disk.Facts(there=True, free=disk.LEAST_BYTES, inodes=disk.LEAST_INODES), ""),
        (disk.Facts(there=True, free=disk.LEAST_BYTES - 1), "disk-full"),
        (disk.Facts(there=True, free=disk.LEAST_BYTES, inodes=disk.LEAST_INODES - 1), "disk-inodes"),
    ],
)
def test_room_on_a_disk_has_a_least(facts: disk.Facts, code: str):
    """Bytes and files, on either side."""
    assert disk.judge(troubles.MODEL_FOLDER, facts)[0].code == code


def test_a_folder_that_is_only_read_may_be_read_only():
    """And one that is not there is somebody else's finding."""
    only_read = disk.Folder("model", Path("/m"), written=False)
    assert disk.judge(only_read, disk.Facts(there=True, read_only=True))[0].verdict is Verdict.NOTE
    assert disk.judge(only_read, disk.Facts(there=False)) == []
    assert disk.look(disk.Folder("here", Path("/"))).there
    assert not disk.look(disk.Folder("absent", Path("/absent/absent"))).there


def test_limits_are_held_against_what_the_sources_need():
    """Each on either side; each limit that is too low is a finding of its own."""
    need = {
        "files": limits.FILES + 3 * limits.FILES_EACH,
        "tasks": limits.TASKS + 3 * limits.TASKS_EACH,
        "memory": limits.MEMORY + 3 * limits.MEMORY_EACH + 3_000_000,
    }
    assert not limits.judge(limits.Limits("here", **need, available=need["memory"]), 4, 1_000_000)[0].code
    low = limits.Limits("here", **{name: value - 1 for name, value in need.items()}, available=need["memory"] - 1)
    codes = [one.code for one in limits.judge(low, 4, 1_000_000)]
    assert codes == ["limit-files", "limit-tasks", "limit-memory", "limit-memory"]


def test_limits_are_the_services_where_there_is_one():
    """systemd's words for no limit are none; else those of this process count."""
    said = {
        "LoadState": "loaded",
        "LimitNOFILESoft": "1024",
        "MemoryMax": "infinity",
        "TasksMax": "18446744073709551615",
    }
    found = limits.look(said)
    assert (found.whose, found.files, found.memory, found.tasks) == ("the service", 1024, None, None)
    assert found.available
    assert limits.look({}).whose == "this shell"
    mine = limits.look({}, os.getpid())
    assert (mine.whose, mine.available) == (f"process {os.getpid()}", None)
    assert (mine.files, mine.memory, mine.tasks) == dataclasses.astuple(limits.look({}))[1:4]


# ---- sockets ------------------------------------------------------------------------------------------------------


def test_who_listens_is_named_and_nothing_is_bound(tmp_path: Path):
    """A socket file and a port, each with the process that has it."""
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as unix, socket.create_server(("127.0.0.1", 0)) as tcp:
        unix.bind(str(path))
        unix.listen()
        for endpoint in (f"ipc://{path}", f"tcp://127.0.0.1:{tcp.getsockname()[1]}"):
            facts = sockets.look(endpoint, machine.me())
            assert facts.user.startswith(f"process {os.getpid()} (")
            assert sockets.judge(endpoint, facts, running=False, made_by_unit=False)[0].code == "endpoint-in-use"
            assert not sockets.judge(endpoint, facts, running=True, made_by_unit=False)[0].code
    assert not sockets.look(f"ipc://{path}", machine.me()).user  # the file is left, and nobody listens on it


def test_a_free_endpoint_is_fine(tmp_path: Path):
    """A socket file whose folder is there; a port that can be bound, and an address that this machine lacks."""
    me = machine.me()
    for endpoint in (f"ipc://{tmp_path}/a.sock", "tcp://127.0.0.1:*", "ipc://@mlu-agent-test"):
        assert sockets.look(endpoint, me) == sockets.Facts()
        assert sockets.judge(endpoint, sockets.Facts(), running=False, made_by_unit=False)[0].verdict is Verdict.FINE
    assert "cannot be bound" in sockets.look("tcp://192.0.2.1:5556", me).problem


def test_a_sockets_folder_is_looked_at(tmp_path: Path):
    """Missing, closed to the user that counts, or with another file in the socket's place."""
    stranger = machine.Who("stranger", 64_000, frozenset())
    assert sockets.look(f"ipc://{tmp_path}/absent/a.sock", stranger).folder[0] == "socket-folder"
    assert sockets.look(f"ipc://{tmp_path}/a.sock", stranger).folder[0] == "socket-permission"
    (tmp_path / "a.sock").touch()
    facts = sockets.look(f"ipc://{tmp_path}/a.sock", machine.me())
    assert facts.folder[0] == "socket-file"


def test_a_folder_that_the_unit_makes_need_not_be_there():
    """RuntimeDirectory= makes it at each start."""
    facts = sockets.Facts(folder=("socket-folder", "the folder /run/mlu-agent of the socket is not there"))
    assert sockets.judge("ipc:///run/x", facts, running=False, made_by_unit=True)[0].verdict is Verdict.NOTE


# ---- a daemon that runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state, code, word",
    [
        ("live", "", ""),
        ("connecting", "", ""),
        ("paused", "", ""),
        ("lost", "unauthorized", "source-unauthorized"),
        ("stalled", "stuck", "source-stuck"),
        ("stalled", "", "source-silent"),
        ("lost", "of-a-later-version", "source-broken"),
        ("failed", "", "source-broken"),
        ("black", "", "source-black"),
    ],
)
def test_a_source_of_a_running_daemon_is_told_by_its_state_and_reason(state: str, code: str, word: str):
    """What only passes, or was asked for, is no trouble."""
    found = troubles.status(sources=[troubles.source(state, code, "why")])
    assert [one.code for one in found] == ["", word]
    assert "why" in found[1].found


def test_a_daemon_that_this_user_may_not_ask_is_no_trouble():
    """It runs, and its sources and device are left to it."""
    (found,) = daemon.judge_silence("/run/mlu-agent/control.sock: permission denied: become a member")
    assert found.verdict is Verdict.NOTE


def test_only_the_last_change_counts():
    """One that was refused before a later one was taken has been mended."""
    refused = {"what": "reload", "ok": False, "came_to": "wrong"}
    taken = {"what": "reload", "ok": True, "came_to": "taken"}
    assert not [one for one in troubles.status(changes=[taken, refused]) if one.code]


# ---- the service --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "properties, verdict, words",
    [
        ({}, Verdict.NOTE, "no systemd"),
        ({"LoadState": "not-found"}, Verdict.NOTE, "not installed"),
        ({**troubles.LOADED, "ActiveState": "inactive"}, Verdict.NOTE, "does not run"),
        ({**troubles.LOADED, "ActiveState": "active", "StatusText": "4 of 4 sources live"}, Verdict.FINE, "4 of 4"),
        ({"LoadState": "loaded", "UnitFileState": "disabled", "ActiveState": "active"}, Verdict.NOTE, "not enabled"),
        ({**troubles.LOADED, "ActiveState": "failed", "ExecMainCode": "2", "ExecMainStatus": "9"}, Verdict.TROUBLE,
         "ended by SIGKILL"),
        ({**troubles.LOADED, "ActiveState": "activating", "NRestarts": "2"}, Verdict.FINE, ""),
        ({**troubles.LOADED, "ActiveState": "activating", "NRestarts": "3"}, Verdict.TROUBLE,
         "again and again"),
    ],
)  # fmt: skip
def test_the_service_is_told_in_words(properties: dict[str, str], verdict: Verdict, words: str):
    """What systemd says of the unit, with the meaning of the last exit code."""
    (found,) = unit.judge(properties)
    assert found.verdict is verdict
    assert words in found.found


@pytest.mark.parametrize(
    "code, words",
    [(0, "told to stop"), (1, "fault"), (2, "a person"), (3, "device"), (137, "SIGKILL"), (143, "TERM")],
)
def test_every_exit_code_has_a_meaning(code: int, words: str):
    """Those of docs/service.md."""
    assert words in unit.meaning(code)


@pytest.mark.parametrize("cut", [OSError(errno.ECONNRESET, "cut"), OSError(errno.EPIPE, "cut"), EOFError()])
def test_a_connection_that_was_cut_is_no_matter_of_the_cameras_format(cut: Exception):
    """Who cut it, and who else listens, is the question; asked of the camera and told by the daemon alike."""
    lost = failure(cut)
    (found,) = cameras.judge(troubles.CAMERA, cameras.Facts(lost.code, lost.reason))
    again = daemon.judge_source(troubles.source("lost", "broken", f"{lost.reason} (tried 2 times)"))
    assert "cut it: try again" in found.remedy
    assert again.remedy == found.remedy
    assert "firmware" not in found.remedy
    assert cameras.remedy(lost.code, "what it sends is no video, or damaged") == cameras.REMEDIES[lost.code]
