"""The frame that both programs stand in: what a command's end looks like from outside."""

from __future__ import annotations

import codecs
import errno
import importlib.util
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from mlu_agent import command_line
from mlu_agent.errors import DataError, NotSupportedError, RuntimeFailure, StandinError, UserError


@pytest.fixture
def program(monkeypatch):
    """Makes a program whose one command ends as asked: it returns a number, or raises."""

    def make(end: object, **words: str) -> command_line.Program:
        def run(arguments: object) -> object:
            if isinstance(end, BaseException):
                raise end
            return end

        module = types.ModuleType("of_a_test.work")
        module.declare = lambda parser: parser.add_argument("--json", action="store_true")
        module.run = run
        monkeypatch.setitem(sys.modules, "of_a_test", types.ModuleType("of_a_test"))
        monkeypatch.setitem(sys.modules, "of_a_test.work", module)
        return command_line.Program("tool", "A tool.", lambda: "7", {"work": "does work"}, "of_a_test", **words)

    return make


@pytest.mark.parametrize(
    "end, code, said",
    [
        (0, 0, ""),
        (True, 1, ""),
        (UserError("a: b; do c"), 2, "tool: a: b; do c\n"),
        (UserError("a\x1b[2J\nb\u202e"), 2, "tool: a\\x1b[2J\nb\\u202e\n"),
        (NotSupportedError("d"), 2, "tool: d\n"),
        (StandinError("d"), 2, "tool: d\n"),
        (DataError("e"), 2, "tool: e\n"),
        (RuntimeFailure("f", 5), 3, "tool: f\n"),
        (OSError(errno.EACCES, "Permission denied", "/file"), 2, "tool: /file: Permission denied\n"),
        (MemoryError(), 3, "tool: not enough memory\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_end_is_a_code_and_at_most_a_sentence(program, capsys, end, code, said):
    """Whatever a command raises on purpose, or the system beneath it."""
    assert command_line.run(program(end), ["work"]) == code
    assert capsys.readouterr() == ("", said)


UNREAD = """
import sys, types
from mlu_agent import command_line

def run(arguments):
    print("what nobody reads")
    raise {end}

module = types.ModuleType("of_a_test.work")
module.declare, module.run = lambda parser: None, run
sys.modules["of_a_test"], sys.modules["of_a_test.work"] = types.ModuleType("of_a_test"), module
program = command_line.Program("tool", "A tool.", lambda: "7", {{"work": "works"}}, "of_a_test")
sys.exit(command_line.run(program, ["work"]))
"""


@pytest.mark.parametrize(
    "end, code, said",
    [
        ("OSError(28, 'No space left on device')", 3, "tool: No space left on device\n"),
        ("BrokenPipeError(32, 'Broken pipe')", 141, ""),
    ],
)
def test_an_output_that_cannot_be_written_is_dropped(end, code, said):
    """The interpreter's own last flush, into a pipe that nobody reads, would fail again and replace the code. -E: a
    user may have asked for unbuffered output, and then there is nothing left to flush."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-E", "-c", UNREAD.format(end=end)]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "2>&-"])
def test_a_closed_output_takes_nothing(redirection):
    """As if it were /dev/null, and an error's sentence does not move into the other one."""
    for end, code in (("SystemExit(0)", 0), ("OSError(28, 'No space left on device')", 3)):
        script = f'exec "$0" -E -c "$1" {redirection}'
        command = ["sh", "-c", script, sys.executable, UNREAD.format(end=end)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code
        assert "Traceback" not in done.stdout + done.stderr
        assert "No space" not in done.stdout


def test_an_interruption_while_the_command_is_imported_has_no_traceback(program, capsys):
    """It takes a while where torch comes along."""
    made = program(0)
    sys.modules["of_a_test.work"].declare = lambda parser: (_ for _ in ()).throw(KeyboardInterrupt)
    assert command_line.run(made, ["work"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["work", "--help"]])
def test_a_help_that_cannot_be_written_is_a_failure_with_a_sentence(words):
    """A full disk is no less full for it."""
    script = UNREAD.format(end="SystemExit").replace('["work"])', f"{words})")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        command = [sys.executable, "-E", "-c", script]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, FULL)


FULL = "tool: standard output: cannot be written (No space left on device); make room, or send it elsewhere\n"


def test_an_output_on_a_full_disk_is_named_and_is_no_failure_of_the_device():
    """2, whatever the command came to: what it had to say is lost. While it works, or at its end."""
    script = UNREAD.format(end="OSError").replace("    raise OSError\n", "    return 1\n")
    early = script.replace('nobody reads")', 'nobody reads", flush=True)')
    for text, how in ((script, ()), (early, ()), (script, ("-u",))):
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            command = [sys.executable, "-E", *how, "-c", text]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (2, FULL)


@pytest.mark.parametrize(
    "words, said",
    [
        (["--lanes", "0"], "tool work: unrecognized arguments: --lanes 0\n"),
        (["--json=3"], "tool work: argument --json: ignored explicit argument '3'\n"),
        (["\x1b[2J"], "tool work: unrecognized arguments: \\x1b[2J\n"),
    ],
)
def test_a_wrong_argument_is_two_lines_of_the_command_itself(program, capsys, words, said):
    """However many options it has: how it is called, and what is wrong."""
    with pytest.raises(SystemExit) as ended:
        command_line.run(program(0), ["work", *words])
    assert ended.value.code == 2
    usage, sentence = capsys.readouterr().err.splitlines(keepends=True)
    assert usage.startswith("usage: tool work")
    assert usage.endswith("see tool work --help\n")
    assert sentence == said


def test_a_program_says_in_its_words_what_was_left(program, capsys):
    """Which the frame cannot know."""
    words = {"interrupted": "interrupted; nothing was written", "memory": "for a network of this size"}
    assert command_line.run(program(KeyboardInterrupt(), **words), ["work"]) == 130
    assert command_line.run(program(MemoryError(), **words), ["work"]) == 3
    said = "tool: interrupted; nothing was written\ntool: not enough memory for a network of this size\n"
    assert capsys.readouterr().err == said


def test_a_bug_keeps_its_traceback(program):
    """Only what was foreseen becomes a sentence."""
    with pytest.raises(ZeroDivisionError):
        command_line.run(program(ZeroDivisionError()), ["work", "--json"])


def test_only_the_command_that_runs_is_imported(program, capsys):
    """Help of the whole program costs none of them."""
    made = program(0)
    del sys.modules["of_a_test.work"]
    with pytest.raises(SystemExit) as ended:
        command_line.run(made, ["--help"])
    assert ended.value.code == 0
    assert "does work" in capsys.readouterr().out


ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
PROGRAMS = [  # those that are installed: with the oldest Python it is the agent alone
    name for name in ("mlu_agent.cli", "mlu_export.cli") if importlib.util.find_spec(name.partition(".")[0])
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_terminal_that_knows_ascii_alone_gets_all_of_the_help(program):
    """What it cannot show is escaped, never a traceback."""
    command = [sys.executable, "-m", program]
    names = [*__import__(program, fromlist=["COMMANDS"]).COMMANDS]
    for words in (["--help"], [names[1], "--help"], ["no\u00e9", "\u4e2d"]):
        env = {**os.environ, **ASCII}
        done = subprocess.run([*command, *words], capture_output=True, env=env, timeout=100, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (0 if "--help" in words else 2, False)
        assert done.stdout or b"usage" in done.stderr


def test_what_an_encoding_lacks_is_written_so_that_json_reads_it():
    r"""``\\uXXXX``, in pairs where one is not enough; what is a byte of a file's name, too."""
    text = "a\u00e9\u4e2d\U0001f600\udcff"
    codecs.register_error("of_a_test", command_line.escaped)
    shown = text.encode("ascii", "of_a_test").decode("ascii")
    assert shown == "a\\u00e9\\u4e2d\\ud83d\\ude00\\udcff"
    assert json.loads(f'"{shown}"') == text
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", "of_a_test")


INTERRUPTED = """
import atexit, os, signal, sys
from {cli} import main

class Interrupt:  # the key is pressed when a module is looked for
    def find_spec(self, name, *_):
        if name == "{moment}":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
def press():
    os.kill(os.getpid(), signal.SIGINT)
    return None  # here at the latest it is heard of

if "{moment}" == "end":
    atexit.register(press)
sys.exit(main())
"""


MOMENTS = [
    ("mlu_agent.cli", "mlu_agent.command_line", ["devices"]),
    ("mlu_agent.cli", "mlu_agent.commands.devices", ["devices"]),
    ("mlu_agent.cli", "end", ["devices"]),
    ("mlu_export.cli", "mlu_agent.command_line", ["build"]),
    ("mlu_export.cli", "mlu_export.commands.build", ["build"]),
    ("mlu_export.cli", "end", ["--version"]),
]


@pytest.mark.parametrize("cli, moment, words", [moment for moment in MOMENTS if moment[0] in PROGRAMS])
def test_ctrl_c_is_quiet_at_any_moment(cli: str, moment: str, words: list[str]):
    """From the first import to the last flush: 130, without a traceback."""
    command = [sys.executable, "-c", INTERRUPTED.format(cli=cli, moment=moment), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (130, False), done.stderr


# what makes a program of the function `run` above it
AS_PROGRAM = """
module = types.ModuleType("of_a_test.work")
module.declare, module.run = lambda parser: None, run
sys.modules["of_a_test"], sys.modules["of_a_test.work"] = types.ModuleType("of_a_test"), module
entry.take_over()
program = command_line.Program("tool", "A tool.", lambda: "7", {"work": "works"}, "of_a_test")
sys.exit(command_line.run(program, ["work"]))
"""

TWICE = """
import os, signal, sys, types
from mlu_agent import command_line, entry

def run(arguments):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        print("cleaning up", flush=True)
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            print("never", flush=True)
"""


def test_a_command_may_clean_up_after_one_interruption_and_a_second_ends_it():
    """The first is an exception, as ever."""
    done = subprocess.run(
        [sys.executable, "-c", TWICE + AS_PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "cleaning up\n", "")


STUCK = """
import ctypes, os, signal, sys, threading, types
from mlu_agent import command_line, entry

def run(arguments):
    for wait in (0.2, 0.6):
        threading.Timer(wait, os.kill, (os.getpid(), signal.SIGINT)).start()
    libc = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(256)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)  # never returns, and no signal ends it: as a call of a device that hangs
"""


def test_a_second_interruption_ends_a_command_inside_a_call_that_never_returns():
    """Such as one of a device that hangs."""
    done = subprocess.run(
        [sys.executable, "-c", STUCK + AS_PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.full
def test_an_error_that_cannot_be_told_keeps_its_code():
    """stderr may be on the disk that is full."""
    script = UNREAD.format(end="OSError(13, 'Permission denied', '/file')")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=full, check=False)
    assert done.returncode == 2


def test_the_last_sentence_weighs_as_an_error_in_the_journal(tmp_path: Path):
    """Where standard error is systemd's journal; on a terminal or in a file it has no mark."""
    code = "import sys; from mlu_agent.cli import main; sys.exit(main(['check', '-c', 'absent.toml']))"
    for right in (True, False):
        with (tmp_path / "errors").open("w+") as errors:
            status = os.fstat(errors.fileno())
            env = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + (not right)}"}
            done = subprocess.run([sys.executable, "-c", code], stderr=errors, env=env, check=False)
            errors.seek(0)
            assert errors.read().startswith("<3>mlu-agent: " if right else "mlu-agent: ")
        assert done.returncode == 2
