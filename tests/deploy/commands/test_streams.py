"""What ``mlu-export`` does where its output is no longer wanted, or cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = [sys.executable, "-m", "mlu_export.cli"]


@pytest.fixture
def unread(simulator_path):
    """Runs mlu-export with a pipe that nobody reads; gives the exit code and what it said on stderr."""

    def start(*arguments):
        reading, writing = os.pipe()
        os.close(reading)
        environment = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path)}
        try:
            done = subprocess.run(
                [*MAIN, *map(str, arguments)],
                env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=300, check=False,
            )  # fmt: skip
        finally:
            os.close(writing)
        return done.returncode, done.stderr

    return start


def test_a_reader_that_goes_does_not_cost_the_report_of_bench(unread, tiny_model, tiny):
    """141 as other programs of a pipeline, no traceback, and the report is there."""
    code, err = unread("bench", tiny_model, "--count", 2, "--report", tiny / "page.html")
    assert (code, "Traceback" in err, "BrokenPipe" in err) == (141, False, False)
    assert (tiny / "page.html").read_text().rstrip().endswith("</html>")


@pytest.mark.eval
def test_a_reader_that_goes_does_not_cost_the_report_of_eval(unread, tiny_model, tiny, tiny_annotations):
    """The page is written whole though nobody reads the output."""
    code, err = unread(
        "eval", tiny_model, "--images", tiny / "pictures", "--annotations", tiny_annotations,
        "--report", tiny / "page.html",
    )  # fmt: skip
    assert (code, "Traceback" in err, "BrokenPipe" in err) == (141, False, False)
    assert (tiny / "page.html").read_text().rstrip().endswith("</html>")


@pytest.mark.full
def test_a_full_disk_is_one_sentence(tiny_model):
    """Output that cannot be written is for a person to mend, and no fault of a device: code 2 and no traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*MAIN, "bench", str(tiny_model), "--count", "1"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr.startswith("mlu-export: ")) == (2, True)
    assert "Traceback" not in done.stderr


@pytest.mark.torch
def test_a_scripts_own_error_of_a_file_keeps_its_traceback(run):
    """A sentence of ours would not tell the line."""
    done = run("import sys\nopen('/nonexistent/picture.jpg')\n", alone=True)
    assert done.returncode == 1
    assert "script.py" in done.stderr
    assert "line 2" in done.stderr


@pytest.mark.torch
@pytest.mark.parametrize(
    "text, said",
    [
        ("x = 1\nif x\n", ["line 2", "SyntaxError: expected ':'"]),
        ("def f():\n    return 1 / 0\nf()\n", ["line 3", "line 2", "ZeroDivisionError: division by zero"]),
        (
            "try:\n    1 / 0\nexcept Exception as e:\n    raise KeyError('a') from e\n",
            ["line 2", "direct cause", "line 4"],
        ),
    ],
)
def test_a_scripts_own_error_is_shown_as_python_shows_it(run, text, said):
    """Its lines and its exit code; nothing of what runs it."""
    done = run(text)
    assert done.returncode == 1
    assert all(part in done.stderr for part in ("script.py", *said)), done.stderr
    assert "runpy" not in done.stderr
    assert "mlu_export" not in done.stderr


@pytest.mark.torch
def test_a_script_with_null_bytes_is_refused_in_a_sentence(run):
    """A file that is no script: python says no name of it."""
    done = run("x = 1\0\n")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "script.py: source code string cannot contain null bytes" in done.stderr


PICKLED = """
import sys
import torch

class Net(torch.nn.Module):
    pass

torch.save(Net(), "net.pt", _use_new_zipfile_serialization=sys.argv[1] == "new")
torch.load("net.pt")
"""


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["new", "old"])
def test_a_whole_pickled_model_is_refused_in_a_sentence_that_names_the_way(run, kind):
    """The line of the script, and --trust-pickles."""
    done = run(PICKLED, kind, alone=kind == "new")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "mlu-export: script.py, line 9: torch.load found a whole pickled model" in done.stderr
    assert kind == "old" or "(__main__.Net)" in done.stderr
    assert "--trust-pickles script.py" in done.stderr


@pytest.mark.parametrize("command", ["run", "verify"])
def test_without_torch_the_remedy_is_that_of_the_command(tmp_path, simulator_path, monkeypatch, tiny_recipe, command):
    """A script needs the tested torch of [run], a proof any of [torch]; a recipe helps neither."""
    (tmp_path / "torch.py").write_text("raise ImportError('none')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    environment = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path)}

    def start(*arguments):
        words = [*MAIN, *map(str, arguments)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, done.stderr

    script = tmp_path / "script.py"
    script.write_text("import torch\n")
    if command == "run":
        code, said = start("run", script)
    else:
        weights = ("--weights", tmp_path / "tiny.weights", "--cfg", tmp_path / "tiny.cfg", "--recipe", tiny_recipe)
        assert start("build", "--arch", "darknet", *weights, "--output", tmp_path / "out") == (0, "")
        (model,) = (tmp_path / "out").glob("*.cambricon")
        code, said = start("verify", model, *weights)
    assert (code, len(said.splitlines())) == (2, 1), said
    assert f"pip install 'mlu-export[{'run' if command == 'run' else 'torch'}]'" in said
    assert "recipe" not in said


EVIL = """
import io
import os
import pickle
import sys
import torch

class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)

kind, call = sys.argv[1:]
name, _, protocol = kind.partition("-")
with open("evil.pt", "wb") as file:
    if name == "plain":
        pickle.dump(Evil(), file, int(protocol))
    else:
        torch.save({"a": Evil()}, file, _use_new_zipfile_serialization=name == "zip", pickle_protocol=int(protocol))
if call == "mlu":
    import torch_mlu
    torch.load("evil.pt", weights_only=False)
elif call == "before":
    from torch.serialization import load
    load("evil.pt", weights_only=False)
    import torch_mlu
elif call == "caught":
    try:
        torch.load("evil.pt")
    except Exception:
        torch.load("evil.pt", weights_only=False)
elif call == "environment":
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    os.environ.pop("TORCH_FORCE_WEIGHTS_ONLY_LOAD", None)
    torch.load("evil.pt")
elif call == "module":
    torch.load("evil.pt", "cpu", pickle, weights_only=False)
else:
    torch.load(io.BytesIO(open("evil.pt", "rb").read()), map_location="cpu", pickle_module=pickle)
"""


@pytest.mark.torch
@pytest.mark.parametrize(
    "kind, call",
    [
        ("zip-2", "mlu"), ("old-2", "before"), ("plain-0", "mlu"), ("zip-4", "before"), ("old-4", "caught"),
        ("plain-5", "mlu"), ("zip-2", "environment"), ("zip-2", "module"), ("old-2", "named"),
    ],
)  # fmt: skip
def test_no_code_of_a_checkpoint_runs_whatever_the_script_says(run, tmp_path, kind, call):
    """weights_only=False and pickle_module are the script's words; the trust is the user's to give."""
    done = run(EVIL, kind, call)
    assert not (tmp_path / "ran").exists()
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "torch.load found a whole pickled model or other objects" in done.stderr
    assert "--trust-pickles script.py" in done.stderr


@pytest.mark.torch
def test_a_state_dict_is_read_although_the_script_says_weights_only_false(run):
    """Its habit costs it nothing."""
    text = "import pickle, torch\ntorch.save({'a': torch.ones(2)}, 'a.pt')\n"
    text += "print(torch.load('a.pt', None, pickle, weights_only=False, encoding='latin1')['a'])"
    done = run(text, alone=True)
    assert (done.returncode, done.stdout.strip()) == (0, "tensor([1., 1.])"), done.stderr


@pytest.mark.torch
def test_trusted_code_of_a_checkpoint_runs(tmp_path, simulator_path):
    """The same file, with --trust-pickles."""
    script = tmp_path / "script.py"
    script.write_text(EVIL)
    command = [sys.executable, "-m", "mlu_export.cli", "run", "--trust-pickles", str(script), "zip-2", "mlu"]
    environment = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=300, check=False)
    assert (done.returncode, (tmp_path / "ran").is_dir()) == (0, True), done.stderr


@pytest.mark.torch
def test_a_damaged_checkpoint_is_the_scripts_own_error(run):
    """Nothing of --trust-pickles, which would not help; torch's own lines, with their traceback."""
    damaged = run("import torch\nopen('a.pt', 'wb').write(b'nothing')\ntorch.load('a.pt')\n")
    assert "Traceback" in damaged.stderr
    assert "--trust-pickles" not in damaged.stderr
