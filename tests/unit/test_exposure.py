"""Configurations with passwords that others can read."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlu_agent.config import load_config, remarks
from mlu_agent.config.exposure import readers

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = '[model]\npath = "m.cambricon"\n[[source]]\nid = "a"\n'


def written(path: Path, text: str, mode: int) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody reaches, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    "line",
    [
        'url = "rtsp://u:S3kr@cam/"',
        'url = "http://cam/?pwd=S3kr"',
        'url = "rtsp://cam/"\nuser = "u"\npassword = "S3kr"',
    ],
)
def test_a_file_with_a_password_that_everybody_reads_is_remarked_on(open_folder: Path, line):
    """With the file, its mode and what to do; not once it is closed, and not without a password."""
    path = written(open_folder / "a.toml", TEXT + line, 0o644)
    (remark,) = remarks(path, load_config(path))
    assert remark == (
        f"{path} holds a password and can be read by everybody (mode 0644); chown root:mlu-agent and chmod 0640 it"
    )
    path.chmod(0o640)
    assert remarks(path, load_config(path)) == []
    path = written(open_folder / "b.toml", TEXT + "camera = 0", 0o644)
    assert remarks(path, load_config(path)) == []


def test_a_password_file_is_looked_at_in_the_place_of_the_configuration(open_folder: Path):
    """The configuration holds nothing then."""
    secret = written(open_folder / "secret", "S3kr\n", 0o604)
    line = 'url = "rtsp://cam/"\npassword_file = "secret"'
    path = written(open_folder / "a.toml", TEXT + line, 0o644)
    (remark,) = remarks(path, load_config(path))
    assert remark.startswith(f"{secret} holds a password and can be read by everybody (mode 0604)")


def test_a_folder_that_is_closed_protects_what_is_in_it(open_folder: Path):
    """Who cannot enter it reads nothing."""
    folder = open_folder / "closed"
    folder.mkdir(mode=0o750)
    assert readers(written(folder / "a", "", 0o644)) == ""
    assert readers(written(open_folder / "a", "", 0o644)) == "everybody"


def test_another_group_than_the_services_is_named(open_folder: Path, monkeypatch):
    """The process's own groups are the service's; so is the one of its name, for a check by somebody else."""
    path = written(open_folder / "a", "", 0o640)
    assert readers(path) == ""
    monkeypatch.setattr(os, "getegid", lambda: 54_321)
    monkeypatch.setattr(os, "getgroups", list)
    name = subprocess.run(["stat", "-c", "%G", path], capture_output=True, text=True, check=True).stdout.strip()
    assert readers(path) == f"the group {name}"
    monkeypatch.setattr("mlu_agent.config.exposure.SERVICE", name)
    assert readers(path) == ""
    path.chmod(0o600)
    assert readers(path) == ""


def test_the_daemon_remarks_on_it_in_its_log(open_folder: Path):
    """First of all, whatever comes then: here it waits for a model."""
    path = written(open_folder / "a.toml", TEXT + 'url = "rtsp://u:S3kr@cam/"', 0o644)
    command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        line = daemon.stdout.readline()
        daemon.terminate()
    assert f"{path} holds a password and can be read by everybody" in line
    assert "S3kr" not in line


def test_keys_that_everybody_can_put_there_are_remarked_on(tmp_path: Path):
    """The folder, or a key in it: whoever writes there says whose models are believed."""
    keys = tmp_path / "keys"
    keys.mkdir()
    key = written(keys / "release.pub", "", 0o644)
    path = written(
        tmp_path / "box.toml", TEXT.replace("[[source]]", 'trust = "keys"\n[[source]]') + "camera = 0\n", 0o644
    )
    assert remarks(path, load_config(path)) == []
    key.chmod(0o666)
    keys.chmod(0o777)
    remedy = "everybody can write there, so that a signature proves nothing; chmod o-w it"
    assert remarks(path, load_config(path)) == [f"{keys}: {remedy}", f"{key}: {remedy}"]
    keys.chmod(0o755)
    key.unlink()
    keys.rmdir()
    assert remarks(path, load_config(path)) == []
