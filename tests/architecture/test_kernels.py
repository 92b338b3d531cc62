"""The walls inside native/sim/kernels, read from the includes: one instruction set more is one room more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIM = ROOT / "native" / "sim"
KERNELS = SIM / "kernels"
CONV = KERNELS / "conv"
TABLES = sorted(path.parent for path in KERNELS.glob("*/table.c"))
# A processor with the former has what the latter needs: vectors and some products are theirs.
EXTENDS = {
    "amx": {"avx512", "avx512vnni"},
    "avx512vnni": {"avx512"},
    "avxvnni": {"avx2"},
    "i8mm": {"neon"},
    "neondot": {"neon"},
}
VECTOR_HEADERS = {"immintrin.h", "arm_neon.h"}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in {".c", ".h", ".inc"})


def _quoted(path: Path) -> list[str]:
    """What a file includes in quotes: our own headers."""
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)


def _included(path: Path) -> list[Path]:
    """The files behind the quotes, found as the compiler does: beside the file, then in kernels/."""
    found = []
    for name in _quoted(path):
        places = [folder / name for folder in (path.parent, KERNELS) if (folder / name).is_file()]
        assert places, f"{path.relative_to(SIM)} includes {name}, which is no file of the kernels"
        found.append(places[0].resolve())
    return found


def _inside(path: Path, folder: Path) -> bool:
    return folder in path.parents


def test_there_are_tables_and_algorithms():
    """Each instruction set is a folder with a table; each algorithm is a file that defines one."""
    assert {folder.name for folder in TABLES} >= {"avx2", "neon", "reference"}
    assert len(_algorithms()) >= 4


@pytest.mark.parametrize("path", _files(KERNELS), ids=lambda path: str(path.relative_to(KERNELS)))
def test_kernels_include_kernels_only(path: Path):
    """Nothing in the kernels sees a plan, a network or a device: every header of theirs is one of the kernels'."""
    for included in _included(path):
        assert _inside(included, KERNELS), f"{path.name} includes {included}"


@pytest.mark.parametrize("folder", TABLES, ids=lambda folder: folder.name)
def test_a_table_sees_neither_algorithms_nor_tables_beside_it(folder: Path):
    """An instruction set knows itself, those that it extends, the shared loops and values, not how a layer is cut."""
    known = {folder.name} | EXTENDS.get(folder.name, set())
    for path in _files(folder):
        for included in _included(path):
            assert not _inside(included, CONV), f"{path.name} includes {included.name}"
            others = [other for other in TABLES if other.name not in known and _inside(included, other)]
            assert others == [], f"{folder.name}/{path.name} includes {included}"


@pytest.mark.parametrize("path", _files(CONV), ids=lambda path: path.name)
def test_an_algorithm_sees_no_table(path: Path):
    """An algorithm computes with the table that it is given, whichever that is."""
    for included in _included(path):
        assert not any(_inside(included, table) for table in TABLES), f"{path.name} includes {included}"
    for table in TABLES:
        assert f"SIM_KERNELS_{table.name.upper()}" not in path.read_text(encoding="utf-8")


def test_each_instruction_set_stays_in_its_folder():
    """Intrinsics are compiled with their table's flags, so no other file may hold them."""
    for path in _files(SIM):
        headers = set(re.findall(r"#\s*include\s+<(\w+\.h)>", path.read_text(encoding="utf-8")))
        if headers & VECTOR_HEADERS:
            assert path.parent in TABLES, path


def _algorithms() -> dict[str, Path]:
    """The algorithms by the name of their description."""
    found = {}
    for path in _files(CONV):
        for name in re.findall(r"^const sim_conv_algorithm (SIM_CONV_\w+) =", path.read_text(), re.MULTILINE):
            found[name] = path
    return found


@pytest.mark.parametrize("name", sorted(_algorithms()))
def test_an_algorithm_is_one_file_and_two_lines(name: str):
    """An algorithm is named where it is, where it is declared and where it is chosen: nobody else tells them apart."""
    naming = {path for path in _files(SIM) if re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))}
    assert naming == {_algorithms()[name], CONV / "algorithm.h", CONV / "choose.c"}


def test_who_runs_a_layer_knows_the_signature_alone():
    """Outside of kernels/, only algorithm.h of the convolution is included: never the driver, never an algorithm."""
    users = 0
    for path in _files(SIM):
        if _inside(path, KERNELS):
            continue
        for name in _quoted(path):
            if name.split("/")[0] == "conv" or "kernels/conv" in name:
                assert name == "conv/algorithm.h", f"{path.name} includes {name}"
                users += 1
    assert users >= 1
