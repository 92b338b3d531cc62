"""Small networks of one layer or a few, each a model file whose instructions are counted (tests/counts/run.py).

    counted_layers.py FOLDER

Sizes are such that every kernel meets whole tiles and remainders, and that a count takes a fraction of a second.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Callable

try:
    import codes  # run as a script
    from make_model import Layers, Model
    from more_operators import MoreLayers
except ImportError:
    from tests.native import codes
    from tests.native.make_model import Layers, Model
    from tests.native.more_operators import MoreLayers

SILU, RELU, LEAKY = codes.FUNCTIONS["silu"], codes.FUNCTIONS["relu"], codes.FUNCTIONS["leaky_relu"]
Build = Callable[[Model, Layers], int]


def tensor(model: Model, size: int, channels: int) -> int:
    """An input of half values."""
    return model.input("data", (1, size, size, channels), codes.FLOAT16)


def stem(model: Model, layers: Layers) -> int:
    picture = layers.normalize(model.input("data", (1, 66, 66, 4), codes.UINT8), [0, 1, 2])
    return layers.activation(layers.conv(picture, 16, (6, 6), (2, 2), (2, 2)), SILU)


def pointwise(model: Model, layers: Layers) -> int:
    x = layers.activation(layers.conv(tensor(model, 21, 64), 96, (1, 1)), SILU)
    return layers.activation(layers.conv(x, 64, (1, 1)), SILU)


def square(model: Model, layers: Layers) -> int:
    x = layers.activation(layers.conv(tensor(model, 21, 64), 64), SILU)
    return layers.activation(layers.conv(x, 64), LEAKY, 0.1)


def strided(model: Model, layers: Layers) -> int:
    return layers.activation(layers.conv(tensor(model, 41, 32), 64, stride=(2, 2)), SILU)


def deep(model: Model, layers: Layers) -> int:
    return layers.activation(layers.conv(tensor(model, 7, 256), 64), LEAKY, 0.1)


def wide_values(model: Model, layers: Layers) -> int:
    return layers.activation(layers.conv(tensor(model, 21, 32), 32, kind=codes.INT16), SILU)


def depthwise(model: Model, layers: Layers) -> int:
    x = layers.activation(layers.conv(tensor(model, 21, 48), 48, groups=48, kind=codes.FLOAT32), RELU)
    return layers.conv(x, 48, stride=(2, 2), groups=48, kind=codes.FLOAT32)


def float_weights(model: Model, layers: Layers) -> int:
    return layers.activation(layers.conv(tensor(model, 13, 24), 24, kind=codes.FLOAT32), LEAKY, 0.1)


def bottleneck(model: Model, layers: Layers) -> int:
    x = layers.activation(layers.conv(tensor(model, 21, 32), 32, (1, 1)), SILU)
    inner = layers.activation(layers.conv(layers.activation(layers.conv(x, 32, (1, 1)), SILU), 32), SILU)
    joined = layers.concat([layers.binary(codes.ADD, x, inner), x], 3)
    return layers.conv(joined, 32, (1, 1), batch_norm=False, bias=True)


def pyramid(model: Model, layers: Layers) -> int:
    x = layers.activation(layers.conv(tensor(model, 10, 64), 32, (1, 1)), SILU)
    parts = [x]
    for _ in range(3):
        parts.append(layers.max_pool(parts[-1], 5, 1, 2, 10, 10))
    x = layers.activation(layers.conv(layers.concat(parts, 3), 32, (1, 1)), SILU)
    return layers.conv(layers.upsample(x, 2, 2), 32, (1, 1))


def movement(model: Model, layers: Layers) -> int:
    make = MoreLayers(layers)
    x = make.resize(tensor(model, 12, 20), 25, 31, 0)
    x = layers.max_pool(x, 2, 2, 0, 12, 15)
    return layers.softmax(layers.permute(x, (0, 3, 1, 2)), 3)


def detection(model: Model, layers: Layers) -> int:
    heads = [model.input(f"head{size}", (1, size, size, 3 * 25), codes.FLOAT16) for size in (20, 10)]
    return MoreLayers(layers).detection(heads, 3, 20, (320, 320), 100)


LAYERS: dict[str, Build] = {
    build.__name__: build
    for build in (
        stem, pointwise, square, strided, deep, wide_values, depthwise, float_weights, bottleneck, pyramid, movement,
        detection,
    )
}  # fmt: skip


def write(folder: Path) -> list[Path]:
    """Writes all of them; returns the files, in the order of LAYERS."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, build in LAYERS.items():
        model = Model(name)
        model.output(build(model, Layers(model, random.Random(name), codes.FLOAT16)), "out")
        files.append(folder / f"{name}.cambricon")
        files[-1].write_bytes(model.build())
    return files


if __name__ == "__main__":
    write(Path(sys.argv[1]))
