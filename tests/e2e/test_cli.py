"""The commands as a person or a script uses them: output, exit codes, sentences instead of tracebacks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from mlu_agent.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of 200 x 100 pixels."""
    path = tmp_path / "noise.png"
    cv2.imwrite(str(path), np.random.default_rng(3).integers(0, 255, (100, 200, 3), np.uint8))
    return path


def test_detect_prints_one_json_line_per_picture_and_frame(cli, model_path: Path, picture: Path, clip: Path):
    """Keys as in the contract for scripts; boxes are pixels of the input, inside it, best first."""
    done = cli("detect", model_path, picture, clip, "--json", "--runtime", "simulator")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["input"], line["frame"]) for line in lines] == [
        (str(picture), 0),
        *((str(clip), n) for n in range(40)),
    ]
    assert (lines[0]["width"], lines[0]["height"]) == (200, 100)
    assert sum(len(line["detections"]) for line in lines) > 0
    for line in lines:
        assert set(line) >= {"input", "frame", "width", "height", "detections"}
        scores = [found["confidence"] for found in line["detections"]]
        assert scores == sorted(scores, reverse=True)
        for found in line["detections"]:
            assert set(found) >= {"class_id", "label", "confidence", "box"}
            x1, y1, x2, y2 = found["box"]
            assert 0 <= x1 < x2 <= line["width"]
            assert 0 <= y1 < y2 <= line["height"]


def test_detect_gives_the_same_for_a_picture_alone_and_among_others(cli, model_path: Path, picture: Path, clip: Path):
    """Cores and order do not show in the results."""
    alone = cli("detect", model_path, picture, "--json").stdout
    among = cli("detect", model_path, clip, picture, "--json").stdout.splitlines()[-1]
    assert alone.strip() == among


def test_detect_draws_pictures_and_videos(cli, model_path: Path, picture: Path, clip: Path, tmp_path: Path):
    """--output DIR: a .jpg per picture, an .mp4 of all frames per video, nothing half written."""
    folder = tmp_path / "new" / "drawn"
    done = cli("detect", model_path, picture, clip, picture, "--output", folder)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["clip.mp4", "noise-2.jpg", "noise.jpg"]
    drawn = cv2.imread(str(folder / "noise.jpg"))
    assert drawn.shape == (100, 200, 3)
    video = cv2.VideoCapture(str(folder / "clip.mp4"))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert frames == 40


def test_detect_does_what_it_can_and_tells_what_it_cannot(cli, model_path: Path, picture: Path, tmp_path: Path):
    """A broken picture is one sentence and exit code 2; the good ones are still done."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    done = cli("detect", model_path, broken, picture, "--json")
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.count("broken.jpg") == 1


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["detect", "MODEL", "/nonexistent.jpg"], "/nonexistent.jpg: there is no such file"),
        (["detect", "MODEL", "PICTURE", "--confidence", "7"], "--confidence 7: give a number from 0 to 1"),
        (["detect", "MODEL", "PICTURE", "--runtime", "cuda"], 'runtime "cuda" is neither'),
        (["detect", "MODEL", "PICTURE", "--user", "admin"], "--user: no input is a stream whose address names no user"),
        (["infer", "MODEL", "rtsp://a@b/c", "--password-file", "PICTURE"], "--password-file: no input is a stream"),
        (["detect", "PICTURE", "PICTURE"], "neither a .cambricon model nor its .toml manifest"),
        (["inspect", "PICTURE"], "not a .cambricon model"),
        (["adopt", "PICTURE", "--as", "yolov3"], "not named NAME.cambricon"),
        (["run", "-c", "/nonexistent.toml"], "/nonexistent.toml"),
        (["subscribe", "nonsense"], "endpoint"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(
    cli, model_path: Path, picture: Path, arguments: list[str], sentence: str
):
    """No traceback, no half answer."""
    named = {"MODEL": str(model_path), "PICTURE": str(picture)}
    done = cli(*[named.get(argument, argument) for argument in arguments])
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert done.stdout == ""


def test_a_missing_device_is_exit_code_3(cli, model_path: Path, picture: Path, tmp_path: Path):
    """runtime device without a library: not the user's mistake, not the simulator."""
    done = cli("detect", model_path, picture, "--runtime", "device", NEUWARE_HOME=str(tmp_path))
    assert done.returncode == 3
    assert "no CNRT library for a device" in done.stderr


def test_inspect_describes_a_model(cli, model_path: Path):
    """The keys that scripts rely on."""
    done = cli("inspect", model_path, "--json")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert (said["kind"], said["target"], said["parallelism"], said["functions"]) == (
        "simulator",
        "MLU220",
        1,
        ["subnet0"],
    )
    (tensor,) = said["inputs"]
    assert (tensor["name"], tensor["shape"], tensor["dtype"], tensor["order"]) == (
        "data",
        [1, 32, 32, 4],
        "uint8",
        "NHWC",
    )
    assert said["outputs"][0]["shape"] == [1, 16, 16, 18]
    assert "subnet0" in cli("inspect", model_path).stdout
    assert json.loads(cli("inspect", model_path.with_suffix(".toml"), "--json").stdout)["manifest"]["labels"] == 1


@pytest.mark.shared
def test_inspect_describes_a_vendors_model(cli, shared_data: Path):
    """Batch, types and parallelism of CNStream's test model."""
    said = json.loads(cli("inspect", shared_data / "vendor" / "test_model.cambricon", "--json").stdout)
    assert (said["kind"], said["parallelism"]) == ("device", 4)
    assert (said["inputs"][0]["shape"], said["inputs"][0]["dtype"]) == ([4, 160, 40, 4], "uint8")
    assert (said["outputs"][0]["shape"], said["outputs"][0]["dtype"]) == ([4, 20, 1, 84], "float16")


def test_devices_tells_runtime_reason_and_cores(cli, tmp_path: Path):
    """Falling back to the simulator is never silent."""
    said = json.loads(cli("devices", "--json", NEUWARE_HOME=str(tmp_path)).stdout)
    assert said["runtime"] == "simulator"
    assert "no CNRT library for a device" in said["reason"]
    assert [device["cores"] for device in said["devices"]] == [4]
    assert said["kernels"][-1] == "reference"


def test_devices_names_the_kernels_that_compute(cli, tmp_path: Path):
    """The forced table first, then all others of this processor; one that it lacks is one sentence with what it has."""
    every = json.loads(cli("devices", "--json", NEUWARE_HOME=str(tmp_path)).stdout)["kernels"]
    forced = cli("devices", NEUWARE_HOME=str(tmp_path), CNRT_SIMULATOR_KERNELS="reference").stdout
    also = f" (also {', '.join(every[:-1])})" if every[1:] else ""
    assert f"kernels  reference{also}\n" in forced
    lacking = cli("devices", NEUWARE_HOME=str(tmp_path), CNRT_SIMULATOR_KERNELS="quick")
    assert (lacking.returncode, lacking.stdout) == (2, "")
    sentence = f'CNRT_SIMULATOR_KERNELS is "quick", this machine has {", ".join(every)}.'
    assert len(lacking.stderr.splitlines()) == 1
    assert lacking.stderr.endswith(f"{sentence}\n")


def test_kernels_that_this_machine_lacks_are_the_users_mistake(cli, model_path: Path, clip: Path, tmp_path: Path):
    """Every command that would compute ends with 2, as with any setting that cannot be used."""
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[model]\npath = "{model_path}"\nruntime = "simulator"\n[publish]\nendpoint = "ipc://{tmp_path}/a.sock"\n'
        f'[[source]]\nid = "clip"\npath = "{clip}"\n'
    )
    simulator = ("--runtime", "simulator")
    for command in (
        ("bench", model_path, *simulator),
        ("detect", model_path, clip, *simulator),
        ("check", "-c", config),
        ("run", "-c", config),
    ):
        done = cli(*command, CNRT_SIMULATOR_KERNELS="quick")
        assert done.returncode == 2, command
        assert 'CNRT_SIMULATOR_KERNELS is "quick", this machine has ' in done.stderr
        assert "Traceback" not in done.stderr


def reached_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 1 for folder in path.parents)


def test_a_label_that_the_model_lacks_keeps_check_and_run_from_going_on(cli, model_path: Path, tmp_path: Path):
    """The user's mistake, 2, told with the source and what the model knows, before a device is opened."""
    config = tmp_path / "agent.toml"
    text = f'[model]\npath = "{model_path}"\n[publish]\nendpoint = "ipc://{tmp_path}/a.sock"\n'
    config.write_text(text + '[[source]]\nid = "cam"\nsynthetic = "64x48@5"\nclasses = ["thnig"]\n')
    for command in ("check", "run"):
        done = cli(command, "-c", config)
        assert done.returncode == 2
        assert "source cam: classes: 'thnig' is no label of 'small'; did you mean 'thing'?" in done.stderr


def test_check_tells_what_each_source_asks_for(cli, model_path: Path, tmp_path: Path):
    """In words what is not as usual, and all of it for programs."""
    config = tmp_path / "agent.toml"
    text = f'[model]\npath = "{model_path}"\n[publish]\nendpoint = "ipc://{tmp_path}/a.sock"\n'
    text += '[[source]]\nid = "cam"\nsynthetic = "64x48@5"\nclasses = { thing = 0.5 }\nconfidence = 0.25\n'
    config.write_text(text + "roi = [0, 0, 0.5, 1]\npriority = 1\nmin_fps = 2\n")
    said = cli("check", "-c", config).stdout
    wishes = "only thing from 0.5 on; from 0.25 on; within 0, 0 to 0.5, 1 of the frame; priority 1; at least 2 frames"
    assert wishes in said
    (source,) = json.loads(cli("check", "-c", config, "--json").stdout)["sources"]
    assert (source["classes"], source["roi"], source["confidence"]) == ({"thing": 0.5}, [0, 0, 0.5, 1], 0.25)
    assert (source["priority"], source["min_fps"]) == (1, 2)


def test_check_tells_what_would_run(cli, model_path: Path, clip: Path, tmp_path: Path):
    """A right configuration is 0 and hides passwords; a source that does not exist is 2 with its name."""
    config = tmp_path / "agent.toml"
    text = f'[model]\npath = "{model_path}"\n[publish]\nendpoint = "tcp://127.0.0.1:5557"\n'
    text += '[[source]]\nid = "cam"\nurl = "rtsp://user:secret@10.0.0.1/live"\n'
    config.write_text(text + f'[[source]]\nid = "clip"\npath = "{clip}"\n')
    done = cli("check", "-c", config)
    assert done.returncode == 0, done.stderr
    assert "in order" in done.stdout
    assert "secret" not in done.stdout + done.stderr
    described = cli("check", "-c", config, "--json")
    assert "secret" not in described.stdout
    told = json.loads(described.stdout)
    assert told["runtime"] == "simulator"
    assert [source["id"] for source in told["sources"]] == ["cam", "clip"]
    assert "note" not in done.stdout
    config.write_text(text.replace("tcp://127.0.0.1:5557", f"ipc://{tmp_path}/later/a.sock"))
    assert f"note: {tmp_path}/later is no folder yet" in cli("check", "-c", config).stdout
    config.chmod(0o644)
    assert "holds a password" in cli("check", "-c", config).stdout or not reached_by_all(config)
    text = text.replace("tcp://127.0.0.1:5557", f"ipc://{clip}").replace(str(model_path), "gone.cambricon")
    config.write_text(text + '[[source]]\nid = "clip"\npath = "gone.mp4"\n')
    done = cli("check", "-c", config)
    assert done.returncode == 2
    for word in ("gone.cambricon", "source clip: ", f"{clip} exists and is not a socket"):  # all of them together
        assert word in done.stderr


@pytest.mark.parametrize("kind", ["ipc", "abstract", "tcp"])
def test_check_says_when_the_endpoint_is_in_use(cli, run_daemon, model_path: Path, clip: Path, tmp_path: Path, kind):
    """A note and 0, as it may be the daemon itself that runs; the daemon goes on, and afterwards all is in order."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    endpoint = {"ipc": f"ipc://{tmp_path}/c.sock", "abstract": f"ipc://@check-{os.getpid()}"}.get(
        kind, f"tcp://127.0.0.1:{port}"
    )
    text = f'[[source]]\nid = "clip"\npath = "{clip}"\nloop = true\n'
    daemon = run_daemon(text, publish=f'endpoint = "{endpoint}"')
    daemon.wait_for_log("ready")
    config = tmp_path / "check.toml"
    config.write_text(f'[model]\npath = "{model_path}"\n[publish]\nendpoint = "{endpoint}"\n{text}')
    for _ in range(2):  # looking changes nothing
        done = cli("check", "-c", config)
        assert done.returncode == 0, done.stderr
        assert f"note: {endpoint} is in use now; fine if that is this daemon" in done.stdout
    assert "is in use now" in json.loads(cli("check", "-c", config, "--json").stdout)["endpoint_note"]
    assert daemon.stop() == 0
    assert "note" not in cli("check", "-c", config).stdout


@pytest.mark.parametrize(
    "endpoint, sentence",
    [("ipc://{}/file", "exists and is not a socket"), ("tcp://192.0.2.1:5557", "choose an address of this machine")],
)
def test_check_refuses_an_endpoint_that_can_never_be_bound(
    cli, model_path: Path, clip: Path, tmp_path: Path, endpoint, sentence
):
    """Another kind of file, an address that this machine has not: 2 with the remedy."""
    (tmp_path / "file").write_text("mine")
    config = tmp_path / "agent.toml"
    publish = f'[publish]\nendpoint = "{endpoint.format(tmp_path)}"\ninsecure = true\n'
    config.write_text(f'[model]\npath = "{model_path}"\n{publish}[[source]]\nid = "clip"\npath = "{clip}"\n')
    done = cli("check", "-c", config)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_check_tells_of_a_socket_that_this_user_may_not_try(
    simulator_path: Path, model_path: Path, tmp_path: Path, monkeypatch, capsys
):
    """A note, no mistake: the daemon runs as a user of its own."""
    config = tmp_path / "agent.toml"
    (tmp_path / "a.sock").touch()
    config.write_text(
        f'[model]\npath = "{model_path}"\n[publish]\nendpoint = "ipc://{tmp_path}/a.sock"\n'
        '[[source]]\nid = "cam"\nsynthetic = "64x64@5"\n'
    )
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.F_OK or Path(path).name != "a.sock")
    assert main(["check", "-c", str(config)]) == 0
    assert "a.sock belongs to another user: whether it is in use could not be tried" in capsys.readouterr().out


def test_subscribe_counts_and_times_out(cli, run_daemon, endpoint: str, clip: Path):
    """--count N ends with 0 after N lines of JSON; nothing within --timeout is 3 with a remedy."""
    daemon = run_daemon(f'[[source]]\nid = "clip"\npath = "{clip}"\nloop = true\n')
    daemon.wait_for_log("ready")
    done = cli("subscribe", endpoint, "--json", "--count", 5, "--kind", "frame", "--timeout", 30)
    assert done.returncode == 0, done.stderr
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert [frame["kind"] for frame in frames] == ["frame"] * 5
    assert "frame" in cli("subscribe", endpoint, "--count", 1, "--kind", "frame", "--timeout", 30).stdout
    assert daemon.stop() == 0
    done = cli("subscribe", endpoint, "--timeout", 0.2)
    assert done.returncode == 3
    assert "check that the agent runs" in done.stderr


def test_simulator_says_where_it_is(cli, simulator_path: Path):
    """One folder a line, for use in a compiler's command line; or a sentence where none is installed."""
    done = cli("simulator", "--libdir")
    if done.returncode == 0:
        assert (Path(done.stdout.strip()) / "libcnrt.so").is_file()
    else:
        assert done.returncode == 3
        assert "this installation has no simulator" in done.stderr


@pytest.fixture
def ctrl_c_is_heard() -> Iterator[None]:
    """A shell starts background jobs with SIGINT ignored, and children inherit that; a caught signal they get back."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_a_reader_that_goes_away_and_ctrl_c_are_no_tracebacks(model_path: Path, clip: Path, simulator_path: Path):
    """``mlu-agent detect ... | head -1`` ends quietly, and so does Ctrl-C."""
    env = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path)}
    command = [sys.executable, "-m", "mlu_agent.cli", "detect", str(model_path), *[str(clip)] * 50, "--json"]
    for interrupt in (False, True):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("{")
        if interrupt:
            process.send_signal(signal.SIGINT)
            process.stdout.read()
        process.stdout.close()
        errors = process.stderr.read()
        process.stderr.close()
        assert process.wait(60) == (130 if interrupt else 141)
        assert "Traceback" not in errors


def test_the_version_is_told():
    """--version and --help work without a command's modules."""
    for option in ("--version", "--help"):
        done = subprocess.run(
            [sys.executable, "-m", "mlu_agent.cli", option], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        assert "mlu-agent" in done.stdout


def test_a_path_that_the_system_refuses_is_one_sentence(cli, model_path: Path, picture: Path, tmp_path: Path):
    """A name that is too long fails before anything is looked up, as a folder without permission does."""
    long = tmp_path / ("x" * 300)
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[model]\npath = "{model_path}"\n[publish]\nendpoint = "ipc://{"y" * 90}/{"z" * 10}"\n'
        f'[[source]]\nid = "a"\npath = "{long}"\n'
    )
    for arguments in (
        ("detect", model_path, long),
        ("detect", f"{long}.cambricon", picture),
        ("detect", model_path, picture, "--output", long),
        ("detect", model_path, picture, "--runtime", long),
        ("inspect", long),
        ("adopt", f"{long}.cambricon", "--as", "yolov3"),
        ("check", "-c", long),
        ("check", "-c", config),
    ):
        done = cli(*arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert len([line for line in done.stderr.splitlines() if "running on the simulator" not in line]) == 1


def test_a_folder_without_permission_is_one_sentence(cli, model_path: Path, tmp_path: Path):
    """Neither its name nor what it holds can be read; the kernel does not ask root."""
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"")
    folder.chmod(0)
    try:
        for path in (folder, folder / "a.png"):
            done = cli("detect", model_path, path)
            assert done.returncode == 2, done.stderr
    finally:
        folder.chmod(0o700)


def test_bench_tells_how_fast_a_model_is_with_what_the_daemon_would_take(cli, model_path: Path):
    """One row; figures of the simulator are called so."""
    done = cli("bench", model_path, "--seconds", "0.05", "--runtime", "simulator", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["runtime"], told["says_nothing_of_a_device"], told["recommended"]) == ("simulator", True, None)
    (row,) = told["rows"]
    assert (row["model"], row["batch"], row["slots"]) == (model_path.name, 1, 2)
    assert told["kernels"] == json.loads(cli("devices", "--runtime", "simulator", "--json").stdout)["kernels"][0]
    assert row["pictures_per_second"] > 0
    assert 0 < row["median_ms"] <= row["p95_ms"]


def test_bench_sweeps_lanes_and_slots_and_recommends_one_of_them(cli, model_path: Path):
    """Every number of lanes up to what is asked for, with one to three slots; what is recommended is among them."""
    done = cli("bench", model_path, "--sweep", "--cores", "3", "--seconds", "0.02", "--runtime", "simulator", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [(row["lanes"], row["slots"]) for row in told["rows"]] == [(n, k) for n in (1, 2, 3) for k in (1, 2, 3)]
    assert told["recommended"] in told["rows"]
    text = cli("bench", model_path, "--sweep", "--cores", "1", "--seconds", "0.02", "--runtime", "simulator").stdout
    assert "recommended: " in text
    assert "tells nothing about a device's" in text


def test_bench_refuses_no_time_and_no_model(cli, model_path: Path):
    """A sentence with the value and what to choose."""
    done = cli("bench", model_path, "--seconds", "0", "--runtime", "simulator")
    assert done.returncode == 2
    assert "--seconds 0" in done.stderr
    late = cli("bench", model_path, "nothing.cambricon", "--sweep", "--runtime", "simulator")
    assert (late.returncode, late.stdout, len(late.stderr.splitlines())) == (2, "", 1)  # before anything is measured
