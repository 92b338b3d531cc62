"""The runtime library, the devices behind it and the model on them, looked at by a process of its own (``child``)."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cnrt.library import LIBRARY_NAME, VENDOR_FOLDER
from ..errors import StandinError
from ..model.unpacked import CACHE_VARIABLE
from .child import LIBRARY_ONLY
from .finding import Finding, fine, note, trouble, troubles
from .unit import signal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..config import ModelConfig

AREA = "runtime"
ENOUGH = 200  # lines of the child: it says ten
_MISSING = re.compile(r"(\S+\.so[\w.]*): cannot open shared object file")
_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}  # e_machine of ELF


@dataclass(frozen=True)
class Facts:
    """What the child told. ``step``: the one that it was in last. ``failed``: why it ended there; ``signal``: it was
    killed by that; ``late``: it did not come back. ``machine``: what the library was built for, "" if unknown."""

    step: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""
    kind: str = ""
    signal: int = 0
    late: bool = False
    machine: str = ""


def look(
    runtime: str, model: ModelConfig | None, limit_s: float, goldens: Path, *, library_only: bool = False
) -> Facts:
    """Runs the child for at most so many seconds. ``goldens``: where golden frames may lie, too; ``library_only``: no
    device is asked for anything."""
    what = [LIBRARY_ONLY] if library_only else [_asked(model, goldens)] if model else []
    command = [sys.executable, "-m", "mlu_agent.doctor.child", runtime, *what]
    # the cache is the service's: what another user unpacked there would be in its way
    env = {name: value for name, value in os.environ.items() if name != CACHE_VARIABLE}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    )
    late = False
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as expired:
        late = True
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # inside a driver not even that ends it
            process.communicate(timeout=0.5)
        output = expired.stdout or b""
    killed = 0 if late else max(0, -process.returncode)
    return read(output, late=late, killed=killed, machine=built_for(library_file(runtime)))


def _asked(model: ModelConfig, goldens: Path) -> str:
    trust = str(model.trust or "")
    asked = {"path": str(model.path), "trust": trust, "require_signature": model.require_signature}
    return json.dumps({**asked, "goldens": str(goldens)})


def read(output: bytes, *, late: bool = False, killed: int = 0, machine: str = "") -> Facts:
    """The child's lines, as far as they came."""
    step, failed, kind = "", "", ""
    told: dict[str, Any] = {"warnings": []}
    for line in output.splitlines()[:ENOUGH]:
        try:
            said = json.loads(line)
        except ValueError:  # cut off in the middle
            continue
        step = said.get("step", step)
        failed, kind = said.get("failed", failed), said.get("kind", kind)
        fact = said.get("fact", {})
        told["warnings"] += [fact.pop("warning")] if "warning" in fact else []
        told.update(fact)
    return Facts(step, told, failed, kind, killed, late, machine)


def library_file(runtime: str) -> Path | None:
    """The file that would be a device's library, or that ``runtime`` names; None if there is none."""
    home = os.environ.get("NEUWARE_HOME")
    folders = [Path(home) / "lib64"] if home else []
    files = [folder / LIBRARY_NAME for folder in [*folders, Path(VENDOR_FOLDER) / "lib64"]]
    places = [Path(runtime)] if runtime.startswith("/") else [] if runtime == "simulator" else files
    return next((place for place in places if os.access(place, os.F_OK)), None)


def built_for(file: Path | None) -> str:
    """The processor that an ELF file is for, "" where that cannot be told."""
    if file is None:
        return ""
    try:
        with file.open("rb") as opened:
            head = opened.read(20)
    except OSError:
        return ""
    if len(head) < 20 or not head.startswith(b"\x7fELF"):
        return ""
    number = int.from_bytes(head[18:20], "little")
    return _MACHINES.get(number, f"machine {number}")


def judge(facts: Facts, model: str = "model", *, running: bool = False) -> list[Finding]:
    """Library, devices and model, up to the first that something is wrong with. ``model``: what findings call it.
    ``running``: the daemon has the device, so only the library was looked at."""
    found = [*_judge_library(facts)]
    if not troubles(found):
        found += _judge_devices(facts, running=running)
    if not troubles(found) and facts.step in _DOING:
        found += _judge_model(facts, f"{model} run")
    return found


def _judge_library(facts: Facts) -> Iterable[Finding]:
    reason = str(facts.told.get("reason", "")) + facts.failed
    missing = _MISSING.search(reason)
    if facts.machine and facts.machine != platform.machine():
        yield trouble(
            AREA,
            "library-architecture",
            f"the runtime library is built for {facts.machine}, and this box is {platform.machine()}",
            f"install the vendor's runtime for {platform.machine()}",
        )
    elif missing and "cannot be loaded" in reason:
        yield trouble(
            AREA,
            "library-dependency",
            f"the runtime library cannot be loaded: {missing[1]} is missing",
            f"install the vendor's package that has {missing[1]}, put its folder into /etc/ld.so.conf.d and run "
            "`ldconfig`",
        )
    elif facts.step == "" and facts.late:
        what = "the process that looks at the runtime library did not answer within its time"
        yield trouble(
            AREA, "look-hangs", what, "the box is too busy or its disk hangs: look again when `uptime` is low"
        )
    elif facts.step == "library" and facts.late:
        yield _late("the runtime library does not come back while it is loaded")
    elif facts.step in ("", "library", "version") and (facts.signal or facts.failed):
        yield _no_library(facts)
    elif "cannot be loaded" in reason:
        yield trouble(AREA, "library-broken", reason, "install the vendor's runtime anew: the file is damaged")
    else:
        kind, version = facts.told.get("kind", "?"), facts.told.get("version", "?")
        yield fine(AREA, f"{kind}, version {version}, {facts.told.get('path', '?')}: {reason}")


def _no_library(facts: Facts) -> Finding:
    if facts.signal:
        what = f"the runtime library ends the process that loads it ({signal_name(facts.signal)})"
        return trouble(AREA, "library-broken", what, "install the vendor's runtime anew, of the driver's version")
    return trouble(
        AREA,
        "library-missing",
        facts.failed,
        'install the vendor\'s runtime (libcnrt.so), say in NEUWARE_HOME where it is, or write runtime = "auto"',
    )


def _late(what: str) -> Finding:
    return trouble(
        AREA,
        "device-hangs",
        what,
        "restart the box; if it comes again, `dmesg | grep -i cambricon` tells what the driver met",
    )


def _judge_devices(facts: Facts, *, running: bool) -> Iterable[Finding]:
    devices = facts.told.get("devices")
    if devices:
        named = ", ".join(f"{one['name']} ({one['target']}, {one['cores']} cores)" for one in devices)
        yield fine("device", named)
    elif running:
        yield note("device", "the running daemon has it")
    elif facts.late and facts.step == "devices":
        yield _late("the device does not answer: cnrtInit did not come back")
    elif facts.signal:
        what = f"asking for devices ends the process ({signal_name(facts.signal)})"
        yield trouble("device", "library-broken", what, "install driver and runtime of one version")
    else:
        said = facts.failed or "the runtime sees no device"
        yield trouble(
            "device",
            "device-lost",
            said,
            "look at the findings of the driver; without any, restart the box and seat the card anew",
        )


def _judge_model(facts: Facts, area: str) -> Iterable[Finding]:
    told, device = facts.told, (facts.told.get("devices") or [{}])[0]
    if facts.late:
        yield _late(f"the device does not come back from {_DOING.get(facts.step, facts.step)}")
    elif facts.signal:
        what = f"the runtime ends the process ({signal_name(facts.signal)}) in {_DOING.get(facts.step)}"
        yield trouble(area, "library-broken", what, "install driver and runtime of one version")
    elif facts.failed and facts.step == "golden":
        yield trouble(
            area,
            "golden-wrong",
            facts.failed,
            "the device computes wrong: cool it, power it off and on, and replace it if that lasts; a new runtime "
            "that computes otherwise on purpose needs a new golden frame: remove NAME.golden",
        )
    elif facts.kind == StandinError.__name__:
        yield trouble(
            area,
            "standin-missing",
            facts.failed,
            "make the stand-in with `mlu-export standin` and name its folder in [simulator] standins; on a box with a "
            "device none is needed: see the findings of the driver",
        )
    elif facts.failed and (facts.kind in ("DataError", "UserError") or _other_target(told, device)):
        what = f"{facts.failed} (the device is {device.get('name')}, {device.get('cores')} cores)"
        yield trouble(area, "model-other-hardware", what, "use the model that was compiled for this device")
    elif facts.failed:
        found = f"{facts.failed} in {_DOING.get(facts.step)}"
        yield trouble(
            area, "device-lost", found, "restart the box; if it comes again, `dmesg` tells what the driver met"
        )
    elif _other_target(told, device):
        what = f"the model is for an {told['target']}, and the device is an {device['target']}"
        yield trouble(area, "model-other-hardware", what, "use the model that was compiled for this device")
    else:
        yield from _judge_golden(told, area)


_DOING = {
    "model": "reading the model",
    "load": "loading the model",
    "self-test": "its first picture",
    "golden": "the golden frame",
}


def _other_target(told: Mapping[str, Any], device: Mapping[str, Any]) -> bool:
    known = {told.get("target"), device.get("target")} - {None, "unknown"}
    return len(known) > 1 and told.get("kind") == "device"


def _judge_golden(told: Mapping[str, Any], area: str) -> Iterable[Finding]:
    if "standin" in told:
        yield note(area, told["standin"])
    took = f"a picture took {told.get('device_ms')} ms of the device"
    if told.get("golden"):
        yield fine(area, f"{took}, and the golden frame came out to the bit")
    else:
        why = "; ".join(told.get("warnings", [])) or "there is none yet: the daemon's first start records it"
        yield note(area, f"{took}; no golden frame was run: {why}")
