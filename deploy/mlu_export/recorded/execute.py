"""Runs lowered networks in the simulator: each becomes a model file, loaded through the runtime as any other."""

from __future__ import annotations

import collections
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.cnrt import Device, open_library
from mlu_agent.engine import Engine
from mlu_agent.errors import RuntimeFailure

from ..bundle.container import write_model
from .layout import store, unstore
from .lowering import Lowering
from .values import Value, ordered, signature

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from ..network import Array, Network

KEPT_ENGINES = 16


class Runner:
    """A network in the simulator. ``run`` takes and gives arrays as they lie in the model.

    ``device_us`` is the device time of the last run in microseconds.
    """

    def __init__(self, network: Network) -> None:
        self.device_us = 0.0
        data = write_model(network, "online", _device_name(), 1)
        with tempfile.TemporaryDirectory(prefix="mlu-export-") as folder:
            path = Path(folder) / "online.cambricon"
            path.write_bytes(data)
            self._engine = Engine(simulator(), path, cores=1, slots=1)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        slot = self._engine.acquire()
        assert slot is not None
        for target, array in zip(slot.inputs, arrays):
            target[...] = array
        self._engine.submit(slot)
        done = self._engine.collect()
        if done is None:
            raise RuntimeFailure("the simulator gave no result")
        outputs = [np.array(output) for output in done.outputs]
        self.device_us = done.device_us
        self._engine.release(done)
        return outputs

    def close(self) -> None:
        self._engine.close()


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

    def clear(self) -> None:
        while self._runners:
            self._runners.popitem()[1].close()


CACHE = _Cache()
_libraries: list[Any] = []


def simulator() -> Any:
    """The simulator library, opened once."""
    if not _libraries:
        _libraries.append(open_library("simulator"))
    return _libraries[0]


def _device_name() -> str:
    """The simulated device: an MLU220 unless CNRT_SIMULATOR_DEVICE says otherwise."""
    device = Device(simulator(), 0)
    try:
        return device.info.target
    finally:
        device.close()


def materialize(outputs: Sequence[Value]) -> None:
    """Computes values that are not there yet, layer by layer as torch asked, in one go."""
    wanted = [value for value in outputs if value.array is None]
    if not wanted:
        return
    values = ordered(wanted)
    leaves = [value for value in values if value.array is not None]
    key = signature(values, wanted)
    runner = CACHE.get(key) or CACHE.put(key, Runner(Lowering(leaves, wanted).run()))
    arrays = [store(value.array) for value in leaves if value.array is not None]
    for value, array in zip(wanted, runner.run(arrays)):
        value.array = unstore(array, value.shape).astype(value.dtype, copy=False)
        value.inputs, value.attributes = (), {}
