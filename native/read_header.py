"""What a C header declares: its functions, types, constants and macros, as a C compiler and pycparser understand it.

The compiler's preprocessor takes what is valid on 64-bit Linux and names every macro; pycparser, which comes with cffi,
parses the rest. The file may be anybody's: what it may cost is bounded, and what cannot be understood is refused.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycparser import CParser, c_ast

MOST_BYTES = 1 << 20  # of the file, and of what the preprocessor makes of it; the largest known header has 346 kB
# For the preprocessor, which takes a tenth of a second and 60 MB: a header may include itself, or expand without end.
# Each of its processes ends at the limits by itself, too, should nobody be left to end it.
SECONDS = 60
LIMITED = ("sh", "-c", 'ulimit -v "$0" && ulimit -t "$1" && shift && exec "$@"', str(1 << 20), "30")  # kB, s of work
# The few standard headers that a declaration may need, in terms that pycparser knows; others must not matter to one.
STANDARD = {
    "stddef.h": "typedef unsigned long size_t; typedef long ptrdiff_t; typedef int wchar_t;\n"
    "#define NULL ((void *)0)\n",
    "stdbool.h": "#define bool _Bool\n#define true 1\n#define false 0\n",
    "stdint.h": "".join(
        f"typedef signed {c} int{bits}_t; typedef unsigned {c} uint{bits}_t;\n"
        for bits, c in ((8, "char"), (16, "short"), (32, "int"), (64, "long"))
    )
    + "typedef long intptr_t; typedef unsigned long uintptr_t;\n",
    "inttypes.h": "#include <stdint.h>\n",
    "limits.h": "",
    "stdio.h": "",
    "stdlib.h": "#include <stddef.h>\n",
    "string.h": "#include <stddef.h>\n",
}
# The compiler's own words around a declaration, which do not change what a caller passes.
WORDS = ("__attribute__(x)=", "__extension__=", "__restrict=", "__inline=inline", "__asm__(x)=", "__declspec(x)=")
MARK = re.compile(r'^# (\d+) "((?:[^"\\]|\\.)*)"')
MACRO = re.compile(r"^#define (\w+)(\(([^)]*)\))?(?: (.*))?$")


class Unreadable(Exception):
    """The header cannot be read; the sentence says why."""


@dataclass
class Macro:
    """``parameters`` is None of a macro without brackets."""

    parameters: list[str] | None
    body: str


@dataclass
class Header:
    """Everything by its name; enums and structs by their typedefs and by their tags, as ``enum x`` and ``struct x``."""

    functions: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    types: dict[str, Any] = field(default_factory=dict)  # its typedefs
    constants: dict[str, int] = field(default_factory=dict)
    enums: dict[str, dict[str, int]] = field(default_factory=dict)
    structs: dict[str, Any] = field(default_factory=dict)  # without members while only the name is known
    macros: dict[str, Macro] = field(default_factory=dict)
    typedefs: dict[str, Any] = field(default_factory=dict)  # all, those of standard headers too: to resolve types by


def read(path: Path, *defines: str) -> Header:
    """What the header at ``path`` declares when it is compiled with ``defines``."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise Unreadable(f"{path} is no file of at most {MOST_BYTES} bytes: name the vendor's cnrt.h")
    with tempfile.TemporaryDirectory() as folder:
        standard = Path(folder, "standard")
        standard.mkdir()
        for name, text in STANDARD.items():
            (standard / name).write_text(text, encoding="utf-8")
        code, macros = split(preprocess(path, standard, defines), str(standard))
    header = Header(macros=macros)
    try:
        for declaration in CParser().parse(code, str(path)).ext:
            take(header, declaration, own=not str(declaration.coord).startswith(str(standard)))
    except RecursionError:
        raise Unreadable(f"{path} is nested too deep to be a header of CNRT") from None
    except Unreadable:
        raise
    except Exception as error:  # pycparser's own exceptions differ by its version
        raise Unreadable(f"{path} is not C that pycparser can parse: {error}") from None
    return header


def preprocess(path: Path, standard: Path, defines: tuple[str, ...]) -> str:
    """The preprocessor's output, with lines that tell where each part came from and what was defined."""
    options = [f"-D{word}" for word in (*WORDS, *defines)]
    compiler = [os.environ.get("CC", "cc"), "-E", "-dD", "-nostdinc", "-isystem", str(standard), "-x", "c", *options]
    errors = standard.parent / "errors"
    with errors.open("wb") as file:
        process = subprocess.Popen(
            [*LIMITED, *compiler, str(path.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,  # with what it starts, which does the work
        )
    stop = threading.Timer(SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    stop.start()
    assert process.stdout is not None
    try:
        output = process.stdout.read(MOST_BYTES + 1)
        if len(output) <= MOST_BYTES:
            process.wait()
    finally:
        if process.returncode is None:  # until it is waited for, its number is its group's
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        stop.cancel()
        process.stdout.close()
    if len(output) > MOST_BYTES:
        raise Unreadable(f"{path} grows to more than {MOST_BYTES} bytes in the preprocessor: it is no header of CNRT")
    if code != 0:
        lines = errors.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if "error" in line.lower() or "memory" in line]
        ended = f"it did not end within {SECONDS} s" if code < 0 else f"exit {code}"
        raise Unreadable(f"{path} cannot be preprocessed: {said[0] if said else ended}")
    return output.decode("utf-8", "replace")


def split(text: str, standard: str) -> tuple[str, dict[str, Macro]]:
    """The declarations, and the macros that are left at the end: those of the header and of the command line."""
    macros: dict[str, Macro] = {}
    code, origin, ours = [], "", {word.split("(")[0].split("=")[0] for word in WORDS}
    for line in text.splitlines():
        mark, macro = MARK.match(line), MACRO.match(line)
        if mark:
            origin = mark[2]
        elif macro and origin != "<built-in>" and not origin.startswith(standard) and macro[1] not in ours:
            names = None if macro[2] is None else [name.strip() for name in macro[3].split(",") if name.strip()]
            macros[macro[1]] = Macro(names, macro[4] or "")
        elif line.startswith("#undef "):
            macros.pop(line.split()[1], None)
        code.append(line if mark or not line.startswith("#") else "")  # the lines keep their numbers
    return "\n".join(code) + "\n", macros


def take(header: Header, declaration: Any, *, own: bool) -> None:
    """Files one declaration of the header; of a standard header only what types it defines."""
    if isinstance(declaration, c_ast.FuncDef):
        declaration = declaration.decl
    if isinstance(declaration, c_ast.Pragma):
        return
    if isinstance(declaration, c_ast.Typedef):
        header.typedefs[declaration.name] = declaration.type
    if not own:
        return
    if not isinstance(declaration, (c_ast.Typedef, c_ast.Decl)):
        raise Unreadable(f"{declaration.coord}: a {type(declaration).__name__} is no declaration of a header of CNRT")
    note_types(header, declaration.type)
    if isinstance(declaration, c_ast.Typedef):
        header.types[declaration.name] = declaration.type
        note_names(header, declaration)
    elif isinstance(declaration.type, c_ast.FuncDecl):
        header.functions[declaration.name] = declaration.type
    elif declaration.name is not None:
        header.variables[declaration.name] = declaration.type


def note_types(header: Header, node: Any) -> None:
    """Files the enums and structs that ``node`` names or defines, those inside others too."""
    if isinstance(node, c_ast.Enum):
        found = values(header, node)
        if node.name is not None and (found or f"enum {node.name}" not in header.enums):
            header.enums[f"enum {node.name}"] = found
    elif isinstance(node, (c_ast.Struct, c_ast.Union)) and node.name is not None:
        name = f"{kind(node)} {node.name}"
        if node.decls is not None or name not in header.structs:
            header.structs[name] = node
    for _, child in node.children():
        note_types(header, child)


def note_names(header: Header, declaration: Any) -> None:
    """Files a typedef of an enum or a struct under the typedef's name."""
    node = declaration.type.type if isinstance(declaration.type, c_ast.TypeDecl) else None
    if isinstance(node, c_ast.Enum):
        header.enums[declaration.name] = values(header, node)
    elif isinstance(node, (c_ast.Struct, c_ast.Union)):
        header.structs[declaration.name] = header.structs.get(f"{kind(node)} {node.name}", node)


def values(header: Header, node: Any) -> dict[str, int]:
    """The constants of an enum; each is one more than the one before it, the first one 0, unless it says otherwise."""
    if node.values is None:
        return header.enums.get(f"enum {node.name}", {})
    found: dict[str, int] = {}
    value = -1
    for constant in node.values.enumerators:
        value = value + 1 if constant.value is None else evaluate(header, constant.value)
        found[constant.name] = header.constants[constant.name] = value
    return found


def kind(node: Any) -> str:
    """The C word of a struct or a union."""
    return "struct" if isinstance(node, c_ast.Struct) else "union"


def evaluate(header: Header, node: Any) -> int:
    """The value of a constant expression; refused where it is more than numbers, names and operators of an enum."""
    if isinstance(node, c_ast.Constant) and node.type.endswith(("int", "long")):
        return number(node.value)
    if isinstance(node, c_ast.ID) and node.name in header.constants:
        return header.constants[node.name]
    if isinstance(node, c_ast.UnaryOp) and node.op in UNARY:
        return bounded(UNARY[node.op](evaluate(header, node.expr)), node)
    if isinstance(node, c_ast.BinaryOp) and node.op in BINARY:
        left, right = evaluate(header, node.left), evaluate(header, node.right)
        if not (node.op in ("<<", ">>") and not 0 <= right < 63) and not (node.op in "/%" and right == 0):
            return bounded(BINARY[node.op](left, right), node)
    raise Unreadable(f"{node.coord}: the value of this constant cannot be told")


def number(text: str) -> int:
    """A C integer constant."""
    digits = text.rstrip("uUlL")
    if len(digits) > 24:
        raise Unreadable(f"{digits[:24]}... is no value of an enum")
    return int(digits, 8) if digits.startswith("0") and digits.isdigit() else int(digits, 0)


def bounded(value: int, node: Any) -> int:
    """``value``, as an enum of C may have it."""
    if not -(2**63) <= value < 2**64:
        raise Unreadable(f"{node.coord}: the value of this constant does not fit into 64 bits")
    return value


UNARY: dict[str, Any] = {"-": lambda a: -a, "+": lambda a: a, "~": lambda a: ~a, "!": lambda a: int(not a)}
BINARY: dict[str, Any] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
    "%": lambda a, b: abs(a) % abs(b) * (1 if a >= 0 else -1),
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
    "|": lambda a, b: a | b,
    "&": lambda a, b: a & b,
    "^": lambda a, b: a ^ b,
}
