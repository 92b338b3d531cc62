"""Reloads and swaps while frames flow, in this process, with real models: refused as a whole or in force as a whole."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

import pytest
from tests.bundles import small_members, write_bundle
from tests.models import small_bundle
from tests.pipeline.test_swap import Heard, check_order

from mlu_agent import ledger
from mlu_agent.config import Config, ModelConfig, SourceConfig
from mlu_agent.daemon.changer import Changer
from mlu_agent.daemon.models import Models, put_into_service
from mlu_agent.daemon.pipeline import Pipeline
from mlu_agent.errors import RuntimeFailure, UserError
from mlu_agent.ledger import Ledger
from mlu_agent.publish.sink import Outlet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlu_agent.daemon.models import InService


class Log:
    """Collects log calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.calls.append((event, fields))


class Box:
    """A pipeline that runs, a changer, and the test's turns of the main loop."""

    def __init__(self, model: Path, simulator: Path, *sources: SourceConfig) -> None:
        self.runtime = str(simulator)
        self.log = Log()
        self.ledger = Ledger()
        self.loading = lambda: None
        self.file: Config | Exception = Config("box", (self.model(model),), sources)
        assert isinstance(self.file, Config)
        first = self.load(self.file.models[0], self.file)
        self.pipeline = Pipeline(self.file, Models([first]), Outlet((), self.ledger, self.log), self.ledger, self.log)
        self.heard = Heard(self.pipeline)
        self.pipeline._outlet.look_for_subscribers = lambda: False
        self.changer = Changer(
            self.file, self.pipeline, self.log, read=self.read, load=self.load, options=self.options, wake=lambda: None
        )
        self.given: list[Config] = []
        self.pipeline.start()
        self.frames()

    def model(self, path: Path, **options: Any) -> ModelConfig:
        return ModelConfig(path, runtime=self.runtime, cores=1, **options)

    def read(self) -> Config:
        if isinstance(self.file, Exception):
            raise self.file
        return self.file

    def load(self, model: ModelConfig, config: Config) -> InService:
        self.loading()
        sources = config.sources_of(model)
        given = (model, config.service, self.ledger, self.log, lambda _lost: None)
        return put_into_service(*given, sources, serving=self.serving())

    def serving(self) -> list[str] | None:
        """As a daemon tells it: None at the start."""
        return [one.spec.sha256 for one in self.pipeline.models] if hasattr(self, "pipeline") else None

    def options(self, config: Config) -> None:
        self.given.append(config)

    def turn(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            assert self.pipeline.failure is None
            self.pipeline.tick(time.monotonic())
            self.changer.look()
            time.sleep(0.002)

    def frames(self, *names: str) -> None:
        """Ten more of each of these sources, of all if none is named."""
        before = {name: self.heard.count(name) for name in names or self.pipeline.sources}
        self.turn(lambda: all(self.heard.count(name) > count + 10 for name, count in before.items()))

    def ask(self, order: Callable[[Callable[[Any], None]], None]) -> dict[str, Any]:
        answers: list[dict[str, Any]] = []
        order(answers.append)
        self.turn(lambda: answers and not self.changer.busy)
        assert len(answers) == 1
        return answers[0]

    def reload(self, file: Config | Exception) -> dict[str, Any]:
        self.file = file
        return self.ask(self.changer.reload)

    def swap(self, path: Path | str, name: str = "main") -> dict[str, Any]:
        return self.ask(lambda answer: self.changer.swap(name, str(path), answer))

    def stop(self) -> None:
        self.changer.stop()
        assert self.pipeline.stop(10)
        assert self.changer.join(10)
        self.pipeline.models.close()


@pytest.fixture
def box(model_path: Path, simulator_path: Path, pictures: Path) -> Iterator[Box]:
    """A file that is played again and again, and a live source."""
    live = SourceConfig("live", "synthetic", "64x48@200", realtime=True)
    made = Box(model_path, simulator_path, SourceConfig("file", "path", str(pictures), loop=True), live)
    yield made
    made.stop()
    for name in made.heard.frames:
        check_order(made.heard, name)
    for counters in made.ledger.snapshot().sources.values():
        assert counters["in_flight"] == 0
        assert counters["frames_read"] == counters["published"] + counters["dropped"]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A model beside the one that serves, of another name."""
    folder = tmp_path / "other"
    folder.mkdir()
    path = small_bundle(folder)
    _rewrite(path.with_suffix(".toml"), 'name = "small"', 'name = "other"')
    return path


def _rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def config_of(box: Box) -> Config:
    assert isinstance(box.file, Config)
    return box.file


def test_a_swap_lasts_until_a_reload_and_says_what_the_file_names(box: Box, other: Path, model_path: Path):
    """The answer has the model's name and digest; a reload goes back to what the configuration says."""
    before = box.pipeline.models["main"]
    answer = box.swap(other)
    assert answer["ok"]
    assert answer["done"].startswith("model main is other (sha256 ")
    assert answer["done"].endswith(f"from {other}, until a reload or a restart: the configuration names {model_path}")
    assert box.pipeline.models.main.spec.name == "other"
    assert before.served.engine.closed
    assert box.given == []
    box.frames()
    assert box.reload(config_of(box)) == {"ok": True, "done": "model loaded main"}
    assert box.pipeline.models.main.spec.name == "small"
    assert box.given == [box.changer.config]
    assert box.swap(model_path)["done"].endswith(f"from {model_path}")


def test_a_model_that_was_copied_over_the_old_one_is_taken_by_a_reload(box: Box, other: Path):
    """By what is in it: the path is the same. Without a difference nothing is loaded."""
    changed = dataclasses.replace(config_of(box), models=(box.model(other),))
    assert box.reload(changed)["done"] == "model loaded main"
    assert box.reload(changed)["done"] == "nothing differs"
    _rewrite(other.with_suffix(".toml"), "confidence = 0.6", "confidence = 0.7")
    assert box.reload(changed)["done"] == "model loaded main"
    assert box.pipeline.models.main.thresholds.confidence == 0.7


@pytest.mark.parametrize("damage", ["flipped", "digest", "golden", "gone", "name", "relative"])
def test_a_model_that_is_wrong_leaves_the_old_one_serving(box: Box, other: Path, damage: str):
    """A flipped bit, a wrong digest, a golden frame that fails, no file, no such model: each with its reason."""
    before = box.pipeline.models["main"]
    name, path, said = "main", str(other), "sha256"
    if damage == "flipped":
        data = bytearray(other.read_bytes())
        data[-1] ^= 1
        other.write_bytes(data)
    elif damage == "digest":
        lines = other.with_suffix(".toml").read_text().splitlines()
        lines = [f'sha256 = "{"0" * 64}"' if line.startswith("sha256") else line for line in lines]
        other.with_suffix(".toml").write_text("\n".join(lines))
    elif damage == "golden":
        assert box.swap(other)["ok"]
        before = box.pipeline.models["main"]
        file = other.with_suffix(".golden")
        lines = file.read_text().splitlines()
        lines[5] = f'    "{"0" * 64}",'
        file.write_text("\n".join(lines))
        said = "the golden frame failed"
    elif damage == "gone":
        path, said = str(other.parent / "none.cambricon"), "none.cambricon: there is no such file or folder"
    elif damage == "name":
        name, said = "door", "no model is called 'door'; there is main"
    else:
        path, said = "other.cambricon", "'other.cambricon' is no absolute path"
    threads = threading.active_count()
    answer = box.swap(path, name)
    assert threading.active_count() == threads
    assert not answer["ok"]
    assert said in answer["error"]
    assert said in box.changer.trouble
    assert any("a change was refused" in event and said in fields["reason"] for event, fields in box.log.calls)
    assert box.pipeline.models["main"] is before
    assert box.ledger.snapshot().device == {}, "what is only tried is not told of what serves"
    box.frames()


@pytest.mark.parametrize("damage", ["unreadable", "of another model"])
def test_a_golden_frame_that_cannot_be_of_a_new_model_refuses_it(
    box: Box, other: Path, tmp_path: Path, model_path: Path, damage: str
):
    """Nothing would be held to one that is recorded at the switch; what lies there stays as it is. Copied again or
    deleted, the model is taken."""
    file = other.with_suffix(".golden")
    text = "schema = 1\n"
    if damage == "of another model":
        assert box.swap(other)["ok"]
        text = file.read_text().replace('sha256 = "', 'sha256 = "0000')
        text = re.sub(r'sha256 = "0000([0-9a-f]{60})[0-9a-f]{4}"', r'sha256 = "0000\1"', text)
        assert box.swap(model_path)["ok"]
    file.write_text(text)
    before = box.pipeline.models["main"]
    answer = box.swap(other)
    assert "small.golden" in answer["error"]
    assert answer["error"].endswith("copy it again beside its model, or delete it to have one recorded here")
    assert box.pipeline.models["main"] is before
    assert file.read_text() == text
    file.unlink()
    assert box.swap(other)["ok"]


def test_a_golden_frame_that_the_model_before_left_is_recorded_anew(box: Box, other: Path, tmp_path: Path):
    """Where only model and manifest were copied over those that serve."""
    assert box.swap(other)["ok"]
    (tmp_path / "next").mkdir()
    following = small_bundle(tmp_path / "next", batch=2)
    for suffix in (".cambricon", ".toml"):
        other.with_suffix(suffix).write_bytes(following.with_suffix(suffix).read_bytes())
    assert box.swap(other)["ok"]
    assert box.pipeline.models.main.spec.sha256 in other.with_suffix(".golden").read_text()


def test_a_device_without_room_for_two_models_keeps_the_old_one(box: Box, other: Path, monkeypatch: pytest.MonkeyPatch):
    """What the device says is told, and what helps."""

    def full(*_: object, **__: object) -> None:
        raise RuntimeFailure("cnrtMalloc failed: no memory", status=632008)

    before = box.pipeline.models["main"]
    with monkeypatch.context() as patch:
        patch.setattr("mlu_agent.engine.slot.DeviceBuffer", full)
        answer = box.swap(other)
    assert "model main: cnrtMalloc failed: no memory" in answer["error"]
    assert "what served before goes on unchanged" in answer["error"]
    assert answer["error"].endswith("no room for the new model beside the old one, restart the service instead")
    assert box.pipeline.models["main"] is before
    assert box.swap(other)["ok"]
    assert box.changer.trouble == ""


def test_a_reload_that_fails_late_leaves_nothing_behind(box: Box, other: Path):
    """Two models are new, the second is wrong: the first is closed again, no source has changed."""
    base = config_of(box)
    wrong = box.model(other.parent / "none.cambricon", name="wrong")
    bad = dataclasses.replace(
        base, models=(*base.models, box.model(other, name="more"), wrong), sources=base.sources[:1]
    )
    threads = threading.active_count()
    answer = box.reload(bad)
    assert "model wrong: " in answer["error"]
    assert list(box.pipeline.sources) == ["file", "live"]
    assert [name for name, _ in box.pipeline.models.items()] == ["main"]
    assert threading.active_count() == threads
    assert not box.reload(UserError("broken"))["ok"]
    assert box.changer.trouble == "the last reload was refused: broken"
    assert not box.reload(OSError("not foreseen"))["ok"]
    assert "internal error: OSError" in box.changer.trouble
    box.frames()


def test_accounts_of_models_that_are_gone_are_bounded(box: Box, other: Path, monkeypatch: pytest.MonkeyPatch):
    """Those that a reload removed, whose sums go on; one that was refused after its models were loaded leaves none."""
    monkeypatch.setattr(ledger, "MAX_CLOSED", 2)
    base = config_of(box)
    for number in range(4):
        added = (*base.models, box.model(other, name=f"m{number}"))
        assert box.reload(dataclasses.replace(base, models=added))["ok"]
        box.ledger.model(f"m{number}").count("retry")
    assert list(box.ledger.snapshot().models) == ["main", "m1", "m2", "m3"]
    apply = box.changer._add
    monkeypatch.setattr(box.changer, "_add", lambda _ready: 1 // 0)
    for number in range(4, 8):
        added = (*base.models, box.model(other, name=f"m{number}"))
        assert not box.reload(dataclasses.replace(base, models=added))["ok"]
    monkeypatch.setattr(box.changer, "_add", apply)
    assert list(box.ledger.snapshot().models) == ["main", "m1", "m2", "m3"]
    assert box.reload(base)["ok"]
    assert list(box.ledger.snapshot().models) == ["main", "m2", "m3"]
    assert box.ledger.snapshot().totals["device_retry"] == 4


def test_only_bundles_of_the_configuration_are_remembered(
    box: Box, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is swapped in from elsewhere is gone with a restart, and must not push out what serves then."""
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    members = small_members(other)
    first, second = (write_bundle(tmp_path / f"{name}.bundle", members, name="other") for name in "ab")

    def remembered() -> dict[str, str]:
        known: dict[str, str] = json.loads((tmp_path / "cache/bundles/last-good.json").read_text())
        return known

    assert box.reload(dataclasses.replace(config_of(box), models=(box.model(first),)))["ok"]
    good = remembered()
    assert list(good) == [str(first)]
    assert box.swap(second)["ok"]
    assert remembered() == good
    write_bundle(first, members, name="other", version="2")
    assert box.swap(first)["ok"]
    assert list(remembered()) == [str(first)]
    assert remembered() != good


def test_what_cannot_be_begun_is_undone(box: Box, other: Path, monkeypatch: pytest.MonkeyPatch):
    """No thread can be had for the second new source: the first one and the new model go again."""
    base = config_of(box)
    more = [SourceConfig(name, "synthetic", "64x48@50", realtime=True, model="more") for name in ("one", "two")]
    wanted = dataclasses.replace(
        base, models=(*base.models, box.model(other, name="more")), sources=(*base.sources, *more)
    )
    add = Pipeline.add

    def scarce(self: Pipeline, config: SourceConfig, **options: Any) -> Any:
        if config.id == "two":
            raise RuntimeError("can't start new thread")
        return add(self, config, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "add", scarce)
        answer = box.reload(wanted)
    assert "it could not be begun (can't start new thread)" in answer["error"]
    box.turn(lambda: list(box.pipeline.sources) == ["file", "live"])
    assert [name for name, _ in box.pipeline.models.items()] == ["main"]
    assert box.reload(wanted)["ok"]
    box.frames()


def test_changes_wait_for_the_one_that_is_under_way_and_a_bounded_number(box: Box, other: Path, model_path: Path):
    """In their order, each answered once; the main loop goes on meanwhile, and those beyond the bound are refused."""
    gate = threading.Event()
    box.loading = lambda: gate.wait(30)
    answers: list[tuple[int, dict[str, Any]]] = []
    for number in range(10):
        path = str(model_path if number % 2 else other)
        box.changer.swap("main", path, lambda given, number=number: answers.append((number, given)))
    assert [number for number, _ in answers] == [9]
    assert answers[0][1]["error"] == "swap of main: 8 others wait; ask again later"
    box.frames()
    assert len(answers) == 1
    gate.set()
    box.turn(lambda: not box.changer.busy)
    assert [number for number, _ in answers[1:]] == list(range(9))
    assert all(given["ok"] for _, given in answers[1:])
    box.frames()


@pytest.mark.parametrize("moment", ["loading", "ready"])
def test_the_end_in_the_middle_of_a_change_does_not_wait_for_it(box: Box, other: Path, moment: str):
    """What was loaded is closed, whoever asked is told, and so is who waits."""
    gate, inside = threading.Event(), threading.Event()

    def load() -> None:
        inside.set()
        gate.wait(30)

    box.loading = load
    answers: list[dict[str, Any]] = []
    box.changer.swap("main", str(other), answers.append)
    box.changer.reload(answers.append)
    assert inside.wait(30)
    if moment == "ready":
        gate.set()
        deadline = time.monotonic() + 30
        while box.changer._ready is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
    before = box.pipeline.models["main"]
    box.changer.stop()
    gate.set()
    assert box.pipeline.stop(10)
    assert box.changer.join(10)
    assert [given["ok"] for given in answers] == [False, False]
    assert all("the agent stops" in given["error"] for given in answers)
    assert box.pipeline.models["main"] is before
    box.changer.swap("main", str(other), answers.append)
    assert answers[-1]["error"] == "swap of main: the agent stops"


def test_a_source_that_is_not_gone_yet_gets_its_newest_successor(box: Box):
    """Removed, changed and added again while its thread ends."""
    base = config_of(box)
    live = base.sources[1]
    box.file = base
    answers: list[dict[str, Any]] = []
    for sources in (
        base.sources[:1],
        (base.sources[0], dataclasses.replace(live, location="80x48@200")),
        (base.sources[0], dataclasses.replace(live, location="96x48@200")),
        (base.sources[0], dataclasses.replace(live, location="96x48@200", confidence=0.9)),
    ):
        file = dataclasses.replace(base, sources=sources)
        box.changer._read = lambda file=file: file
        answers.append(box.ask(box.changer.reload))
    assert all(given["ok"] for given in answers)
    box.turn(lambda: "live" in box.pipeline.sources and not box.pipeline._leaving)
    assert box.pipeline.sources["live"].config.location == "96x48@200"
    box.turn(lambda: box.heard.frames["live"][-1][1] == 0.9)


def test_many_changes_leave_nothing_behind(box: Box, other: Path, model_path: Path):
    """Thirty swaps and reloads, some of them refused: threads, accounts and mailboxes are what they were."""
    base = config_of(box)
    assert box.swap(other)["ok"]
    threads = threading.active_count()
    third = SourceConfig("third", "synthetic", "64x48@50", realtime=True)
    for number in range(10):
        assert box.swap(model_path if number % 2 else other)["ok"]
        assert not box.swap(other.parent / "none.cambricon")["ok"]
        assert box.reload(dataclasses.replace(base, sources=(*base.sources, third) if number % 2 else base.sources))[
            "ok"
        ]
    assert box.reload(base)["ok"]
    box.turn(lambda: list(box.pipeline.sources) == ["file", "live"])
    box.turn(lambda: threading.active_count() == threads)
    (line,) = box.pipeline._lines.values()
    assert set(line.exchange.traffic()) == {"file", "live"}
    assert list(box.ledger.snapshot().models) == ["main"]
