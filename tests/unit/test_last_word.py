"""The last word of a process that is about to be ended: nothing that happens to it keeps the end away."""

from __future__ import annotations

import threading

import pytest

from mlu_agent.daemon import last_word


def test_it_is_said():
    """Work that takes no time is done when the call returns."""
    said: list[str] = []
    last_word.say(lambda: said.append("bye"), 30)
    assert said == ["bye"]


def test_who_hangs_is_left_behind():
    """A reader that takes nothing holds nobody up: the call returns while the work still waits."""
    reads = threading.Event()
    last_word.say(reads.wait, 0.01)
    reads.set()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_fails_is_not_told():
    """A closed output has nobody to tell that it is closed."""
    last_word.say(lambda: 1 // 0, 30)


@pytest.mark.parametrize("failure", [RuntimeError("can't start new thread"), MemoryError()])
def test_without_a_thread_there_is_none(monkeypatch: pytest.MonkeyPatch, failure: Exception):
    """A process that gets no thread any more ends as well."""

    def start(_: threading.Thread) -> None:
        raise failure

    monkeypatch.setattr(threading.Thread, "start", start)
    last_word.say(lambda: None, 30)
