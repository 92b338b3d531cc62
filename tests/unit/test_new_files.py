"""Files that appear whole: nothing half written under their name, nothing left beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mlu_agent.config.new_files import remove_left, whole_file, write_whole

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import sys, time
from pathlib import Path
from mlu_agent.config.new_files import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("half", flush=True)
    time.sleep(60)
"""


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path):
    """What stood there stays until then; the mode is what the umask says."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "plain").write_bytes(b"")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    """Be it the writer, the disk or the name."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), whole_file(path) as file:
        file.writelines([b"new", "a text"])  # type: ignore[list-item]
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "folder", b"new")
    assert path.read_bytes() == b"old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "folder"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, small_disk):
    """Noticed although the last bytes are written when the file is closed."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with small_disk(1000), pytest.raises(OSError, match="File too large"):
        write_whole(path, bytes(2000))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_links_that_wait_are_not_followed(tmp_path: Path, monkeypatch):
    """Neither one with the temporary name, were it guessed, nor one with the file's own."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "a").symlink_to(victim)
    write_whole(tmp_path / "a", b"new")
    assert not (tmp_path / "a").is_symlink()
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (tmp_path / ".mlu-guessed.part").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "b", b"new")
    (tmp_path / ".mlu-guessed.part").unlink()
    (tmp_path / ".mlu-guessed.part").symlink_to(tmp_path / "nothing")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "b", b"new")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / ".mlu-guessed.part").is_symlink(), "somebody else's file was removed"


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path):
    """The lock of who writes tells them apart, and a minute: a new file is not locked from its first moment on."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    with writer, writer.stdout:
        assert writer.stdout.readline() == "half\n"
        (part,) = tmp_path.iterdir()
        (tmp_path / ".mlu-link.part").symlink_to(part)
        os.mkfifo(tmp_path / ".mlu-pipe.part")
        os.utime(part, (0, 0))
        assert remove_left(tmp_path) == 0
        writer.send_signal(signal.SIGKILL)
    os.utime(part)
    assert remove_left(tmp_path) == 0
    os.utime(part, (0, 0))
    assert remove_left(tmp_path) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".mlu-link.part", ".mlu-pipe.part"]
    assert remove_left(tmp_path / "none") == 0
