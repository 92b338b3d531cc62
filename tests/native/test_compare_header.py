"""``compare_header.py`` tells every way in which a vendor's header differs from the simulator's."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "native"
VERSION = """
#define CNRT_MAJOR_VERSION 4
#define CNRT_MINOR_VERSION 7
#define CNRT_PATCH_VERSION 12
"""
OURS = """
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#define CNRT_PARAM_END (void *)0xFFFFFFFF
#define CNRT_CHECK(result) do { int code = (result); show(#result, code); } while (0)
typedef unsigned long cnrtDev_t;
typedef enum cnrtKind { CNRT_A, CNRT_B = 1 << 2, CNRT_C } cnrtKind_t, cnrtSort_t;
typedef enum { CNRT_D = -2, CNRT_E } cnrtOther_t;
enum { CNRT_F = 7 };
typedef struct cnrtBuffer { void *start; unsigned bits : 3; int shape[4]; } *cnrtBuffer_t;
typedef struct { cnrtKind_t kind; } cnrtPart_t;
struct cnrtModel;
typedef struct cnrtModel *cnrtModel_t;
cnrtKind_t cnrtLoad(cnrtModel_t *model, const char *name, const char *const file);
int cnrtSum(int count, int values[], void (*then)(int, ...));
extern int cnrtCount;
"""
# The same to whoever compiles with it, in other words; with less, and parameters of other names.
SAME = """
#include <stdint.h>
#define CNRT_PARAM_END  (void  *)0xFFFFFFFF
#define CNRT_CHECK(x) do { int ret = (x); show(#x, ret); } while (0)
typedef uint64_t my_t;
typedef my_t cnrtDev_t;
enum cnrtKind { CNRT_A = 0, CNRT_B = 4 };
typedef enum { CNRT_D = ~1, CNRT_E = CNRT_D + 1 } cnrtOther_t;
struct cnrtBuffer;
typedef struct cnrtBuffer *cnrtBuffer_t;
typedef struct cnrtModel *cnrtModel_t;
extern int cnrtSum(int n, int *restrict const v, void (*)(int m, ...)) __attribute__((pure));
""".replace("typedef uint64_t my_t;\ntypedef my_t", "typedef uint64_t")
DIFFERENCES = [
    ("int cnrtNew(void);", "missing function cnrtNew: int (void)"),
    ("int cnrtSum(long, int *, void (*)(int, ...));", "different function cnrtSum: there int (long, int *, "),
    ("int cnrtSum(int, int *, void (*)(int));", "different function cnrtSum"),
    ("void cnrtSum(int, int *, void (*)(int, ...));", "different function cnrtSum"),
    ("typedef int cnrtKind_t; cnrtKind_t cnrtLoad(void);", "different function cnrtLoad"),
    ("extern long cnrtCount;", "different variable cnrtCount: there long, here int"),
    ("extern int cnrtOdd;", "missing variable cnrtOdd: int"),
    ("typedef int cnrtDev_t;", "different type cnrtDev_t: there int, here long unsigned"),
    ("typedef void *cnrtHandle;", "missing type cnrtHandle: void *"),
    ("enum cnrtTag { CNRT_A };", "missing enum cnrtTag"),
    ("enum cnrtKind { CNRT_A = 1 };", "different constant CNRT_A: there 1, here 0"),
    ("enum cnrtKind { CNRT_A, CNRT_X };", "missing constant CNRT_X = 1"),
    ("typedef enum { CNRT_A } cnrtOther_t;", "different enum of CNRT_A: there cnrtOther_t"),
    (
        "struct cnrtBuffer { void *start; unsigned bits : 3; int shape[5]; };",
        "different struct cnrtBuffer: there struct",
    ),
    ("struct cnrtBuffer { void *start; unsigned bits : 4; int shape[4]; };", "different struct cnrtBuffer"),
    ("struct cnrtBuffer { void *begin; unsigned bits : 3; int shape[4]; };", "different struct cnrtBuffer"),
    (
        "typedef struct { int kind; } cnrtPart_t;",
        "different cnrtPart_t: there struct { int kind }, here",
    ),
    ("typedef union { enum cnrtKind kind; } cnrtPart_t;", "different cnrtPart_t: there union"),
    ("struct cnrtSecret;", "missing struct cnrtSecret"),
    ("union cnrtAny { int x; };", "missing union cnrtAny"),
    ("#define CNRT_DLL_API", "missing macro CNRT_DLL_API"),
    ("#define CNRT_PARAM_END NULL", "different macro CNRT_PARAM_END: there NULL, here (void *)0xFFFFFFFF"),
    ("#define CNRT_CHECK(a, b) a", "different macro CNRT_CHECK: there (a, b) a"),
    ("#define CNRT_CHECK(x) do { int ret = (x); show(#x, x); } while (0)", "different macro CNRT_CHECK"),
    ("#define CNRT_CHECK 1", "different macro CNRT_CHECK"),
]
UNREADABLE = {
    "a header of another version": ("#define CNRT_MINOR_VERSION 11\n", "header of CNRT 4.11.12; the simulator's"),
    "no version": ("#undef CNRT_PATCH_VERSION\n", "does not define CNRT_MAJOR_VERSION, CNRT_MINOR_VERSION"),
    "no C": ("int ((((;\n", "is not C that pycparser can parse"),
    "a header that says no": ("#error not here\n", "cannot be preprocessed: "),
    "itself inside": ('#include "vendor.h"\n', "cannot be preprocessed: "),
    "nested deep": ("enum { CNRT_X = " + "- " * 20_000 + "1 };\n", "vendor.h"),
    "expands without end": (
        "#define A0 int x;\n" + "".join(f"#define A{n + 1} A{n} A{n}\n" for n in range(40)) + "A40\n",
        "vendor.h",
    ),
    "fills memory and writes nothing": (
        "#define A0(x) x\n" + "".join(f"#define A{n + 1}(x) A{n}(x x)\n" for n in range(40)) + "A40(int x;)\n",
        "cannot be preprocessed: ",
    ),
    "a constant too large": ("enum { CNRT_X = 1 << 62 << 62 };\n", "vendor.h:5:"),
    "a constant that is none": ("enum { CNRT_X = sizeof(int) };\n", "vendor.h:5:"),
    "a division by zero": ("enum { CNRT_X = 1 / 0 };\n", "the value of this constant cannot be told"),
}


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Differences of a vendor's header of this text from ``OURS``."""
    monkeypatch.syspath_prepend(str(NATIVE))
    module = importlib.import_module("compare_header")
    (tmp_path / "ours.h").write_text(OURS, encoding="utf-8")

    def differences(text: str) -> list[str]:
        (tmp_path / "vendor.h").write_text(VERSION + text, encoding="utf-8")
        return list(module.compare(tmp_path / "vendor.h", tmp_path / "ours.h")[1])

    return differences


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The tool, as somebody calls it."""
    command = [sys.executable, str(NATIVE / "compare_header.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_same_in_other_words_is_no_difference(compare: Callable[[str], list[str]]) -> None:
    """What a program sees is compared, not how it is written; what ours has beyond it does not matter."""
    assert compare(OURS) == []
    assert compare(SAME) == []


@pytest.mark.parametrize("declaration, line", DIFFERENCES)
def test_every_kind_of_difference_is_told(compare: Callable[[str], list[str]], declaration: str, line: str) -> None:
    """One line for each, with what stands there and here, or what is missing."""
    found = compare("#include <stddef.h>\n" + declaration + "\n")
    assert any(one.startswith(line) for one in found), found


def test_ours_is_taken_as_that_of_the_same_version(tmp_path: Path) -> None:
    """The tree's header, whose codes have the numbers of the vendor's version; exit 1 where something is missing."""
    text = "#define __CNRT_H\nenum {{ CNRT_RET_ERR_IO = {} }};\n{}"
    vendor = tmp_path / "vendor.h"
    vendor.write_text(VERSION + text.format(632010, "int cnrtX(void);"), encoding="utf-8")
    done = run(vendor)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[0] == "missing function cnrtX: int (void)"
    assert done.stdout.endswith(
        "4.7.12: 1 functions, 0 types, 0 enums, 1 constants, 0 structs, 4 macros; 1 difference\n"
    )
    version = VERSION.replace(" 7\n", " 10\n").replace(" 12\n", " 4\n")
    vendor.write_text(version + text.format(632048, ""), encoding="utf-8")
    assert run(vendor, "--ours", NATIVE / "include" / "cnrt.h").returncode == 0


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_header_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    """With one sentence and exit 2, whatever it holds: no traceback, no memory or time without end."""
    text, sentence = UNREADABLE[name]
    (tmp_path / "vendor.h").write_text(VERSION + text, encoding="utf-8")
    done = run(tmp_path / "vendor.h")
    assert done.returncode == 2, done.stdout
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def of_group(number: int) -> list[str]:
    """What runs in a process group, as Linux tells of each process; not what has ended and waits to be noted."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            name, _, rest = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")
            state, _, group = rest.split()[:3]
            found += [name] if int(group) == number and state != "Z" else []
    return found


@pytest.mark.parametrize("name", ["waits", "fills memory and writes nothing", "expands without end"])
def test_nothing_is_left_of_a_preprocessor_that_was_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """At the end of its time, of its memory or of what it may write: it goes with the processes that it started."""
    monkeypatch.syspath_prepend(str(NATIVE))
    module = importlib.import_module("read_header")
    started: list[int] = []

    class Noted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *words: Any, **more: Any) -> None:
            super().__init__(*words, **more)
            started.append(self.pid)

    monkeypatch.setattr(module.subprocess, "Popen", Noted)
    monkeypatch.setattr(module, "SECONDS", 1 if name == "waits" else 60)
    os.mkfifo(tmp_path / "pipe.h")  # nobody writes into it
    text = '#include "pipe.h"\n' if name == "waits" else UNREADABLE[name][0]
    (tmp_path / "vendor.h").write_text(VERSION + text, encoding="utf-8")
    with pytest.raises(module.Unreadable, match="did not end within 1 s" if name == "waits" else "vendor.h"):
        module.read(tmp_path / "vendor.h")
    assert len(started) == 1
    until = time.monotonic() + 30
    while of_group(started[0]) and time.monotonic() < until:  # what was killed gives its memory back first
        time.sleep(0.02)
    assert of_group(started[0]) == []


def test_a_preprocessor_is_limited_whoever_watches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory and the time that it works have bounds of their own, which hold when the tool itself was killed."""
    monkeypatch.syspath_prepend(str(NATIVE))
    module = importlib.import_module("read_header")
    asked = "import resource as r; print(r.getrlimit(r.RLIMIT_AS), r.getrlimit(r.RLIMIT_CPU))"
    done = subprocess.run([*module.LIMITED, sys.executable, "-c", asked], capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().strip() == f"({1 << 30}, {1 << 30}) (30, 30)"


@pytest.mark.parametrize("path", ["missing.h", ".", "/dev/zero"])
def test_a_file_that_is_no_header_is_refused(tmp_path: Path, path: str) -> None:
    """Missing, a folder, or too large: one sentence, exit 2."""
    done = run(tmp_path / path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
