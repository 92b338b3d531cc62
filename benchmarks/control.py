"""What those who ask a daemon without end cost its sources, and somebody who asks beside them.

    python benchmarks/control.py [--model MODEL.cambricon] [--seconds 12] [--peers 20]

A daemon with eight synthetic sources of five frames a second; first alone, then with peers that send status requests
and garbage as fast as they are answered, each connection twenty of them. Prints what is published a second, what was
dropped, a frame's way in milliseconds and how long an honest `mlu-agent status` took.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
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

from mlu_agent.commands.asking import ask  # noqa: E402

SOURCES = 8
LINES = (b'{"do": "status"}\n', b'{"do": "status"}\n', b"garbage\n")
AT_ONCE = 20
PATIENCE_S = 60.0


def start(folder: Path, model: Path) -> subprocess.Popen[str]:
    """The daemon, once it serves."""
    sources = "".join(
        f'[[source]]\nid = "s{number}"\nsynthetic = "320x240@5"\nrealtime = true\n' for number in range(SOURCES)
    )
    (folder / "agent.toml").write_text(
        f'[model]\npath = "{model.resolve()}"\nruntime = "simulator"\n[publish]\nendpoint = "ipc://{folder}/out.sock"\n'
        f'[control]\nsocket = "{folder}/control.sock"\n{sources}'
    )
    command = [sys.executable, "-m", "mlu_agent.cli", "run", "-c", str(folder / "agent.toml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "ready":
            break
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return process


class Flood:
    """Peers that ask until they are stopped; ``answers``: how many they got."""

    def __init__(self, path: Path, peers: int) -> None:
        self.answers = 0
        self._lock = threading.Lock()
        self._path = path
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(LINES[number % len(LINES)],)) for number in range(peers)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, line: bytes) -> None:
        while not self._stop.wait(0.01):  # where the system's queue is full they come again
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(PATIENCE_S)
                peer.connect(str(self._path))
                peer.sendall(line * AT_ONCE)
                answers = peer.makefile()
                for _ in range(AT_ONCE):
                    answered = bool(answers.readline())
                    with self._lock:
                        self.answers += answered

    def stop(self) -> None:
        """Ends them."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


def measure(path: Path, seconds: float) -> dict[str, Any]:
    """What became of the frames of so many seconds."""
    begin = time.monotonic()
    before = ask(path, PATIENCE_S, do="status")["status"]["sources"]
    asked_s = time.monotonic() - begin
    begin = time.monotonic()
    time.sleep(seconds)
    after = ask(path, PATIENCE_S, do="status")["status"]["sources"]
    took = time.monotonic() - begin

    def grown(counter: str) -> int:
        return sum(new["counters"][counter] - old["counters"][counter] for old, new in zip(before, after))

    return {
        "published_per_s": round(grown("published") / took, 1),
        "dropped": grown("dropped"),
        "way_ms": round(sum(source["latency_ms"] for source in after) / len(after), 1),
        "asked_s": round(asked_s, 2),
    }


def main() -> int:
    """By the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="what runs in the daemon (a small one)")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--peers", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        process = start(folder, arguments.model or small_bundle(folder))
        try:
            print("alone", measure(folder / "control.sock", arguments.seconds), flush=True)
            flood = Flood(folder / "control.sock", arguments.peers)
            print(f"beside {arguments.peers} peers", measure(folder / "control.sock", arguments.seconds), flush=True)
            flood.stop()
            print(f"{flood.answers / arguments.seconds:.0f} answers a second to them")
        finally:
            process.terminate()
            process.wait(10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
