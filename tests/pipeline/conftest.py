"""What the tests of engine and pipeline share besides tests/conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import cv2
import numpy as np
import pytest
from tests.models import small_bundle

from mlu_agent.config import Config, ModelConfig, PublishConfig, SourceConfig
from mlu_agent.daemon.models import InService, Models, serve
from mlu_agent.daemon.pipeline import Pipeline
from mlu_agent.engine import Engine
from mlu_agent.ledger import Ledger
from mlu_agent.model.bundle import load_bundle
from mlu_agent.publish.publisher import Publisher
from mlu_agent.publish.sink import Outlet

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.cnrt import Library


@pytest.fixture(scope="session")
def four_core_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes all four cores, of batch 4."""
    return small_bundle(tmp_path_factory.mktemp("four"), batch=4, parallelism=4)


class Log:
    """Collects log calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.calls.append((event, fields))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of 30 pictures of different sizes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(30):
        pixels = np.random.default_rng(number).integers(0, 255, (20 + number, 60 - number, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number:02}.png"), pixels)
    return folder


@pytest.fixture
def make(tmp_path: Path, library: Library):
    """A function from a model and sources to a Pipeline; everything is closed at the end."""
    closers: list[Any] = []

    def build(model: Path, *sources: SourceConfig, wake: Callable[[], None] = lambda: None, **options: Any) -> Pipeline:
        config = Config("box", (ModelConfig(model),), sources, PublishConfig(f"ipc://{tmp_path}/out.sock"), **options)
        log = Log()
        engine = Engine(library, model)
        closers.append(engine)
        ledger = Ledger()
        publisher = Publisher(config.publish, ledger.sink(Publisher.name), log)
        closers.append(publisher)
        served = serve(load_bundle(model), engine, config.models[0], ledger, log)
        served.self_test()
        models = Models([InService(config.models[0], served)])
        return Pipeline(config, models, Outlet([publisher], ledger, log), ledger, log, wake)

    yield build
    for closer in reversed(closers):
        closer.close()
