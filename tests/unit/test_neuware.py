"""``mlu-agent simulator --neuware DIR``: the tree of copies, and what it leaves alone."""

from __future__ import annotations

import errno
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlu_agent.cli import main
from mlu_agent.cnrt import neuware
from mlu_agent.cnrt.library import bundled_folder
from mlu_agent.config.new_files import write_whole

EXPECTED = {
    "include/cnrt.h",
    "include/cnrt_abi.h",
    "include/cnrt_codes.h",
    "include/cnrt_codes_4_10.h",
    "lib64/libcnrt.so",
    "lib64/libcndrv.so",
    "lib64/cmake/cnrt/cnrt-config.cmake",
    "lib64/cmake/cnrt/cnrt-config-version.cmake",
    "lib64/pkgconfig/cnrt.pc",
    "lib64/pkgconfig/cndrv.pc",
    "lib64/profiles/mlu220.toml",
    "lib64/profiles/mlu270.toml",
    "cmake/modules/FindCNRT.cmake",
    neuware.MARK,
}


def _files(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and not path.is_symlink()}


def _lay_out(home: Path) -> int:
    return main(["simulator", "--neuware", str(home)])


def test_the_tree_is_whole_and_of_copies(tmp_path: Path, capsys):
    """Everything that build files look for, of the bytes that are installed; lib is lib64, and nothing else is left."""
    home = tmp_path / "some where" / "neuware"
    assert _lay_out(home) == 0
    assert f"NEUWARE_HOME='{home}' LD_LIBRARY_PATH='{home}/lib64'" in capsys.readouterr().out
    headers = {name for name in _files(home) if name.startswith("include/")}
    assert _files(home) == EXPECTED | headers
    assert (home / "lib").readlink() == Path("lib64")
    with bundled_folder() as native:
        assert (home / "lib64/libcnrt.so").read_bytes() == (native / "libcnrt.so").read_bytes()
    assert list(home.parent.iterdir()) == [home]


def test_running_it_again_renews_the_tree(tmp_path: Path, capsys):
    """A removed file of ours is as new; an empty folder is taken, too; the place may be a link."""
    (tmp_path / "neuware").mkdir()
    (tmp_path / "link").symlink_to("neuware")
    assert _lay_out(tmp_path / "link") == 0
    home = tmp_path / "neuware"
    header = (home / "include/cnrt.h").read_bytes()
    (home / "include/cnrt.h").unlink()
    (home / "lib64/libcndrv.so").unlink()
    assert _lay_out(tmp_path / "link") == 0
    assert capsys.readouterr().out.count("renewed") == 1
    assert (home / "include/cnrt.h").read_bytes() == header
    assert _files(home) >= EXPECTED
    assert {path.name for path in tmp_path.iterdir()} == {"neuware", "link"}


@pytest.mark.parametrize(
    "place, sentence",
    [
        ("full", "it is not empty and was not made by this command"),
        ("file", "it is a file"),
        ("ours", "include/cncv.h in it was not put there by this command"),
        ("changed", "include/cnrt.h changed since this command wrote it"),
        ("file/below", "file is a file; name a folder below folders"),
        ("faked", "it is not empty and was not made by this command"),
    ],
)
def test_what_is_not_ours_is_left_alone(tmp_path: Path, capsys, place: str, sentence: str):
    """The sentence names it, exit code 2, not a byte changes; so too where a header of somebody's lies beside ours."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "libcnrt.so").write_bytes(b"the vendor's")
    (tmp_path / "file").write_bytes(b"")
    _lay_out(tmp_path / "ours")
    (tmp_path / "ours" / "include" / "cncv.h").write_bytes(b"")
    _lay_out(tmp_path / "changed")
    with (tmp_path / "changed" / "include" / "cnrt.h").open("a") as header:
        header.write("// mine\n")
    (tmp_path / "faked").mkdir()
    (tmp_path / "faked" / neuware.MARK).write_bytes(b"\xff\n  lib64")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert _lay_out(tmp_path / place) == 2
    assert sentence in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_tree_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, capsys, monkeypatch):
    """A full disk, a file of the installation that is gone: exit code 3, the tree before stands, no part is left."""
    home = tmp_path / "neuware"
    _lay_out(home)
    before = _files(home)
    monkeypatch.setattr(neuware, "LIBRARIES", ("libcnrt.so", "libgone.so"))
    assert _lay_out(home) == 3
    assert "cannot be written" in capsys.readouterr().err
    assert _files(home) == before
    assert list(tmp_path.iterdir()) == [home]


def test_a_tree_that_does_not_get_its_name_leaves_the_old_one(tmp_path: Path, capsys, monkeypatch):
    """The old one steps aside for a moment and comes back."""
    home = tmp_path / "neuware"
    _lay_out(home)
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.suffix == ".part":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    assert _lay_out(home) == 3
    assert "No space left on device" in capsys.readouterr().err
    assert _files(home) >= EXPECTED
    assert list(tmp_path.iterdir()) == [home]


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_a_mount_point_is_filled_and_renewed_in_place(tmp_path: Path, capsys, monkeypatch, number: int):
    """It can neither be replaced nor step aside. A file that an older version wrote goes; a failure leaves it empty."""
    home = tmp_path / "neuware"
    home.mkdir()
    rename, place = Path.rename, home.stat().st_ino

    def refuse(path: Path, target: Path) -> Path:
        if home in (path, target):
            raise OSError(number, "it is mounted")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with monkeypatch.context() as broken:
        broken.setattr(
            neuware, "write_whole", lambda path, data: write_whole(path if path.parent == home else home, data)
        )
        assert _lay_out(home) == 3
    assert list(home.iterdir()) == []
    assert _lay_out(home) == 0
    assert _files(home) >= EXPECTED
    mark = home / neuware.MARK
    mark.write_text(mark.read_text() + "  include/older.h\n")
    (home / "include/older.h").touch()
    assert _lay_out(home) == 0
    assert "renewed" in capsys.readouterr().out
    assert "include/older.h" not in _files(home)
    assert (home / "lib").readlink() == Path("lib64")
    assert home.stat().st_ino == place
    assert list(tmp_path.iterdir()) == [home]


def test_several_at_once_write_one_tree(tmp_path: Path):
    """Each waits for the one before, and renews what that one wrote."""
    home = tmp_path / "neuware"
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_lay_out, [home] * 4)) == [0] * 4
    assert list(tmp_path.iterdir()) == [home]


def test_a_folder_that_stays_locked_is_told(tmp_path: Path, capsys, monkeypatch):
    """After a while, by its name; nothing is written."""
    monkeypatch.setattr(neuware, "WAIT_S", 0.1)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert _lay_out(tmp_path / "neuware") == 2
    os.close(handle)
    assert f"another process has kept {tmp_path} locked" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_name_is_no_folder(capsys):
    """An empty one, as of a variable that is not set, is not the current folder."""
    with pytest.raises(SystemExit, match="2"):
        main(["simulator", "--neuware", ""])
    assert "is empty; name a folder" in capsys.readouterr().err
