"""Python and the packages that the agent stands on."""

from __future__ import annotations

import importlib.metadata
import platform
import re

from .finding import Finding, fine, trouble

AREA = "packages"
MATTER = ("mlu-agent", "mlu-client", "numpy", "opencv-python-headless", "av", "pyzmq", "cffi", "structlog", "msgpack")


def look() -> dict[str, str]:
    """Installed versions by name; "" where one is missing."""
    return {name: _version(name) for name in MATTER}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def judge(versions: dict[str, str], wanted: dict[str, str]) -> list[Finding]:
    """``wanted``: the exact versions that the agent asks for, by name."""
    other = [
        f"{name} {versions[name]} instead of {version}"
        for name, version in wanted.items()
        if versions.get(name, version) not in ("", version)
    ]
    if other:
        remedy = "install the packages of one release together: `pip install mlu-agent` of that version"
        return [trouble(AREA, "package-version", f"of another release: {', '.join(other)}", remedy)]
    told = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return [fine(AREA, f"Python {platform.python_version()}, {told}")]


def exact() -> dict[str, str]:
    """The packages that the installed mlu-agent asks for in one version only."""
    try:
        required = importlib.metadata.requires("mlu-agent") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    matches = (re.match(r"([\w-]+)==([\w.]+)$", line) for line in required)
    return {match[1]: match[2] for match in matches if match}
