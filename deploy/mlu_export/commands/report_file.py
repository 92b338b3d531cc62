"""``--report FILE``: looked at before the long work, and never in the place of what the command reads or makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError

from ..formats.pictures import SUFFIXES
from ..support.files import check_output, make_directory

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

# What lies beside a model file and belongs to it.
COMPANIONS = (".cambricon", ".cambricon_twins", ".toml", ".recipe.toml")
MADE = (".recipe.toml", "_int8.pth", "_int16.pth")  # by quantize, in its output folder


def check_report(arguments: argparse.Namespace) -> None:
    """Raises UserError where the report cannot be written, or would replace another file of the command's."""
    report: Path | None = arguments.report
    if report is None:
        return
    check_output(report, "--report", _inputs(arguments))
    for folder in (value for value in vars(arguments).values() if isinstance(value, Path) and value.is_dir()):
        inside = report.exists() and report.parent.samefile(folder)
        if inside and report.suffix.lower() in SUFFIXES:
            raise UserError(f"--report {report} is one of the pictures; give another name")
    output = getattr(arguments, "output", None)
    if output is not None and output.resolve() == report.parent.resolve() and report.name.endswith(MADE):
        raise UserError(f"--report {report} has the name of a file that goes into --output; name it .json or .html")
    if getattr(arguments, "box", None) is not None and report.suffix == ".jsonl":
        raise UserError(f"--report {report}: what the box prints goes into that file; name the report .html")
    make_directory(report.parent)


def _inputs(arguments: argparse.Namespace) -> Iterator[Path]:
    for key, value in vars(arguments).items():
        if key not in ("report", "output") and isinstance(value, Path):
            yield value
    model = getattr(arguments, "model", None)
    if model is not None:
        yield from (model.with_suffix(suffix) for suffix in COMPANIONS if model.name)
    if getattr(arguments, "module", None):
        yield Path(arguments.module.rpartition(":")[0])
