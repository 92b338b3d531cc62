"""`mlu-agent status` and `ctl` on their way to a daemon: which one is asked, and what is said meanwhile."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mlu_agent.cli import main
from mlu_agent.commands import asking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRONG = '[model]\nnonsense = 1\n[[source]]\nid = "a"\npriority = 77\n'


@contextlib.contextmanager
def answering(path: Path, answer: object, after: threading.Event | None = None) -> Iterator[None]:
    """A daemon's side of one connection, that answers once ``after`` is set."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()

        def serve() -> None:
            with door.accept()[0] as connection:
                connection.recv(1 << 16)
                if after is not None:
                    after.wait(20)
                connection.sendall(json.dumps(answer).encode() + b"\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join()


@pytest.mark.parametrize("words", [["status"], ["ctl", "reload"]])
def test_the_rest_of_the_configuration_may_be_wrong(tmp_path: Path, capsys, words):
    """Whoever looks for a daemon's reason needs its socket alone: `[control]` is read, and nothing else."""
    config = tmp_path / "agent.toml"
    config.write_text(f'{WRONG}[control]\nsocket = "its.sock"\n')
    assert main([*words, "-c", str(config)]) == 3
    assert capsys.readouterr().err.startswith(f"mlu-agent: {tmp_path / 'its.sock'}: no daemon listens there")


@pytest.mark.parametrize(
    "text, said",
    [("[control\n", "not valid TOML"), ("[control]\nsocket = 5\n", "control.socket"), ("control = 1\n", "")],
)
def test_a_configuration_that_names_no_socket_is_a_sentence_with_the_other_way(tmp_path: Path, capsys, text, said):
    """TOML that is none, or a wrong `[control]`: the socket can be named itself."""
    config = tmp_path / "agent.toml"
    config.write_text(text)
    assert main(["status", "-c", str(config)]) == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.endswith("; or name the daemon's socket itself: --socket PATH\n")


@pytest.mark.parametrize("words", [["status"], ["ctl", "reload"]])
def test_without_a_daemon_at_the_usual_place_it_says_how_to_name_another(tmp_path: Path, capsys, monkeypatch, words):
    """A daemon run by hand has a socket of its own."""
    usual = tmp_path / "usual.sock"
    monkeypatch.setattr(asking, "_usual", lambda: usual)
    assert main(words) == 3
    complaint = capsys.readouterr().err
    assert "-c FILE" in complaint
    assert "--socket PATH" in complaint


def test_a_refusal_of_several_lines_is_told_in_lines(tmp_path: Path, capsys):
    """As a configuration with several mistakes has them; what would drive a terminal stays harmless."""
    path = tmp_path / "its.sock"
    with answering(path, {"ok": False, "error": "one: wrong\ntwo: \x1b[2J"}):
        assert main(["ctl", "reload", "--socket", str(path)]) == 2
    assert capsys.readouterr().err == "mlu-agent: one: wrong\ntwo: \\x1b[2J\n"


def test_who_waits_long_for_an_answer_is_told_until_when(tmp_path: Path, capsys, monkeypatch):
    """On stderr, once; an answer that comes is printed as ever."""
    path, said = tmp_path / "its.sock", threading.Event()
    monkeypatch.setattr(asking, "SAID_AFTER_S", 0.01)
    monkeypatch.setattr(asking, "print", lambda *words, **how: (print(*words, **how), said.set()), raising=False)
    with answering(path, {"ok": True, "done": "all"}, said):
        assert main(["ctl", "reload", "--socket", str(path)]) == 0
    out, complaint = capsys.readouterr()
    assert out == "all\n"
    assert complaint.startswith(f"mlu-agent: {path}: no answer yet; waiting until ")
    assert complaint.count("\n") == 1


def test_an_unknown_option_of_an_order_is_told_with_that_orders_usage(capsys):
    """Not with that of `ctl`, whose help does not name the options of its orders."""
    with pytest.raises(SystemExit) as ended:
        main(["ctl", "snapshot", "gate", "--quality", "9"])
    assert ended.value.code == 2
    usage, sentence = capsys.readouterr().err.splitlines()
    assert usage == "usage: mlu-agent ctl snapshot SOURCE [OPTIONS]; see mlu-agent ctl snapshot --help"
    assert sentence == "mlu-agent ctl snapshot: unrecognized arguments: --quality 9"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "86401"])
def test_watching_takes_a_pause_that_can_be_waited(capsys, seconds: str):
    """A tenth of a second to a day."""
    assert main(["status", f"--watch={seconds}"]) == 2
    assert f"--watch {seconds}: give 0.1 to 86400 seconds" in capsys.readouterr().err
