"""What the tests of the binding share: the real simulator and a small real model."""

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
