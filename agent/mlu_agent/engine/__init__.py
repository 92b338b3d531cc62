"""Invocations of a model on a device: slots, several in flight, made ready again when the device failed."""

from .engine import Engine
from .slot import Slot

__all__ = ["Engine", "Slot"]
