"""TorchScript files -> ImportedModel: the tail is looked at first, then what is left is recorded as any module is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError, MluAgentError, UserError

from ...support.torch_needed import import_torch
from ...values.heads import HeadRequest
from ..module.importer import import_named
from ..tails.resolve import resolve
from .file import load_graph
from .network import GraphRunner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ...values.graph import ImportedModel

MOST_CUTS = 64


def import_torchscript(data: bytes, size: tuple[int, int], heads: HeadRequest | None = None) -> ImportedModel:
    """The float network of a traced file for pictures (1, 3, height, width). Raises DataError, UserError."""
    torch = import_torch()
    asked = (heads or HeadRequest()).check()
    runner = GraphRunner(*load_graph(data))
    ends = [_found(runner, name) for name in asked.outputs] or runner.ends
    tail = ScriptTail(torch, runner, ends, size)
    request, notes = resolve(asked, tail)
    wanted = [_found(runner, name) for name in request.outputs] or runner.ends
    names = request.outputs or tuple(f"output{number}" for number in range(len(wanted)))

    class Network(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, picture: Any) -> Any:
            return tuple(runner.run({runner.picture: picture}, wanted))

    return import_named(Network(), size, request, names, notes)


def _found(runner: GraphRunner, name: str) -> str:
    if name in runner.names:
        return str(runner.names[name])
    if name in runner.makers:
        return name
    known = ", ".join(list(runner.names)[-8:])
    raise UserError(f"--outputs {name}: the network has no convolution and no value of that name; its last are {known}")


class ScriptTail:
    """The decoding tail of a TorchScript graph, computed by torch itself."""

    def __init__(self, torch: Any, runner: GraphRunner, ends: list[str], size: tuple[int, int]) -> None:
        self.torch, self.runner, self.outputs, self.size = torch, runner, ends, size
        self._values = {value: name for name, value in runner.names.items()}
        self._cuts: dict[str, tuple[int, ...]] | None = None

    @property
    def cuts(self) -> dict[str, tuple[int, ...]]:
        """The last convolutions, by the names of their modules."""
        if self._cuts is None:
            found = self._convolutions(self.outputs)
            self._cuts = self._shapes(found) if 0 < len(found) <= MOST_CUTS else {}
        return self._cuts

    def _shapes(self, values: list[str]) -> dict[str, tuple[int, ...]]:
        picture = self.torch.zeros(1, 3, *self.size)
        made = self._computed({self.runner.picture: picture}, values)
        return {self._values[value]: tuple(one.shape) for value, one in zip(values, made)}

    def run(self, arrays: Mapping[str, Any], end: int | None = None) -> list[list[Any]]:
        """The numbers of the outputs, which are the one end."""
        del end
        given = {self.runner.names[name]: self.torch.from_numpy(array) for name, array in arrays.items()}
        given[self.runner.picture] = self.torch.zeros(1, 3, *self.size)
        made = self._computed(given, self.outputs)
        return [[one.numpy() for one in made if isinstance(one, self.torch.Tensor)]]

    def _computed(self, given: dict[str, Any], wanted: list[str]) -> list[Any]:
        try:
            with self.torch.no_grad():
                return self.runner.run(given, wanted)
        except MluAgentError:
            raise
        except Exception as error:  # any operator of torch
            text = " ".join(str(error).split())
            raise DataError(
                f"the network cannot be carried out for {self.size[1]}x{self.size[0]}: {text:.200}"
            ) from error

    def _convolutions(self, names: Iterable[str]) -> list[str]:
        found, seen, waiting = [], set(), list(names)[::-1]
        while waiting:
            name = waiting.pop()
            node = self.runner.makers.get(name)
            if node is None or name in seen:
                continue
            seen.add(name)
            if name in self._values and not self._is_expectation(node):
                found.append(name)
            elif node.kind() != "aten::size":
                waiting.extend(one.debugName() for one in reversed(list(node.inputs())))
        return found

    def _is_expectation(self, node: Any) -> bool:
        weight = self.runner.constants.get(list(node.inputs())[1].debugName())
        array = weight.numpy().reshape(-1) if isinstance(weight, self.torch.Tensor) else np.empty(0)
        return array.size > 1 and np.array_equal(array, np.arange(array.size, dtype=array.dtype))
