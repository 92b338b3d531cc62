"""Which version of the agent this is."""

from __future__ import annotations


def version() -> str:
    """That of the installed distribution, or that it is none."""
    import importlib.metadata  # noqa: PLC0415 - dear, and few want it

    try:
        return importlib.metadata.version("mlu-agent")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
