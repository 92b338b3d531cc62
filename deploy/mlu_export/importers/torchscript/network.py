"""The graph of a TorchScript file as a torch module: each operator by torch's own function for it."""

from __future__ import annotations

import math
import operator
import re
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import DataError

from ...recording.values import UnsupportedError
from ...support.torch_needed import import_torch
from ...values.graph import MAX_ELEMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Sizes that a trace keeps as tensors of one number are plain numbers here.
NUMBERS: dict[str, Callable[..., Any]] = {
    "aten::mul": operator.mul, "aten::add": lambda a, b, _one=1: a + b, "aten::sub": lambda a, b, _one=1: a - b,
    "aten::div": lambda a, b, *_mode: a / b, "aten::floor_divide": operator.floordiv, "aten::floor": math.floor,
    "aten::floordiv": operator.floordiv, "aten::Int": int, "aten::ScalarImplicit": lambda a: a,
    "aten::to": lambda a, *_more: a, "aten::remainder": operator.mod,
}  # fmt: skip
# Operators whose results depend on values and are no larger than what enters them.
BY_VALUES = (
    "aten::nonzero", "aten::nonzero_numpy", "aten::masked_select", "aten::index", "aten::item", "aten::Int",
    "aten::Float", "aten::Bool", "aten::ScalarImplicit", "aten::IntImplicit", "aten::FloatImplicit", "aten::equal",
    "aten::is_nonzero",
)  # fmt: skip
MOST = 1 << 63
MOST_PARTS = 1 << 16
_SCHEMA = re.compile(r"aten::(\w+?)(?:\.(\w+))?\(")


class GraphRunner:
    """Follows a graph from its picture, or from values given in the middle of it."""

    def __init__(self, module: Any, graph: Any) -> None:
        self.torch = import_torch()
        self.graph = graph  # its nodes live as long as it does
        self.nodes = list(graph.nodes())
        inputs = [one for one in graph.inputs() if str(one.type()) == "Tensor"]
        if len(inputs) != 1:
            raise DataError(f"the network takes {len(inputs)} tensors; one picture enters a model")
        self.picture = inputs[0].debugName()
        self.makers = {one.debugName(): node for node in self.nodes for one in node.outputs()}
        kept = [node for node in self.nodes if node.kind() == "prim::Constant"]
        self.constants = {node.outputsAt(0).debugName(): node.outputsAt(0).toIValue() for node in kept}
        self.places: dict[str, str] = {}
        self._attributes(module, next(graph.inputs()).debugName())
        self.numbers = {
            name: value.item()
            for name, value in self.constants.items()
            if isinstance(value, self.torch.Tensor) and value.ndim == 0
        }
        self.ends = self._flat([one.debugName() for one in graph.outputs()])
        self.names = {
            self._convolution(node): node.outputsAt(0).debugName() for node in self.nodes if _is_convolution(node)
        }

    def _attributes(self, module: Any, name: str) -> None:
        """Modules, weights and buffers as constants, and where they lie in the network."""
        self.constants[name], self.places[name] = module._c, ""  # noqa: SLF001 - by their names in the file alone
        for node in self.nodes:
            if node.kind() == "prim::GetAttr":
                owner, made, part = node.inputsAt(0).debugName(), node.outputsAt(0).debugName(), node.s("name")
                if not isinstance(self.constants.get(owner), self.torch.ScriptModule):
                    raise UnsupportedError(f"its code takes {part:.60} of a value that is no module of it")
                value = self.constants[owner].getattr(part)
                self.constants[made] = value.detach() if isinstance(value, self.torch.Tensor) else value
                self.places[made] = f"{self.places[owner]}.{part}".lstrip(".")

    def _convolution(self, node: Any) -> str:
        """What a convolution is called: by the module that its weights are of, or by its own value."""
        place, _, part = self.places.get(node.inputsAt(1).debugName(), "").rpartition(".")
        return place if place and part == "weight" else str(node.outputsAt(0).debugName())

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
        if kind in ("prim::Constant", "prim::GetAttr"):
            return self.constants[node.outputsAt(0).debugName()]
        names = [one.debugName() for one in node.inputs()]
        arguments = [values[name] for name in names]
        if kind in ("prim::ListConstruct", "prim::TupleConstruct"):
            return arguments
        if kind in ("prim::ListUnpack", "prim::TupleUnpack", "prim::NumToTensor"):
            return arguments[0]
        if kind in NUMBERS and arguments and type(arguments[0]) in (int, float):
            made = NUMBERS[kind](*(self.numbers.get(name, value) for name, value in zip(names, arguments)))
            if not -MOST < made < MOST:
                raise UnsupportedError(f"operator {kind} gives a number beyond 64 bits, which no size of a picture is")
            return made
        if kind == "aten::_convolution":  # the same with switches of one backend behind
            return self._bounded(kind, self.torch.ops.aten.convolution.default, arguments[:9], {})
        function = self._function(node)
        expected = function._schema.arguments  # noqa: SLF001 - torch has no other way to tell them
        named = {one.name: value for one, value in zip(expected, arguments) if one.kwarg_only}
        return self._bounded(kind, function, arguments[: len(arguments) - len(named)], named)

    def _bounded(self, kind: str, function: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        """What an operator gives, of whose tensors the sizes are known before their numbers are made."""
        if kind == "aten::mul" and isinstance(arguments[0], (list, str)):
            raise UnsupportedError("its code repeats a list, which no network for the device needs")
        fake = self.torch._subclasses.fake_tensor  # noqa: SLF001 - torch has no other way to know sizes beforehand
        if self.torch._guards.detect_fake_mode(self._leaves(arguments)) is None:  # noqa: SLF001 - none where it records
            try:
                with fake.FakeTensorMode(allow_non_fake_inputs=True):
                    self._check(kind, function(*arguments, **named))
            except (fake.DataDependentOutputException, fake.DynamicOutputShapeException) as error:
                if kind not in BY_VALUES:
                    raise UnsupportedError(f"operator {kind:.60} has results of a size that nothing bounds") from error
        return self._check(kind, function(*arguments, **named))

    def _check(self, kind: str, made: Any) -> Any:
        """Raises UnsupportedError for results that are too large."""
        leaves = self._leaves([made])
        largest = max([0, *(one.numel() for one in leaves if isinstance(one, self.torch.Tensor))])
        if largest > MAX_ELEMENTS or len(leaves) > MOST_PARTS:
            raise UnsupportedError(
                f"operator {kind:.60} gives {largest} values in {len(leaves)} parts: at most {MAX_ELEMENTS} of "
                f"a tensor and {MOST_PARTS} parts are accepted"
            )
        return made

    def _leaves(self, values: Any) -> list[Any]:
        found: list[Any] = []
        for one in values:
            found += self._leaves(one) if isinstance(one, (list, tuple)) else [one]
        return found

    def _function(self, node: Any) -> Any:
        match = _SCHEMA.match(node.schema())
        packet = getattr(self.torch.ops.aten, match[1], None) if match else None
        if match is None or packet is None:
            raise UnsupportedError(f"operator {node.kind():.60} of TorchScript is not known")
        return getattr(packet, match[2] or "default")


def _is_convolution(node: Any) -> bool:
    return node.kind() in ("aten::_convolution", "aten::conv2d", "aten::convolution")
