"""What a reload does, from one configuration to another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mlu_agent.config import Config, LogConfig, ModelConfig, PublishConfig, ServiceConfig, SourceConfig, WatchConfig
from mlu_agent.daemon.plan import AT_START, IN_PLACE, Plan, make_plan, needs_restart, resolved

A, B = ModelConfig(Path("a.cambricon"), name="a"), ModelConfig(Path("b.cambricon"), name="b")
CAMERA, CLIP = SourceConfig("camera", "camera", "0"), SourceConfig("clip", "path", "clip.mp4", loop=True)
BASE = resolved(Config("box", (A,), (CAMERA, CLIP)))


def planned(new: Config, *replaced: str, old: Config = BASE) -> Plan:
    return make_plan(old, resolved(new), replaced)


def with_source(**options: Any) -> Config:
    return dataclasses.replace(BASE, sources=(dataclasses.replace(BASE.sources[0], **options), BASE.sources[1]))


def test_nothing_is_done_where_nothing_differs():
    """Also where the order of sources is another one, and where the one model is written out."""
    for same in (BASE, Config("box", (A,), (CLIP, CAMERA)), with_source(model="a")):
        assert planned(same) == Plan()
        assert needs_restart(BASE, resolved(same)) == []
    assert Plan().words() == "nothing differs"


@pytest.mark.parametrize(
    "options",
    [
        {"max_fps": 5.0},
        {"classes": (("person", 0.5),)},
        {"confidence": 0.5},
        {"roi": (0.0, 0.0, 0.5, 0.5)},
        {"priority": 1},
        {"min_fps": 2.0},
        {"stall_timeout_s": 9.0},
        {"reconnect_max_s": 9.0},
        {"watch": WatchConfig(enabled=False)},
        {"password_file": Path("/p")},
    ],
)
def test_these_options_change_while_a_source_runs(options: dict[str, Any]):
    """Nothing begins anew for them."""
    new = with_source(**options)
    assert planned(new) == Plan(adjust=(new.sources[0],))


@pytest.mark.parametrize(
    "options",
    [
        {"location": "1"},
        {"kind": "path"},
        {"loop": True},
        {"realtime": True},
        {"open_timeout_s": 9.0},
        {"transport": "udp"},
        {"max_fps": 5.0, "location": "1"},
    ],
)
def test_for_these_a_source_begins_anew(options: dict[str, Any]):
    """It alone."""
    new = with_source(**options)
    assert planned(new) == Plan(restart=(new.sources[0],))


def test_a_snapshot_is_asked_for_at_another_rate_only_anew():
    """Its capture keeps the rate."""
    old = with_source(kind="snapshot", location="http://cam/")
    new = with_source(kind="snapshot", location="http://cam/", max_fps=2.0)
    assert planned(new, old=old) == Plan(restart=(new.sources[0],))


def test_sources_come_and_go():
    """By id."""
    new = dataclasses.replace(BASE, sources=(BASE.sources[1], SourceConfig("new", "camera", "1", model="a")))
    assert planned(new) == Plan(add=(new.sources[1],), remove=("camera",))


def test_models_come_and_go_and_are_replaced_by_what_they_are_made_of():
    """By name; a source that changes its model begins anew."""
    assert planned(dataclasses.replace(BASE, models=(A, B))) == Plan(load=(B,))
    both = dataclasses.replace(BASE, models=(A, B))
    assert planned(BASE, old=both) == Plan(drop=("b",))
    for options in ({"path": Path("c.cambricon")}, {"cores": 2}, {"runtime": "simulator"}):
        other = dataclasses.replace(A, **options)
        assert planned(dataclasses.replace(BASE, models=(other,))) == Plan(load=(other,))
    assert planned(BASE, "a") == Plan(load=(A,))
    assert planned(dataclasses.replace(both, sources=with_source(model="b").sources), old=both).restart == (
        with_source(model="b").sources[0],
    )


def test_thresholds_change_in_place():
    """No model is loaded for them."""
    for name, value in (("confidence", 0.5), ("iou", 0.5), ("max_detections", 5)):
        other = dataclasses.replace(A, **{name: value})
        assert planned(dataclasses.replace(BASE, models=(other,))) == Plan(adjust_models=(other,))


def test_sources_that_name_no_model_follow_the_first():
    """If another one is the first now, they begin anew with that."""
    new = Config("box", (B, A), (CAMERA, dataclasses.replace(CLIP, model="a")))
    plan = planned(new, old=resolved(Config("box", (A, B), (CAMERA, CLIP))))
    assert plan == Plan(restart=(dataclasses.replace(CAMERA, model="b"),))


def test_options_of_tables_are_named():
    """For the answer."""
    new = dataclasses.replace(BASE, log=LogConfig("debug", "text"), publish=PublishConfig(heartbeat_s=9.0))
    assert needs_restart(BASE, new) == []
    assert planned(new).options == ("log.format", "log.level", "publish.heartbeat_s")
    assert planned(new).words() == "option log.format, log.level, publish.heartbeat_s"


def test_the_golden_frame_that_was_off_needs_the_model_anew():
    """An engine that runs it has a slot more; another interval has not."""
    off = dataclasses.replace(BASE, service=ServiceConfig(golden_interval_s=0.0))
    assert planned(off).load == (A,)
    assert planned(BASE, old=off).load == (A,)
    assert planned(dataclasses.replace(BASE, service=ServiceConfig(golden_interval_s=9.0))).load == ()


@pytest.mark.parametrize("name", AT_START)
def test_what_is_read_at_the_start_only_is_refused_with_its_reason(name: str):
    """All of it, told together with what else differs."""
    table, _, option = name.partition(".")
    if option:
        before = getattr(getattr(BASE, table), option)
        other = (not before) if isinstance(before, bool) else before + type(before)("1")
        new = dataclasses.replace(BASE, **{table: dataclasses.replace(getattr(BASE, table), **{option: other})})
    else:
        new = dataclasses.replace(BASE, **{table: "other"})
    (sentence,) = needs_restart(BASE, new)
    assert sentence.startswith(f"{name}: changes with a restart of the service only, since ")


def test_every_table_is_taken_over_or_refused():
    """One that somebody adds and forgets here is refused, so nothing is silently ignored."""
    others = {table.name for table in dataclasses.fields(Config)} - IN_PLACE - {"models", "sources"}
    for table in others:
        assert len(needs_restart(BASE, dataclasses.replace(BASE, **{table: "another"}))) == 1
