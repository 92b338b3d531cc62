"""The golden frame beside a model: what any simulator, with any number of cores, computes for the two inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
from mlu_agent.engine.golden import record
from mlu_agent.model.bundle import load_bundle
from mlu_agent.model.golden import parse_golden

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_lies_beside_a_model_is_what_the_agent_would_record(tiny_model: Path, simulator_path: Path):
    """To the bit, on all cores of the very file."""
    golden = parse_golden(tiny_model.with_suffix(".golden").read_bytes(), "golden")
    spec = load_bundle(tiny_model)
    with Engine(open_library(str(simulator_path)), tiny_model, spare=True) as engine:
        assert golden == record(engine, spec.sha256, "simulator")


def test_without_a_simulator_a_model_is_built_all_the_same(
    tiny: Path, tiny_recipe, export, monkeypatch: pytest.MonkeyPatch
):
    """And it is said: the agent records its golden frame at the first start."""
    from mlu_agent.errors import RuntimeFailure

    def missing() -> None:
        raise RuntimeFailure("there is none")

    monkeypatch.setattr("mlu_export.runners.golden.simulator", missing)
    code, out, err = export(
        "build", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--recipe", tiny_recipe,
        "--output", tiny / "a",
    )  # fmt: skip
    assert code == 0
    assert err == "mlu-export: note: no golden frame, the agent will record one: there is none\n"
    assert ".golden" not in out
