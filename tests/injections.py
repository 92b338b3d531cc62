"""Troubles that are really there: each is injected into a box of its own, and ``mlu-agent doctor`` is asked.

``INJECTIONS`` has them by name; ``benchmarks/troubles.py`` runs all, ``tests/e2e/test_troubles.py`` the quick ones that
need no right. A function gets a ``Box``, and gives the findings.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import numpy as np
from tests.containers import device_file
from tests.faults import Fault, build_fault_library
from tests.faulty_cameras import Blackhole, Faults, HttpCamera, RtspCamera, closed_port
from tests.models import MANIFEST, small_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PATIENCE_S = 60.0
Findings = list[dict[str, Any]]
SYNTHETIC = '[[source]]\nid = "test"\nsynthetic = "64x48@20"\n'
CLOCK = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *at)
{
    const char *seconds = getenv("FAKE_SECONDS");
    int code = (int)syscall(SYS_clock_gettime, id, at);
    if (!code && id == CLOCK_REALTIME && seconds)
        at->tv_sec = atol(seconds);
    return code;
}
int adjtimex(struct timex *now)
{
    memset(now, 0, sizeof *now);
    now->status = getenv("FAKE_UNSYNCHRONISED") ? STA_UNSYNC : 0;
    return now->status ? TIME_ERROR : TIME_OK;
}
"""


class Box:
    """A folder with a model, and how doctor is run on it. ``simulator``: the library."""

    def __init__(self, folder: Path, simulator: Path) -> None:
        self.folder = folder
        self.simulator = simulator
        self.model = small_bundle(folder)
        self.control = folder / "control.sock"

    def config(
        self, sources: str = SYNTHETIC, *, model: str = "", publish: str = "", runtime: str = "simulator"
    ) -> Path:
        """A configuration that only its owner reads."""
        path = self.folder / "agent.toml"
        publish = publish or f'endpoint = "ipc://{self.folder}/out.sock"'
        publish = f'{publish}\n[control]\nsocket = "{self.control}"'
        model = model or f'[model]\npath = "{self.model}"\nruntime = "{runtime}"'
        path.write_text(f"{model}\n[publish]\n{publish}\n{sources}", encoding="utf-8")
        path.chmod(0o600)
        return path

    def doctor(
        self,
        config: Path | None,
        *,
        prefix: Sequence[str] = (),
        limit: tuple[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Findings:
        """What it finds. ``prefix``: words before the command; ``limit``: a resource and how much of it there is."""
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(self.simulator), **(environment or {})}
        words = ["-m", "mlu_agent.cli", "doctor", *(["-c", str(config)] if config else []), "--json"]
        before = partial(resource.setrlimit, limit[0], (limit[1], limit[1])) if limit else None
        done = subprocess.run(
            [*prefix, sys.executable, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env,
            timeout=60, check=False, preexec_fn=before,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout, f"exit {done.returncode}: {done.stderr}"
        told = json.loads(done.stdout)
        assert done.returncode == (1 if told["troubles"] else 0)
        findings: Findings = told["findings"]
        return findings

    @contextlib.contextmanager
    def daemon(self, config: Path, until: Callable[[dict[str, Any]], Any], output: int = -1) -> Iterator[int]:
        """A daemon that runs, from when its status is as wanted; its process id. ``output``: where its log goes."""
        env = {**os.environ, "MLU_AGENT_SIMULATOR": str(self.simulator)}
        command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(config)]
        with (self.folder / "log").open("w") as log:
            out = log.fileno() if output < 0 else output
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=env)
        try:
            self.wait(until)
            yield process.pid
        finally:
            process.kill()
            process.wait()

    def wait(self, until: Callable[[dict[str, Any]], Any]) -> None:
        from mlu_agent.commands.asking import daemon_status
        from mlu_agent.errors import MluAgentError

        status: dict[str, Any] = {}
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            with contextlib.suppress(MluAgentError):
                status = daemon_status(self.control)
                if until(status):
                    return
            time.sleep(0.1)
        raise AssertionError(f"the daemon never came so far: {status}; {(self.folder / 'log').read_text()[-500:]}")

    def compiled(self, name: str, source: str, *options: str) -> Path:
        """A library made of C."""
        text, library = self.folder / f"{name}.c", self.folder / f"{name}.so"
        text.write_text(source)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(text), *options], check=True)
        return library

    def vendor(self, library: Path | bytes) -> dict[str, str]:
        """An installation of the vendor's runtime with that library, as the environment names it."""
        folder = self.folder / "neuware" / "lib64"
        folder.mkdir(parents=True)
        data = library if isinstance(library, bytes) else library.read_bytes()
        (folder / "libcnrt.so").write_bytes(data)
        return {"NEUWARE_HOME": str(folder.parent)}


@dataclass(frozen=True)
class Injection:
    """``code``: the word that doctor has to find for it. ``root``, ``cc``: what it needs. ``quick``: about a second."""

    name: str
    code: str
    inject: Callable[[Box], Findings]
    root: bool
    cc: bool
    quick: bool


INJECTIONS: dict[str, Injection] = {}


def trouble(
    code: str, *, root: bool = False, cc: bool = False, quick: bool = False
) -> Callable[[Callable[[Box], Findings]], Callable[[Box], Findings]]:
    """Enters a function under its own name."""

    def enter(inject: Callable[[Box], Findings]) -> Callable[[Box], Findings]:
        name = inject.__name__.replace("_", " ")
        INJECTIONS[name] = Injection(name, code, inject, root, cc, quick)
        return inject

    return enter


def found(injection: Injection, findings: Findings) -> dict[str, Any] | None:
    """The finding that names the trouble and what to do; None if there is none."""
    return next((one for one in findings if one["code"] == injection.code and one["remedy"]), None)


# ---- cameras ------------------------------------------------------------------------------------------------------


def _camera(box: Box, url: str, kind: str = "url") -> Findings:
    return box.doctor(box.config(f'[[source]]\nid = "gate"\n{kind} = "{url}"\n'))


@trouble("source-unauthorized")
def wrong_password(box: Box) -> Findings:
    with RtspCamera(faults=Faults(auth="digest")) as camera:
        return _camera(box, camera.url_with("admin", "swordfish"))


@trouble("source-refused")
def camera_gone(box: Box) -> Findings:
    return _camera(box, f"rtsp://127.0.0.1:{closed_port()}/stream")


@trouble("source-unreachable")
def camera_host_unknown(box: Box) -> Findings:
    return _camera(box, "rtsp://camera.invalid/stream")


@trouble("source-not-found")
def wrong_path_of_the_stream(box: Box) -> Findings:
    with RtspCamera(faults=Faults(status="404 Not Found")) as camera:
        return _camera(box, camera.url)


@trouble("source-timeout")
def camera_says_nothing(box: Box) -> Findings:
    with Blackhole() as camera:
        return _camera(box, camera.url)


@trouble("source-timeout")
def camera_answers_and_sends_no_frame(box: Box) -> Findings:
    with RtspCamera(faults=Faults(stop_sending=True)) as camera:
        return _camera(box, camera.url)


@trouble("source-refused")
def camera_has_too_many_listeners(box: Box) -> Findings:
    with RtspCamera(faults=Faults(status="453 Not Enough Bandwidth")) as camera:
        return _camera(box, camera.url)


@trouble("source-unsupported")
def wrong_codec(box: Box) -> Findings:
    with RtspCamera(faults=Faults(codec="JPEG2000")) as camera:
        return _camera(box, camera.url)


@trouble("source-broken")
def damaged_video(box: Box) -> Findings:
    with RtspCamera(faults=Faults(drop_after=1)) as camera:
        return _camera(box, camera.url)


@trouble("source-not-found")
def no_such_video_device(box: Box) -> Findings:
    return box.doctor(box.config('[[source]]\nid = "usb"\ncamera = 77\n'))


@trouble("source-not-found")
def file_of_a_source_missing(box: Box) -> Findings:
    return box.doctor(box.config('[[source]]\nid = "clip"\npath = "absent.mp4"\n'))


@trouble("source-black")
def black_picture(box: Box) -> Findings:
    with HttpCamera() as camera:
        _paint(camera, 4)
        return _camera(box, camera.url)


# ---- a daemon that runs: it is asked, and keeps what it has -------------------------------------------------------

SOON = "stall_timeout_s = 0.5\nopen_timeout_s = 1.0\n[source.watch]\nhold_s = 0.5\n"
QUICK = f"{SOON}frozen_s = 0.5\n"
LATE = "reconnect_min_s = 60.0\nreconnect_max_s = 60.0\n"


def _state(wanted: str, code: str = "") -> Callable[[dict[str, Any]], bool]:
    """``code``: the reason as well, if one is given."""
    return lambda status: any(
        source["state"] == wanted and code in {"", source["code"]} for source in status["sources"]
    )


def _watched(
    box: Box, url: str, state: str, then: Callable[[], object] | None = None, *, code: str = "", options: str = QUICK
) -> Findings:
    """The daemon at work until a source with those options is in that state, for that reason."""
    config = box.config(f'[[source]]\nid = "gate"\nurl = "{url}"\n{options}')
    with box.daemon(config, _state("live" if then else state)):
        if then:
            then()
        box.wait(_state(state, code))
        return box.doctor(config)


@trouble("source-frozen")
def frozen_picture(box: Box) -> Findings:
    with HttpCamera() as camera:
        camera._pictures = camera._pictures[:1]
        return _watched(box, camera.url, "frozen")


def _paint(camera: HttpCamera, *levels: int) -> None:
    """From now on each of its pictures has one of these grey levels all over."""
    import cv2

    pictures = [np.full((120, 160, 3), level, np.uint8) for level in levels]
    camera._pictures = [cv2.imencode(".jpg", one)[1].tobytes() for one in pictures]


@trouble("source-black")
def picture_that_became_black(box: Box) -> Findings:
    with HttpCamera() as camera:
        return _watched(box, camera.url, "black", lambda: _paint(camera, 4))


@trouble("source-covered")
def covered_lens(box: Box) -> Findings:
    with HttpCamera() as camera:
        return _watched(box, camera.url, "covered", lambda: _paint(camera, 120, 130), options=f"{SOON}frozen_s = 0.0\n")


@trouble("source-refused")
def camera_unplugged_while_the_daemon_runs(box: Box) -> Findings:
    """Once the daemon tried it again: until then all that anybody knows is that the stream broke off."""
    with RtspCamera() as camera:
        return _watched(box, camera.url, "lost", camera.stop, code="refused")


@trouble("source-broken")
def camera_broke_off_and_was_not_tried_again_yet(box: Box) -> Findings:
    with RtspCamera() as camera:
        return _watched(box, camera.url, "lost", camera.stop, options=LATE)


@trouble("source-silent")
def camera_falls_silent_while_the_daemon_runs(box: Box) -> Findings:
    with RtspCamera() as camera:

        def hush() -> None:
            camera.faults.stop_sending = True

        return _watched(box, camera.url, "stalled", hush)


@trouble("daemon-waits")
def daemon_waits_for_its_model(box: Box) -> Findings:
    config = box.config()
    box.model.rename(box.folder / "elsewhere")
    with box.daemon(config, lambda status: status["agent"]["phase"] == "starting" and status["agent"]["reason"]):
        return box.doctor(config)


@trouble("log-lost")
def log_whose_reader_sleeps(box: Box) -> Findings:
    config = box.config(SYNTHETIC + "realtime = true\n[log]\nsummary_s = 0.01\n")
    reading, writing = os.pipe()
    try:
        with box.daemon(config, lambda status: status["agent"]["log_lost"], writing):
            return box.doctor(config)
    finally:
        os.close(reading)
        os.close(writing)


@trouble("daemon-silent")
def daemon_that_stands_still(box: Box) -> Findings:
    config = box.config(SYNTHETIC + "realtime = true\n")
    with box.daemon(config, _state("live")) as pid:
        os.kill(pid, signal.SIGSTOP)
        return box.doctor(config)


@trouble("change-refused", quick=True)
def configuration_that_is_not_taken(box: Box) -> Findings:
    config = box.config(SYNTHETIC + "realtime = true\n")
    with box.daemon(config, _state("live")) as pid:
        right = config.read_text()
        config.write_text("[model]\n")
        os.kill(pid, signal.SIGHUP)
        box.wait(lambda status: status["changes"])
        config.write_text(right)
        return box.doctor(config)


# ---- disks --------------------------------------------------------------------------------------------------------


def _mounted(box: Box, options: str, then: str = "true") -> Findings:
    """With the model on a file system of its own; ``then``: what happens to it before doctor looks."""
    disk = box.folder / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o {options} none {disk} && cp {box.folder}/small.* {disk} && {then} && exec "$@"'
    config = box.config(model=f'[model]\npath = "{disk}/small.cambricon"\nruntime = "simulator"')
    return box.doctor(config, prefix=["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"])


@trouble("disk-full", root=True)
def disk_full(box: Box) -> Findings:
    return _mounted(box, "size=2m", f"(cat /dev/zero > {box.folder}/disk/fill 2> /dev/null || true)")


@trouble("disk-inodes", root=True)
def no_inode_left(box: Box) -> Findings:
    return _mounted(box, "size=200m,nr_inodes=16")


@trouble("disk-read-only", root=True)
def disk_read_only(box: Box) -> Findings:
    return _mounted(box, "size=200m", f"mount -o remount,ro {box.folder}/disk")


# ---- clock --------------------------------------------------------------------------------------------------------


def _clock(box: Box, **environment: str) -> Findings:
    preload = {"LD_PRELOAD": str(box.compiled("clock", CLOCK)), **environment}
    return box.doctor(None, environment=preload)


@trouble("clock-wrong", cc=True, quick=True)
def clock_wrong(box: Box) -> Findings:
    return _clock(box, FAKE_SECONDS="86400")


@trouble("clock-wrong", cc=True)
def clock_far_ahead(box: Box) -> Findings:
    return _clock(box, FAKE_SECONDS="4102444800")


@trouble("clock-unsynchronised", cc=True)
def clock_unsynchronised(box: Box) -> Findings:
    return _clock(box, FAKE_UNSYNCHRONISED="1")


# ---- library and driver -------------------------------------------------------------------------------------------

STAND_IN = "int cnrtInit(unsigned flags) { return flags ? 632007 : 632009; }\n"
STAND_IN += "int cnrtGetVersion(unsigned *number) { *number = 41004; return 0; }\n"


@trouble("library-missing")
def library_missing(box: Box) -> Findings:
    return box.doctor(box.config(runtime="device"), environment={"NEUWARE_HOME": str(box.folder / "absent")})


@trouble("library-dependency", cc=True, quick=True)
def library_needs_another_that_is_missing(box: Box) -> Findings:
    other = box.compiled("libcndrv", "int cn(void) { return 0; }\n")
    source = "int cn(void);\nint cnrtInit(unsigned flags) { return cn() + (int)flags; }\n"
    needs = [f"-L{box.folder}", "-l:libcndrv.so", "-Wl,--no-as-needed"]
    library = box.compiled("vendor", source, *needs)
    other.unlink()
    return box.doctor(box.config(runtime="auto"), environment=box.vendor(library))


@trouble("library-architecture", quick=True)
def library_for_another_processor(box: Box) -> Findings:
    data = bytearray(box.simulator.read_bytes())
    data[18:20] = (62 if platform.machine() == "aarch64" else 183).to_bytes(2, "little")
    return box.doctor(box.config(runtime="device"), environment=box.vendor(bytes(data)))


@trouble("library-broken")
def library_damaged(box: Box) -> Findings:
    data = box.simulator.read_bytes()
    return box.doctor(box.config(runtime="auto"), environment=box.vendor(data[: len(data) // 3]))


@trouble("library-broken", cc=True)
def library_that_crashes(box: Box) -> Findings:
    source = STAND_IN.replace("*number = 41004;", "*(volatile int *)0 = 1; *number = 1;")
    library = box.compiled("vendor", source)
    return box.doctor(box.config(runtime="device"), environment=box.vendor(library))


@trouble("device-node-missing", cc=True)
def device_node_missing(box: Box) -> Findings:
    library = box.compiled("vendor", STAND_IN)
    return box.doctor(box.config(runtime="device"), environment=box.vendor(library))


@trouble("driver-missing", root=True)
def driver_missing(box: Box) -> Findings:
    card = box.folder / "devices" / "0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0xcabc\n")
    script = f'mount --bind {card.parent} /sys/bus/pci/devices && exec "$@"'
    return box.doctor(box.config(runtime="auto"), prefix=_apart(script))


def _apart(script: str) -> list[str]:
    """In a view of the file system of its own."""
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"]


def _with_nodes(box: Box, nodes: str) -> list[str]:
    """With /dev as it is usually, and ``nodes`` in it; run by nobody."""
    dev = box.folder / "dev"
    dev.mkdir()
    usual = (
        f"mount -t tmpfs -o mode=755 none {dev} && cp -a /dev/null /dev/zero /dev/random /dev/urandom /dev/full {dev}"
    )
    shared = f"mkdir -m 1777 {dev}/shm && ln -s /proc/self/fd {dev}/fd"
    nobody = "exec setpriv --reuid 65534 --regid 65534 --clear-groups"
    return _apart(f'{usual} && {shared} && cd {dev} && {nodes} && cd / && mount --move {dev} /dev && {nobody} "$@"')


@trouble("device-node-permission", root=True)
def no_permission_on_a_device_node(box: Box) -> Findings:
    return box.doctor(None, prefix=_with_nodes(box, "mknod -m 600 cambricon_dev0 c 1 3"))


@trouble("device-node-wrong", root=True)
def file_in_place_of_a_device_node(box: Box) -> Findings:
    return box.doctor(None, prefix=_with_nodes(box, "echo > cambricon_dev0"))


@trouble("camera-permission", root=True)
def no_permission_on_a_camera(box: Box) -> Findings:
    config = box.config('[[source]]\nid = "usb"\ncamera = 0\n')
    config.chmod(0o644)
    return box.doctor(config, prefix=_with_nodes(box, "mknod -m 660 video0 c 81 0"))


# ---- model and device ---------------------------------------------------------------------------------------------


@trouble("manifest-missing")
def manifest_missing(box: Box) -> Findings:
    box.model.with_suffix(".toml").unlink()
    return box.doctor(box.config())


@trouble("model-missing")
def model_missing(box: Box) -> Findings:
    box.model.unlink()
    return box.doctor(box.config())


@trouble("model-digest", quick=True)
def digest_wrong(box: Box) -> Findings:
    data = bytearray(box.model.read_bytes())
    data[-100] ^= 1
    box.model.write_bytes(data)
    return box.doctor(box.config())


@trouble("model-damaged")
def model_damaged(box: Box) -> Findings:
    import hashlib

    data = box.model.read_bytes()
    half = data[: len(data) // 2]
    manifest = box.model.with_suffix(".toml")
    text = manifest.read_text().replace(hashlib.sha256(data).hexdigest(), hashlib.sha256(half).hexdigest())
    manifest.write_text(text)
    box.model.write_bytes(half)
    return box.doctor(box.config())


@trouble("signature")
def signature_missing(box: Box) -> Findings:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from tests.bundles import small_members, write_bundle

    bundle = write_bundle(box.folder / "small.bundle", small_members(box.model))
    public = Ed25519PrivateKey.generate().public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (box.folder / "site.pub").write_bytes(public.public_bytes(serialization.Encoding.PEM, form))
    model = f'[model]\npath = "{bundle}"\nruntime = "simulator"\ntrust = "site.pub"'
    return box.doctor(box.config(model=model))


@trouble("model-newer")
def bundle_for_a_newer_agent(box: Box) -> Findings:
    from tests.bundles import small_members, write_bundle

    bundle = write_bundle(box.folder / "small.bundle", small_members(box.model), least_agent="99.0.0")
    return box.doctor(box.config(model=f'[model]\npath = "{bundle}"\nruntime = "simulator"'))


@trouble("model-damaged")
def bundle_with_a_flipped_bit(box: Box) -> Findings:
    from tests.bundles import small_members, write_bundle

    bundle = write_bundle(box.folder / "small.bundle", small_members(box.model))
    data = bytearray(bundle.read_bytes())
    data[-100] ^= 1
    bundle.write_bytes(data)
    return box.doctor(box.config(model=f'[model]\npath = "{bundle}"\nruntime = "simulator"'))


@trouble("model-other-hardware", quick=True)
def model_for_other_hardware(box: Box) -> Findings:
    box.model = small_bundle(box.folder, parallelism=16)
    return box.doctor(box.config())


@trouble("standin-missing", quick=True)
def device_file_without_a_standin(box: Box) -> Findings:
    data = device_file([((1, 32, 32, 4), "uint8")], [((1, 16, 16, 18), "float16")])
    box.model.write_bytes(data)
    box.model.with_suffix(".toml").write_text(MANIFEST.format(digest=hashlib.sha256(data).hexdigest()))
    return box.doctor(box.config(), environment={"CNRT_SIMULATOR_STANDINS": str(box.folder)})


@trouble("device-lost", quick=True)
def device_lost(box: Box) -> Findings:
    faults = box.folder / "faults.toml"
    faults.write_text('[[fault]]\nfunction = "cnrtInvokeRuntimeContext"\nlost = true\n')
    return box.doctor(box.config(), environment={"CNRT_SIMULATOR_FAULTS": str(faults)})


@trouble("device-lost")
def no_device(box: Box) -> Findings:
    return box.doctor(box.config(), environment={"CNRT_SIMULATOR_DEVICES": "0"})


@trouble("device-hangs")
def device_hangs_at_start(box: Box) -> Findings:
    faults = box.folder / "faults.toml"
    faults.write_text('[[fault]]\nfunction = "cnrtLoadModel"\nhang = true\n')
    return box.doctor(box.config(), environment={"CNRT_SIMULATOR_FAULTS": str(faults)})


@trouble("golden-wrong", cc=True, quick=True)
def golden_frame_wrong(box: Box) -> Findings:
    from mlu_agent.cnrt import open_library
    from mlu_agent.engine import Engine
    from mlu_agent.engine.golden import record
    from mlu_agent.model.bundle import load_bundle
    from mlu_agent.model.golden import golden_text

    with Engine(open_library(str(box.simulator)), box.model, spare=True) as engine:
        golden = record(engine, load_bundle(box.model).sha256, "simulator")
    box.model.with_suffix(".golden").write_text(golden_text(golden))
    fault = Fault(build_fault_library(box.folder, box.simulator), box.folder / "fault")
    fault.begin("out", "flip", 1)
    return box.doctor(box.config(), environment=fault.environment)


# ---- sockets, limits, rights, configuration -----------------------------------------------------------------------


@trouble("endpoint-in-use")
def port_in_use(box: Box) -> Findings:
    with socket.create_server(("127.0.0.1", 0)) as other:
        return box.doctor(box.config(publish=f'endpoint = "tcp://127.0.0.1:{other.getsockname()[1]}"'))


@trouble("endpoint-address")
def address_of_another_machine(box: Box) -> Findings:
    return box.doctor(box.config(publish='endpoint = "tcp://192.0.2.1:5556"\ninsecure = true'))


@trouble("socket-folder")
def socket_folder_missing(box: Box) -> Findings:
    return box.doctor(box.config(publish=f'endpoint = "ipc://{box.folder}/absent/out.sock"'))


@trouble("socket-permission", root=True)
def socket_folder_closed(box: Box) -> Findings:
    config = box.config()
    config.chmod(0o644)
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    return box.doctor(config, prefix=nobody)


@trouble("socket-file")
def file_in_place_of_the_socket(box: Box) -> Findings:
    (box.folder / "out.sock").touch()
    return box.doctor(box.config())


@trouble("socket-path")
def socket_path_too_long(box: Box) -> Findings:
    return box.doctor(box.config(publish=f'endpoint = "ipc:///run/{"x" * 120}/out.sock"'))


@trouble("insecure")
def insecure_endpoint(box: Box) -> Findings:
    return box.doctor(box.config(publish='endpoint = "tcp://*:5556"'))


@trouble("configuration")
def configuration_with_typo(box: Box) -> Findings:
    return box.doctor(box.config('[[source]]\nid = "test"\nsynthetic = "64x48@20"\nmaxfps = 5\n'))


@trouble("secret-exposed")
def password_file_readable_by_all(box: Box) -> Findings:
    secret = box.folder / "password"
    secret.write_text("hush\n")
    secret.chmod(0o644)
    for folder in secret.parents:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    url = f'url = "rtsp://127.0.0.1:{closed_port()}/"\nuser = "admin"\npassword_file = "{secret}"'
    return box.doctor(box.config(f'[[source]]\nid = "gate"\n{url}\n'))


@trouble("password-file")
def password_file_missing(box: Box) -> Findings:
    url = 'url = "rtsp://127.0.0.1/"\nuser = "admin"\npassword_file = "absent"'
    return box.doctor(box.config(f'[[source]]\nid = "gate"\n{url}\n'))


@trouble("limit-files", quick=True)
def too_few_descriptors(box: Box) -> Findings:
    return box.doctor(box.config(), limit=(resource.RLIMIT_NOFILE, 64))


@trouble("limit-memory")
def memory_limit_too_small(box: Box) -> Findings:
    sources = "".join(f'[[source]]\nid = "s{number}"\npath = "clip.mp4"\n' for number in range(40))
    return box.doctor(box.config(sources), limit=(resource.RLIMIT_AS, 2_000_000_000))


@trouble("package-version", quick=True)
def package_of_another_release(box: Box) -> Findings:
    told = box.folder / "old" / "mlu_client-0.0.9.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: mlu-client\nVersion: 0.0.9\n")
    return box.doctor(box.config(), environment={"PYTHONPATH": str(told.parent)})


def lacks(injection: Injection) -> str:
    """Why an injection cannot be done here, "" if it can."""
    if injection.root and (os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False).returncode):
        return "needs root, and mounts of its own"
    return "needs a C compiler" if injection.cc and not shutil.which("cc") else ""
