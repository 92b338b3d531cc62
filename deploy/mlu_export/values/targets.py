"""The devices that models are made for."""

from __future__ import annotations

CORE_NUMBERS = {"MLU220": (1, 4), "MLU270": (1, 4, 16)}  # how many cores a model may run on at once
