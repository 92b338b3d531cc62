"""What the tests of engine and pipeline share: the real simulator and small real models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.models import small_bundle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def library(simulator_path: Path):
    """The simulator, loaded by its path."""
    from mlu_agent.cnrt import open_library

    return open_library(str(simulator_path))


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-core model of batch 1."""
    return small_bundle(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def four_core_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes all four cores, of batch 4."""
    return small_bundle(tmp_path_factory.mktemp("four"), batch=4, parallelism=4)
