"""Files that are written together, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlu_agent.errors import UserError
from mlu_export.support.files import write_all


def test_files_are_written_all_or_none(tmp_path):
    """A name that cannot be written leaves no file and no temporary one."""
    with pytest.raises(UserError):
        write_all(tmp_path, {"a": b"1", "no/such/folder": b"2"})
    assert list(tmp_path.iterdir()) == []
    write_all(tmp_path, {"a": b"1", "b": b"2"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_only_a_regular_file_is_replaced(tmp_path):
    """A pipe or a folder of that name is named and stays, and so do the other files of the set."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, word in (("pipe", "a device or a pipe"), ("folder", "a folder")):
        with pytest.raises(UserError, match=f"{name} is {word}"):
            write_all(tmp_path, {"a": b"1", name: b"2"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(UserError, match="it is a file; give a folder"):
        write_all(Path(__file__), {"a": b"1"})


def test_a_full_disk_leaves_all_files_as_they_were(tmp_path, small_disk):
    """Also the ones that would have fitted; a link that waits in a file's place is replaced, and not followed."""
    (tmp_path / "a").write_bytes(b"old")
    with small_disk(100), pytest.raises(UserError, match=r"cannot write into .*: File too large"):
        write_all(tmp_path, {"a": b"new", "b": bytes(200)})
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    (tmp_path / "b").symlink_to(tmp_path / "a")
    write_all(tmp_path, {"b": b"new"})
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").is_symlink()) == (b"old", False)
