"""ONNX files -> ImportedModel, without torch: shapes are computed while walking, the recorder table does the rest."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError, UserError

from ...recording.fuse import fused
from ...recording.values import Constant, UnsupportedError, Value
from ...values.heads import HeadRequest
from ..tails.resolve import resolve
from ..traced import imported
from .call import Call, Operand, Tensor
from .file import MAX_ELEMENTS, import_package, opset_of, parse, tensor_array
from .fold import fold
from .metadata import read_metadata
from .operators import HINTS, OPERATORS, USUAL_HINT
from .tail import OnnxTail, ends_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ...values.graph import ImportedModel

COLOURS = 3
MOST_SIDE = 1 << 14
FLOATS = {1: "float", 10: "float16", 11: "double"}  # TensorProto.DataType
MISTAKES = (
    ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, ZeroDivisionError, MemoryError,
)  # fmt: skip


def import_onnx(
    data: bytes, companions: Mapping[str, bytes], size: tuple[int, int] | None, heads: HeadRequest | None = None
) -> ImportedModel:
    """The float network of an ONNX file of opset 11 to 20; ``companions`` are the files with its external weights.

    ``size`` (height, width) is needed where the file and its metadata leave it open. Raises UnsupportedError naming
    operator and node, DataError, UserError.
    """
    model = parse(data)
    metadata = read_metadata(model)
    asked = (heads or HeadRequest()).check()
    walk = _Walk(model.graph, companions, opset_of(model))
    source = walk.enter(size, metadata.size)
    request, notes = resolve(asked, walk.tail(asked, (source.shape[2], source.shape[3])))
    request = metadata.over(request)  # what the network itself shows counts before
    try:
        made = imported(source, walk.run(request.outputs), request, ())
    except UnsupportedError as error:
        raise UnsupportedError("; ".join((str(error), *notes))) from error
    return metadata.applied(replace(made, request=request, notes=(*walk.notes, *notes)))


class _Walk:
    """Goes through the nodes that the outputs need; ``known`` holds every tensor computed so far."""

    def __init__(self, graph: Any, companions: Mapping[str, bytes], opset: int) -> None:
        self.graph, self.companions, self.opset = graph, companions, opset
        self.notes: list[str] = []
        self.initializers = {one.name: one for one in graph.initializer}
        self.makers: dict[str, Any] = {}
        for node in graph.node:
            for name in node.output:
                if name and name in self.makers:
                    raise DataError(f"tensor {name!r:.60} is written by two nodes; the file is damaged")
                self.makers[name] = node
        self.known: dict[str, Operand] = {}
        self.constants: dict[int, tuple[Tensor, Constant]] = {}

    # ---- the picture ----

    def enter(self, size: tuple[int, int] | None, told: tuple[int, int] | None = None) -> Value:
        """The picture (1, 3, height, width), as large as asked or as the file is fixed to, else as ``told`` beside the
        network; one that wants the colours last sees it turned."""
        inputs = [one for one in self.graph.input if one.name not in self.initializers]
        if len(inputs) != 1:
            found = ", ".join(one.name for one in inputs) or "none"
            raise DataError(f"the network has {len(inputs)} inputs ({found:.120}); one picture enters a model")
        kind = inputs[0].type.tensor_type
        if kind.elem_type not in FLOATS:
            raise DataError(
                f"its input {inputs[0].name} is not of a float type: export the network without its own conversion of "
                "bytes, and say what it needs with --mean and --std"
            )
        sizes = [int(one.dim_value) if one.WhichOneof("value") == "dim_value" else 0 for one in kind.shape.dim]
        last = len(sizes) == 4 and sizes[3] == COLOURS and sizes[1] != COLOURS
        own = sizes[1:3] if last else sizes[2:4]
        if size is None and told is not None and min(own, default=0) < 1 and _fits(own, told):
            if max(told) > MOST_SIDE:
                raise DataError(
                    f"its metadata says that pictures are {told[1]}x{told[0]}; up to {MOST_SIDE} a side enter a model: "
                    "say which with --size"
                )
            size = told
            self.notes.append(f"pictures of any size would do: {told[1]}x{told[0]}, as its metadata says (--size)")
        height, width = self._size(inputs[0].name, sizes, last, size)
        source = Value((1, COLOURS, height, width), False, "input")
        self.known[inputs[0].name] = source
        if last:
            shape = (1, height, width, COLOURS)
            self.known[inputs[0].name] = Value(shape, False, "permute", (source,), {"axes": (0, 2, 3, 1)})
        return source

    def _size(self, name: str, sizes: list[int], last: bool, wanted: tuple[int, int] | None) -> tuple[int, int]:
        if len(sizes) != 4 or sizes[3 if last else 1] not in (0, COLOURS):
            raise DataError(f"its input {name} has the shape {sizes}; a picture is [1, 3, height, width]")
        if sizes[0] > 1:
            raise DataError(
                f"it is fixed to a batch of {sizes[0]}; export it with a batch of one, or of any size, and say --batch"
            )
        own = (sizes[1], sizes[2]) if last else (sizes[2], sizes[3])
        if wanted is None:
            if min(own) < 1:
                raise UserError("the network takes pictures of any size: say which with --size")
            wanted = own
        if any(fixed not in (0, asked) for fixed, asked in zip(own, wanted)):
            raise UserError(
                f"--size {wanted[1]}x{wanted[0]}: the file is fixed to {own[1]}x{own[0]}; leave --size out, or export "
                "it with free height and width"
            )
        if max(wanted) > MOST_SIDE:
            raise DataError(
                f"its input {name} is {wanted[1]}x{wanted[0]}; pictures of up to {MOST_SIDE} a side enter a model"
            )
        return wanted

    # ---- the nodes ----

    def tail(self, asked: HeadRequest, size: tuple[int, int]) -> OnnxTail:
        """What is behind the last convolutions, up to the outputs that are asked for."""
        wanted = [self._output_name(name) for name in asked.outputs]
        return OnnxTail(ends_of(self.graph, wanted), size, self.makers, self._value_of, self._replay)

    def run(self, wanted: tuple[str, ...]) -> list[tuple[str, Value]]:
        """The values of the outputs, by name."""
        names = [self._output_name(name) for name in wanted] or [one.name for one in self.graph.output]
        for name in names:
            self._compute(name)
        found = [(name, self.known[name]) for name in names]
        fixed = [name for name, value in found if not isinstance(value, Value)]
        if fixed:
            raise DataError(f"output {fixed[0]} does not depend on the picture; name the others with --outputs")
        return found

    def _output_name(self, name: str) -> str:
        if name in self.makers:
            return name
        by_node = [node for node in self.graph.node if node.name == name and node.output]
        if by_node:
            return str(by_node[0].output[0])
        near = get_close_matches(name, [*self.makers, *(node.name for node in self.graph.node)], 3)
        close = f"; close to it are {', '.join(near)}" if near else ""
        raise UserError(f"--outputs {name}: the network has no tensor and no node of that name{close}")

    def _compute(self, wanted: str) -> None:
        """Everything that a tensor needs, inputs before readers, without recursion: files may be deep."""
        stack, open_nodes = [wanted], set()
        while stack:
            name = stack[-1]
            if name in self.known:
                stack.pop()
                continue
            node = self.makers.get(name)
            if node is None:
                self.known[name] = self._held(name)
                continue
            missing = [one for one in node.input if one and one not in self.known]
            if not missing:
                self._execute(node)
                open_nodes.discard(id(node))
                continue
            if id(node) in open_nodes and any(id(self.makers.get(one)) in open_nodes for one in missing):
                raise DataError(f"node {_name(node)} needs its own output; the file is damaged")
            open_nodes.add(id(node))
            stack.extend(missing)

    def _held(self, name: str) -> Tensor:
        if name not in self.initializers:
            raise DataError(f"tensor {name!r:.60} is neither computed nor stored; the file is damaged")
        return tensor_array(self.initializers[name], self.companions)

    def _execute(self, node: Any) -> None:
        call = self._call(node)
        if node.domain not in ("", "ai.onnx"):
            raise UnsupportedError(
                f"{call.place}: operators of {node.domain!r:.40} are not known; export the network without them"
            )
        try:
            results = self._results(call)
        except UnsupportedError as error:
            raise UnsupportedError(f"{call.place}: {error}") from error
        except MISTAKES as error:
            raise DataError(f"{call.place}: its inputs or attributes do not fit it ({str(error)!s:.120})") from error
        for name, result in zip(node.output, results):
            if name:
                self.known[name] = result
        for name in node.output:
            self.known.setdefault(name, None)

    def _replay(self, arrays: Mapping[str, Tensor], wanted: Iterable[str]) -> list[Operand]:
        """The wanted tensors, computed in numbers from those given in place of their own."""
        kept = self.known
        self.known = {**kept, **arrays}
        try:
            for name in wanted:
                self._compute(name)
            return [self.known[name] for name in wanted]
        finally:
            self.known = kept

    def _value_of(self, name: str) -> Operand:
        self._compute(name)
        return self.known[name]

    def _results(self, call: Call) -> tuple[Operand, ...]:
        if call.operator in ("Shape", "Size") and isinstance(call.operand(0), Value):
            shape = np.array(call.value().shape, np.int64)
            return fold(Call(**{**vars(call), "operator": f"{call.operator}Known", "inputs": (shape,)}))
        if not any(isinstance(one, Value) for one in call.inputs):
            return fold(call)
        if call.operator not in OPERATORS:
            hint = HINTS.get(call.operator, USUAL_HINT)
            raise UnsupportedError(f"the operator has no counterpart on the device; {hint}")
        made = fused(OPERATORS[call.operator](call), call.name)
        results = tuple(made) if isinstance(made, (list, tuple)) else (made,)
        if any(
            isinstance(one, Value) and (min(one.shape, default=1) < 1 or _size(one) > MAX_ELEMENTS) for one in results
        ):
            raise DataError(f"{call.place}: impossible output shape {[one.shape for one in results]!s:.80}")
        return results

    def _call(self, node: Any) -> Call:
        helper = import_package().helper
        attributes: dict[str, Any] = {}
        for one in node.attribute:
            try:
                value = helper.get_attribute_value(one)
            except (ValueError, AttributeError) as error:
                raise DataError(f"node {_name(node)}: attribute {one.name!r:.40} is damaged") from error
            attributes[one.name] = self._attribute(value)
        inputs = tuple(self.known[name] if name else None for name in node.input)
        return Call(node.op_type, _name(node), inputs, attributes, self.opset, len(node.output), self.constants)

    def _attribute(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if hasattr(value, "data_location"):
            return tensor_array(value, self.companions)
        return list(value) if hasattr(value, "__len__") and not isinstance(value, str) else value


def _fits(own: list[int], size: tuple[int, int]) -> bool:
    """Whether an input whose free sides are 0 can be as large as that."""
    return all(fixed in (0, asked) for fixed, asked in zip(own, size))


def _name(node: Any) -> str:
    """What a node is called: by itself, else by what it writes."""
    return str(node.name or next((name for name in node.output if name), node.op_type))[:80]


def _size(value: Value) -> int:
    return int(np.prod([float(size) for size in value.shape]))
