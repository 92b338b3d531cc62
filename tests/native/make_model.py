"""Writes model files for the native tests, byte by byte as deploy/FORMAT.md says. Standard library only.

    make_model.py KIND OUTPUT [--seed N] [--parallelism N] [--batch N]

KIND: small (a detector of a few layers), classifier, two-outputs (two layers to a map and numbers), outlines, pose and
turned (what they find is known from the picture), operators (the
operators 1 to 13), more (the operators 14 to 27 and the later activation functions), random (a random graph of the
seed), widest (one convolution of --batch input channels), deepest (one product of --batch numbers),
yolov3-tiny (the real topology with random weights). The same arguments always give the same bytes.
"""

from __future__ import annotations

import argparse
import random
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import codes  # run as a script
    from more_operators import MoreLayers, more
    from shaped_model import THIRDS, shaped
except ImportError:
    from tests.native import codes
    from tests.native.more_operators import MoreLayers, more
    from tests.native.shaped_model import THIRDS, shaped

if TYPE_CHECKING:
    from collections.abc import Sequence

ABSENT = 0xFFFFFFFF
KINDS = ("small", "classifier", "two-outputs", *THIRDS)  # of tests/models.py
Dims = tuple[int, int, int, int]


def f32_word(value: float) -> int:
    """The bits of a float32 as an unsigned word."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def padded(data: bytes, multiple: int) -> bytes:
    """Zeros appended up to a multiple."""
    return data + bytes(-len(data) % multiple)


class Model:
    """Collects tensors, constants and operators, then lays out the file."""

    def __init__(self, name: str, architecture: int = 8, parallelism: int = 1) -> None:
        self.name, self.architecture, self.parallelism = name, architecture, parallelism
        self.tensors: list[tuple[Dims, int]] = []
        self.constants: list[tuple[int, int, bytes]] = []
        self.operators: list[bytes] = []
        self.inputs: list[tuple[int, str]] = []
        self.outputs: list[tuple[int, str]] = []

    def tensor(self, dims: Dims, dtype: int) -> int:
        self.tensors.append((dims, dtype))
        return len(self.tensors) - 1

    def input(self, name: str, dims: Dims, dtype: int) -> int:
        number = self.tensor(dims, dtype)
        self.inputs.append((number, name))
        return number

    def output(self, tensor: int, name: str) -> None:
        self.outputs.append((tensor, name))

    def constant(self, dtype: int, data: bytes) -> int:
        self.constants.append((dtype, len(data) // codes.DTYPE_BYTES[dtype], data))
        return len(self.constants) - 1

    def floats(self, values: Sequence[float]) -> int:
        return self.constant(codes.FLOAT32, struct.pack(f"<{len(values)}f", *values))

    def operator(
        self,
        opcode: int,
        inputs: Sequence[int],
        output: int,
        constants: Sequence[int | None] = (),
        attributes: Sequence[int] = (),
        name: str = "",
    ) -> int:
        words = [ABSENT if c is None else c for c in constants]
        body = b"".join(struct.pack("<I", v & 0xFFFFFFFF) for v in [*inputs, *words, *attributes])
        body += padded(name.encode(), 4)
        head = (opcode, 8 + len(body) // 4, len(inputs), len(constants), len(attributes), output, len(name.encode()), 0)
        self.operators.append(struct.pack("<8I", *head) + body)
        return output

    def section(self) -> bytes:
        """The network section with a CRC of zero."""
        records, data = b"", b""
        for dtype, elements, raw in self.constants:
            data = padded(data, 64)
            records += struct.pack("<QQ4I", len(data), elements, dtype, 0, 0, 0)
            data += raw
        table = b"".join(self.operators)
        tensors = b"".join(struct.pack("<8I", *dims, dtype, 0, 0, 0) for dims, dtype in self.tensors)
        numbers = struct.pack(f"<{len(self.inputs + self.outputs)}I", *(t for t, _ in self.inputs + self.outputs))
        body = tensors + records + padded(numbers, 8) + table
        counts = (len(self.tensors), len(self.constants), len(self.operators))
        head = struct.pack("<3I2Q2IQ", *counts, len(table), len(data), len(self.inputs), len(self.outputs), 0)
        front = padded(bytes(20) + head + body, 64)
        return struct.pack("<4sIQI", b"MLUS", 1, len(front) + len(data), 0) + front[20:] + data

    def descriptor(self, index: int, tensor: int, name: str) -> bytes:
        dims, dtype = self.tensors[tensor]
        raw = name.encode()
        return (
            struct.pack("<II4iI", 0x14260609, 4, *dims, len(raw))
            + padded(raw, 4)
            + struct.pack("<IIIif", index, dtype, 0x231, 0, 0.0)
        )

    def build(self) -> bytes:
        """The whole file."""
        ends = [self.descriptor(i, t, n) for i, (t, n) in enumerate(self.inputs + self.outputs)]
        bare = [self.descriptor(i, t, "") for i, (t, _) in enumerate(self.inputs + self.outputs)]
        n_in, n_out = len(self.inputs), len(self.outputs)
        body = struct.pack("<3I", 0, n_in, n_out) + b"".join(ends)
        section = self.section()
        tail = b"atiR" + struct.pack("<IQ", 0x0E, len(body)) + body + b"ZLYF"
        hdxf_size = 0x60 + len(section) + len(tail)
        entry = struct.pack("<II", 56, 0)
        footer = struct.pack("<I", n_in) + b"".join(entry + d for d in bare[:n_in])
        footer += struct.pack("<I", n_out) + b"".join(entry + d for d in bare[n_in:])
        footer += struct.pack("<I", 7) + padded(b"subnet0", 4) + b"CDHB"
        payload = 0x1C + hdxf_size + len(footer)
        name = self.name.encode()
        head = b"\x7fMEF" + bytes([20, 20, 3, 30]) + struct.pack("<II", 1, len(name)) + name
        head = head.ljust(0x400, b"\0") + struct.pack("<I", 15)
        head += struct.pack("<I12sI12s", 40708, b"mlu-agent", 10000, b"mlu-export") + struct.pack("<QQ", 0x434, payload)
        wfcs = b"wfcs" + struct.pack("<IQIQ", 1, payload, 1, hdxf_size)
        hdxf = b"hdxf" + struct.pack("<IQ4IIIQ", 13, hdxf_size, 56, 2, 3, 4, self.architecture, self.parallelism, 0)
        hdxf = hdxf.ljust(0x48, b"\0") + b"subnet00".ljust(24, b"\0")
        data = bytearray(head + wfcs + hdxf + section + tail + footer)
        struct.pack_into("<I", data, 0x4B0 + 0x10, zlib.crc32(bytes(data)))
        return bytes(data)


class Layers:
    """Builds layers with random weights on top of Model."""

    def __init__(self, model: Model, rng: random.Random, dtype: int) -> None:
        self.model, self.rng, self.dtype = model, rng, dtype

    def dims(self, tensor: int) -> Dims:
        return self.model.tensors[tensor][0]

    def weights(self, kind: int, count: int) -> int:
        if kind == codes.FLOAT32:
            return self.model.floats([self.rng.uniform(-1, 1) for _ in range(count)])
        raw = self.rng.getrandbits(8 * count * codes.DTYPE_BYTES[kind]).to_bytes(
            count * codes.DTYPE_BYTES[kind], "little"
        )
        if kind == codes.INT8:
            return self.model.constant(codes.INT8, raw.replace(b"\x80", b"\x00"))
        values = [max(-32767, v) for v in struct.unpack(f"<{count}h", raw)]
        return self.model.constant(codes.INT16, struct.pack(f"<{count}h", *values))

    def normalize(self, x: int, sources: Sequence[int]) -> int:
        n, h, w, _ = self.dims(x)
        out = self.model.tensor((n, h, w, len(sources)), self.dtype)
        mean = self.model.floats([0.0] * len(sources))
        std = self.model.floats([255.0] * len(sources))
        return self.model.operator(codes.NORMALIZE, [x], out, [mean, std], sources, "normalize")

    def conv(
        self,
        x: int,
        channels: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        pad: tuple[int, int] | None = None,
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        kind: int = codes.INT8,
        batch_norm: bool = True,
        bias: bool = False,
        name: str = "conv",
        absmax: float | None = None,
    ) -> int:
        n, h, w, c = self.dims(x)
        (kh, kw), (dh, dw) = kernel, dilation
        pt, pl = pad if pad is not None else (dh * (kh - 1) // 2, dw * (kw - 1) // 2)
        oh = (h + 2 * pt - dh * (kh - 1) - 1) // stride[0] + 1
        ow = (w + 2 * pl - dw * (kw - 1) - 1) // stride[1] + 1
        out = self.model.tensor((n, oh, ow, channels), self.dtype)
        volume = kh * kw * (c // groups)
        limit = {codes.INT8: 127, codes.INT16: 32767, codes.FLOAT32: 1}[kind]
        uniform = self.rng.uniform
        scale = None
        if kind != codes.FLOAT32:
            factor = 1.7 / (volume**0.5 * limit * limit)
            scale = self.model.floats([uniform(0.5, 1.5) * 4 * factor for _ in range(channels)])
        constants = [
            self.weights(kind, channels * volume),
            scale,
            self.model.floats([uniform(-0.5, 0.5) for _ in range(channels)]) if bias else None,
            self.model.floats([uniform(0.5, 1.5) for _ in range(channels)]) if batch_norm else None,
            self.model.floats([uniform(-0.5, 0.5) for _ in range(channels)]) if batch_norm else None,
        ]
        quant_scale = 0 if kind == codes.FLOAT32 else f32_word(limit / (absmax or uniform(2.0, 4.0)))
        attributes = [kh, kw, *stride, pt, pl, dh, dw, groups, quant_scale]
        return self.model.operator(codes.CONV, [x], out, constants, attributes, name)

    def activation(self, x: int, function: int, a: float = 0.0, b: float = 0.0) -> int:
        out = self.model.tensor(self.dims(x), self.dtype)
        return self.model.operator(codes.ACTIVATION, [x], out, [], [function, f32_word(a), f32_word(b)], "activation")

    def block(self, x: int, channels: int, size: int, name: str) -> int:
        return self.activation(self.conv(x, channels, (size, size), name=name), codes.FUNCTIONS["leaky_relu"], 0.1)

    def max_pool(self, x: int, size: int, stride: int, pad: int, oh: int, ow: int) -> int:
        n, _, _, c = self.dims(x)
        out = self.model.tensor((n, oh, ow, c), self.dtype)
        return self.model.operator(codes.MAX_POOL, [x], out, [], [size, size, stride, stride, pad, pad], "pool")

    def upsample(self, x: int, sh: int, sw: int) -> int:
        n, h, w, c = self.dims(x)
        return self.model.operator(
            codes.UPSAMPLE_NEAREST, [x], self.model.tensor((n, h * sh, w * sw, c), self.dtype), [], [sh, sw], "up"
        )

    def concat(self, parts: Sequence[int], axis: int) -> int:
        dims = list(self.dims(parts[0]))
        dims[axis] = sum(self.dims(p)[axis] for p in parts)
        out = self.model.tensor((dims[0], dims[1], dims[2], dims[3]), self.dtype)
        return self.model.operator(codes.CONCAT, parts, out, [], [axis], "concat")

    def binary(self, opcode: int, a: int, b: int) -> int:
        dims = max(self.dims(a), self.dims(b), key=lambda d: d[0] * d[1] * d[2] * d[3])
        return self.model.operator(opcode, [a, b], self.model.tensor(dims, self.dtype), name="binary")

    def slice(self, x: int, begin: Dims, step: Dims, out: Dims) -> int:
        return self.model.operator(codes.SLICE, [x], self.model.tensor(out, self.dtype), [], [*begin, *step], "slice")

    def reshape(self, x: int, out: Dims) -> int:
        return self.model.operator(codes.RESHAPE, [x], self.model.tensor(out, self.dtype), name="reshape")

    def permute(self, x: int, axes: Dims) -> int:
        d = self.dims(x)
        out = self.model.tensor((d[axes[0]], d[axes[1]], d[axes[2]], d[axes[3]]), self.dtype)
        return self.model.operator(codes.PERMUTE, [x], out, [], axes, "permute")

    def softmax(self, x: int, axis: int) -> int:
        return self.model.operator(
            codes.SOFTMAX, [x], self.model.tensor(self.dims(x), self.dtype), [], [axis], "softmax"
        )

    def cast(self, x: int, dtype: int) -> int:
        return self.model.operator(codes.CAST, [x], self.model.tensor(self.dims(x), dtype), name="cast")


def small(model: Model, layers: Layers, batch: int) -> None:
    """A picture of 32 x 32 through three convolutions to one head."""
    x = layers.normalize(model.input("data", (batch, 32, 32, 4), codes.UINT8), [0, 1, 2])
    x = layers.max_pool(layers.block(x, 8, 3, "conv0"), 2, 2, 0, 16, 16)
    x = layers.block(x, 16, 3, "conv1")
    model.output(layers.conv(x, 18, (1, 1), batch_norm=False, bias=True, name="head"), "head")


def classifier(model: Model, layers: Layers, batch: int) -> None:
    """A picture of 16 x 16 through two convolutions to one logit for each of six classes."""
    x = layers.normalize(model.input("data", (batch, 16, 16, 4), codes.UINT8), [0, 1, 2])
    x = layers.max_pool(layers.block(x, 8, 3, "conv0"), 16, 16, 0, 1, 1)
    model.output(layers.conv(x, 6, (1, 1), batch_norm=False, bias=True, name="classes"), "logits")


def two_outputs(model: Model, layers: Layers, batch: int) -> None:
    """A picture of 16 x 12 to a map of 4 x 3 with five channels, and to seven numbers."""
    x = layers.normalize(model.input("data", (batch, 16, 12, 4), codes.UINT8), [0, 1, 2])
    x = layers.max_pool(layers.block(x, 5, 3, "conv0"), 4, 4, 0, 4, 3)
    model.output(x, "map")
    model.output(layers.conv(layers.max_pool(x, 4, 4, 0, 1, 1), 7, (1, 1), batch_norm=False, bias=True), "numbers")


def widest(model: Model, layers: Layers, channels: int) -> None:
    """One convolution of int8 weights over a single pixel, whose kernel volume is that of its channels."""
    x = model.input("data", (1, 1, 1, channels), codes.FLOAT16)
    model.output(layers.conv(x, 1, (1, 1), batch_norm=False), "sum")


def deepest(model: Model, layers: Layers, depth: int) -> None:
    """One product of a row and a column of that length."""
    x = model.input("data", (1, 1, 1, depth), codes.FLOAT16)
    out = model.tensor((1, 1, 1, 1), codes.FLOAT16)
    model.output(model.operator(codes.MATMUL, [x, x], out, [], [0, 1, f32_word(1.0)], "product"), "product")


def yolov3_tiny(model: Model, layers: Layers, batch: int) -> None:
    """The topology of Darknet's yolov3-tiny at 416."""
    x = layers.normalize(model.input("data", (batch, 416, 416, 4), codes.UINT8), [0, 1, 2])
    size, route = 416, 0
    for i, channels in enumerate((16, 32, 64, 128, 256)):
        route = layers.block(x, channels, 3, f"conv{i}")
        size //= 2
        x = layers.max_pool(route, 2, 2, 0, size, size)
    x = layers.max_pool(layers.block(x, 512, 3, "conv5"), 2, 1, 0, 13, 13)
    x = layers.block(layers.block(x, 1024, 3, "conv6"), 256, 1, "conv7")
    head = layers.conv(layers.block(x, 512, 3, "conv8"), 255, (1, 1), batch_norm=False, bias=True, name="head13")
    x = layers.concat([layers.upsample(layers.block(x, 128, 1, "conv9"), 2, 2), route], 3)
    other = layers.conv(layers.block(x, 256, 3, "conv10"), 255, (1, 1), batch_norm=False, bias=True, name="head26")
    model.output(head, "head13")
    model.output(other, "head26")


def operators(model: Model, layers: Layers, batch: int) -> None:
    """Every operator at least once, with views that can and cannot be taken in place."""
    picture = model.input("data", (batch, 16, 12, 4), codes.UINT8)
    other = model.input("other", (batch, 16, 12, 8), layers.dtype)
    x = layers.normalize(picture, [2, 1, 0, 3])
    a = layers.activation(layers.conv(x, 8, kind=codes.INT16), codes.FUNCTIONS["silu"])
    b = layers.activation(layers.conv(other, 8, groups=8, kind=codes.FLOAT32, bias=True), codes.FUNCTIONS["relu"])
    c = layers.binary(codes.MUL, layers.binary(codes.ADD, a, b), layers.activation(other, codes.FUNCTIONS["sigmoid"]))
    gate = layers.max_pool(c, 16, 16, 0, 1, 1)
    d = layers.concat([c, layers.binary(codes.MUL, c, gate), other, c], 3)
    e = layers.slice(d, (0, 0, 0, 8), (1, 1, 1, 1), (batch, 16, 12, 8))
    f = layers.concat(
        [layers.slice(d, (0, i, j, 0), (1, 2, 2, 1), (batch, 8, 6, 32)) for i in (0, 1) for j in (0, 1)], 3
    )
    g = layers.upsample(layers.conv(f, 12, (1, 1)), 2, 2)
    h = layers.conv(layers.concat([e, g], 3), 10, (3, 1), (2, 1), dilation=(2, 1), groups=2)
    i = layers.softmax(layers.permute(layers.reshape(h, (batch, 8, 4, 30)), (0, 3, 2, 1)), 3)
    j = layers.concat([layers.conv(g, 8), layers.conv(e, 8, kind=codes.FLOAT32)], 1)
    model.output(i, "softmax")
    model.output(layers.concat([j, j], 2), "rows")
    model.output(layers.cast(h, codes.FLOAT32 if layers.dtype == codes.FLOAT16 else codes.FLOAT16), "cast")
    model.output(c, "inner")


def kept(model: Model, layers: Layers, batch: int) -> None:
    """Sums behind convolutions, and values that must round before they are quantized: what a plan may fuse."""
    silu = codes.FUNCTIONS["silu"]
    x = layers.normalize(model.input("data", (batch, 24, 20, 4), codes.UINT8), [0, 1, 2])
    first, second = (layers.conv(x, 16, absmax=1.0) for _ in range(2))
    total = layers.binary(codes.ADD, first, second)  # only the later of the two can add the other one
    inner = layers.activation(layers.conv(total, 16, absmax=3.0), silu)
    x = layers.binary(codes.ADD, total, inner)
    layers.dtype = codes.FLOAT32
    wide = layers.conv(x, 16, absmax=3.0)
    other = layers.conv(x, 16, absmax=3.0)
    layers.dtype = codes.FLOAT16
    model.output(layers.conv(layers.cast(wide, codes.FLOAT16), 12, absmax=2.0), "cast")
    model.output(layers.conv(layers.max_pool(other, 2, 2, 0, 12, 10), 12, absmax=2.0), "pool")


class RandomGraph:
    """Grows a graph by random operators over the tensors made so far."""

    def __init__(self, model: Model, layers: Layers, rng: random.Random, batch: int) -> None:
        self.model, self.layers, self.rng = model, layers, rng
        h, w = rng.randint(5, 24), rng.randint(5, 24)
        if rng.random() < 0.5:
            first = layers.normalize(
                model.input("data", (batch, h, w, 4), codes.UINT8), [rng.randrange(4) for _ in range(3)]
            )
        else:
            first = model.input("data", (batch, h, w, rng.randint(1, 20)), layers.dtype)
        self.pool = [first]
        self.batch = batch

    def conv(self, x: int) -> int:
        rng, (_, h, w, c) = self.rng, self.layers.dims(x)
        kh, kw = rng.choice([1, 1, 2, 3, 3, 5]), rng.choice([1, 1, 2, 3, 3, 5])
        dilation = (rng.choice([1, 1, 2]), rng.choice([1, 1, 2]))
        if (kh - 1) * dilation[0] >= h or (kw - 1) * dilation[1] >= w:
            kh = kw = 1
        groups = rng.choice([1, 1, 1, c, 2 if c % 2 == 0 else 1])
        channels = groups * rng.choice([1, 2]) if groups > 1 else rng.choice([1, 7, 8, 16, 17, 32, 40])
        kind = (
            codes.FLOAT32
            if rng.random() < (0.7 if groups == c else 0.15)
            else rng.choice([codes.INT8] * 5 + [codes.INT16])
        )
        y = self.layers.conv(
            x, channels, (kh, kw), (rng.choice([1, 1, 2]), rng.choice([1, 1, 2])), dilation=dilation, groups=groups,
            kind=kind, batch_norm=rng.random() < 0.7, bias=rng.random() < 0.5, absmax=rng.choice([None, 2.0, 3.0, 3.0]),
        )  # fmt: skip
        return self.layers.activation(y, rng.randint(1, 4), rng.choice([0.1, 0.2])) if rng.random() < 0.7 else y

    def bottleneck(self, x: int) -> int:
        """A sum behind two convolutions, whose input others may read as well."""
        channels, silu = self.layers.dims(x)[3], codes.FUNCTIONS["silu"]
        first = self.layers.activation(self.layers.conv(x, channels, (1, 1), absmax=3.0), silu)
        second = self.layers.activation(self.layers.conv(first, channels, absmax=3.0), silu)
        return self.layers.binary(codes.ADD, *self.rng.sample([x, second], 2))

    def pool_or_up(self, x: int) -> int:
        rng, (_, h, w, _) = self.rng, self.layers.dims(x)
        if h * w < 100 and rng.random() < 0.5:
            return self.layers.upsample(x, rng.randint(1, 2), rng.randint(1, 3))
        size = rng.randint(1, 4)
        pad, stride = rng.randint(0, size // 2), rng.randint(1, 2)
        return self.layers.max_pool(
            x, size, stride, pad, max(1, (h + pad - 1) // stride), max(1, (w + pad - 1) // stride)
        )

    def join(self, x: int) -> int:
        rng, dims = self.rng, self.layers.dims(x)
        axis = rng.choice([3, 3, 3, 1, 2])
        fits = [t for t in self.pool if all(self.layers.dims(t)[k] == dims[k] for k in range(4) if k != axis)]
        same = [t for t in self.pool if self.layers.dims(t) == dims]
        if rng.random() < 0.6:
            return self.layers.concat([x] + [rng.choice(fits) for _ in range(rng.randint(0, 3))], axis)
        return self.layers.binary(rng.choice([codes.ADD, codes.MUL]), x, rng.choice(same))

    def move(self, x: int) -> int:
        rng, (n, h, w, c) = self.rng, self.layers.dims(x)
        choice = rng.random()
        if choice < 0.3 and c > 1:
            begin = rng.randrange(c)
            return self.layers.slice(x, (0, 0, 0, begin), (1, 1, 1, 1), (n, h, w, rng.randint(1, c - begin)))
        if choice < 0.5 and h > 1 and w > 1:
            return self.layers.slice(x, (0, 1, 1, 0), (1, 2, 2, 1), (n, h // 2, w // 2, c))
        if choice < 0.7:
            return self.layers.reshape(x, (n, 1, h * w, c))
        if choice < 0.85:
            return self.layers.permute(x, rng.choice([(0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 1, 2)]))
        return self.layers.softmax(x, rng.randint(1, 3))

    def more(self, x: int) -> int:
        same = [t for t in self.pool if self.layers.dims(t) == self.layers.dims(x)]
        return MoreLayers(self.layers).random(x, same)

    def grow(self, count: int) -> None:
        for _ in range(count):
            x = self.rng.choice(self.pool[-3:])
            kinds = (
                [self.conv] * 3 + [self.pool_or_up, self.bottleneck] + [self.join] * 2 + [self.move] + [self.more] * 2
            )
            make = self.rng.choice(kinds)
            y = make(x)
            _, h, w, c = self.layers.dims(y)
            if h * w * c <= 40000 and c <= 400:
                self.pool.append(y)
        chosen = {self.pool[-1], self.rng.choice(self.pool[1:] or self.pool)}
        for index, tensor in enumerate(sorted(chosen)):
            self.model.output(tensor, f"out{index}")


def make(kind: str, seed: int = 0, parallelism: int = 1, batch: int = 1) -> bytes:
    """The file of a kind as bytes."""
    rng = random.Random(seed)
    model = Model(kind, parallelism=parallelism)
    dtype = rng.choice([codes.FLOAT16, codes.FLOAT16, codes.FLOAT32]) if kind == "random" else codes.FLOAT16
    if kind in ("operators", "more") and seed % 2:
        dtype = codes.FLOAT32
    layers = Layers(model, rng, dtype)
    if kind == "random":
        RandomGraph(model, layers, rng, batch if batch > 1 else rng.randint(1, 2)).grow(rng.randint(3, 16))
    else:
        kinds = {"small": small, "operators": operators, "more": more, "kept": kept, "yolov3-tiny": yolov3_tiny}
        kinds.update({"classifier": classifier, "two-outputs": two_outputs})
        kinds.update(dict.fromkeys(THIRDS, shaped))
        kinds.update({"widest": widest, "deepest": deepest})  # their third number is a length
        kinds[kind](model, layers, batch)
    return model.build()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "kind", choices=[*KINDS, "operators", "more", "kept", "random", "widest", "deepest", "yolov3-tiny"]
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parallelism", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument(
        "--count", type=int, default=0, help="write this many files OUTPUT/SEED.cambricon from --seed on"
    )
    args = parser.parse_args()
    if not args.count:
        args.output.write_bytes(make(args.kind, args.seed, args.parallelism, args.batch))
        return
    args.output.mkdir(parents=True, exist_ok=True)
    for seed in range(args.seed, args.seed + args.count):
        (args.output / f"{seed}.cambricon").write_bytes(make(args.kind, seed, args.parallelism, args.batch))


if __name__ == "__main__":
    main()
