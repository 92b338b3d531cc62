"""What every step needs: commands that end everything when they fail, the commit that is built, its time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def stop(sentence: str) -> None:
    """Ends everything with a sentence."""
    sys.exit(f"packages: {sentence}")


def call(*command: str | Path, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> str:
    """Runs a command and returns what it said; one that fails ends everything with its last words."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        stop(
            f"{' '.join(map(str, command))[:200]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
    return done.stdout


@dataclass(frozen=True)
class Commit:
    """What is built: the files that git has, never what lies around; times are the commit's, so bytes come again."""

    folder: Path
    epoch: int
    version: str
    debian_version: str

    @property
    def environment(self) -> dict[str, str]:
        """For every tool that writes a time or reads its language from the machine."""
        return {"SOURCE_DATE_EPOCH": str(self.epoch), "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}


def checked_out(folder: Path, version: str = "") -> Commit:
    """HEAD's files in ``folder``; ``version`` instead of the commit's own, to try upgrades."""
    git = ("git", "-c", f"safe.directory={ROOT}")
    changed = call(*git, "status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        print(f"packages: {len(changed)} changed files are not in it: what git has committed is built", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    call(*git, "archive", "--format=tar", f"--output={archive}", "HEAD")
    call("tar", "-xf", archive, "-C", folder)
    archive.unlink()
    epoch, short, stamp = call(
        *git,
        "log",
        "-1",
        "--format=%ct %h %cd",
        "--abbrev=8",
        "--date=format-local:%Y%m%d%H%M%S",
        environment={"TZ": "UTC"},
    ).split()
    own = _project_version(folder / "pyproject.toml")
    tagged = f"v{own}" in call(*git, "tag", "--points-at", "HEAD").split()
    return Commit(folder, int(epoch), own, version or (own if tagged else f"{own}~git{stamp}.{short}"))


def _project_version(pyproject: Path) -> str:
    for line in pyproject.read_text(encoding="utf-8").splitlines():
        if line.startswith("version = "):
            return line.split('"')[1]
    raise SystemExit(f"packages: {pyproject} has no version")
