"""What hostile peers on the same machine cost the daemon, and a subscriber beside them.

    python benchmarks/peers.py [--model MODEL.cambricon] [--seconds 20] [--only KIND] [--json FILE]

A daemon with a synthetic source of 25 frames a second; a real subscriber; and beside it, one kind after the other, four
processes of ``tests/hostile.py``, over ipc and over TCP: a million subscriptions, oversized and garbled bytes, ten
thousand connections, peers that never read. Prints for each the daemon's greatest resident memory, its share of a core,
how late the latest frame was (by when it was due) and how long a subscriber took that came in the middle; exits with 1
if a bound of docs/reliability.md was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.models import small_bundle  # noqa: E402 - the line above finds it

from mlu_agent.client import Subscriber  # noqa: E402

MAX_RESIDENT_MB = 300
MAX_LATE_S = 1.0
NEWCOMER_S = 30.0
FRAMES_PER_S = 25
PROCESSES = 4
AMOUNTS = {  # of each process
    "subscriptions": 250_000,
    "commands": 250_000,
    "libzmq": 250_000,
    "pings": 1_000_000,
    "oversized": 10_000,
    "garbage": 100_000,
    "garbled": 100_000,
    "silent": 2_500,
    "deaf": 2_500,
    "churn": 2_500,
}


class Daemon:
    """``mlu-agent run`` with one source."""

    def __init__(self, folder: Path, model: Path, endpoint: str) -> None:
        config = folder / "agent.toml"
        config.write_text(
            f'[agent]\nbox = "b"\n[model]\npath = "{model.resolve()}"\nruntime = "simulator"\n'
            f'[publish]\nendpoint = "{endpoint}"\n'
            f'[[source]]\nid = "a"\nsynthetic = "320x240@{FRAMES_PER_S}"\n'
        )
        command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(config)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if '"ready"' in line:
                self.endpoint = json.loads(line)["endpoint"]
                break

    def resident_mb(self) -> float:
        """Now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    def seconds(self) -> float:
        """Of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch(daemon: Daemon, seconds: float) -> dict[str, Any]:
    """What a subscriber sees for so long."""
    latest, frames, resident = 0.0, 0, daemon.resident_mb()
    with Subscriber(daemon.endpoint, kinds=["frame"]) as subscriber:
        assert subscriber.receive(10) is not None, "no frame came"
        busy, previous = daemon.seconds(), time.monotonic()
        end = previous + seconds
        while time.monotonic() < end:
            message = subscriber.receive(0.1)
            resident = max(resident, daemon.resident_mb())
            now = time.monotonic()
            if message is None:
                latest = max(latest, now - previous - 1 / FRAMES_PER_S)
                continue
            frames += 1
            age = time.time() - message["t_capture_ns"] / 1e9
            latest = max(latest, age, now - previous - 1 / FRAMES_PER_S)
            previous = now
        share = (daemon.seconds() - busy) / seconds
        lost = sum(subscriber.counters.lost.values())
    return {"frames": frames, "lost": lost, "late_s": latest, "resident_mb": resident, "cores": share}


class Newcomer:
    """A subscriber that comes in the middle of it."""

    def __init__(self, endpoint: str, delay_s: float) -> None:
        self._endpoint = endpoint
        self._delay_s = delay_s
        self._took_s = -1.0
        self._thread = threading.Thread(target=self._come)
        self._thread.start()

    def _come(self) -> None:
        time.sleep(self._delay_s)
        begin = time.monotonic()
        with Subscriber(self._endpoint, kinds=["frame"]) as subscriber:
            if subscriber.receive(NEWCOMER_S) is not None:
                self._took_s = time.monotonic() - begin

    def served_after_s(self) -> float:
        """How long it took to its first frame; -1: it was not served in time."""
        self._thread.join()
        return self._took_s


def attack(kind: str, daemon: Daemon, seconds: float) -> dict[str, Any]:
    """One kind, beside a subscriber that was there before."""
    script = str(ROOT / "tests" / "hostile.py")
    command = [sys.executable, script, kind, daemon.endpoint, str(AMOUNTS[kind]), str(seconds)]
    attackers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    newcomer = Newcomer(daemon.endpoint, seconds / 2)
    try:
        seen = {**watch(daemon, seconds), "newcomer_s": newcomer.served_after_s()}
        told = [attacker.communicate(timeout=30)[0].split() for attacker in attackers]
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.wait()
    return {**seen, "sent": sum(int(one[0]) for one in told), "cut_off": sum(int(one[1]) for one in told)}


def main() -> int:
    """By the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="what runs in the daemon (a small one)")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each kind")
    parser.add_argument("--only", choices=list(AMOUNTS), action="append", help="may be repeated")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results, bad = [], 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = arguments.model or small_bundle(folder)
        for endpoint in (f"ipc://{folder}/peers.sock", "tcp://127.0.0.1:*"):
            daemon = Daemon(folder, model, endpoint)
            try:
                quiet = watch(daemon, 3.0)
                print(f"{endpoint.split(':')[0]:4} {'(nobody)':14}{line(quiet)}", flush=True)
                for kind in arguments.only or AMOUNTS:
                    seen = attack(kind, daemon, arguments.seconds)
                    good = seen["late_s"] <= MAX_LATE_S and seen["resident_mb"] <= MAX_RESIDENT_MB and not seen["lost"]
                    bad += not good
                    results.append({"endpoint": endpoint.split(":")[0], "kind": kind, **seen, "good": good})
                    sent = (
                        f"; newcomer {seen['newcomer_s']:.1f} s; {seen['sent']} sent, cut off {seen['cut_off']} times"
                    )
                    print(
                        f"{endpoint.split(':')[0]:4} {kind:14}{line(seen)}{sent}{'' if good else '  BAD'}", flush=True
                    )
            finally:
                daemon.process.terminate()
                daemon.process.wait(10)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    print(f"{len(results)} attacks, {bad} broke a bound")
    return 1 if bad else 0


def line(seen: dict[str, Any]) -> str:
    """In words."""
    return (
        f"{seen['resident_mb']:6.0f} MB {seen['cores']:5.2f} cores {seen['frames']:5} frames {seen['lost']:3} lost, "
        f"latest {seen['late_s']:6.3f} s late"
    )


if __name__ == "__main__":
    sys.exit(main())
