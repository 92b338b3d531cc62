"""The decoding tail of an ONNX file: from its outputs back to the convolutions that heads begin with, and forth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError

from ...recording.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .call import Operand, Tensor

# Operators of ONNX and of runtimes that choose among boxes: first boxes, then scores enter them.
SUPPRESSIONS = (
    "NonMaxSuppression", "EfficientNMS_TRT", "EfficientNMS_ONNX_TRT", "BatchedNMS_TRT", "BatchedNMSDynamic_TRT",
)  # fmt: skip
SIZES_ONLY = ("Shape", "Size")  # what is behind them depends on no number of what is before
MOST_CUTS = 64
MOST_STEPS = 1 << 14


class OnnxTail:
    """``compute`` gives a tensor of the network as it is recorded; ``replay`` goes through the nodes behind given ones
    with numbers in their place, and gives the wanted tensors."""

    def __init__(
        self,
        ends: list[list[str]],
        size: tuple[int, int],
        makers: Mapping[str, Any],
        compute: Callable[[str], Operand],
        replay: Callable[[Mapping[str, Tensor], Iterable[str]], list[Operand]],
    ) -> None:
        self.makers, self.compute, self.replay = makers, compute, replay
        self.ends, self.size = ends, size
        self._cuts: dict[str, tuple[int, ...]] | None = None

    @property
    def outputs(self) -> list[str]:
        """The tensors of the first end."""
        return self.ends[0]

    @property
    def cuts(self) -> dict[str, tuple[int, ...]]:
        """The convolutions that all ends begin with; none where the network before them cannot be recorded."""
        if self._cuts is None:
            self._cuts = self._found()
        return self._cuts

    def _found(self) -> dict[str, tuple[int, ...]]:
        names = {name: None for end in self.ends for name in self._convolutions(end)}
        if len(names) > MOST_CUTS:
            return {}
        try:
            values = {name: self.compute(name) for name in names}
        except DataError:
            return {}  # which is told where the network is recorded
        return {name: value.shape for name, value in values.items() if isinstance(value, Value)}

    def run(self, arrays: Mapping[str, Tensor], end: int | None = None) -> list[list[Tensor]]:
        """The numbers of each end, or of one alone; DataError where none can be computed."""
        results, reason = [], ""
        for names in self.ends if end is None else [self.ends[end]]:
            try:
                made = self.replay(arrays, names)
            except DataError as error:
                made, reason = [], reason or str(error)
            results.append([one for one in made if isinstance(one, np.ndarray)])
        if not any(results):
            raise DataError(reason or "its outputs depend on more than its last convolutions")
        return results

    def _convolutions(self, names: Iterable[str]) -> list[str]:
        """The convolutions nearest to tensors, in the order in which a walk back from them meets those."""
        found: list[str] = []
        seen: set[str] = set()
        waiting = list(names)[::-1]
        while waiting and len(seen) < MOST_STEPS:
            name = waiting.pop()
            node = self.makers.get(name)
            if node is None or name in seen:
                continue
            seen.add(name)
            if node.op_type == "Conv" and not self._is_expectation(node):
                found.append(name)
            elif node.op_type not in SIZES_ONLY:
                waiting.extend(one for one in reversed(node.input) if one)
        return found

    def _is_expectation(self, node: Any) -> bool:
        """A convolution that weights 0, 1, 2 … with their probabilities, as tails have them."""
        if len(node.input) != 2:
            return False
        weight = self.compute(node.input[1])
        return isinstance(weight, np.ndarray) and np.array_equal(
            weight.reshape(-1), np.arange(weight.size, dtype=weight.dtype)
        )


def ends_of(graph: Any, wanted: list[str]) -> list[list[str]]:
    """Where a network may be said to end: at its outputs, or at what enters its own choice of boxes."""
    if wanted:
        return [wanted]
    ends = [[one.name for one in graph.output]]
    ends += [list(node.input[:2]) for node in graph.node if node.op_type in SUPPRESSIONS and len(node.input) > 1]
    return ends[:8]
