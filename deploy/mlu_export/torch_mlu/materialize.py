"""Computes recorded values in the simulator, with the runners used last kept."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from ..recording.layout import store, unstore
from ..recording.lowering import lower_recorded
from ..recording.values import Value, ordered, signature
from ..runners.simulator import Runner

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

KEPT_ENGINES = 16


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


def materialize(outputs: Sequence[Value]) -> None:
    """Computes values that are not there yet, layer by layer as torch asked, in one go."""
    wanted = [value for value in outputs if value.array is None]
    if not wanted:
        return
    values = ordered(wanted)
    leaves = [value for value in values if value.array is not None]
    key = signature(values, wanted)
    runner = CACHE.get(key) or CACHE.put(key, Runner(lower_recorded(leaves, wanted)))
    arrays = [store(value.array) for value in leaves if value.array is not None]
    for value, array in zip(wanted, runner.run(arrays)):
        value.array = unstore(array, value.shape).astype(value.dtype, copy=False)
        value.inputs, value.attributes = (), {}
