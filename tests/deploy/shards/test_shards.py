"""Work spread over processes and over Ray: the same results, the same errors, and no worker left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given, strategies as st
from tests.conftest import ROOT
from tests.deploy import nets
from tests.deploy.shards import sharded

from mlu_agent.errors import DataError, RuntimeFailure, UserError
from mlu_export.calibration.observe import LayerObserver
from mlu_export.shards.crew import usual_workers
from mlu_export.shards.team import Team, split

TEAMS = [(1, None), (2, None), (3, None), pytest.param(2, "local", marks=pytest.mark.ray)]
OTHERS = TEAMS[1:]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers find the helpers of these tests: a new process gets the path of this one, Ray's the environment's."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))


@given(st.lists(st.integers(), max_size=40), st.integers(1, 50))
def test_shards_are_contiguous_and_even(items, count):
    """All items in their order, none of the parts empty where there are items, and sizes that differ by one at most."""
    parts = split(items, count)
    assert [item for part in parts for item in part] == items
    assert len(parts) == max(1, min(count, len(items)))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("count, ray", TEAMS)
def test_results_come_in_the_order_of_the_items(count, ray):
    """Whoever does the work; and a team does one piece of work after the other, also fewer items than workers."""
    with Team(count, ray) as team:
        assert team.map(sharded.double, list(range(23)), "doubling") == list(range(0, 46, 2))
        assert team.map(sharded.double, [5], "doubling") == [10]
        assert team.map(sharded.double, [], "doubling") == []
        shards = team.spread(partial(sharded.Counter, 100), [1, 2, 3, 4])
        shards.call("add", 10)
        assert [value for part in shards.call("tell") for value in part] == [111, 112, 113, 114]
        assert sum(map(len, shards.call("tell", on_result=lambda value: value == 111))) < 4 or count > 1


@pytest.mark.parametrize("count, ray", TEAMS)
def test_the_first_bad_item_is_told_in_its_own_words_by_any_team(count, ray):
    """The error of a user keeps its class and its sentence, and of several the first is told, as without workers."""
    with Team(count, ray) as team:
        with pytest.raises(DataError, match=r"^-3 is negative$"):
            team.map(sharded.double, [1, 2, -3, 4, -5, 6, -7, 8], "doubling")
        assert team.map(sharded.double, [1, 2, 3], "doubling") == [2, 4, 6]  # it can start again


def test_a_mistake_of_ours_shows_where_it_was_made():
    """Another error than the user's comes with the traceback of the worker."""
    with Team(2) as team, pytest.raises(ZeroDivisionError, match="a bug") as found:
        team.map(sharded.double, [1, "bug", 3], "doubling")
    assert "sharded.py" in str(found.value.__cause__)


@pytest.mark.parametrize("what, words", [("die", r"killed \(signal 9\).*memory.*fewer --workers"), ("leave", "code 7")])
def test_a_worker_that_dies_is_told(what, words):
    """One sentence that says which and how."""
    with Team(2) as team, pytest.raises(RuntimeFailure, match=f"^worker 2 of 2 .*{words}"):
        team.map(sharded.double, [1, 2, 3, what], "doubling")


@pytest.mark.ray
def test_a_ray_worker_that_dies_is_told():
    """One sentence says which."""
    with Team(2, "local") as team, pytest.raises(RuntimeFailure, match=r"^worker 2 of 2 of the Ray cluster was lost"):
        team.map(sharded.double, [1, 2, 3, "leave"], "doubling")


@pytest.mark.ray
def test_a_ray_cluster_that_is_not_there_is_the_users_mistake():
    """The sentence begins with the option and the address."""
    with Team(2, "nonsense://127.0.0.1:1") as team, pytest.raises(UserError, match=r"--ray nonsense://127.0.0.1:1: "):
        team.map(sharded.double, [1], "doubling")


def test_interrupting_ends_the_workers(tmp_path):
    """Ctrl-C reaches a whole terminal; the workers say nothing, the command ends, and no process stays."""
    script = (
        "import signal, sys\nfrom pathlib import Path\n"
        "from mlu_export.shards.team import Team\nfrom tests.deploy.shards import sharded\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # inherited as ignored in the background\n"
        "if __name__ == '__main__':\n"
        "    with Team(2) as team:\n"
        "        team.map(sharded.double, [Path(name) for name in sys.argv[1:]], 'waiting')\n"
    )
    (tmp_path / "script.py").write_text(script)
    notes = [tmp_path / "a", tmp_path / "b"]
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", *notes], stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not all(note.exists() and note.read_text() for note in notes):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert said.count("Traceback") == 1  # that of the script itself, which does not catch it
    assert said.rstrip().endswith("KeyboardInterrupt")
    for note in notes:
        with pytest.raises(ProcessLookupError):
            os.kill(int(note.read_text()), 0)


def test_few_pictures_need_no_other_process():
    """A worker costs more to start than three pictures take, unless each is looked at many times; and there is at most
    one for each core and for each picture."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert usual_workers(3) == 1
    assert usual_workers(3, passes=60) == min(3, processors)
    assert usual_workers(1, passes=1000) == 1
    assert usual_workers(10_000) == processors


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=9), min_size=1, max_size=8), st.data())
def test_what_was_seen_of_parts_is_what_was_seen_of_all(tensors, data):
    """However the tensors are shared out and in whatever order the parts are merged: equal to the last bit."""
    arrays = [np.array(tensor, np.float32) for tensor in tensors]
    whole = LayerObserver()
    for array in arrays:
        whole.see(array)
    edge = data.draw(st.integers(0, len(arrays)))
    parts = [LayerObserver(), LayerObserver()]
    for number, array in enumerate(arrays):
        parts[number < edge].see(array)
    for first, second in ((0, 1), (1, 0)):
        merged = LayerObserver()
        merged.merge(parts[first])
        merged.merge(parts[second])
        assert (merged.low, merged.high, merged.limit) == (whole.low, whole.high, whole.limit)
        assert (merged.counts == whole.counts).all()


def test_values_that_are_not_finite_survive_merging():
    """Whichever part saw the NaN, the whole has seen it."""
    good, bad = LayerObserver(), LayerObserver()
    good.see(np.ones(3, np.float32))
    bad.see(np.array([1, np.nan], np.float32))
    for first, second in ((good, bad), (bad, good)):
        merged = LayerObserver()
        merged.merge(first)
        merged.merge(second)
        assert np.isnan([merged.low, merged.high]).all()


@pytest.fixture
def pictures(tmp_path):
    """Seven small pictures and a small network's files."""
    import cv2

    rng = np.random.default_rng(11)
    (tmp_path / "pictures").mkdir()
    for number in range(7):
        small = rng.integers(0, 256, (6, 9, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), cv2.resize(small, (90, 60 + number)))
    (tmp_path / "tiny.cfg").write_text(nets.TINY_CFG)
    (tmp_path / "tiny.weights").write_bytes(nets.tiny_weights())
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    return tmp_path


def _quantize(folder, name, *more):
    return (
        "quantize", "--arch", "darknet", "--weights", folder / "tiny.weights", "--cfg", folder / "tiny.cfg",
        "--labels", folder / "names.txt", "--calibration", folder / "pictures", "--output", folder / name, "--report",
        folder / f"{name}.json", "--observer", "heads", *more,
    )  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize("count, ray", OTHERS)
def test_a_recipe_does_not_show_how_many_made_it(pictures, export, monkeypatch, count, ray):
    """Calibration, the refinement of the ranges and the noise report: byte for byte those of one process, whose torch
    was even set to more threads.
    """
    import torch

    torch.set_num_threads(3)
    code, _, err = export(*_quantize(pictures, "one", "--workers", "1"))
    assert code == 0, err
    more = ("--workers", str(count), *(("--ray", ray) if ray else ()))
    code, _, err = export(*_quantize(pictures, "many", *more))
    assert code == 0, err
    written = [(pictures / name / "darknet.recipe.toml").read_bytes() for name in ("one", "many")]
    assert written[0] == written[1]
    assert b"heads" in written[0]
    reports = [json.loads((pictures / f"{name}.json").read_text()) for name in ("one", "many")]
    made = [report.pop("made") for report in reports]  # by two commands, at two times, of the same files
    assert reports[0] == reports[1]
    assert made[0]["sha256"] == made[1]["sha256"]


@pytest.mark.torch
def test_an_unreadable_picture_is_told_by_a_worker_too(pictures, export):
    """The sentence is the one that a single process says, and nothing is written."""
    (pictures / "pictures" / "5.png").write_bytes(b"no picture")
    code, _, err = export(*_quantize(pictures, "out", "--workers", "2"))
    assert code == 2
    assert "5.png is not a readable picture: " in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not (pictures / "out").exists()


@pytest.mark.torch
def test_the_percentile_observer_holds_what_it_says(pictures, export):
    """A lower percentile gives narrower ranges; the recipe says which it was; another observer has none."""
    from mlu_export.formats.recipe import read_recipe

    found = {}
    for percent in ("100", "99.99", "90"):
        options = ("--observer", "percentile", "--percentile", percent)
        code, _, err = export(*_quantize(pictures, percent, *options))
        assert code == 0, err
        found[percent] = read_recipe(pictures / percent / "darknet.recipe.toml")
    assert found["99.99"].calibration.endswith("percentile 99.99")
    for name, seen in found["100"].ranges.items():
        assert found["90"].ranges[name].absmax < seen.absmax
    code, _, err = export(*_quantize(pictures, "x", "--observer", "mse", "--percentile", "99"))
    assert code == 2
    assert "--percentile is for --observer percentile" in err


@pytest.mark.eval
@pytest.mark.torch
@pytest.mark.parametrize("count, ray", OTHERS)
def test_an_evaluation_does_not_show_how_many_made_it(tiny, tiny_model, tiny_annotations, export, count, ray):
    """The file as it ships and the float network beside it: the same JSON, to the last digit."""
    common = (
        "eval", tiny_model, "--images", tiny / "pictures", "--annotations", tiny_annotations, "--json", "--compare",
        "float,offline", "--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg",
    )  # fmt: skip
    alone = export(*common)
    assert alone[0] == 0, alone[2]
    several = export(*common, "--workers", str(count), *(("--ray", ray) if ray else ()))
    assert several[0] == 0, several[2]
    assert several[1] == alone[1]
