"""What the checkout must not contain, wherever it is used."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The address of a package index or of a mirror: pip and apt know theirs, and nobody else has to.
REGISTRY = re.compile(r"\b(pypi\.org|pythonhosted\.org|pypi\.python\.org|deb\.debian\.org|registry\.npmjs\.org)\b")
# Folders of a developer's machine; a box's own paths (/etc, /run, /usr, /var) are no business of this test.
MACHINE_PATH = re.compile(r"(?<![\w.$}/])/(?:root|home/\w+|work|Users/\w+)/[\w.]+")
BINARY = (".cambricon", ".weights", ".pt", ".pth", ".onnx", ".mp4", ".h264", ".npz", ".so", ".whl", ".gz")


def _tracked() -> list[Path]:
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]  # whoever the checkout belongs to
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


@pytest.mark.checkout
def test_no_file_names_a_package_index():
    """Packages come from wherever the user's pip and apt are configured for."""
    own = Path(__file__).name
    assert [str(path) for path in _tracked() if path.name != own and REGISTRY.search(_text(path))] == []


@pytest.mark.checkout
def test_no_file_names_a_folder_of_somebodys_machine():
    """Nothing depends on where the checkout or its data lies."""
    own = Path(__file__).name
    found = {
        str(path.relative_to(ROOT)): match.group()
        for path in _tracked()
        if path.name != own and (match := MACHINE_PATH.search(_text(path)))
    }
    assert found == {}


@pytest.mark.checkout
def test_no_model_video_or_weights_are_tracked():
    """They have licences of their own, and models are built, not kept."""
    assert [str(path.relative_to(ROOT)) for path in _tracked() if path.suffix in BINARY] == []


@pytest.mark.checkout
def test_tracked_files_are_small():
    """A checkout on an edge box's link takes seconds."""
    assert {str(path.relative_to(ROOT)): size for path in _tracked() if (size := path.stat().st_size) > 400_000} == {}


def test_files_stay_under_400_lines():
    """A file is one room that a reader can take in; what a script writes is not read."""
    folders = {"agent": {".py"}, "deploy": {".py"}, "native/sim": {".c", ".h", ".inc", ".def"}}
    files = [path for folder, kinds in folders.items() for path in (ROOT / folder).rglob("*") if path.suffix in kinds]
    assert {path.suffix for path in files} == set().union(*folders.values())
    long = {str(path.relative_to(ROOT)): lines for path in files if (lines := len(_text(path).splitlines())) > 400}
    assert {name: lines for name, lines in long.items() if not name.endswith("cnrt/_abi.py")} == {}


def test_the_licence_is_there_in_full():
    """Apache-2.0, as pyproject.toml says, with its appendix."""
    licence = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
