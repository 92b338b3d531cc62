"""The service of this installation: the files that make it known to systemd, where they go, and what is run then.

Files go to ``/etc``, where a machine's own are; a package's lie in ``/usr/lib``, so the two can be told apart and never
meet. A ``root`` other than ``/`` is a system that does not run (an image): files only, its first boot does the rest.
"""

from __future__ import annotations

import importlib.resources
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .config.new_files import write_whole
from .errors import RuntimeFailure, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNIT = "mlu-agent.service"
CONFIGURATION = Path("etc/mlu-agent/mlu-agent.toml")
PLACES = {
    "mlu-agent.service": Path("etc/systemd/system", UNIT),
    "mlu-agent.sysusers": Path("etc/sysusers.d/mlu-agent.conf"),
    "mlu-agent.tmpfiles": Path("etc/tmpfiles.d/mlu-agent.conf"),
    "mlu-agent.udev": Path("etc/udev/rules.d/70-mlu-agent.rules"),
}
OF_A_PACKAGE = (Path("usr/lib/systemd/system", UNIT), Path("lib/systemd/system", UNIT))
WANTED = Path("etc/systemd/system/multi-user.target.wants", UNIT)
STATE = (Path("etc/mlu-agent"), Path("var/lib/mlu-agent"), Path("var/cache/mlu-agent"))
# the unit's sandbox (ProtectHome, PrivateTmp) shows the service nothing of these
HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - named, not used
PROGRAM_OF_THE_UNIT = "/usr/bin/mlu-agent"


@dataclass(frozen=True)
class Step:
    """What was done, in one word, and to what."""

    word: str
    what: str


def sample(name: str) -> str:
    """A file of the folder ``systemd/`` as this version brings it."""
    source = importlib.resources.files("mlu_agent") / "_systemd" / name
    try:
        return source.read_text(encoding="utf-8")
    except OSError as error:
        raise RuntimeFailure(f"this installation has no {name} ({error}); reinstall the wheel") from None


def files(program: Path) -> dict[Path, str]:
    """Every file of the service by its place below the root; the unit starts ``program``."""
    made = {place: sample(name) for name, place in PLACES.items()}
    unit = PLACES["mlu-agent.service"]
    for command in ("ExecStart", "ExecReload"):
        made[unit] = made[unit].replace(f"{command}={PROGRAM_OF_THE_UNIT} ", f"{command}={_quoted(program)} ")
    return made


def _quoted(program: Path) -> str:
    """As systemd reads a word of a command line."""
    text = str(program).replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"' if text != str(program) or " " in text or "'" in text else text


def install(root: Path, program: Path) -> Iterator[Step]:
    """Writes the files and makes user, folders and device rules known; nothing is enabled or started."""
    _refuse_a_package(root)
    if root == Path("/"):
        _refuse_unreachable(program)
    for place, text in files(program).items():
        yield _write(root / place, text)
    if (root / CONFIGURATION).exists():
        yield Step("kept", f"{root / CONFIGURATION}")
    else:
        yield _write(root / CONFIGURATION, sample("mlu-agent.toml"), 0o640)
    if root == Path("/"):
        yield _run("systemd-sysusers", PLACES["mlu-agent.sysusers"].name)
        yield _run("systemd-tmpfiles", "--create", PLACES["mlu-agent.tmpfiles"].name)
        yield from _announce()


def _announce() -> Iterator[Step]:
    """Tells the running service manager and the device manager of changed files."""
    if Path("/run/systemd/system").is_dir():
        yield _run("systemctl", "daemon-reload")
    if Path("/run/udev").is_dir():
        yield _run("udevadm", "control", "--reload")
        yield _run("udevadm", "trigger", "--sysname-match=cambricon*")


def start() -> Step:
    """Enables and starts it; returns when it is ready."""
    return _run("systemctl", "enable", "--now", UNIT)


def remove(root: Path, *, purge: bool) -> Iterator[Step]:
    """Stops and disables the service and takes its files away; with ``purge`` configuration, models and cache, too."""
    if not (root / PLACES["mlu-agent.service"]).exists():
        _refuse_a_package(root)
    if root == Path("/") and Path("/run/systemd/system").is_dir() and (root / PLACES["mlu-agent.service"]).exists():
        yield _run("systemctl", "disable", "--now", UNIT)
    for place in (WANTED, *PLACES.values()):
        if (root / place).is_symlink() or (root / place).exists():
            (root / place).unlink()
            yield Step("removed", str(root / place))
    for place in STATE if purge else ():
        if (root / place).exists():
            yield _run("rm", "-rf", "--one-file-system", str(root / place))  # what is mounted there is not ours
    if root == Path("/"):
        yield from _announce()


def _refuse_a_package(root: Path) -> None:
    for place in OF_A_PACKAGE:
        if (root / place).exists():
            raise UserError(
                f"{root / place}: a package brings this service already: `systemctl enable --now mlu-agent` starts "
                "that one, `apt-get remove mlu-agent` takes it away first"
            )


def _refuse_unreachable(program: Path) -> None:
    """UserError unless the service's user, in its sandbox, can start the program."""
    remedy = "; make the environment in a folder that all may read, such as /opt/mlu-agent"
    if not program.is_file():
        raise UserError(f"{program}: there is no such program; --program names it")
    resolved = program.resolve()
    for hidden in HIDDEN:
        if hidden in program.parents or hidden in resolved.parents:
            raise UserError(f"{program}: the service sees nothing below {hidden}{remedy}")
    for path in (resolved, *resolved.parents):
        if not path.stat().st_mode & stat.S_IXOTH:
            raise UserError(f"{program}: only its owner may pass {path}{remedy}")


def _write(path: Path, text: str, mode: int = 0o644) -> Step:
    data = text.encode("utf-8")
    if path.is_file() and path.read_bytes() == data:
        return Step("same", str(path))
    word = "replaced" if path.exists() else "wrote"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
    path.chmod(mode)
    return Step(word, str(path))


def _run(*command: str) -> Step:
    """Runs a command; RuntimeFailure with its last words if it fails."""
    line = " ".join(command)
    if shutil.which(command[0]) is None:
        raise RuntimeFailure(f"{command[0]} is not on this machine: the service needs systemd")
    done = _words(command)
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise RuntimeFailure(f"{line} ended with {done.returncode}: {''.join(last) or 'it said nothing'}")
    return Step("ran", line)


def _words(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(command), capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
    )
