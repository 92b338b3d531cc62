"""The graph of a TorchScript file as a torch module: each operator by torch's own function for it."""

from __future__ import annotations

import math
import operator
import re
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import DataError

from ...recording.values import UnsupportedError
from ...support.torch_needed import import_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Sizes that a trace keeps as tensors of one number are plain numbers here.
NUMBERS: dict[str, Callable[..., Any]] = {
    "aten::mul": operator.mul, "aten::add": lambda a, b, _one=1: a + b, "aten::sub": lambda a, b, _one=1: a - b,
    "aten::div": lambda a, b, *_mode: a / b, "aten::floor_divide": operator.floordiv, "aten::floor": math.floor,
    "aten::floordiv": operator.floordiv, "aten::Int": int, "aten::ScalarImplicit": lambda a: a,
    "aten::to": lambda a, *_more: a, "aten::remainder": operator.mod,
}  # fmt: skip
_SCHEMA = re.compile(r"aten::(\w+?)(?:\.(\w+))?\(")


class GraphRunner:
    """Follows a graph from its picture, or from values given in the middle of it."""

    def __init__(self, graph: Any) -> None:
        self.torch = import_torch()
        self.nodes = list(graph.nodes())
        inputs = [one for one in graph.inputs() if str(one.type()) == "Tensor"]
        if len(inputs) != 1:
            raise DataError(f"the network takes {len(inputs)} tensors; one picture enters a model")
        self.picture = inputs[0].debugName()
        self.makers = {one.debugName(): node for node in self.nodes for one in node.outputs()}
        kept = [node for node in self.nodes if node.kind() == "prim::Constant"]
        self.constants = {node.outputsAt(0).debugName(): node.outputsAt(0).toIValue() for node in kept}
        self.numbers = {
            name: value.item()
            for name, value in self.constants.items()
            if isinstance(value, self.torch.Tensor) and value.ndim == 0
        }
        self.ends = self._flat([one.debugName() for one in graph.outputs()])
        self.names = {_convolution(node): node.outputsAt(0).debugName() for node in self.nodes if _is_convolution(node)}

    def _flat(self, names: Iterable[str]) -> list[str]:
        """The tensors in what a network returns, out of tuples and lists."""
        found: list[str] = []
        for name in names:
            node = self.makers.get(name)
            if node is not None and node.kind() in ("prim::TupleConstruct", "prim::ListConstruct"):
                found += self._flat(one.debugName() for one in node.inputs())
            else:
                found.append(name)
        return found

    def run(self, given: dict[str, Any], wanted: list[str]) -> list[Any]:
        """The wanted values, computed from those given."""
        needed, values = self._needed(given, wanted), dict(given)
        for node in self.nodes:
            names = [one.debugName() for one in node.outputs()]
            if needed.isdisjoint(names) or any(name in given for name in names):
                continue
            made = self._node(node, values)
            values.update(zip(names, made if len(names) != 1 else (made,)))
        return [values[name] for name in wanted]

    def _needed(self, given: dict[str, Any], wanted: list[str]) -> set[str]:
        needed, waiting = set(wanted), [name for name in wanted if name not in given]
        while waiting:
            node = self.makers.get(waiting.pop())
            for one in node.inputs() if node is not None else ():
                name = one.debugName()
                if name not in needed:
                    needed.add(name)
                    waiting += [name] if name not in given else []
        return needed

    def _node(self, node: Any, values: dict[str, Any]) -> Any:
        kind = node.kind()
        if kind == "prim::Constant":
            return self.constants[node.outputsAt(0).debugName()]
        names = [one.debugName() for one in node.inputs()]
        arguments = [values[name] for name in names]
        if kind in ("prim::ListConstruct", "prim::TupleConstruct"):
            return arguments
        if kind in ("prim::ListUnpack", "prim::TupleUnpack", "prim::NumToTensor"):
            return arguments[0]
        if kind in NUMBERS and arguments and type(arguments[0]) in (int, float):
            return NUMBERS[kind](*(self.numbers.get(name, value) for name, value in zip(names, arguments)))
        if kind == "aten::_convolution":  # the same with switches of one backend behind
            return self.torch.ops.aten.convolution.default(*arguments[:9])
        function = self._function(node)
        expected = function._schema.arguments  # noqa: SLF001 - torch has no other way to tell them
        named = {one.name: value for one, value in zip(expected, arguments) if one.kwarg_only}
        return function(*arguments[: len(arguments) - len(named)], **named)

    def _function(self, node: Any) -> Any:
        match = _SCHEMA.match(node.schema())
        packet = getattr(self.torch.ops.aten, match[1], None) if match else None
        if match is None or packet is None:
            raise UnsupportedError(f"operator {node.kind():.60} of TorchScript is not known")
        return getattr(packet, match[2] or "default")


def _is_convolution(node: Any) -> bool:
    return node.kind() in ("aten::_convolution", "aten::conv2d", "aten::convolution")


def _convolution(node: Any) -> str:
    """What a convolution is called: by the module that its weights are of, or by its own value."""
    weight = [one.debugName() for one in node.inputs()][1]
    match = re.fullmatch(r"self\.(.+)\.weight(?:\.\d+)?", weight)
    return match[1] if match else str(node.outputsAt(0).debugName())
