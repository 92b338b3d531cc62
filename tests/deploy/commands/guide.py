"""Reads pages that are in two languages: headings, blocks with commands and what these print, code, tables, figures."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

PROGRAMS = ("mlu-export", "mlu-agent")
PROMPT = "$ "


@dataclass(frozen=True)
class Command:
    """A command of a console block: its words as a shell splits them, and the lines printed below it."""

    words: tuple[str, ...]
    printed: tuple[str, ...]

    @property
    def program(self) -> str:
        return self.words[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words after the program, without what the shell would take: redirections and what follows a pipe."""
        found = []
        for word in self.words[1:]:
            if word in ("|", ">", "&&", ";"):
                break
            found.append(word)
        return tuple(found)


@dataclass(frozen=True)
class Section:
    """What stands under one heading, until the next one of any level."""

    level: int
    title: str
    text: str

    @property
    def blocks(self) -> list[str]:
        """The fenced blocks marked ``console``, without their fences."""
        return re.findall(r"^```console\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)

    @property
    def indented(self) -> list[str]:
        """The blocks that are code by four spaces, without what is fenced."""
        return re.findall(r"(?:^    .*\n)+", self.prose, re.MULTILINE)

    @property
    def commands(self) -> list[Command]:
        return [command for block in self.blocks for command in _commands(block)]

    @property
    def tables(self) -> list[list[list[str]]]:
        """The tables: rows of cells, without the row of dashes."""
        found: list[list[list[str]]] = []
        inside = False
        for line in self.prose.splitlines():
            if line.startswith("|"):
                if not inside:
                    found.append([])
                found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
            inside = line.startswith("|")
        return [[row for number, row in enumerate(table) if number != 1] for table in found]

    @property
    def code(self) -> list[str]:
        """Code spans in running text, in order."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    @property
    def numbers(self) -> set[str]:
        """All that is written in digits, in blocks and in running text."""
        return set(re.findall(r"\d+(?:\.\d+)*|\.\d+", self.text))

    @property
    def prose(self) -> str:
        """The text without fenced blocks."""
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)


def read_sections(text: str) -> list[Section]:
    """The sections of a Markdown text in order; a line inside a fence is no heading."""
    found: list[Section] = []
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        heading = None if fenced else re.match(r"(#+) (.+)$", line)
        if heading:
            if found:
                found[-1] = Section(found[-1].level, found[-1].title, "\n".join(lines) + "\n")
            found.append(Section(len(heading[1]), heading[2], ""))
            lines = []
        else:
            lines.append(line)
    found[-1] = Section(found[-1].level, found[-1].title, "\n".join(lines) + "\n")
    return found


def _commands(block: str) -> list[Command]:
    found: list[tuple[str, list[str]]] = []
    continued = False
    for line in block.splitlines():
        if line.startswith(PROMPT):
            found.append((line[len(PROMPT) :], []))
        elif continued:
            found[-1] = (found[-1][0][:-1] + " " + line.strip(), [])
        elif found:
            found[-1][1].append(line)
        else:
            message = f"a console block starts with something that is no command: {line!r}"
            raise ValueError(message)
        continued = not found[-1][1] and found[-1][0].endswith("\\")
    return [Command(tuple(_split(text)), tuple(printed)) for text, printed in found]


def _split(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|>&;")
    lexer.whitespace_split = True
    return list(lexer)
