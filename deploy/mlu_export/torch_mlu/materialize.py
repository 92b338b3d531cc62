"""Computes recorded values in the simulator, with the runners used last kept."""

from __future__ import annotations

import collections
import os
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError

from ..recording.layout import store, unstore
from ..recording.lowering import lower_recorded
from ..recording.values import Value, ordered, signature
from ..runners.simulator import Runner

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

KEPT_ENGINES = 16
FORKED = (
    "a process that the script started, like a DataLoader's worker, uses the device, which is the script's own: let "
    "workers give CPU tensors, and move them to the device where the batches arrive"
)


class _Cache:
    """The runners used last, by what they compute."""

    def __init__(self) -> None:
        self._runners: collections.OrderedDict[Hashable, Runner] = collections.OrderedDict()

    def get(self, key: Hashable) -> Runner | None:
        if key in self._runners:
            self._runners.move_to_end(key)
        return self._runners.get(key)

    def put(self, key: Hashable, runner: Runner) -> Runner:
        self._runners[key] = runner
        while len(self._runners) > KEPT_ENGINES:
            self._runners.popitem(last=False)[1].close()
        return runner


CACHE = _Cache()
_started: list[int] = []  # the process in which the device was used first


def begin() -> None:
    """Before each use of the device. Raises UserError in a process that was forked from one that has used it."""
    if not _started:
        _started.append(os.getpid())
    if _started[0] != os.getpid():
        raise UserError(FORKED)


def materialize(outputs: Sequence[Value]) -> None:
    """Computes values that are not there yet, layer by layer as torch asked, in one go."""
    wanted = [value for value in outputs if value.array is None]
    if not wanted:
        return
    begin()
    values = ordered(wanted)
    leaves = [value for value in values if value.array is not None]
    key = signature(values, wanted)
    runner = CACHE.get(key) or CACHE.put(key, Runner(lower_recorded(leaves, wanted)))
    arrays = [store(value.array) for value in leaves if value.array is not None]
    for value, array in zip(wanted, runner.run(arrays)):
        value.array = unstore(array, value.shape).astype(value.dtype, copy=False)
        value.inputs, value.attributes = (), {}
