"""Layer by layer: every operator of a model file as a model of its own on the simulator.

Tensors lie on the host in between. This is how the vendor's "online" runs work, and the way to see what each operator
takes. The numbers are those of the file as a whole, to the bit: a tensor in memory is the same between operators of one
file and of many.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mlu_agent.model.bundle import Thresholds, load_detection_bundle
from mlu_agent.postprocess import Postprocessor
from mlu_agent.preprocess import Preprocessor

from ..formats.container_reader import load_network
from ..runners.simulator import Runner
from ..values.network import ABSENT, DTYPES, Array, Network, Operator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from mlu_agent.detections import Detections

Item = TypeVar("Item")


def single(network: Network, operator: Operator) -> tuple[Network, tuple[int, ...]]:
    """A network of one operator, and the tensors of the whole one that it takes, in the order of its inputs."""
    taken = tuple(dict.fromkeys(operator.inputs))  # x + x takes x once
    used = [number for number in dict.fromkeys(operator.constants) if number != ABSENT]
    tensors = tuple(network.tensors[number] for number in (*taken, operator.output))
    alone = Operator(
        operator.opcode,
        tuple(taken.index(number) for number in operator.inputs),
        tuple(ABSENT if number == ABSENT else used.index(number) for number in operator.constants),
        operator.attributes,
        len(taken),
        operator.name,
    )
    constants = tuple(network.constants[number] for number in used)
    inputs = tuple(range(len(taken)))
    names = tuple(f"input{number}" for number in inputs)
    return Network(tensors, constants, (alone,), inputs, (len(taken),), names, (operator.name,)), taken


class LayerByLayer:
    """A network whose operators run one at a time; a context manager.

    ``times`` holds of the last run each operator's time on the device in microseconds, by place in ``network``.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.times = [0.0] * len(network.operators)
        self._last_use = {
            number: index for index, operator in enumerate(network.operators) for number in operator.inputs
        }
        self._exits = contextlib.ExitStack()
        self._steps: list[tuple[Runner, tuple[int, ...]]] = []
        try:
            for operator in network.operators:
                alone, taken = single(network, operator)
                runner = Runner(alone)
                self._exits.callback(runner.close)
                self._steps.append((runner, taken))
        except BaseException:
            self._exits.close()
            raise

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Outputs of the network for inputs as they lie in the model."""
        values = dict(zip(self.network.inputs, inputs))
        for index, (runner, taken) in enumerate(self._steps):
            operator = self.network.operators[index]
            (values[operator.output],) = runner.run([values[number] for number in taken])
            self.times[index] = runner.device_us
            for number in taken:
                if self._last_use[number] == index and number not in self.network.outputs:
                    del values[number]
        return [values[number] for number in self.network.outputs]

    def close(self) -> None:
        """Releases every operator's model."""
        self._exits.close()

    def __enter__(self) -> LayerByLayer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class OnlineDetector:
    """Detections as the agent's Detector gives them, from a network that runs layer by layer; a context manager."""

    def __init__(self, model: Path, thresholds: Thresholds | None = None) -> None:
        self.spec = load_detection_bundle(model)
        self.thresholds = thresholds or self.spec.thresholds
        self.runtime = "simulator"
        self.layers = LayerByLayer(load_network(self.spec.path))
        tensor = self.layers.network.tensors[self.layers.network.inputs[0]]
        self._preprocess = Preprocessor(self.spec.input)
        self._postprocess = Postprocessor(self.spec)
        self._input = np.zeros(tensor.dims, DTYPES[tensor.dtype])

    def stream(self, items: Iterable[Item]) -> Iterator[tuple[Item, Detections]]:
        """Detections of each item in order; an item is a picture, or has one in its attribute ``pixels``."""
        group: list[Item] = []
        for item in items:
            group.append(item)
            if len(group) == self.spec.batch:
                yield from self._detect(group)
                group = []
        if group:
            yield from self._detect(group)

    def _detect(self, group: list[Item]) -> list[tuple[Item, Detections]]:
        places = [self._preprocess(_pixels(item), self._input[index]) for index, item in enumerate(group)]
        outputs = self.layers.run([self._input])
        return [
            (
                item,
                self._postprocess([output[index] for output in outputs], place, self.thresholds, image=index),
            )
            for index, (item, place) in enumerate(zip(group, places))
        ]

    def close(self) -> None:
        """Releases the models."""
        self.layers.close()

    def __enter__(self) -> OnlineDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pixels(item: Any) -> Any:
    return getattr(item, "pixels", item)
