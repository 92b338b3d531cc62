"""The trials of what the tests need: a tool that is there and does not work is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import needs

if TYPE_CHECKING:
    from pathlib import Path


def _only_tool(folder: Path, name: str, script: str) -> None:
    tool = folder / name
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


@pytest.mark.parametrize(
    "need, tool, package",
    [
        ("aarch64", "aarch64-linux-gnu-gcc", "libc6-dev-arm64-cross"),
        ("fuzz", "clang", "libclang-rt-dev"),
        ("rtsp", "ffmpeg", "gir1.2-gst-rtsp-server-1.0"),
        ("systemd", "systemd-analyze", "systemd"),
        ("cc", "cc", "libc6-dev"),
        ("boot", "debootstrap", "systemd-container"),
        ("virtual machine", "mke2fs", "qemu-system-x86"),
    ],
)
def test_a_tool_that_fails_is_missing_with_its_sentence_and_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, need: str, tool: str, package: str
):
    """A half-installed tool counts as missing; the reason has the tool's own sentence and what to install."""
    _only_tool(tmp_path, tool, "echo 'ld: cannot find Scrt1.o' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = needs.missing.__wrapped__(need)
    assert reason.startswith(f"{tool} ended with 1: ld: cannot find Scrt1.o (Debian: ")
    assert package in reason


def test_a_compiler_that_says_yes_and_writes_nothing_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What was linked is run, so an exit status alone convinces nobody."""
    _only_tool(tmp_path, "cc", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "main cannot be started" in needs.missing.__wrapped__("cc")


def test_a_tool_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing on PATH: the reason names the command."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert needs.missing.__wrapped__("readelf") == (
        "readelf cannot be started: No such file or directory (Debian: binutils)"
    )
