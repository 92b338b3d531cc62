"""Recorded values -> the lowered network of a model file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .operations import OPERATIONS
from .state import State
from .values import UnsupportedError, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values.network import Network


def lower_recorded(inputs: Sequence[Value], outputs: Sequence[Value], pixels: str | None = None) -> Network:
    """The network that computes ``outputs`` from ``inputs``; ``pixels`` is the channel order of a picture of bytes that
    a first operation normalises. Raises UnsupportedError and DataError.
    """
    state = State(inputs, outputs, pixels)
    entries = [state.enter(value) for value in state.inputs]
    known = {id(value) for value in state.inputs}
    for value in state.values:
        if id(value) not in known and not state.is_folded(value):
            _lower(state, value)
    exits = [state.leave(output) for output in state.outputs]
    return state.pruned(entries, exits)


def _lower(state: State, value: Value) -> None:
    if value.array is not None:
        raise UnsupportedError(
            f"a tensor {value.shape} that is neither input nor weight takes part in the network, which has no "
            "operator for it; compute with numbers, per-channel values or module weights"
        )
    state.label = value.name
    try:
        OPERATIONS[value.operation](state, value)
    except UnsupportedError as error:
        raise UnsupportedError(f"{value.name}: {error}" if value.name else str(error)) from error
    state.label = ""
