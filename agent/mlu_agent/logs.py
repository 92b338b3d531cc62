"""Logging: structlog to standard output, one JSON object per line unless a person is watching."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog


def configure(level: str = "info", style: str = "auto", stream: TextIO | None = None) -> None:
    """Sets up logging for the process. ``style``: "json", "text" or "auto" (text on a terminal)."""
    output = stream or sys.stdout
    text = style == "text" or (style == "auto" and output.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not text:
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=False,
    )


def get_logger() -> Any:
    """A logger with keyword context; configured by ``configure``."""
    return structlog.get_logger()
