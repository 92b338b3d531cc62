"""Installs the agent as the README tells a user to, and hands over to the scenarios. Runs in the system's Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from box import CONFIG, HERE, Failed, check, run, say

CONFIGURATION = """
[model]
path = "/var/lib/mlu-agent/model/small.cambricon"
runtime = "simulator"
[[source]]
id = "clip"
path = "/var/lib/mlu-agent/clip.mp4"
loop = true
realtime = true
[[source]]
id = "synthetic"
synthetic = "160x120@10"
"""
PLACE = "# edit /etc/mlu-agent/mlu-agent.toml"  # where a user writes what is his


def commands() -> tuple[str, str]:
    """The README's lines for the box, before and after what the user puts in."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    block = re.search(r"\n    # on the box, as root.*\n((?:    .*\n)+)", text)
    check(block, "the README has no commands for the box")
    assert block is not None
    before, _, after = block[1].partition(PLACE)
    check(after, f"the README does not say: {PLACE}")
    return before, after.partition("\n")[2]


def place() -> None:
    """What a user has: a model with its manifest, a clip, a configuration."""
    folder = Path("/var/lib/mlu-agent")
    shutil.copytree(HERE / "model", folder / "model", dirs_exist_ok=True)
    shutil.copy(HERE / "clip.mp4", folder)
    with CONFIG.open("w") as file:  # as an editor does: owner and mode stay
        file.write(CONFIGURATION)


def main() -> None:
    """Prints how long it took."""
    start = time.monotonic()
    os.chdir(HERE)
    before, after = commands()
    run("sh", "-exc", before, timeout=600)
    place()
    began = time.monotonic()
    run("sh", "-exc", after)
    say(
        f"ok    install: by the README's commands in {began - start:.1f} s; "
        f"`enable --now` returned at READY, after {time.monotonic() - began:.1f} s"
    )


if __name__ == "__main__":
    try:
        main()
    except (Failed, subprocess.SubprocessError) as failure:
        say(f"FAIL  install: {failure}")
        say("done")
        raise
    python = "/opt/mlu-agent/bin/python"  # by its path: it finds its packages by that
    os.execv(python, [python, str(HERE / "main.py")])
