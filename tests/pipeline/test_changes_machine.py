"""Any row of changes while a file and live sources flow: the ledger balances, and each source's frames are in order."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.models import small_bundle
from tests.pipeline.test_changer import Box
from tests.pipeline.test_swap import check_order

from mlu_agent.config import Config, SourceConfig

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

IDS = ("file", "one", "two")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("swap"), st.sampled_from(["main", "more"]), st.booleans()),
        st.tuples(st.just("source"), st.sampled_from(IDS[1:]), st.booleans()),
        st.tuples(st.just("model"), st.sampled_from(IDS), st.booleans()),
        st.tuples(st.just("size"), st.sampled_from(IDS[1:]), st.booleans()),
        st.tuples(st.just("rate"), st.sampled_from(IDS), st.booleans()),
        st.tuples(st.just("threshold"), st.sampled_from(["main", "more"]), st.booleans()),
        st.tuples(st.just("wrong"), st.sampled_from(["main", "more"]), st.booleans()),
    ),
    min_size=3,
    max_size=8,
)


def changed(file: Config, step: tuple[str, str, bool], folder: Path) -> Config:
    """The configuration after one step."""
    kind, name, flag = step
    sources = {source.id: source for source in file.sources}
    models = {model.name: model for model in file.models}
    if kind == "source" and flag:
        sources[name] = SourceConfig(name, "synthetic", "64x48@200", realtime=True)
    elif kind == "source":
        sources.pop(name, None)
    elif kind == "wrong":
        models[name] = dataclasses.replace(models[name], path=folder / "none.cambricon")
    elif kind == "threshold":
        models[name] = dataclasses.replace(models[name], confidence=0.7 if flag else 0.6)
    elif name in sources:
        options: dict[str, Any] = {
            "model": {"model": "more" if flag else "main"},
            "size": {"location": "64x48@100" if flag else "64x48@200"},
            "rate": {"max_fps": 50.0 if flag else 0.0},
        }[kind]
        sources[name] = dataclasses.replace(sources[name], **options)
    return dataclasses.replace(file, models=tuple(models.values()), sources=tuple(sources.values()))


def test_after_any_changes_every_frame_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, model_path: Path, simulator_path: Path
):
    """Swaps, reloads and refusals in any order: each source's numbers go on from 0 without a gap, in its own order."""
    folder = tmp_path_factory.mktemp("machine")
    other = small_bundle(folder)
    clip = folder / "clip"
    clip.mkdir()
    for number in range(5):
        cv2.imwrite(str(clip / f"{number}.png"), np.full((48, 64, 3), number * 40, np.uint8))

    @given(STEPS)
    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def check(steps: list[tuple[str, str, bool]]) -> None:
        box = Box(model_path, simulator_path, SourceConfig("file", "path", str(clip), loop=True))
        base = box.file
        assert isinstance(base, Config)
        file = dataclasses.replace(base, models=(*base.models, box.model(other, name="more")))
        try:
            assert box.reload(file)["ok"]
            for step in steps:
                if step[0] == "swap":
                    assert box.swap(other if step[2] else model_path, step[1])["ok"]
                    continue
                new = changed(file, step, folder)
                assert box.reload(new)["ok"] is (step[0] != "wrong")
                file = file if step[0] == "wrong" else new
            wanted = {source.id: source.model or "main" for source in file.sources}
            box.turn(lambda: set(box.pipeline.sources) == set(wanted) and not box.pipeline._leaving)
            box.frames()
            assert {one.source_id: one.config.model or "main" for one in box.pipeline.sources.values()} == wanted
        finally:
            box.stop()
        for name in box.heard.frames:
            check_order(box.heard, name)
        for name, counters in box.ledger.snapshot().sources.items():
            assert counters["in_flight"] == 0
            assert counters["frames_read"] == counters["published"] + counters["dropped"]
            assert counters["published"] == box.heard.count(name)

    check()
