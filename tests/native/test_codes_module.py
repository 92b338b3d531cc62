"""Numbers of a model file: the committed Python modules, the format's description and the ABI agree with C's lists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.native import codes

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
LISTS = ("sim/exec/operators.def", "sim/kernels/codes.def")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The generator with its lists in a folder of its own."""
    for name in ("generate_codes.py", *LISTS):
        (tmp_path / "native" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(NATIVE / name, tmp_path / "native" / name)
    return tmp_path / "native"


def generate(native: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the generator."""
    command = [sys.executable, str(native / "generate_codes.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_committed_modules_are_current() -> None:
    """``generate_codes.py --check`` finds no difference between the lists and what is committed."""
    result = generate(NATIVE, "--check")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "name, old, new",
    [
        (LISTS[0], "SIM_OPERATOR(3, UPSAMPLE", "SIM_OPERATOR(30, UPSAMPLE"),
        (LISTS[1], "clip)", "clamp)"),
        (LISTS[1], "REDUCE_MAX, max)", "REDUCE_MAX, most)"),
        (LISTS[1], "SIM_DETECTION(5", "SIM_DETECTION(6"),
    ],
)
def test_a_changed_list_is_noticed(copy: Path, name: str, old: str, new: str) -> None:
    """A number or name that changed in C alone fails the check, with the command that mends it."""
    for module in ("tests/native", "deploy/mlu_export/values"):
        (copy.parent / module).mkdir(parents=True)
    assert generate(copy).returncode == 0
    assert generate(copy, "--check").returncode == 0
    text = (copy / name).read_text(encoding="utf-8")
    assert old in text
    (copy / name).write_text(text.replace(old, new), encoding="utf-8")
    result = generate(copy, "--check")
    assert result.returncode == 1
    assert "run `python native/generate_codes.py`" in result.stderr


@pytest.mark.parametrize(
    "line, told",
    [
        ("SIM_OPERATOR(1, TWIN, twin, 1, 1, 0, 0)", "1 stands in"),
        ("SIM_OPERATOR(60, CONV, c, 1, 1, 0, 0)", "CONV stands"),
    ],
)
def test_a_number_or_name_that_stands_twice_is_refused(copy: Path, line: str, told: str) -> None:
    """Two operators of one number would be one in C's table."""
    path = copy / LISTS[0]
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    result = generate(copy)
    assert result.returncode == 1
    assert told in result.stderr


def test_the_formats_description_has_the_same_numbers() -> None:
    """deploy/FORMAT.md is written by hand: its table names every operator and function by number, and no other."""
    text = (ROOT / "deploy" / "FORMAT.md").read_text(encoding="utf-8")
    table = text.split("| opcode | inputs |")[1].split("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| ") and "---" not in row]
    operators = {int(number): name.lower() for cell in cells for number, name in re.findall(r"(\d+) ([A-Z]\w+)", cell)}
    assert operators == codes.OPCODES
    functions = re.search(r"function \((1 relu,.*?)\), a \(f32\)", table)
    assert functions is not None
    assert {name: int(number) for number, name in re.findall(r"(\d+) ([a-z]\w+)", functions[1])} == codes.FUNCTIONS


def test_the_formats_description_has_the_same_kinds():
    """Those of REDUCE by name, those of DETECTION_OUTPUT by number and the family's name: variants are described."""
    text = (ROOT / "deploy" / "FORMAT.md").read_text(encoding="utf-8")
    reduce, detection = (
        re.search(rf"^\| \d+ {operator} .*\| kind \((.*?)\), ", text, re.MULTILINE)
        for operator in ("REDUCE", "DETECTION_OUTPUT")
    )
    assert reduce is not None
    assert detection is not None
    assert {name: int(number) for number, name in re.findall(r"(\d) (\w+)", reduce[1])} == codes.REDUCTIONS
    kinds = {int(number): family for number, family in re.findall(r"(\d) (yolov\d)", detection[1])}
    assert kinds == {number: name.partition("_")[0] for name, number in codes.DETECTIONS.items()}


def test_the_formats_description_keeps_the_numbers_behind_the_last():
    """An operator to come takes the first of them."""
    text = (ROOT / "deploy" / "FORMAT.md").read_text(encoding="utf-8")
    assert f"Numbers {max(codes.OPCODES) + 1} to 63 are kept for operators to come" in text


def test_the_arithmetic_names_every_operator_and_function():
    """What each computes, to the bit, is written by hand in native/ARITHMETIC.md: a row of a table, or a section."""
    text = (NATIVE / "ARITHMETIC.md").read_text(encoding="utf-8")
    cells = [row.split("|")[1] for row in text.splitlines() if row.startswith("| ")]
    rows = {re.sub(r"\(.*", "", name).strip() for cell in cells for name in re.sub(r"\(.*?\)", "", cell).split(",")}
    headings = dict(re.findall(r"^## \d+\. (\w+)(.*)$", text, re.MULTILINE))
    sections = {"conv": "Convolution", "activation": "Activation", "detection_output": "Detection"}
    names = set(codes.OPCODES.values()) | set(codes.FUNCTIONS)
    assert {name for name in names - rows if sections.get(name) not in headings} == set()


def test_data_types_are_those_of_the_abi() -> None:
    """They stand in the container, which the vendor's library reads, as ``cnrtDataType_t``."""
    header = (NATIVE / "include" / "cnrt_abi.h").read_text(encoding="utf-8")
    abi = {name: int(value, 16) for name, value in re.findall(r"CNRT_(\w+) = (0x[0-9a-fA-F]+)", header)}
    for name in ("FLOAT16", "FLOAT32", "INT8", "INT16", "UINT8"):
        assert getattr(codes, name) == abi[name]
    assert set(codes.DTYPE_BYTES) == {abi[name] for name in ("FLOAT16", "FLOAT32", "INT8", "INT16", "UINT8")}
