"""A network while recorded values become its operators: tensors, constants, names, and where each value lies.

A tensor of four axes lies N, H, W, C; others lie in torch's order. Reorderings are put in where an operator needs the
other one, and pairs of them that undo each other are taken out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..values import network as net
from .layout import is_spatial, plain_dims, stored_dims
from .values import Constant, UnsupportedError, Value, ordered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values.network import Array, Dims

NHWC, PLAIN = "nhwc", "plain"
HELPERS = ("reshape", "permute", "copy", "expand")
TO_PLAIN, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


class State:
    """One network being made. ``place`` gives the tensor number of a value in a layout."""

    def __init__(self, inputs: Sequence[Value], outputs: Sequence[Value], pixels: str | None = None) -> None:
        self.inputs, self.outputs, self.pixels = list(inputs), list(outputs), pixels
        self.tensors: list[net.Tensor] = []
        self.constants: list[Array] = []
        self.operators: list[net.Operator] = []
        self.places: dict[tuple[int, str], int] = {}
        self.makers: dict[int, net.Operator] = {}
        self.names: dict[str, int] = {}
        self.label = ""  # the name of the value being lowered, where it has one
        self.values = ordered(outputs, inputs)
        self.users: dict[int, int] = {}
        for value in self.values:
            for one in value.inputs if value.array is None else ():
                self.users[id(one)] = self.users.get(id(one), 0) + 1
        self.norms = {id(value.inputs[0]): value for value in self.values if value.operation == "batch_norm"}
        self.final = {id(output) for output in outputs}

    # ---- tensors ----

    def tensor(self, dims: Dims, half: bool) -> int:
        return self._add(dims, net.FLOAT16 if half else net.FLOAT32)

    def _add(self, dims: Dims, dtype: int) -> int:
        self.tensors.append(net.Tensor(dims, dtype))
        return len(self.tensors) - 1

    def constant(self, values: Any) -> int:
        array = np.ascontiguousarray(values)
        if array.dtype.kind == "f":
            array = array.astype(np.float32)
            if not np.isfinite(array).all():
                raise UnsupportedError("a layer has weights that are not finite; the checkpoint is damaged")
        self.constants.append(array)
        return len(self.constants) - 1

    def optional(self, values: Constant | None) -> int:
        return net.ABSENT if values is None else self.constant(values.array.reshape(-1))

    def emit(
        self, opcode: int, inputs: Sequence[int], dims: Dims, half: bool, attributes: Sequence[int] = (),
        constants: Sequence[int] = (), name: str = "",
    ) -> int:  # fmt: skip
        """One operator; returns the number of its output tensor."""
        output = self.tensor(dims, half)
        words = tuple(int(word) for word in attributes)
        made = net.Operator(opcode, tuple(inputs), tuple(constants), words, output, self._name(name, opcode))
        self.operators.append(made)
        self.makers[output] = made
        return output

    def _name(self, name: str, opcode: int) -> str:
        """A name that no operator has yet: that of the value, with the kind behind it for helping operators."""
        base = name or f"operator{opcode}"
        if self.label:
            base = f"{self.label}.{name}" if name in HELPERS or self.label in self.names else self.label
        count = self.names[base] = self.names.get(base, 0) + 1
        return base if self.label and count == 1 else f"{base}_{count}"

    def put(self, value: Value, layout: str, number: int) -> None:
        self.places[id(value), layout] = number

    def place(self, value: Value, layout: str) -> int:
        """The tensor number of a value in a layout, reordered if it lies in the other one alone."""
        key = (id(value), layout)
        if key not in self.places:
            self.places[key] = self._reordered(value, layout)
        return self.places[key]

    def layout_of(self, value: Value) -> str:
        return NHWC if (id(value), NHWC) in self.places else PLAIN

    def _reordered(self, value: Value, layout: str) -> int:
        n, channels, height, width = value.shape
        if layout == PLAIN:
            number = self.places[id(value), NHWC]
            if channels == 1 or height * width == 1:
                return self.as_dims(number, value.shape, value.half)  # type: ignore[arg-type] # four axes
            return self.permuted(number, TO_PLAIN, value.half)
        number = self.as_dims(self.places[id(value), PLAIN], (n, channels, height, width), value.half)
        if channels == 1 or height * width == 1:
            return self.as_dims(number, (n, height, width, channels), value.half)
        return self.permuted(number, TO_NHWC, value.half)

    def as_dims(self, number: int, dims: Dims, half: bool) -> int:
        """The same elements in other dims."""
        maker = self.makers.get(number)
        while maker is not None and maker.opcode == net.RESHAPE:
            number = maker.inputs[0]
            maker = self.makers.get(number)
        if self.tensors[number].dims == tuple(dims):
            return number
        return self.emit(net.RESHAPE, (number,), dims, half, name="reshape")

    def permuted(self, number: int, axes: tuple[int, ...], half: bool) -> int:
        """Output axis k is input axis axes[k]; a permutation of a permutation becomes one, or none."""
        maker = self.makers.get(number)
        if maker is not None and maker.opcode == net.PERMUTE:
            number, axes = maker.inputs[0], tuple(maker.attributes[axis] for axis in axes)
        if axes == (0, 1, 2, 3):
            return number
        dims = self.tensors[number].dims
        return self.emit(net.PERMUTE, (number,), tuple(dims[a] for a in axes), half, axes, name="permute")  # type: ignore[arg-type]

    # ---- entry and exit ----

    def enter(self, value: Value) -> int:
        dims = stored_dims(value.shape)
        if self.pixels is not None:
            return self._enter_pixels(value)
        entry = self.tensor(dims, value.half)
        if is_spatial(value.shape):
            self.put(value, NHWC, entry)
        elif len(value.shape) == 3:
            turned = self.permuted(entry, (0, 3, 1, 2), value.half)
            self.put(value, PLAIN, self.as_dims(turned, plain_dims(value.shape), value.half))
        else:
            self.put(value, PLAIN, entry)
        return entry

    def _enter_pixels(self, value: Value) -> int:
        """A uint8 picture with four channels; the network normalises it (``normalize_input``)."""
        n, _, height, width = value.shape
        entry = self._add((n, height, width, len(self.pixels or "")), net.UINT8)
        self.put(value, NHWC, entry)
        return entry

    def leave(self, value: Value) -> int:
        if is_spatial(value.shape):
            return self.place(value, NHWC)
        number = self.place(value, PLAIN)
        if len(value.shape) == 3:
            first, channels, rows = value.shape
            number = self.permuted(
                self.as_dims(number, (first, channels, 1, rows), value.half), (0, 3, 2, 1), value.half
            )
        return self.as_dims(number, stored_dims(value.shape), value.half)

    def pruned(self, entries: Sequence[int], exits: Sequence[int]) -> net.Network:
        """Without operators that nothing reads; an output that is an input, or twice one tensor, is copied."""
        final: list[int] = []
        for wanted in exits:
            number = wanted
            if number in entries or number in final:
                tensor = self.tensors[number]
                number = self.emit(net.CAST, (number,), tensor.dims, tensor.dtype == net.FLOAT16, name="copy")
            final.append(number)
        needed = set(final)
        kept: list[net.Operator] = []
        for operator in reversed(self.operators):
            if operator.output in needed:
                needed.update(operator.inputs)
                kept.append(operator)
        return _compact(self.tensors, self.constants, kept[::-1], list(entries), final)

    def is_folded(self, value: Value) -> bool:
        """A convolution whose only reader is a batch-norm is made with it: one rounding, as the vendor does."""
        return value.operation == "conv" and self._reader_norm(value) is not None

    def _reader_norm(self, value: Value) -> Value | None:
        if self.users.get(id(value)) != 1 or id(value) in self.final or value.array is not None:
            return None
        return self.norms.get(id(value))


def _compact(
    tensors: list[net.Tensor],
    constants: list[Array],
    operators: list[net.Operator],
    entries: list[int],
    exits: list[int],
) -> net.Network:
    """Only what the operators use, numbered anew."""
    used = dict.fromkeys([*entries, *(n for op in operators for n in (*op.inputs, op.output)), *exits])
    numbers = {old: new for new, old in enumerate(used)}
    kept = dict.fromkeys(n for op in operators for n in op.constants if n != net.ABSENT)
    places = {old: new for new, old in enumerate(kept)}
    places[net.ABSENT] = net.ABSENT
    renumbered = tuple(
        net.Operator(
            op.opcode, tuple(numbers[n] for n in op.inputs), tuple(places[n] for n in op.constants), op.attributes,
            numbers[op.output], op.name,
        )
        for op in operators
    )  # fmt: skip
    return net.Network(
        tuple(tensors[old] for old in used),
        tuple(constants[old] for old in kept),
        renumbered,
        tuple(numbers[n] for n in entries),
        tuple(numbers[n] for n in exits),
        ("",) * len(entries),
        ("",) * len(exits),
    )
