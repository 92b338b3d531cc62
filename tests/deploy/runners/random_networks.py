"""Random lowered networks over every operator of FORMAT.md, for property tests; a seed always gives the same one."""

from __future__ import annotations

import numpy as np

from mlu_export.values import network as net
from mlu_export.values.network import Network, Operator, Tensor, float_word

MOST_VALUES = 3000  # of a tensor that others build on
FLOATS = (net.FLOAT16, net.FLOAT32)
SPECIALS = (
    np.nan,
    np.inf,
    -np.inf,
    -0.0,
    0.0,
    65504.0,
    -65504.0,
    6e-8,
    -6e-8,
    3e38,
    1e-40,
    88.5,
    -87.0,
    20.0,
    0.5,
    2.5,
)


class _Random:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: list[Tensor] = []
        self.constants: list[np.ndarray] = []
        self.operators: list[Operator] = []
        self.dtype = self.pick(FLOATS)
        self.mixed = self.chance(0.2)
        self.batch = self.number(1, 3)
        self.inputs = [self._input() for _ in range(self.number(1, 2))]
        self.pool = list(self.inputs)

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def pick(self, choices):
        return choices[self.number(0, len(choices) - 1)]

    def chance(self, part: float) -> bool:
        return bool(self.rng.random() < part)

    def dims(self, tensor: int) -> tuple[int, int, int, int]:
        return self.tensors[tensor].dims

    def _input(self) -> int:
        dtype = net.UINT8 if self.chance(0.3) else self.dtype
        self.tensors.append(Tensor((self.batch, self.number(1, 11), self.number(1, 11), self.number(1, 12)), dtype))
        return len(self.tensors) - 1

    def constant(self, values) -> int:
        self.constants.append(np.ascontiguousarray(values))
        return len(self.constants) - 1

    def floats(self, count: int, low: float = -2.0, high: float = 2.0) -> int:
        return self.constant(self.rng.uniform(low, high, count).astype(np.float32))

    def emit(self, opcode, inputs, dims, attributes=(), constants=(), dtype=None) -> int:
        chosen = dtype or (self.pick(FLOATS) if self.mixed else self.dtype)
        self.tensors.append(Tensor(tuple(int(size) for size in dims), chosen))
        output = len(self.tensors) - 1
        words = tuple(int(word) & 0xFFFFFFFF for word in attributes)
        name = f"{len(self.operators)}_{opcode}"
        self.operators.append(Operator(opcode, tuple(inputs), tuple(constants), words, output, name))
        return output

    def convolution(self, x: int) -> int:
        n, h, w, c = self.dims(x)
        transposed = self.chance(0.3)
        kernel, stride, dilation = ([self.number(1, most) for _ in "hw"] for most in (4, 3, 2))
        extent = [(kernel[axis] - 1) * dilation[axis] + 1 for axis in (0, 1)]
        pad = [self.number(0, extent[axis] - 1) for axis in (0, 1)]
        if transposed:
            most = [
                ((h, w)[axis] - 1) * stride[axis] + extent[axis] - pad[axis] + max(stride[axis], dilation[axis]) - 1
                for axis in (0, 1)
            ]
        else:
            most = [((h, w)[axis] - 1 + pad[axis]) // stride[axis] + 1 for axis in (0, 1)]
        size = [max(1, m - self.pick((0, 0, 0, 1, 2, 5))) for m in most]
        groups = self.pick([g for g in range(1, c + 1) if c % g == 0])
        out = groups * self.number(1, max(1, 9 // groups))
        kind = self.pick((np.int8, np.int8, np.int16, np.float32))
        top = {np.int8: 127, np.int16: 32767, np.float32: 1}[kind]
        shape = (out, kernel[0], kernel[1], c // groups)
        constants = [net.ABSENT] * 5
        if kind is np.float32:
            constants[0] = self.constant(self.rng.normal(0, 1, shape).astype(np.float32))
        else:
            constants[0] = self.constant(self.rng.integers(-top, top + 1, shape).astype(kind))
            unit = 8.0 / (top * top * np.sqrt(np.prod(shape[1:])))
            constants[1] = self.floats(out, unit / 4, unit)
        if self.chance(0.5):
            constants[2] = self.floats(out)
        if self.chance(0.5):
            constants[3:] = [self.floats(out), self.floats(out)]
        scale = 0 if kind is np.float32 else float_word(top / self.rng.uniform(1, 6))
        attributes = (*kernel, *stride, *pad, *dilation, groups, scale)
        return self.emit(net.DECONV if transposed else net.CONV, [x], (n, *size, out), attributes, constants)

    def pool_windows(self, x: int) -> int:
        n, h, w, c = self.dims(x)
        kernel, stride = ([self.number(1, most) for _ in "hw"] for most in (4, 3))
        pad = [self.number(0, kernel[axis] - 1) for axis in (0, 1)]
        most = [((h, w)[axis] - 1 + pad[axis]) // stride[axis] + 1 for axis in (0, 1)]
        size = [self.number(max(1, m - 2), m) for m in most]
        attributes = (*kernel, *stride, *pad)
        if self.chance(0.5):
            return self.emit(net.MAX_POOL, [x], (n, *size, c), attributes)
        return self.emit(net.AVERAGE_POOL, [x], (n, *size, c), (*attributes, self.number(0, 1)))

    def activation(self, x: int) -> int:
        function = self.number(1, 18)
        dims = self.dims(x)
        low, high = sorted(self.rng.uniform(-3, 3, 2))
        constants = [self.floats(self.pick((1, dims[3])))] if function == 9 else []
        return self.emit(net.ACTIVATION, [x], dims, (function, float_word(low), float_word(high)), constants)

    def binary(self, x: int) -> int:
        dims = self.dims(x)
        same = [t for t in self.pool if self.dims(t) == dims]
        other = self.pick(same)
        if self.chance(0.3):
            other = self.emit(net.REDUCE, [x], (dims[0], 1, 1, dims[3]), (self.number(1, 3), 6))
            self.pool.append(other)
        pair = [x, other] if self.chance(0.5) else [other, x]
        return self.emit(self.pick((net.ADD, net.MUL, net.SUB, net.DIV, net.MAX, net.MIN)), pair, dims)

    def concat(self, x: int) -> int:
        axis, dims = self.number(1, 3), self.dims(x)
        fits = [t for t in self.pool if all(self.dims(t)[k] == dims[k] for k in range(4) if k != axis)]
        parts = [x, *(self.pick(fits) for _ in range(self.number(0, 2)))]
        size = list(dims)
        size[axis] = sum(self.dims(part)[axis] for part in parts)
        return self.emit(net.CONCAT, parts, size, (axis,))

    def move(self, x: int) -> int:
        dims = self.dims(x)
        kind = self.number(0, 4)
        if kind == 0:
            begin = [0, *(self.number(0, size - 1) for size in dims[1:])]
            step = [1, *(self.number(1, 3) for _ in "hwc")]
            counts = [(dims[k] - 1 - begin[k]) // step[k] + 1 for k in range(4)]
            size = [dims[0], *(self.number(1, counts[k]) for k in (1, 2, 3))]
            return self.emit(net.SLICE, [x], size, (*begin, *step))
        if kind == 1:
            n, h, w, c = dims
            return self.emit(net.RESHAPE, [x], self.pick(((n, 1, 1, h * w * c), (n, w, h, c), (n, h * w, c, 1))))
        if kind == 2:
            axes = self.pick(((0, 3, 1, 2), (0, 2, 3, 1), (0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1)))
            return self.emit(net.PERMUTE, [x], [dims[axis] for axis in axes], axes)
        if kind == 3:
            factors = [self.number(1, 3) for _ in "hw"]
            size = (dims[0], dims[1] * factors[0], dims[2] * factors[1], dims[3])
            return self.emit(net.UPSAMPLE_NEAREST, [x], size, factors)
        return self.emit(net.CAST, [x], dims, dtype=self.pick(FLOATS))

    def per_pixel(self, x: int) -> int:
        n, h, w, c = self.dims(x)
        kind = self.number(0, 6)
        if kind == 0:
            return self.emit(net.SOFTMAX, [x], (n, h, w, c), (self.number(1, 3),))
        if kind == 1:
            mask = self.number(1, 15)
            if mask & 1 and self.batch > 1:
                mask &= 14  # what follows keeps the batch
            size = [1 if mask >> axis & 1 else side for axis, side in enumerate((n, h, w, c))]
            return self.emit(net.REDUCE, [x], size, (self.number(1, 3), mask)) if mask else self.activation(x)
        if kind == 2:
            size = (n, self.number(1, 2 * h), self.number(1, 2 * w), c)
            return self.emit(net.RESIZE_BILINEAR, [x], size, (self.number(0, 1),))
        if kind == 3:
            sides = [self.number(0, 2) for _ in range(4)]
            size = (n, h + sides[0] + sides[2], w + sides[1] + sides[3], c)
            return self.emit(net.PAD, [x], size, (*sides, float_word(self.pick((0.0, -3.5, 0.1)))))
        if kind == 4:
            return self.emit(net.AFFINE, [x], (n, h, w, c), (), [self.floats(c), self.floats(c)])
        if kind == 5:
            scale = self.floats(c) if self.chance(0.5) else net.ABSENT
            return self.emit(net.L2_NORMALIZE, [x], (n, h, w, c), (float_word(self.pick((1e-12, 0.5))),), [scale])
        sources = [self.number(0, c - 1) for _ in range(self.number(1, 6))]
        constants = [self.floats(len(sources), -2, 130), self.floats(len(sources), 0.1, 260)]
        return self.emit(net.NORMALIZE, [x], (n, h, w, len(sources)), sources, constants)

    def matmul(self, x: int) -> int:
        """With itself turned, or with a part of the network whose rows or columns fit; sometimes turned twice."""
        n, h, w, c = self.dims(x)
        turn_a, turn_b = self.number(0, 1), self.number(0, 1)
        depth = w if turn_a else c
        fits = [t for t in self.pool if self.dims(t)[:2] == (n, h) and self.dims(t)[3 if turn_b else 2] == depth]
        other = self.pick(fits) if fits else x
        if not fits:
            turn_b = 1 - turn_a
        columns = self.dims(other)[2 if turn_b else 3]
        attributes = (turn_a, turn_b, float_word(self.pick((1.0, 0.37))))
        return self.emit(net.MATMUL, [x, other], (n, h, c if turn_a else w, columns), attributes)

    def layer_norm(self, x: int) -> int:
        constants = [self.floats(self.dims(x)[3]) if self.chance(0.6) else net.ABSENT for _ in "gb"]
        attributes = (float_word(self.pick((1e-5, 0.5))),)
        return self.emit(net.LAYER_NORM, [x], self.dims(x), attributes, constants)

    def detection(self) -> int:
        """Over one or two heads of convolutions; it ends a network, as nothing reads boxes."""
        kind, classes, anchors, most = self.number(1, 3), self.number(1, 3), self.number(1, 2), self.number(1, 12)
        heads = []
        for x in [self.pick(self.pool) for _ in range(self.number(1, 2))]:
            n, h, w, c = self.dims(x)
            out = anchors * (5 + classes)
            constants = [self.constant(self.rng.integers(-127, 128, (out, 1, 1, c)).astype(np.int8))]
            constants += [self.floats(out, 1e-4, 4e-4), self.floats(out), net.ABSENT, net.ABSENT]
            attributes = (1, 1, 1, 1, 0, 0, 1, 1, 1, float_word(40.0))
            head = self.emit(net.CONV, [x], (n, h, w, out), attributes, constants)
            if kind == 2:
                head = self.emit(net.ACTIVATION, [head], self.dims(head), (3, 0, 0))
            heads.append(head)
        confidence, iou = self.rng.uniform(0, 0.4), self.rng.uniform(0.1, 0.9)
        attributes = (
            kind, classes, anchors, self.number(8, 90), self.number(8, 90), float_word(confidence), float_word(iou),
            most, *(float_word(self.pick((1.0, 1.05, 2.0))) for _ in heads),
        )  # fmt: skip
        sizes = self.floats(len(heads) * anchors * 2, 2, 40)
        dims = (self.dims(heads[0])[0], 1, 1, 64 + 7 * most)
        return self.emit(net.DETECTION_OUTPUT, heads, dims, attributes, [sizes], net.FLOAT16)

    def grow(self) -> Network:
        kinds = [self.convolution] * 4 + [self.activation] * 3 + [self.per_pixel] * 3
        kinds += [self.move] * 2 + [
            self.pool_windows,
            self.binary,
            self.concat,
            self.matmul,
            self.matmul,
            self.layer_norm,
        ]
        for _ in range(self.number(2, 10)):
            made = self.pick(kinds)(self.pick(self.pool[-4:]))
            if np.prod(self.dims(made)) <= MOST_VALUES and self.dims(made)[0] == self.batch:
                self.pool.append(made)
        if self.chance(0.2):
            self.detection()
        outputs = tuple(operator.output for operator in self.operators)
        return Network(
            tuple(self.tensors),
            tuple(self.constants),
            tuple(self.operators),
            tuple(self.inputs),
            outputs,
            tuple(f"in{number}" for number in self.inputs),
            tuple(operator.name for operator in self.operators),
        )


def random_network(seed: int) -> Network:
    """Two to a dozen operators; every one's output is an output of the network."""
    return _Random(seed).grow()


def random_inputs(network: Network, seed: int) -> list[np.ndarray]:
    """Normal values; of every third seed some are special: NaN of any bits, infinite, subnormal, at bounds."""
    rng = np.random.default_rng(seed)
    made = []
    for number in network.inputs:
        tensor = network.tensors[number]
        dtype = net.DTYPES[tensor.dtype]
        if tensor.dtype == net.UINT8:
            made.append(rng.integers(0, 256, tensor.dims).astype(dtype))
            continue
        values = rng.normal(0, 2, tensor.dims).astype(np.float32)
        if seed % 3 == 0:
            with np.errstate(over="ignore"):
                values = np.where(rng.random(tensor.dims) < 0.05, rng.choice(SPECIALS, tensor.dims), values).astype(
                    dtype
                )
            words = values.view(f"u{dtype.itemsize}")
            words[rng.random(tensor.dims) < 0.02] = rng.integers(0, 1 << (8 * dtype.itemsize - 1))
        made.append(values.astype(dtype))
    return made
