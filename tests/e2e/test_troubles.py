"""Troubles that are really there, each named by doctor with what to do; all of them: benchmarks/troubles.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.injections import INJECTIONS, Box, Injection, found

if TYPE_CHECKING:
    from pathlib import Path

QUICK = [
    pytest.param(one, id=name, marks=[pytest.mark.cc] if one.cc else [])
    for name, one in INJECTIONS.items()
    if one.quick and not one.root
]


@pytest.mark.parametrize("injection", QUICK)
def test_an_injected_trouble_is_named_with_what_to_do(tmp_path: Path, simulator_path: Path, injection: Injection):
    """By its word, with a sentence and a remedy."""
    findings = injection.inject(Box(tmp_path, simulator_path))
    named = found(injection, findings)
    assert named is not None, [one for one in findings if one["verdict"] == "trouble"]
    assert named["found"]
