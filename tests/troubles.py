"""Every trouble that doctor has a word for, as the judges tell it of invented facts: code -> finding.

``tests/unit/test_doctor.py`` holds them against the words in the code and the table in ``docs/operate.md``.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_agent.config import SourceConfig
from mlu_agent.doctor import (
    cameras,
    checks,
    clock,
    daemon,
    disk,
    driver,
    limits,
    model,
    packages,
    runtime,
    sockets,
    unit,
)
from mlu_agent.doctor.finding import troubles
from mlu_agent.doctor.machine import Who
from mlu_agent.sources.base import Reason

if TYPE_CHECKING:
    from mlu_agent.doctor.finding import Finding

SERVICE = Who("mlu-agent", 990, frozenset({990, 44}))
CAMERA = SourceConfig("gate", "url", "rtsp://user:secret@camera/stream")
NODE = driver.Node("/dev/cambricon_dev0", device=True, usable=True, owned="root:mlu-agent 0660")
DEVICE = {"kind": "device", "version": "4.10.4", "path": "/usr/local/neuware/lib64/libcnrt.so", "reason": "found"}
MLU220 = {**DEVICE, "devices": [{"name": "MLU220", "target": "MLU220", "cores": 4}]}
BOX = limits.Limits("the service", files=1024, memory=1_500_000_000, tasks=256, available=2_000_000_000)
MODEL_FOLDER = disk.Folder("model, golden frame", Path("/var/lib/mlu-agent/model"))
AGENT = {"version": "0.1.0", "pid": 812, "uptime_s": 7.0, "phase": "serving", "reason": "", "log_lost": 0}
ENDPOINT = "tcp://127.0.0.1:5556"
LOADED = {"LoadState": "loaded", "UnitFileState": "enabled"}
OTHER = "aarch64" if platform.machine() != "aarch64" else "x86_64"


def _endpoint(code: str = "", words: str = "", **facts: str) -> list[Finding]:
    judged = sockets.Facts(folder=(code, words), **facts)
    return sockets.judge(ENDPOINT, judged, running=False, made_by_unit=False)


def _node(*, device: bool, owned: str) -> driver.Node:
    return driver.Node("/dev/cambricon_dev0", device=device, usable=not device, owned=owned)


def _driver(*nodes: driver.Node, on_bus: int = 1, modules: tuple[str, ...] = ("cambricon_drv",)) -> list[Finding]:
    return driver.judge(driver.Facts(on_bus, modules, nodes, "5.10.0"), SERVICE, wanted=True)


def source(state: str, code: str = "", reason: str = "frames arrive, but …") -> dict[str, Any]:
    where = {"id": "gate", "kind": "url", "location": "rtsp://***@camera/stream"}
    return {**where, "state": state, "code": code, "reason": reason, "fps_published": 24.9}


def status(**parts: Any) -> list[Finding]:
    return daemon.judge({"agent": AGENT, "sources": [], "device": {"state": "ok"}, "changes": [], **parts})


def _model(sentence: str) -> list[Finding]:
    return [model.judge("model main", sentence)]


def found() -> dict[str, Finding]:
    """What the judges tell, by the code that they have to tell; AssertionError where that is not one trouble."""
    facts = runtime.Facts
    machine = platform.machine()
    cannot = "libcnrt.so cannot be loaded: libcndrv.so.1: cannot open shared object file: No such file or directory"
    told = {
        "driver-missing": _driver(modules=()),
        "device-node-missing": _driver(),
        "device-node-wrong": _driver(_node(device=False, owned="root:root 0644")),
        "device-node-permission": _driver(_node(device=True, owned="root:root 0600")),
        "library-architecture": runtime.judge(facts("library", failed="wrong ELF class", machine=OTHER)),
        "library-dependency": runtime.judge(facts("library", failed=cannot, machine=machine)),
        "library-missing": runtime.judge(facts("library", failed="no CNRT library for a device")),
        "library-broken": runtime.judge(facts("version", DEVICE, signal=11, machine=machine)),
        "device-hangs": runtime.judge(facts("devices", DEVICE, late=True)),
        "device-lost": runtime.judge(facts("devices", DEVICE, failed="cnrtInit failed with NODEV (632009)")),
        "golden-wrong": runtime.judge(facts("golden", MLU220, "the golden frame failed on core group 0")),
        "model-other-hardware": runtime.judge(facts("golden", {**MLU220, "target": "MLU270", "golden": False})),
        "standin-missing": runtime.judge(
            facts("load", {**MLU220, "kind": "simulator"}, "m.cambricon: this file holds MLU220 device code only. It "
                  "needs a stand-in here.", "StandinError")
        ),
        "label-unknown": _model('source gate: classes: "cat" is no label of "small"; it knows "a"'),
        "bundle-room": _model("m.bundle: cannot be unpacked into /tmp (No space left on device); make room there"),
        "signature": _model("m.bundle: its signature is missing"),
        "model-digest": _model("m.toml: sha256: 00112233… is not the digest of m.cambricon (44556677…)"),
        "manifest-missing": _model("m.cambricon: its manifest m.toml is not beside it"),
        "model-missing": _model("m.cambricon: there is no such file or folder; check the path"),
        "model-damaged": _model("m.cambricon: ends early: 7 bytes do not hold the header"),
        "source-black": cameras.judge(CAMERA, cameras.Facts(size=(640, 480), bright=9.0, clock="arrival")),
        "clock-wrong": clock.judge(clock.Facts(7 * 86400.0, synchronised=False)),
        "clock-unsynchronised": clock.judge(clock.Facts(clock.BUILT_S + 86400.0, synchronised=False)),
        "disk-full": disk.judge(MODEL_FOLDER, disk.Facts(there=True, free=2_000_000, inodes=100_000)),
        "disk-inodes": disk.judge(MODEL_FOLDER, disk.Facts(there=True, free=10**9, inodes=3)),
        "disk-read-only": disk.judge(MODEL_FOLDER, disk.Facts(there=True, free=10**9, read_only=True)),
        "endpoint-in-use": _endpoint(user="process 812 (nc -l 5556)"),
        "endpoint-address": _endpoint(problem="publish.endpoint: tcp://10.0.0.9:5556 cannot be bound"),
        "socket-folder": _endpoint("socket-folder", "the folder /run/x of the socket is not there"),
        "socket-permission": _endpoint("socket-permission", "mlu-agent may not make a socket in /run"),
        "socket-file": _endpoint("socket-file", "/run/x/a.sock is there, and is no socket"),
        "limit-files": limits.judge(limits.Limits("the service", files=64), 4),
        "limit-tasks": limits.judge(limits.Limits("the service", tasks=16), 4),
        "limit-memory": limits.judge(limits.Limits("the service", memory=64_000_000), 4),
        "restart-loop": unit.judge({**LOADED, "ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "7",
                                    "ExecMainCode": "1", "ExecMainStatus": "3"}),
        "service-failed": unit.judge({**LOADED, "ActiveState": "failed", "ExecMainCode": "1", "ExecMainStatus": "2"}),
        "package-version": packages.judge({"mlu-client": "0.0.9"}, {"mlu-client": "0.1.0"}),
        "model-newer": _model("m.bundle: wants mlu-agent 99.0.0 or newer, and this is 0.1.0: update mlu-agent"),
        "daemon-waits": status(agent={**AGENT, "phase": "starting", "reason": "waiting: m.cambricon"}),
        "daemon-silent": daemon.judge_silence("/run/mlu-agent/control.sock: no answer within 3 s"),
        "device-suspect": status(device={"state": "suspect", "reason": "a golden frame failed"}),
        "change-refused": status(changes=[{"what": "reload", "ok": False, "came_to": "agent.toml: model: is missing"}]),
        "log-lost": status(agent={**AGENT, "log_lost": 12}),
        **{f"source-{state}": status(sources=[source(state)]) for state in ("frozen", "covered", "moved")},
        "look-failed": [checks.failed("disk", OSError("no such device"))],
        "look-hangs": [checks.hung(checks.Check("disk", list, 5.0))],
    }  # fmt: skip
    for reason in Reason:
        said = cameras.judge(CAMERA, cameras.Facts(reason, "no answer within 3 s"))
        told[f"source-{reason.value.replace('_', '-')}"] = said
    assert all(len(troubles(said)) == 1 for said in told.values()), told
    return {code: troubles(said)[0] for code, said in told.items()}


# Told by what is really there: see tests/e2e/test_doctor.py and tests/unit/test_doctor.py.
REAL = {
    "configuration",
    "password-file",
    "socket-path",
    "insecure",
    "secret-exposed",
    "file-unreadable",
    "camera-permission",
}
