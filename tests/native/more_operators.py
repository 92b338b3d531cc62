"""Layers of the operators 14 to 27 and the activation functions 5 to 18, for make_model.py."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

try:
    import codes  # run as a script
except ImportError:
    from tests.native import codes

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence


def word(value: float) -> int:
    """The bits of a float32."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


class MoreLayers:
    """Builds them on top of make_model's Layers."""

    def __init__(self, layers: Any) -> None:
        self.layers, self.model = layers, layers.model
        self.rng: random.Random = layers.rng

    def new(self, dims: Sequence[int], dtype: int | None = None) -> int:
        return int(self.model.tensor(tuple(dims), dtype or self.layers.dtype))

    def operator(self, opcode: int, x: int, dims: Sequence[int], constants: Sequence[Any], words: Sequence[int]) -> int:
        return int(self.model.operator(opcode, [x], self.new(dims), constants, words, f"op{opcode}"))

    def floats(self, count: int, low: float = -1.5, high: float = 1.5) -> int:
        return int(self.model.floats([self.rng.uniform(low, high) for _ in range(count)]))

    def activation(self, x: int, function: int, a: float = 0.7, b: float = 2.5) -> int:
        dims = self.layers.dims(x)
        slopes = (
            [self.floats(dims[3] if self.rng.random() < 0.7 else 1)] if function == codes.FUNCTIONS["prelu"] else []
        )
        return self.operator(codes.ACTIVATION, x, dims, slopes, [function, word(a), word(b)])

    def average_pool(self, x: int, size: int, stride: int, pad: int, counted: int) -> int:
        n, h, w, c = self.layers.dims(x)
        dims = (n, max(1, (h + 2 * pad - size) // stride + 1), max(1, (w + 2 * pad - size) // stride + 1), c)
        return self.operator(codes.AVERAGE_POOL, x, dims, [], [size, size, stride, stride, pad, pad, counted])

    def reduce(self, x: int, kind: int, mask: int) -> int:
        dims = [1 if mask >> k & 1 else size for k, size in enumerate(self.layers.dims(x))]
        return self.operator(codes.REDUCE, x, dims, [], [kind, mask])

    def deconv(self, x: int, channels: int, kernel: int, stride: int, pad: int, kind: int = codes.INT8, groups: int = 1,
               dilation: int = 1, extra: int = 0) -> int:  # fmt: skip
        n, h, w, c = self.layers.dims(x)
        oh, ow = ((size - 1) * stride - 2 * pad + dilation * (kernel - 1) + 1 + extra for size in (h, w))
        volume = kernel * kernel * (c // groups)
        limit = {codes.INT8: 127, codes.INT16: 32767, codes.FLOAT32: 1}[kind]
        scale = (
            None
            if kind == codes.FLOAT32
            else self.floats(channels, 2 / limit**2 / volume**0.5, 6 / limit**2 / volume**0.5)
        )
        constants = [self.layers.weights(kind, channels * volume), scale, self.floats(channels), None, None]
        words = [kernel, kernel, stride, stride, pad, pad, dilation, dilation, groups]
        return self.operator(
            codes.DECONV, x, (n, oh, ow, channels), constants, [*words, word(0 if kind == codes.FLOAT32 else limit / 3)]
        )

    def resize(self, x: int, h: int, w: int, corners: int) -> int:
        n, _, _, c = self.layers.dims(x)
        return self.operator(codes.RESIZE_BILINEAR, x, (n, h, w, c), [], [corners])

    def pad(self, x: int, top: int, left: int, bottom: int, right: int, value: float) -> int:
        n, h, w, c = self.layers.dims(x)
        return self.operator(
            codes.PAD, x, (n, h + top + bottom, w + left + right, c), [], [top, left, bottom, right, word(value)]
        )

    def affine(self, x: int) -> int:
        dims = self.layers.dims(x)
        return self.operator(codes.AFFINE, x, dims, [self.floats(dims[3]), self.floats(dims[3])], [])

    def l2_normalize(self, x: int, scaled: bool) -> int:
        dims = self.layers.dims(x)
        return self.operator(codes.L2_NORMALIZE, x, dims, [self.floats(dims[3]) if scaled else None], [word(1e-6)])

    def matmul(self, a: int, b: int, turned_a: int, turned_b: int, scale: float = 1.0) -> int:
        (n, h, w, c), (_, _, bw, bc) = self.layers.dims(a), self.layers.dims(b)
        out = self.new((n, h, c if turned_a else w, bw if turned_b else bc))
        return int(self.model.operator(codes.MATMUL, [a, b], out, [], [turned_a, turned_b, word(scale)], "matmul"))

    def layer_norm(self, x: int, gamma: bool, beta: bool) -> int:
        dims = self.layers.dims(x)
        constants = [self.floats(dims[3]) if there else None for there in (gamma, beta)]
        return self.operator(codes.LAYER_NORM, x, dims, constants, [word(1e-5)])

    def attention(self, x: int) -> int:
        """Shares of the columns of each row, and what they take of them."""
        share = self.layers.softmax(self.matmul(x, x, 0, 1, 0.3), 3)
        return self.matmul(share, x, 0, 0)

    def detection(self, heads: Sequence[int], kind: int, classes: int, size: tuple[int, int], most: int) -> int:
        anchors = self.layers.dims(heads[0])[3] // (5 + classes)
        out = self.new((self.layers.dims(heads[0])[0], 1, 1, 64 + 7 * most), codes.FLOAT16)
        constants = [self.floats(len(heads) * anchors * 2, 8, 60)]
        words = [kind, classes, anchors, *size, word(0.35 if kind == 2 else 0.2), word(0.45), most]
        scales = [word(1.0 if kind == 1 else 1.05) for _ in heads] + [word(0.6)] * (kind == 4)
        return int(self.model.operator(codes.DETECTION_OUTPUT, heads, out, constants, words + scales, "detection"))

    def random(self, x: int, same: Sequence[int]) -> int:
        """Any of them, for a random graph; ``same``: tensors of x's size."""
        rng, (_, h, w, c) = self.rng, self.layers.dims(x)
        choice = rng.randrange(12)
        if choice < 3:
            return self.activation(x, rng.randint(codes.FUNCTIONS["hardswish"], codes.FUNCTIONS["gelu_tanh"]))
        if choice == 3:
            return int(
                self.layers.binary(rng.choice([codes.SUB, codes.DIV, codes.MAX, codes.MIN]), x, rng.choice(list(same)))
            )
        if choice == 4 and min(h, w) > 1:
            return self.average_pool(x, rng.randint(1, min(h, w, 4)), rng.randint(1, 2), 0, rng.randint(0, 1))
        if choice == 5:
            return self.deconv(
                x,
                rng.choice([1, 5, 16]),
                rng.randint(1, 4),
                rng.randint(1, 3),
                0,
                rng.choice([codes.INT8, codes.INT16, codes.FLOAT32]),
            )
        if choice == 6:
            return self.resize(x, rng.randint(1, 2 * h), rng.randint(1, 2 * w), rng.randint(0, 1))
        if choice == 7:
            return self.pad(x, *(rng.randint(0, 2) for _ in range(4)), value=rng.choice([0.0, -3.5]))
        if choice == 8:
            return self.affine(x) if rng.random() < 0.5 else self.l2_normalize(x, c % 2 == 0)
        if choice == 9:
            return self.layer_norm(x, rng.random() < 0.5, rng.random() < 0.5)
        if choice == 10:
            return self.attention(x)
        return int(self.layers.binary(5, x, self.reduce(x, rng.randint(1, 3), 6)))


def more(model: Any, layers: Any, batch: int) -> None:
    """Each of the operators 14 to 27 and each function 5 to 18, every result an output; the detections are the last."""
    make = MoreLayers(layers)
    x = model.input("data", (batch, 13, 11, 12), layers.dtype)
    large = model.input("large", (batch, 24, 20, 10), layers.dtype)
    base = layers.activation(layers.conv(x, 12), 2, 0.1)
    positive = make.activation(base, codes.FUNCTIONS["softplus"])
    made = [
        make.activation(large if function % 2 else base, function)
        for function in range(codes.FUNCTIONS["hardswish"], codes.FUNCTIONS["clip"] + 1)
    ]
    made += [
        make.activation(layers.conv(large, 9), function)
        for function in (
            codes.FUNCTIONS["relu6"],
            codes.FUNCTIONS["hardswish"],
            codes.FUNCTIONS["clip"],
            codes.FUNCTIONS["mish"],
            codes.FUNCTIONS["prelu"],
        )
    ]
    made += [layers.binary(opcode, base, positive) for opcode in (codes.SUB, codes.DIV, codes.MAX, codes.MIN)]
    made.append(layers.binary(codes.DIV, base, make.activation(make.reduce(base, 2, 6), codes.FUNCTIONS["exp"])))
    made += [make.average_pool(large, 3, 2, 1, counted) for counted in (0, 1)]
    made += [make.reduce(base, kind, mask) for kind, mask in ((1, 8), (2, 6), (3, 14), (2, 2), (3, 4), (1, 15), (2, 1))]
    made.append(make.deconv(base, 7, 2, 2, 0))
    made.append(make.activation(make.deconv(large, 10, 4, 2, 1, codes.INT16, groups=2), codes.FUNCTIONS["relu6"]))
    made.append(make.deconv(base, 12, 3, 2, 1, codes.FLOAT32, groups=12, extra=1))
    made.append(make.deconv(base, 4, 3, 1, 2, dilation=2))
    made += [make.resize(base, 26, 22, corners) for corners in (0, 1)] + [make.resize(large, 7, 9, 0)]
    made += [make.pad(base, 1, 2, 0, 3, 0.1), make.affine(layers.concat([base, positive], 3)), make.affine(large)]
    made += [make.l2_normalize(base, True), make.l2_normalize(large, False)]
    made += [make.activation(large, codes.FUNCTIONS[name]) for name in ("erf", "gelu", "gelu_tanh")]
    made += [make.matmul(large, large, 0, 1, 0.3), make.matmul(base, base, 1, 0), make.attention(base)]
    made += [make.layer_norm(large, True, True), make.layer_norm(base, False, True)]
    heads = [layers.conv(x, 24), layers.conv(base, 24, stride=(2, 2))]
    sigmoided = [layers.activation(head, 3) for head in heads]
    made += [make.detection(heads, kind, 3, (104, 88), 40) for kind in (1, 3)]
    made.append(make.detection(sigmoided, 2, 3, (104, 88), 500))
    made += [make.detection(heads, kind, 3, (104, 88), 300) for kind in (4, 5)]
    for index, tensor in enumerate(made):
        model.output(tensor, f"out{index}")
