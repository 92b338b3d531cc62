"""Compares a vendor's ``cnrt.h`` with the simulator's, as a program that is compiled with either sees them.

``python compare_header.py /usr/local/neuware/include/cnrt.h`` prints every function, type, enum, constant, struct and
macro of that header that the simulator's lacks or has otherwise, one a line, and exits with 1 if there is one, with 2
if a header cannot be read. The simulator's header is taken as that of the same version. What it has beyond the
vendor's is no difference. ``--ours`` names another header than the tree's, for example an installed one's.

It needs a C compiler and pycparser (which comes with cffi): a tool of the source tree, because boxes have neither.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from pycparser import c_ast
from read_header import Header, Macro, Unreadable, kind, number, read

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = Path(__file__).resolve().parent / "include" / "cnrt.h"
VERSION = ("CNRT_MAJOR_VERSION", "CNRT_MINOR_VERSION", "CNRT_PATCH_VERSION")
TOKEN = re.compile(r'\w+|"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[^\w\s]')
DECLARING = {"char", "short", "int", "long", "unsigned", "float", "double", "*"}


class Spelling:
    """Types of one header in words that mean the same in the other one.

    A typedef counts for what it stands for, so that ``u64_t`` is ``uint64_t``. An enum or a struct is named by a name
    that both headers have for it: one of its typedefs, or its tag.
    """

    def __init__(self, header: Header, other: Header) -> None:
        self._header = header
        self._names = self._common(header, other)

    @staticmethod
    def _common(header: Header, other: Header) -> dict[int, str]:
        """The name for each enum and struct of the header, by its node."""
        found: dict[int, list[str]] = {}
        for name, node in header.types.items():
            inner = node.type if isinstance(node, c_ast.TypeDecl) else None
            if isinstance(inner, (c_ast.Enum, c_ast.Struct, c_ast.Union)):
                found.setdefault(id(inner), []).append(name)
        return {node: min(names, key=lambda name: (name not in other.types, name)) for node, names in found.items()}

    def of(self, node: Any, *, parameter: bool = False) -> str:
        """A type in words; of a parameter without what a caller does not see."""
        if isinstance(node, c_ast.ArrayDecl) and parameter:
            return f"{self.of(node.type)} *"
        if isinstance(node, c_ast.ArrayDecl):
            return f"{self.of(node.type)} [{self._length(node)}]"
        if isinstance(node, c_ast.PtrDecl):
            return self._qualified(f"{self.of(node.type)} *", [] if parameter else node.quals)
        if isinstance(node, c_ast.FuncDecl):
            return f"{self.of(node.type)} ({', '.join(self.parameters(node))})"
        if isinstance(node, (c_ast.TypeDecl, c_ast.Typename)):
            return self._qualified(self._named(node.type), [] if parameter else node.quals)
        return self._named(node)

    def parameters(self, node: Any) -> Iterator[str]:
        """The types of a function's parameters."""
        for parameter in node.args.params if node.args is not None else ():
            yield "..." if isinstance(parameter, c_ast.EllipsisParam) else self.of(parameter.type, parameter=True)

    def _named(self, node: Any) -> str:
        if isinstance(node, (c_ast.Enum, c_ast.Struct, c_ast.Union)):
            word = "enum" if isinstance(node, c_ast.Enum) else kind(node)
            return self._names.get(id(node)) or f"{word} {node.name or self._inside(node)}"
        if isinstance(node, c_ast.IdentifierType):
            name = " ".join(node.names)
            stands_for = self._header.typedefs.get(name)
            return self.of(stands_for) if stands_for is not None else " ".join(sorted(node.names))
        return self.of(node)

    def _inside(self, node: Any) -> str:
        """An enum or a struct that has no name, by what it holds."""
        if isinstance(node, c_ast.Enum):
            return "{ " + ", ".join(constant.name for constant in node.values.enumerators) + " }"
        return self.members(node)

    def members(self, node: Any) -> str:
        """The members of a struct, in their order."""
        parts = []
        for member in node.decls or ():
            width = "" if member.bitsize is None else f" : {getattr(member.bitsize, 'value', '?')}"
            parts.append(f"{self.of(member.type)} {member.name or ''}{width}")
        return "{ " + "; ".join(parts) + " }"

    def _length(self, node: Any) -> str:
        return "" if node.dim is None else str(getattr(node.dim, "value", "?"))

    @staticmethod
    def _qualified(text: str, qualifiers: list[str]) -> str:
        return " ".join([text, *sorted(qualifiers)])


def functions(theirs: Header, ours: Header) -> Iterator[str]:
    """Functions that are missing or have another type, and variables."""
    there, here = Spelling(theirs, ours), Spelling(ours, theirs)
    for what, wanted, found in (
        ("function", theirs.functions, ours.functions),
        ("variable", theirs.variables, ours.variables),
        ("type", theirs.types, ours.types),
    ):
        for name, node in wanted.items():
            if name not in found:
                yield f"missing {what} {name}: {there.of(node)}"
            elif there.of(node) != here.of(found[name]):
                yield f"different {what} {name}: there {there.of(node)}, here {here.of(found[name])}"


def enums(theirs: Header, ours: Header) -> Iterator[str]:
    """Enums that are missing by tag or name, and constants that are missing, or of another value or enum."""
    for name, constants in theirs.enums.items():
        if name not in ours.enums:
            if name.startswith("enum "):
                yield f"missing {name}"
            continue
        for constant in constants:
            if constant in ours.constants and constant not in ours.enums[name]:
                yield f"different enum of {constant}: there {name}"
    for constant, value in theirs.constants.items():
        if constant not in ours.constants:
            yield f"missing constant {constant} = {value}"
        elif ours.constants[constant] != value:
            yield f"different constant {constant}: there {value}, here {ours.constants[constant]}"


def structs(theirs: Header, ours: Header) -> Iterator[str]:
    """Structs and unions that are missing, by tag or name, or that have other members."""
    there, here = Spelling(theirs, ours), Spelling(ours, theirs)
    for name, node in theirs.structs.items():
        found = ours.structs.get(name)
        if found is None:
            if " " in name:
                yield f"missing {name}"
        elif node.decls is not None:
            wanted, has = f"{kind(node)} {there.members(node)}", f"{kind(found)} {here.members(found)}"
            if wanted != has:
                yield f"different {name}: there {wanted}, here {has}"


def macros(theirs: Header, ours: Header) -> Iterator[str]:
    """Macros that are missing, take something else, or stand for something else."""
    for name, wanted in theirs.macros.items():
        found = ours.macros.get(name)
        if found is None:
            yield f"missing macro {name}"
        elif meaning(wanted) != meaning(found):
            yield f"different macro {name}: there {text(wanted)}, here {text(found)}"


def meaning(macro: Macro) -> tuple[int, list[str]]:
    """How many parameters a macro has (-1: none and no brackets), and its tokens, whatever it calls its own names."""
    names = {name: f"parameter {place}" for place, name in enumerate(macro.parameters or ())}
    tokens = TOKEN.findall(macro.body)
    for before, token in zip(tokens, tokens[1:]):
        if token.isidentifier() and token not in names and (before in DECLARING or before.endswith("_t")):
            names[token] = f"name {len(names)}"
    return (-1 if macro.parameters is None else len(macro.parameters)), [names.get(token, token) for token in tokens]


def text(macro: Macro) -> str:
    """A macro in words."""
    return ("" if macro.parameters is None else f"({', '.join(macro.parameters)}) ") + (macro.body or "(nothing)")


def version(header: Header, path: Path) -> tuple[str, ...]:
    """The three numbers of a header's version, as text."""
    bodies = [header.macros.get(name, Macro(None, "")).body for name in VERSION]
    if not all(re.fullmatch(r"\d{1,3}", body) for body in bodies):
        raise Unreadable(f"{path} is no header of CNRT: it does not define {', '.join(VERSION)} as numbers")
    numbers = [number(body) for body in bodies]
    if not [4, 2] <= numbers[:2] <= [4, 10]:
        said = ".".join(map(str, numbers))
        raise Unreadable(f"{path} is the header of CNRT {said}; the simulator's can be that of 4.2 to 4.10")
    return tuple(bodies)


CHECKS: tuple[Callable[[Header, Header], Iterator[str]], ...] = (functions, enums, structs, macros)


def compare(path: Path, ours: Path) -> tuple[str, list[str]]:
    """What was compared, in words, and the differences."""
    theirs = read(path)
    numbers = version(theirs, path)
    found = read(ours, *(f"{name}={value}" for name, value in zip(VERSION, numbers)))
    counts = [
        f"{len(getattr(theirs, what))} {what}"
        for what in ("functions", "types", "enums", "constants", "structs", "macros")
    ]
    return f"{'.'.join(numbers)}: {', '.join(counts)}", [line for check in CHECKS for line in check(theirs, found)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("header", type=Path, help="the vendor's cnrt.h, of CNRT 4.2 to 4.10")
    parser.add_argument("--ours", type=Path, default=OURS, help="the simulator's cnrt.h")
    arguments = parser.parse_args()
    try:
        what, differences = compare(arguments.header, arguments.ours)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 2
    for line in differences:
        print(line)
    print(f"{what}; {len(differences) or 'no'} difference{'s' * (len(differences) != 1)}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
