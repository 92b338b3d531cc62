"""The simulator's core: one file asks the environment, and every function that does something can be made to fail."""

from __future__ import annotations

import re

import pytest
from tests.architecture.test_floors import ROOT, SIM


def test_only_one_file_asks_the_environment():
    """Each variable is read, bounded and complained about in core/environment.c; all else is handed settings."""
    asking = {
        path.relative_to(SIM).as_posix()
        for path in SIM.rglob("*.[ch]")
        if re.search(r"\b(?:secure_)?getenv\s*\(|\benviron\b", path.read_text(encoding="utf-8"))
    }
    assert asking == {"core/environment.c"}


HEADER = ROOT / "native" / "include" / "cnrt_abi.h"
NO_FAULTS = {"Errors", "Data helpers (host memory only)"}  # sections of functions that need no device
NO_FAULT_FUNCTIONS = {"cnrtGetVersion", "cnrtGetLibVersion"}


def _declared() -> set[str]:
    """Functions of the header that do something to or with a device; a later version counts with its function."""
    found = set()
    sections = re.split(r"/\* ---- (.*?) -+ \*/", HEADER.read_text(encoding="utf-8"))
    for title, text in zip(sections[1::2], sections[2::2]):
        if title not in NO_FAULTS and not title.startswith("Ours"):
            found |= set(re.findall(r"\b(cnrt\w+?)(?:_V\d)?\([^;{]*\);", text))
    return found - NO_FAULT_FUNCTIONS


def test_every_function_that_does_something_can_be_made_to_fail():
    """It is a line of functions.def, and enters by its own name before it does anything else."""
    listed = re.findall(r"^SIM_FUNCTION\((\w+),", (SIM / "core" / "functions.def").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(_declared())
    assert len(listed) > 80
    api = "\n".join(path.read_text(encoding="utf-8") for path in sorted((SIM / "api").glob("*.c")))
    for name in listed:
        entering = re.search(
            rf"^(?:cnrtRet_t|void) {name}(?:_V\d)?\([^;{{]*\)\n\{{\n"
            rf"    (?:ENTER(?:_COPY)?\({name}[,)]|ENTER_HELPER\(\);\n    if \(sim_faults_enter\(SIM_CALL_{name},)",
            api,
            re.MULTILINE,
        )
        assert entering, f"{name} does not begin with ENTER({name})"


def test_every_other_function_that_can_fail_says_which_it_is():
    """CNRT_SIMULATOR_LOG would name the call before it."""
    for path in sorted((SIM / "api").glob("*.c")):
        for name, body in re.findall(
            r"^cnrtRet_t (cnrt\w+)\([^;{]*\)\n\{\n(.*?)^\}", path.read_text("utf-8"), re.MULTILINE | re.DOTALL
        ):
            fails = re.search(r"\b(?:REQUIRE\w*|TRY|sim_error_set)\(", body)
            assert not fails or body.startswith("    ENTER"), f"{name}: ENTER_HELPER() is missing"


def test_no_exported_function_calls_another():
    """Log, strict mode and trace would take the other for the program's call."""
    calls = set()
    for path in SIM.rglob("*.c"):
        code = re.sub(r'"(?:\\.|[^"\\])*"|/\*.*?\*/', "", path.read_text("utf-8"), flags=re.DOTALL)
        calls |= {(path.name, name) for name in re.findall(r"^ .*\b(cnrt[A-Z]\w*)\(", code, re.MULTILINE)}
    assert calls == set()


ABI = (ROOT / "native" / "ABI.md").read_text(encoding="utf-8")


def test_every_variable_of_the_environment_is_documented():
    """In the table of ABI.md section 10."""
    text = (SIM / "core" / "environment.c").read_text(encoding="utf-8")
    read = set(re.findall(r'(?:text_of|choice_of|number_of)\("(\w+)"', text))
    assert {"CNRT_SIMULATOR_FAULTS", "CNRT_SIMULATOR_TIMING", "CNRT_SIMULATOR_COMPUTE"} <= read
    assert set(re.findall(r"^\| `(CNRT_\w+)` \|", ABI, re.MULTILINE)) == read


@pytest.mark.parametrize("file, section", [("fault_file.c", "10.1"), ("timing.c", "10.2")])
def test_every_key_of_a_file_that_people_write_is_documented(file: str, section: str):
    """In the table of its section, and nothing else is."""
    fields = re.findall(r"\bFIELD\((\w+), SIM_TO", (SIM / "core" / file).read_text(encoding="utf-8"))
    table = ABI.split(f"### {section} ")[1].split("### ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(fields)


def _numbers(name: str) -> dict[str, str]:
    text = (ROOT / "native" / "include" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^    (CNRT_RET_\w+) = (\d+)", text, re.MULTILINE))


def test_the_library_returns_only_codes_that_have_one_number_in_every_version():
    """The reported version's numbers of the others are known to core/codes.c alone, which has all of both headers."""
    before, later = _numbers("cnrt_codes.h"), _numbers("cnrt_codes_4_10.h")
    moved = {name for name in before if before[name] != later.get(name)}
    assert len(moved) == 13
    returned = {}
    for path in SIM.rglob("*.c"):
        if path.name != "codes.c":
            used = set(re.findall(r"\bCNRT_RET_\w+", path.read_text(encoding="utf-8")))
            returned.update(dict.fromkeys(used & moved, path.name))
    assert returned == {}
    table = re.findall(r'\{"(CNRT_\w+)", (\w+), (\w+),', (SIM / "core" / "codes.c").read_text(encoding="utf-8"))
    for place, numbers in ((1, before), (2, later)):
        told = {row[0]: row[place] for row in table if row[place] != "NONE"}
        assert told == {name: number for name, number in numbers.items() if name != "CNRT_RET_ERR_MAX"}


def test_sentences_name_the_function_that_the_program_called():
    """In a helper __func__ is a name that no program knows: it is handed the caller's."""
    inside = []
    helper = re.compile(r"^static [^;{]*?\b(\w+)\([^;{]*\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
    for path in sorted((SIM / "api").glob("*.c")):
        for name, body in helper.findall(path.read_text()):
            if "__func__" in body or "REQUIRE_POINTER(" in body:
                inside.append(f"{path.name}: {name}")
    assert inside == []
