"""Runs lowered networks in the simulator: each becomes a model file, loaded through the runtime as any other."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.cnrt import Device, open_library
from mlu_agent.engine import Engine
from mlu_agent.errors import RuntimeFailure

from ..formats.container import write_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values.network import Array, Network

_libraries: list[Any] = []


class Runner:
    """A network in the simulator. ``run`` takes and gives arrays as they lie in the model.

    ``device_us`` is the device time of the last run in microseconds; ``inputs`` describes the arrays that it takes.
    """

    def __init__(self, network: Network) -> None:
        self.device_us = 0.0
        data = write_model(network, "online", _device_name(), 1)
        with tempfile.TemporaryDirectory(prefix="mlu-export-") as folder:
            path = Path(folder) / "online.cambricon"
            path.write_bytes(data)
            self._engine = Engine(simulator(), path, cores=1, slots=1)
        self.inputs = self._engine.description.inputs

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
