"""The processes of the demo: the build tool, the daemon and the subscriber, none of which outlives it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
NAME = "yolov3-tiny"
PATIENCE_S = 600.0  # for a whole clip on a slow machine; the shipped one takes seconds
STOP_S = 10.0


class DemoError(Exception):
    """One sentence: what went wrong and where more is to be read."""


def export_model(weights: Path, recipe: Path, output: Path) -> Path:
    """Builds the quantized model; returns the path of the .cambricon file."""
    command = [BIN / "mlu-export", "build", "--arch", "yolov3-tiny", "--weights", weights, "--recipe", recipe]
    command += ["--output", output, "--name", NAME]
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise DemoError(f"mlu-export build ended with status {done.returncode}; its sentence is above")
    return output / f"{NAME}.cambricon"


def record(model: Path, clip: Path, endpoint: str, output: Path) -> list[dict[str, Any]]:
    """Runs the daemon on the clip and returns every message that a subscriber in a process of its own received."""
    config = output / "demo.toml"
    config.write_text(_config(model, clip, endpoint), encoding="utf-8")
    log = output / "daemon.log"
    with contextlib.ExitStack() as stack:
        subscriber = stack.enter_context(_process("mlu-agent", "subscribe", endpoint, "--json", stdout=subprocess.PIPE))
        log_file = stack.enter_context(log.open("wb"))
        # without the wait the first frames could leave before the subscriber has found the socket
        command = ("mlu-agent", "run", "-c", str(config), "--wait-for-subscriber", "30")
        daemon = stack.enter_context(_process(*command, stdout=log_file))
        watcher = threading.Thread(target=_end_with, args=(daemon, subscriber), daemon=True)
        watcher.start()
        messages = _until_end(subscriber, output / "messages.jsonl")
        _stop(daemon, "mlu-agent run", log)
    if not messages or messages[-1]["kind"] != "end":
        raise DemoError(f"the daemon did not come to the end of the clip; its log is {log}")
    return messages


def _config(model: Path, clip: Path, endpoint: str) -> str:
    """A complete configuration; systemd/mlu-agent.toml shows all that could be said."""
    # a JSON string is a TOML string
    lines = [
        "[agent]",
        'box = "demo"',
        "[model]",
        f"path = {json.dumps(str(model.resolve()))}",
        'runtime = "simulator"',
    ]
    lines += ["[[source]]", 'id = "street"', f"path = {json.dumps(str(clip.resolve()))}"]
    lines += ["[publish]", f"endpoint = {json.dumps(endpoint)}", "[control]", 'socket = ""']
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _process(program: str, *arguments: str, stdout: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A child that is gone when the block is left, whatever happened in it."""
    command = [str(BIN / program), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _end_with(daemon: subprocess.Popen[bytes], subscriber: subprocess.Popen[bytes]) -> None:
    """Ends the subscriber when nothing more will come: the daemon is gone, or PATIENCE_S are over."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        daemon.wait(PATIENCE_S)
    with contextlib.suppress(subprocess.TimeoutExpired):
        subscriber.wait(2.0)
    subscriber.terminate()


def _until_end(subscriber: subprocess.Popen[bytes], path: Path) -> list[dict[str, Any]]:
    """Reads the subscriber's JSON lines until the clip has ended or the subscriber has; keeps them in ``path`` too."""
    assert subscriber.stdout is not None
    messages = []
    with path.open("wb") as file:
        for line in subscriber.stdout:
            file.write(line)
            messages.append(json.loads(line))
            if messages[-1]["kind"] == "end":
                break
    return messages


def _stop(daemon: subprocess.Popen[bytes], name: str, log: Path) -> None:
    """SIGTERM, as systemd would; the daemon has to end in time and content."""
    if daemon.poll() is None:
        daemon.send_signal(signal.SIGTERM)
    try:
        status = daemon.wait(STOP_S)
    except subprocess.TimeoutExpired:
        raise DemoError(f"{name} did not end {STOP_S:g} s after SIGTERM; its log is {log}") from None
    if status != 0:
        raise DemoError(f"{name} ended with status {status}; its log is {log}")
