"""Manual pages and completions, made from the program's own parser: they say what it does, always.

python systemd/packages/pages.py FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import shtab
from argparse_manpage.manpage import Manpage

from mlu_agent import cli, command_line

if TYPE_CHECKING:
    import argparse

PROGRAM = "mlu-agent"
DESCRIPTION = (
    "Turns cameras, streams and files into detections on a ZeroMQ socket, on a Cambricon MLU or on a simulator of its "
    "runtime library. Exit status: 0 fine, 2 a person has to change something, 3 the device or the runtime failed."
)
SEE_ALSO = "mlu-agent.toml(5), systemctl(1), journalctl(1); /usr/share/doc/mlu-agent"


def parser() -> argparse.ArgumentParser:
    """All commands with all their arguments."""
    return command_line.parser(cli.program(), (), whole=True)


def manual(version: str) -> str:
    """The page of section 1."""
    made = parser()
    made.description = DESCRIPTION
    page = Manpage(
        made,
        _data={
            "project_name": PROGRAM,
            "prog": PROGRAM,
            "version": version,
            "description": "object detection on Cambricon MLU edge boxes",
            "manual_section": 1,
            "manual_title": "Object detection",
            "extra_sections": {"SEE ALSO": SEE_ALSO},
        },
    )
    return str(page)


def _roff(text: str) -> str:
    """A line as it is: roff reads backslashes, and dots and quotes at the beginning."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped


def configuration_manual(sample: str, version: str) -> str:
    """The page of section 5: the delivered configuration explains itself."""
    head = (
        f'.TH MLU\\-AGENT.TOML 5 "" "{PROGRAM} {version}" "Object detection"\n'
        ".SH NAME\nmlu\\-agent.toml \\- configuration of mlu\\-agent\n"
        ".SH DESCRIPTION\n.I /etc/mlu\\-agent/mlu\\-agent.toml\nas it is delivered: every option at its default, "
        "with its reason.\n.B mlu\\-agent check \\-c\n.I FILE\ntells everything that is wrong with one.\n.PP\n.nf\n"
    )
    return head + "\n".join(map(_roff, sample.splitlines())) + "\n.fi\n.SH SEE ALSO\nmlu\\-agent(1)\n"


def completion(shell: str) -> str:
    """Of bash or zsh."""
    return str(shtab.complete(parser(), shell))


def write(folder: Path, sample: Path, version: str) -> None:
    """All four, below ``folder`` where a system has them."""
    os.environ["COLUMNS"] = "100"  # argparse breaks lines at a terminal's width
    texts = {
        "man/man1/mlu-agent.1": manual(version),
        "man/man5/mlu-agent.toml.5": configuration_manual(sample.read_text(encoding="utf-8"), version),
        "bash-completion/completions/mlu-agent": completion("bash"),
        "zsh/vendor-completions/_mlu-agent": completion("zsh"),
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
