"""Soak test: cameras that come and go, a device that fails now and then, and a daemon that must not show it for hours.

    python benchmarks/soak.py --model MODEL.cambricon --clip CLIP [--minutes 60] [--outage 120] [--fault 300]

Six sources: two RTSP cameras (one of GStreamer's server, one that can misbehave), a looping file, three generators. A
camera is lost every ``--outage`` seconds, in another way each time; the simulated device fails every ``--fault``
seconds, at another call each time. Watched from outside, as a subscriber of all messages and through /proc:

    RSS slope       MB per hour, least squares over all samples after the warm-up
    descriptors     and threads: the median of the last quarter is that of the first after the warm-up
    counters        frames_read == published + dropped + failed + in_flight in every heartbeat and every frame
    gaps            in the sequence numbers: none that `failed` does not explain
    states          each lost camera is live again in time, no other source is disturbed

Prints a line every half minute and a verdict; exits with 1 if any promise was broken. SIGINT ends it early, with its
verdict.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from soak_watch import Heartbeats, Process, Seen
from tests.faulty_cameras import RtspCamera

from mlu_agent.client import Subscriber

ROOT = Path(__file__).resolve().parent.parent
SYSTEM_PYTHON = "/usr/bin/python3"
SAMPLE_S = 2.0
REPORT_S = 30.0
OUTAGE_S = 8.0
FPS = 5
BACK_S = 6.0  # 5 s after the camera answers, and the time that a picture needs to leave and to be seen
STOP_LIMIT_S = 5.0
MAX_FAULTS = 250
CAMERAS = ("gstreamer", "faulty")
OUTAGES = (
    ("gstreamer", "gone"),
    ("faulty", "gone"),
    ("faulty", "silent"),
    ("gstreamer", "gone"),
    ("faulty", "broken off"),
)
# What the device does, one after the other; each is mended within the process, by another step of the ladder.
DEVICE_FAULTS = (
    'function = "cnrtInvokeRuntimeContext"\nat = "queue"\ncode = "CNRT_RET_ERR_QUEUE"\nuntil = "once"',
    'function = "cnrtMemcpy"\ndirection = "out"\ncode = "CNRT_RET_ERR_MEMCPY"\nuntil = "once"',
    'function = "cnrtInvokeRuntimeContext"\nat = "queue"\ncode = "CNRT_RET_ERR_QUEUE"\nuntil = "context"',
    'function = "cnrtSyncQueue"\nslow_ms = 800\nuntil = "once"',
    'function = "cnrtInvokeRuntimeContext"\nat = "queue"\ncode = "CNRT_RET_ERR_QUEUE"\nuntil = "init"',
)
CONFIG = """\
[agent]
box = "soak"
[model]
path = "{model}"
runtime = "simulator"
[publish]
endpoint = "{endpoint}"
high_water_mark = 100000
[[source]]
id = "gstreamer"
url = "{gstreamer}"
[[source]]
id = "faulty"
url = "{faulty}"
[[source]]
id = "file"
path = "{clip}"
loop = true
max_fps = 8
[[source]]
id = "small"
synthetic = "160x120@10"
[[source]]
id = "large"
synthetic = "640x480@2"
[[source]]
id = "usual"
synthetic = "320x240@5"
"""


def fault_file(every_s: float) -> str:
    """A failure of the device every so many seconds, for as long as anybody will run this."""
    tables = (
        f"[[fault]]\n{DEVICE_FAULTS[number % len(DEVICE_FAULTS)]}\nafter_s = {every_s * (number + 1):.1f}\nnth = 1\n"
        for number in range(MAX_FAULTS)
    )
    return "\n".join(tables)


class Server:
    """GStreamer's RTSP server as a process that is killed and started again on the same port."""

    def __init__(self, clip: Path) -> None:
        self._clip = clip
        self._port = "0"
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        """Returns when it listens."""
        script = str(ROOT / "tests" / "rtsp_server.py")
        command = [SYSTEM_PYTHON, script, "--port", self._port, "--file", str(self._clip), "--until-eof"]
        command += ["--fps", str(FPS), "--size", "320x176"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[1]
        self._port = self.url.split(":")[2].split("/")[0]

    def stop(self) -> None:
        """Kills it, as a camera whose cable is pulled."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Cameras:
    """Both cameras and what is wrong with them at the moment."""

    def __init__(self, clip: Path) -> None:
        self.gstreamer = Server(clip)
        self.gstreamer.start()
        self.faulty = RtspCamera(fps=FPS)
        self.faulty.start()
        self.outages = 0
        self.lost: tuple[str, str] | None = None

    def lose(self) -> str:
        """Begins the next outage; says which."""
        self.lost = OUTAGES[self.outages % len(OUTAGES)]
        self.outages += 1
        camera, how = self.lost
        if how == "silent":
            self.faulty.faults.stop_sending = True
        else:
            getattr(self, camera).stop()
        return f"{camera} is {how}"

    def back(self) -> str:
        """Ends the outage; returns the camera."""
        assert self.lost is not None
        (camera, how), self.lost = self.lost, None
        if how == "silent":
            self.faulty.faults.stop_sending = False
        else:
            getattr(self, camera).start()
        return camera

    def close(self) -> None:
        """Ends both, whatever is wrong with one at the moment."""
        if self.lost is not None:
            self.back()
        self.gstreamer.stop()
        self.faulty.stop()


class Soak:
    """One run."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.seconds = arguments.minutes * 60
        self._arguments = arguments
        self.cameras = Cameras(arguments.clip)
        endpoint = f"ipc://{folder}/soak.sock"
        config, faults = folder / "soak.toml", folder / "faults.toml"
        faults.write_text(fault_file(arguments.fault))
        urls = {name: getattr(self.cameras, name).url for name in CAMERAS}
        config.write_text(
            CONFIG.format(model=arguments.model.resolve(), clip=arguments.clip.resolve(), endpoint=endpoint, **urls)
        )
        self._log = (arguments.log or folder / "daemon.log").open("w")
        command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(config), "--wait-for-subscriber", "30"]
        self.subscriber = Subscriber(endpoint, high_water_mark=1_000_000)
        self.process = Process(command, {"CNRT_SIMULATOR_FAULTS": str(faults)}, self._log)
        self.seen = {name: Seen() for name in (*CAMERAS, "file", "small", "large", "usual")}
        self.beats = Heartbeats()
        self.late: list[str] = []
        self.back_s: list[float] = []
        self.stop_s = self.ran_s = 0.0
        self._awaited: tuple[str, float] | None = None
        self._enough = False

    def run(self) -> None:
        """The whole time, or until SIGINT."""
        signal.signal(signal.SIGINT, self._interrupt)
        start = time.monotonic()
        outage, back = self._arguments.outage / 2, float("inf")
        sample = report = 0.0
        while (now := time.monotonic() - start) < self.seconds and not self._enough and self.process.alive:
            self.ran_s = now
            self._receive(0.2)
            self._look_for_camera()
            if now >= outage and self.cameras.lost is None:
                print(f"{now:6.0f} s  {self.cameras.lose()}", flush=True)
                outage, back = outage + self._arguments.outage, now + OUTAGE_S
            if now >= back:
                self._awaited, back = (self.cameras.back(), time.monotonic()), float("inf")
            if now >= sample:
                sample = now + SAMPLE_S
                self.process.sample(now)
            if now >= report:
                report = now + REPORT_S
                self._report(now)
        self._stop()

    def _interrupt(self, *_: object) -> None:
        self._enough = True

    def _receive(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            message = self.subscriber.receive(left)
            if message is None:
                return
            if message["kind"] == "heartbeat":
                self.beats.take(message)
            elif message.get("source") in self.seen:
                self.seen[message["source"]].take(message)

    def _look_for_camera(self) -> None:
        """How long the camera took that answers again."""
        if self._awaited is None:
            return
        camera, since = self._awaited
        if self.seen[camera].last_frame > since:
            took = self.seen[camera].last_frame - since
            self.back_s.append(took)
            if took > BACK_S:
                self.late.append(f"{camera} was back {took:.1f} s after it answered")
            self._awaited = None

    def _report(self, now: float) -> None:
        counts = "  ".join(f"{name} {seen.frames} {seen.state}" for name, seen in self.seen.items())
        print(f"{now:6.0f} s  {self.process.newest}  {counts}  {self.beats}", flush=True)

    def _stop(self) -> None:
        start = time.monotonic()
        self.process.send(signal.SIGTERM)
        while self.process.alive and time.monotonic() - start < 30:
            self._receive(0.02)
        self.stop_s = time.monotonic() - start
        self._receive(1.0)

    def close(self) -> None:
        """Ends what still runs."""
        self.cameras.close()
        self.process.close()
        self.subscriber.close()
        self._log.close()

    def violations(self) -> list[str]:
        """What was promised and not kept."""
        found = [*self.late, *self.process.violations(), *self.beats.violations()]
        if self.process.code != 0:
            found.append(f"the daemon ended with {self.process.code}")
        if self.stop_s > STOP_LIMIT_S:
            found.append(f"SIGTERM took {self.stop_s:.1f} s")
        if self._awaited is not None and time.monotonic() - self._awaited[1] > BACK_S + STOP_LIMIT_S:
            found.append(f"{self._awaited[0]} did not come back")
        for name, seen in self.seen.items():
            found += [f"{name}: {problem}" for problem in seen.violations(may_be_lost=name in CAMERAS)]
        return found

    def result(self) -> dict[str, Any]:
        """Figures of the run."""
        return {
            "minutes": round(self.ran_s / 60, 1),
            **self.process.result(),
            **self.beats.result(),
            "outages": self.cameras.outages,
            "longest_back_s": round(max(self.back_s, default=0.0), 1),
            "sigterm_s": round(self.stop_s, 2),
            "exit_code": self.process.code,
            "sources": {name: seen.result() for name, seen in self.seen.items()},
            "violations": self.violations(),
        }


def main() -> int:
    """Runs the soak; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--outage", type=float, default=120.0, metavar="S", help="from one lost camera to the next")
    parser.add_argument(
        "--fault", type=float, default=300.0, metavar="S", help="from one fault of the device to the next"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--log", type=Path, help="keep the daemon's log in this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlu-soak-") as folder:
        soak = Soak(arguments, Path(folder))
        try:
            soak.run()
        finally:
            soak.close()
        result = soak.result()
    if arguments.json:
        arguments.json.write_text(json.dumps({**result, "samples": soak.process.samples}, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    for violation in result["violations"]:
        print(f"soak: {violation}", file=sys.stderr)
    print("soak: every promise was kept" if not result["violations"] else "soak: FAILED")
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
