"""Workers that are processes of this machine, started anew (spawn): the fork of a process with threads may hang."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import RuntimeFailure

from .crew import Host, open_reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection

    from .crew import Member

PATIENCE = 5.0  # seconds that a terminated process has before it is killed


class ProcessCrew:
    """So many processes, which end with this one."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.members: list[_Process] = []
        try:
            with _interrupts_held():
                for number in range(count):
                    self.members.append(_Process(context, number + 1, count))
        except BaseException:
            self.close()
            raise

    def ready(self, waiting: Sequence[Member]) -> Sequence[Member]:
        pipes = {member.pipe: member for member in waiting if isinstance(member, _Process)}
        return [pipes[found] for found in multiprocessing.connection.wait(list(pipes))]

    def close(self) -> None:
        for member in self.members:
            member.process.terminate()
        for member in self.members:
            member.close()


class _Process:
    """One process and the pipe to it, which breaks when it dies."""

    def __init__(self, context: Any, number: int, count: int) -> None:
        self.pipe, far = context.Pipe()
        self._who = f"worker {number} of {count}"
        self.process = context.Process(target=_serve, args=(far,), name=self._who, daemon=True)
        self.process.start()
        far.close()

    def ask(self, verb: str, *arguments: Any) -> None:
        try:
            self.pipe.send((verb, arguments))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error

    def answer(self) -> Any:
        try:
            reply = self.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._death() from error
        return open_reply(reply)

    def close(self) -> None:
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()

    def _death(self) -> RuntimeFailure:
        self.process.join(PATIENCE)
        code = self.process.exitcode
        if code == -signal.SIGKILL:
            return RuntimeFailure(
                f"{self._who} was killed (signal 9), as the system does where memory runs out: use fewer --workers"
            )
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        return RuntimeFailure(f"{self._who} {how} before its work was done")


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C reaches all processes of a terminal: the new ones are born deaf to it, and it waits here meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection) -> None:
    """The life of a worker: answers until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    host = Host()
    while True:
        try:
            verb, arguments = pipe.recv()
        except EOFError:
            return
        _send(pipe, host.reply(verb, arguments))


def _leave(*_: object) -> None:
    """Out of whatever is running, whose temporary files are removed on the way."""
    sys.exit(0)


def _send(pipe: Connection, reply: tuple[str, Any]) -> None:
    try:
        pipe.send(reply)
    except BrokenPipeError:  # nobody wants it any more; the next recv ends this process
        return
    except Exception as error:  # a result or an exception that cannot be pickled
        pipe.send(("error", (TypeError(f"a worker's answer cannot be sent: {error}; it was {reply!r:.200}"), "")))
