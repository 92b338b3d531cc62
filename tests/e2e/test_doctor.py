"""doctor and check --connect as a person runs them, with troubles that are really there."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.bundles import small_members, write_bundle
from tests.faulty_cameras import Blackhole, Faults, RtspCamera, closed_port

from mlu_agent.config import ModelConfig
from mlu_agent.doctor import runtime
from mlu_agent.doctor.finding import troubles

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path, model_path: Path):
    """Writes a configuration from TOML of sources, and more."""

    def write(sources: str, *, publish: str = "", model: Path = model_path) -> Path:
        path = tmp_path / "agent.toml"
        publish = publish or f'endpoint = "ipc://{tmp_path}/out.sock"'
        path.write_text(
            f'[model]\npath = "{model}"\nruntime = "simulator"\n[publish]\n{publish}\n{sources}', encoding="utf-8"
        )
        path.chmod(0o600)
        return path

    return write


SYNTHETIC = '[[source]]\nid = "test"\nsynthetic = "64x48@20"\n'


def source_of(name: str) -> str:
    return f'[[source]]\nid = "{name}"\nsynthetic = "64x48@20"\nrealtime = true\n'


def told(done: subprocess.CompletedProcess[str]) -> dict[str, list[dict[str, Any]]]:
    """The findings by their areas."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(done.stdout)["findings"]:
        found.setdefault(one["area"], []).append(one)
    return found


def test_doctor_looks_at_everything(cli, config):
    """One finding at least of each part; nothing of the configuration is wrong here, so none of it is a trouble."""
    done = cli("doctor", "-c", config(SYNTHETIC), "--json")
    areas = told(done)
    wanted = ("configuration", "service", "packages", "clock", "runtime", "device", "model main", "model main run",
              "source test", "endpoint", "disk", "limits", "permissions")  # fmt: skip
    assert [area for area in wanted if area not in areas] == []
    # this machine's own clock, disk and memory may be in trouble, which is none of the test's
    of_config = [one for area in wanted[4:10] for one in areas[area]]
    assert [one for one in of_config if one["verdict"] == "trouble"] == []
    assert done.returncode == (1 if json.loads(done.stdout)["troubles"] else 0)


def test_doctor_without_a_configuration_looks_at_the_machine(cli):
    """Library, driver, clock, limits: text for people, each finding on a line of its own."""
    done = cli("doctor")
    for words in ("runtime  ", "driver  ", "clock  ", "limits  "):
        assert words in done.stdout
    assert done.returncode in (0, 1)


def test_doctor_ends_with_2_where_its_command_line_is_wrong(cli):
    """As every command."""
    assert cli("doctor", "--absent").returncode == 2


def test_a_configuration_that_is_wrong_is_told_and_the_machine_is_looked_at(cli, config):
    """Every problem is a finding, and the rest of the box is examined all the same."""
    path = config('[[source]]\nid = "a b"\nsynthetic = "64x48@20"\nlop = true\n')
    areas = told(cli("doctor", "-c", path, "--json"))
    assert [one["code"] for one in areas["configuration"]] == ["configuration", "configuration"]
    assert "clock" in areas
    assert "runtime" in areas


@pytest.mark.slow
def test_every_camera_is_asked_at_once_and_its_trouble_named(cli, config):
    """A wrong password, nobody there, a name that nobody knows, a path that is none, silence: each by its word."""
    with contextlib.ExitStack() as exits:
        locked = exits.enter_context(RtspCamera(faults=Faults(auth="digest")))
        elsewhere = exits.enter_context(RtspCamera(faults=Faults(status="404 Not Found")))
        deaf = exits.enter_context(Blackhole())
        well = exits.enter_context(RtspCamera())
        urls = {
            "unauthorized": locked.url_with("admin", "wrong"),
            "refused": f"rtsp://127.0.0.1:{closed_port()}/stream",
            "unreachable": "rtsp://camera.invalid/stream",
            "not-found": elsewhere.url,
            "timeout": deaf.url,
            "": well.url,
        }
        sources = "".join(f'[[source]]\nid = "s-{word}"\nurl = "{url}"\n' for word, url in urls.items())
        done = cli("check", "-c", config(sources), "--connect", "--json")
    areas = told(done)
    found = {word: areas[f"source s-{word}"][0] for word in urls}
    assert {word: one["code"] for word, one in found.items()} == {
        word: f"source-{word}" if word else "" for word in urls
    }
    assert all(one["remedy"] for word, one in found.items() if word)
    assert "wrong@" not in done.stdout
    assert done.returncode == 1


def test_a_path_that_is_missing_keeps_no_other_source_from_being_looked_at(cli, config, tmp_path: Path):
    """Each has its finding, as `run` waits for a path; without touching them it is refused, as JSON where that is
    asked for."""
    dead = f'[[source]]\nid = "a"\nurl = "rtsp://127.0.0.1:{closed_port()}/stream"\n'
    missing = f'[[source]]\nid = "b"\npath = "{tmp_path / "none.mp4"}"\n'
    path = config(dead + missing + SYNTHETIC)
    done = cli("check", "-c", path, "--connect", "--json")
    codes = [one["code"] for area, found in told(done).items() if area.startswith("source ") for one in found]
    assert (done.returncode, codes) == (1, ["source-refused", "source-not-found", ""])
    done = cli("check", "-c", path, "--json")
    refused = json.loads(done.stdout)
    assert (done.returncode, refused["ok"], "source b" in refused["error"], done.stderr) == (2, False, True, "")


def test_check_connect_is_in_order_where_all_can_be_touched(cli, config):
    """A frame, the model on its device, the endpoint: 0, and nothing was left behind."""
    path = config(SYNTHETIC)
    done = cli("check", "-c", path, "--connect")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("agent.toml: in order\n")
    assert "a picture took" in done.stdout
    assert sorted(one.name for one in path.parent.iterdir()) == ["agent.toml"]


def test_check_connect_names_who_has_the_endpoint(cli, config):
    """With 1: it is something to do, and no mistake of the configuration."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = f'endpoint = "tcp://127.0.0.1:{other.getsockname()[1]}"'
        done = cli("check", "-c", config(SYNTHETIC, publish=endpoint), "--connect", "--json")
    assert done.returncode == 1
    (found,) = told(done)["endpoint"]
    assert found["code"] == "endpoint-in-use"
    assert f"process {os.getpid()}" in found["found"]


def test_a_device_that_hangs_is_named_and_not_waited_for(
    simulator_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The process that touches it is ended and left behind, here after some seconds, more where
    all is busy; what hangs is known."""
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nfunction = "cnrtInit"\nhang = true\n')
    monkeypatch.setenv("CNRT_SIMULATOR_FAULTS", str(faults))
    looks = (runtime.look(str(simulator_path), None, limit_s, tmp_path) for limit_s in (3.0, 10.0, 30.0, 60.0))
    facts = next(facts for facts in looks if facts.step == "devices")
    assert facts.late
    (hanging,) = troubles(runtime.judge(facts))
    assert hanging.code == "device-hangs"
    assert "cnrtInit did not come back" in hanging.found


def test_the_cache_of_the_service_is_left_alone(cli, config, model_path: Path, tmp_path: Path):
    """What root unpacked there would shut the service out; a cache that is missing or another's is no trouble."""
    bundle = write_bundle(tmp_path / "m.bundle", small_members(model_path))
    cache = tmp_path / "cache"
    for foreign in (False, True):
        if foreign:
            (cache / "bundles").mkdir(parents=True)
            (cache / "bundles").chmod(0o777)
        facts = runtime.look("simulator", ModelConfig(bundle), 60.0, cache)
        assert (facts.step, facts.failed, facts.told["warnings"]) == ("golden", "", [])
    assert [one.name for one in cache.rglob("*")] == ["bundles"]


@pytest.mark.sign
def test_a_bundle_that_nobody_trusted_signed_is_not_run(config, model_path: Path, tmp_path: Path):
    """Neither by the process that touches the device, which reads it again, nor by doctor."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    public = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    key = tmp_path / "release.pub"
    key.write_bytes(pem)
    bundle = write_bundle(tmp_path / "m.bundle", small_members(model_path))
    trusting = ModelConfig(bundle, runtime="simulator", trust=key, require_signature=True)
    facts = runtime.look("simulator", trusting, 60.0, tmp_path)
    assert (facts.step, facts.kind) == ("model", "DataError")
    assert "nobody signed it" in facts.failed
    allowing = replace(trusting, require_signature=False)
    assert runtime.look("simulator", allowing, 60.0, tmp_path).step == "golden"


def test_a_model_that_the_daemon_refuses_is_a_trouble_and_not_run(cli, config):
    """Labels that it does not have are refused by run and check, and so by doctor."""
    path = config(SYNTHETIC + 'classes = ["no such thing"]\n')
    assert cli("check", "-c", path).returncode == 2
    areas = told(cli("doctor", "-c", path, "--json"))
    assert [one["code"] for one in areas["model main"]] == ["label-unknown"]
    assert "model main run" not in areas


def test_a_running_daemon_is_not_disturbed(cli, run_daemon, tmp_path: Path):
    """Its device, its sources and its endpoint are its own; what it says of them is told."""
    source = '[[source]]\nid = "test"\nsynthetic = "64x48@20"\nrealtime = true\n'
    daemon = run_daemon(f'{source}[control]\nsocket = "{tmp_path}/control.sock"\n')
    daemon.wait_for_log("source", state="live")
    areas = told(cli("doctor", "-c", tmp_path / "agent0.toml", "--json"))
    assert "the daemon listens" in areas["endpoint"][0]["found"]
    assert areas["device"][0]["found"] == "the running daemon has it"
    assert areas["daemon"][0]["found"].endswith("serving")
    assert ["is live: frames arrive" in one["found"] for one in areas["source test"]] == [True]
    assert "model main run" not in areas
    assert daemon.stop() == 0


def test_what_a_running_daemon_does_not_read_yet_is_looked_at(cli, run_daemon, tmp_path: Path):
    """Edit, `check --connect`, reload: a new source that is dead, and one with another place, are found before the
    reload; of the others the daemon tells."""
    kept, moved = source_of("kept"), source_of("moved")
    daemon = run_daemon(f'{kept}{moved}[control]\nsocket = "{tmp_path}/control.sock"\n')
    daemon.wait_for_log("source", state="live", source="moved")
    file = tmp_path / "agent0.toml"
    dead = f'url = "rtsp://127.0.0.1:{closed_port()}/stream"'
    file.write_text(
        file.read_text().replace(moved, moved.replace('synthetic = "64x48@20"\nrealtime = true', dead))
        + f'[[source]]\nid = "new"\n{dead}\n'
    )
    for words in (("check", "--connect"), ("doctor",)):
        done = cli(*words, "-c", file, "--json")
        areas = told(done)
        found = {name: [one["code"] for one in areas[f"source {name}"]] for name in ("kept", "moved", "new")}
        assert found == {"kept": [""], "moved": ["source-refused"], "new": ["source-refused"]}
        assert "is live: frames arrive" in areas["source kept"][0]["found"]
        assert done.returncode == 1
    assert daemon.stop() == 0


def test_an_agent_of_another_configuration_is_not_the_daemon(cli, run_daemon, config, tmp_path: Path):
    """It has the endpoint, and says so on a control socket of its own: that is in use, and our camera is looked at.
    Where nothing can be asked, what was not looked at is said."""
    daemon = run_daemon(f'{source_of("theirs")}[control]\nsocket = "{tmp_path}/control.sock"\n')
    daemon.wait_for_log("ready")
    path = config(SYNTHETIC)
    text = path.read_text()
    path.write_text(f'{text}[control]\nsocket = "{tmp_path}/ours.sock"\n')
    areas = told(cli("check", "-c", path, "--connect", "--json"))
    (taken,) = areas["endpoint"]
    assert taken["code"] == "endpoint-in-use"
    assert f"process {daemon.process.pid} (" in taken["found"]
    assert "another mlu-agent, which may have device and cameras too" in taken["found"]
    assert "a frame after" in areas["source test"][0]["found"]
    assert "model main run" in areas

    path.write_text(f'{text}[control]\nsocket = ""\n')
    areas = told(cli("check", "-c", path, "--connect", "--json"))
    assert "sources and device were not looked at" in areas["daemon"][0]["found"]
    assert 'control.socket = ""' in areas["daemon"][0]["found"]
    assert "source test" not in areas

    path.write_text(f'[agent]\nbox = "ours"\n{text}[control]\nsocket = "{tmp_path}/control.sock"\n')
    areas = told(cli("check", "-c", path, "--connect", "--json"))
    assert [areas[area][0]["code"] for area in ("endpoint", "control")] == ["endpoint-in-use"] * 2
    assert "a frame after" in areas["source test"][0]["found"]
    assert daemon.stop() == 0
