"""Runs invocations under fault files, each case in a process of its own, and prints as JSON what came of each.

    python fault_cases.py LIBRARY MODEL < cases        cases: {name: text of a fault file}

The interpreter is started once; a case is a fork of it, made before the library is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from mlu_agent.cnrt import Context, Device, DeviceBuffer, Model, Notifier, Queue, open_library
from mlu_agent.errors import MluAgentError

INVOCATIONS = 4
LIMIT_S = 0.2  # without an answer so long after the fault: it hangs


class Job:
    """A model on a device, and what is done with it step by step."""

    def __init__(self, library_path: str, model_path: str, ordinal: int) -> None:
        self.library = open_library(library_path)
        self.device = Device(self.library, ordinal)
        self.model = Model(self.library, model_path)
        self.context = Context(self.device, self.model)
        self.queue = Queue(self.library)
        tensors = [*self.model.description.inputs, *self.model.description.outputs]
        self.arrays = [np.zeros(tensor.shape, tensor.dtype) for tensor in tensors]
        self.buffers = [DeviceBuffer(self.library, array.nbytes) for array in self.arrays]
        self.hosts = [self.library.ffi.from_buffer(array) for array in self.arrays]
        self.parameters = self.library.ffi.new("void *[]", [buffer.pointer for buffer in self.buffers])
        self.start, self.end = Notifier(self.library), Notifier(self.library)

    def invoke(self, number: int) -> tuple[str, float]:
        """Invocation number ``number`` on a picture of its own: a digest of its outputs, and its device time."""
        self.arrays[0][:] = 40 * number
        self.buffers[0].copy_from(self.hosts[0])
        self.start.place(self.queue)
        self.context.invoke(self.parameters, self.queue)
        self.end.place(self.queue)
        self.end.wait()
        self.queue.sync()
        self.buffers[1].copy_to(self.hosts[1])
        data = self.arrays[1].tobytes()
        digest = "zero" if not any(data) else hashlib.sha256(data).hexdigest()[:8]
        return digest, self.end.microseconds_since(self.start)

    def renew(self) -> None:
        """Another context."""
        self.context.close()
        self.context = Context(self.device, self.model)

    def reopen(self) -> None:
        """One cnrtInit more."""
        self.library.call("cnrtInit", 0)


def work(arguments: list[str], ordinal: int) -> dict[str, object]:
    """All that a case does; ``outputs`` holds a digest or a sentence for each invocation."""
    told: dict[str, object] = {"outputs": [], "times": [], "seconds": []}
    beginning = time.monotonic()
    try:
        job = Job(*arguments, ordinal)
    except MluAgentError as error:
        return {**told, "opening": error.message}
    told["opened_s"] = time.monotonic() - beginning
    for step in ("", "renew", "reopen"):  # the first invocations, then each once more after what may have helped
        try:
            getattr(job, step)() if step else None
        except MluAgentError as error:
            told["outputs"].append(error.message)  # type: ignore[attr-defined]
            continue
        for number in range(1, INVOCATIONS + 1 if not step else 2):
            begun = time.monotonic()
            try:
                output, microseconds = job.invoke(number)
            except MluAgentError as error:
                output, microseconds = error.message, 0.0
            told["outputs"].append(output)  # type: ignore[attr-defined]
            told["times"].append(microseconds)  # type: ignore[attr-defined]
            told["seconds"].append(time.monotonic() - begun)  # type: ignore[attr-defined]
    return told


def child(arguments: list[str], text: str, write: int, folder: str) -> None:
    """The forked process: never returns."""
    path = Path(folder, "faults.toml")
    if text:
        path.write_text(text, encoding="utf-8")
        os.environ["CNRT_SIMULATOR_FAULTS"] = str(path)
    errors = os.open(f"{folder}/stderr", os.O_CREAT | os.O_WRONLY)
    os.dup2(errors, 2)
    ordinal = 1 if "# on device 1" in text else 0
    answer: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: answer.append(work(arguments, ordinal)), daemon=True)
    thread.start()
    if "hang = true" in text:
        end = time.monotonic() + 30
        while "does what" not in Path(folder, "stderr").read_text(encoding="utf-8") and time.monotonic() < end:
            time.sleep(0.01)
        thread.join(LIMIT_S)
    else:
        thread.join(60)
    told = answer[0] if answer else {"hangs": True}
    told["said"] = Path(folder, "stderr").read_text(encoding="utf-8")
    os.write(write, json.dumps(told).encode())
    os._exit(0)


def main() -> None:
    """Prints the answers of all cases."""
    told = {}
    for name, text in json.load(sys.stdin).items():
        with tempfile.TemporaryDirectory() as folder:
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                child(sys.argv[1:], text, write, folder)
            os.close(write)
            with os.fdopen(read, "rb") as pipe:
                told[name] = json.loads(pipe.read() or b"{}")
            _, status = os.waitpid(pid, 0)
            told[name]["status"] = status
            if os.WIFSIGNALED(status):
                told[name]["signal"] = signal.Signals(os.WTERMSIG(status)).name
    print(json.dumps(told))


if __name__ == "__main__":
    main()
