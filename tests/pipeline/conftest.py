"""What the tests of engine and pipeline share besides tests/conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.models import small_bundle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def four_core_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes all four cores, of batch 4."""
    return small_bundle(tmp_path_factory.mktemp("four"), batch=4, parallelism=4)
