"""The guard that counts instructions: what it makes of a profile, and when it fails."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def counts():
    spec = importlib.util.spec_from_file_location("counts_run", ROOT / "tests" / "counts" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROFILE = """version: 1
positions: line
events: Ir

ob=(1) /usr/lib/libc.so.6
fn=(1) memcpy
0 1000

ob=(2) {program}
fn=(2) sim_plan_run
5 10
cob=(1)
cfn=(1)
calls=3 0
5 1000
+1 7

fn=(3) sim_finish
* 20
"""


def test_own_instructions_are_those_of_the_program_alone_without_what_it_calls(counts, tmp_path):
    """What a call costs stands behind the line that begins with calls=, and belongs to the callee."""
    program = tmp_path / "count_runs"
    profile = tmp_path / "out.1"
    profile.write_text(PROFILE.format(program=program))
    assert counts.own_instructions(profile, program) == 37


def test_five_percent_dearer_is_told_and_less_is_not(counts):
    """The bound is 5 % of the recorded figure."""
    recorded = {"avx2 a": 1000, "avx2 b": 1000}
    dearer, cheaper = counts.compare({"avx2 a": 1051, "avx2 b": 1049}, recorded)
    assert [line.split(":")[0] for line in dearer] == ["avx2 a"]
    assert not cheaper


def test_five_percent_cheaper_is_told_so_that_it_is_recorded(counts):
    """Floors go one way: a gain that is not recorded could be lost unnoticed."""
    dearer, cheaper = counts.compare({"avx2 a": 949}, {"avx2 a": 1000})
    assert not dearer
    assert "record it" in cheaper[0]


def test_a_layer_that_is_not_recorded_or_not_counted_any_more_is_a_failure(counts):
    """A guard that compares nothing guards nothing."""
    dearer, _ = counts.compare({"avx2 new": 5}, {"avx2 old": 5})
    assert len(dearer) == 2
