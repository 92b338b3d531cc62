"""YOLOv5-like networks of every release's blocks as torch modules: small, with random weights, saved by torch itself.

They are the tests' own: what the blocks compute is written down here a second time, from the papers and releases.
"""

from __future__ import annotations

import io
import sys
import types
from contextlib import contextmanager

import torch
from torch import nn

ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
ACTIVATIONS = {"leaky_relu": lambda: nn.LeakyReLU(0.1), "hardswish": nn.Hardswish, "silu": nn.SiLU}


class Conv(nn.Module):
    def __init__(self, inputs, outputs, kernel=1, stride=1, pad=None, act="silu"):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 if pad is None else pad, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)
        self.act = ACTIVATIONS[act]()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, channels, add, act):
        super().__init__()
        self.cv1, self.cv2, self.add = Conv(channels, channels, act=act), Conv(channels, channels, 3, act=act), add

    def forward(self, x):
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


class C3(nn.Module):
    def __init__(self, inputs, outputs, add, act):
        super().__init__()
        half = outputs // 2
        self.cv1, self.cv2 = Conv(inputs, half, act=act), Conv(inputs, half, act=act)
        self.cv3 = Conv(2 * half, outputs, act=act)
        self.m = nn.Sequential(Bottleneck(half, add, act), Bottleneck(half, add, act))

    def forward(self, x):
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class BottleneckCSP(nn.Module):
    def __init__(self, inputs, outputs, add, act):
        super().__init__()
        half = outputs // 2
        self.cv1, self.cv4 = Conv(inputs, half, act=act), Conv(2 * half, outputs, act=act)
        self.cv2, self.cv3 = nn.Conv2d(inputs, half, 1, bias=False), nn.Conv2d(half, half, 1, bias=False)
        self.bn, self.act = nn.BatchNorm2d(2 * half, eps=1e-3), nn.LeakyReLU(0.1)
        self.m = nn.Sequential(Bottleneck(half, add, act))

    def forward(self, x):
        joined = torch.cat((self.cv3(self.m(self.cv1(x))), self.cv2(x)), 1)
        return self.cv4(self.act(self.bn(joined)))


class SPP(nn.Module):
    def __init__(self, inputs, outputs, act):
        super().__init__()
        half = inputs // 2
        self.cv1, self.cv2 = Conv(inputs, half, act=act), Conv(4 * half, outputs, act=act)
        self.m = nn.ModuleList([nn.MaxPool2d(size, 1, size // 2) for size in (5, 9, 13)])

    def forward(self, x):
        x = self.cv1(x)
        return self.cv2(torch.cat([x, *(pool(x) for pool in self.m)], 1))


class SPPF(nn.Module):
    def __init__(self, inputs, outputs, act):
        super().__init__()
        half = inputs // 2
        self.cv1, self.cv2 = Conv(inputs, half, act=act), Conv(4 * half, outputs, act=act)
        self.m = nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(self.m(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class Focus(nn.Module):
    def __init__(self, outputs, act):
        super().__init__()
        self.conv = Conv(12, outputs, 3, act=act)

    def forward(self, x):
        rows = (x[:, :, 0::2], x[:, :, 1::2])
        return self.conv(torch.cat([row[..., start::2] for start in (0, 1) for row in rows], 1))


class Concat(nn.Module):
    def __init__(self):
        super().__init__()
        self.d = 1

    def forward(self, x):
        return torch.cat(x, self.d)


class Detect(nn.Module):
    """Gives the raw heads, as NHWC."""

    def __init__(self, channels, classes, anchor_grid):
        super().__init__()
        self.nc = classes
        self.m = nn.ModuleList([nn.Conv2d(one, 3 * (5 + classes), 1) for one in channels])
        pixels = torch.tensor(ANCHORS, dtype=torch.float32)
        self.register_buffer("anchors", pixels / torch.tensor([8.0, 16.0, 32.0]).view(3, 1, 1))
        if anchor_grid:
            self.register_buffer("anchor_grid", pixels.view(3, 1, 3, 1, 1, 2))

    def forward(self, x):
        return [one(value).permute(0, 2, 3, 1) for one, value in zip(self.m, x)]


class Model(nn.Module):
    """The 25 layers that all releases share; ``release`` 3, 4 or 6 chooses the blocks."""

    def __init__(self, release=6, act="silu", classes=80, width=4):
        super().__init__()
        self.names = [f"class {number}" for number in range(classes)]
        self.yaml = {"nc": classes}
        w, block = width, BottleneckCSP if release == 3 else C3
        stem = Conv(3, w, 6, 2, 2, act=act) if release == 6 else Focus(w, act)

        def down(inputs, outputs):
            return Conv(inputs, outputs, 3, 2, act=act)

        pyramid = [block(16 * w, 16 * w, True, act), SPPF(16 * w, 16 * w, act)]
        if release < 6:
            pyramid = [SPP(16 * w, 16 * w, act), block(16 * w, 16 * w, False, act)]
        layers = [
            (-1, stem),
            (-1, down(w, 2 * w)), (-1, block(2 * w, 2 * w, True, act)),
            (-1, down(2 * w, 4 * w)), (-1, block(4 * w, 4 * w, True, act)),
            (-1, down(4 * w, 8 * w)), (-1, block(8 * w, 8 * w, True, act)),
            (-1, down(8 * w, 16 * w)), *((-1, one) for one in pyramid),
            (-1, Conv(16 * w, 8 * w, act=act)), (-1, nn.Upsample(scale_factor=2, mode="nearest")),
            ([-1, 6], Concat()), (-1, block(16 * w, 8 * w, False, act)),
            (-1, Conv(8 * w, 4 * w, act=act)), (-1, nn.Upsample(scale_factor=2, mode="nearest")),
            ([-1, 4], Concat()), (-1, block(8 * w, 4 * w, False, act)),
            (-1, down(4 * w, 4 * w)), ([-1, 14], Concat()), (-1, block(8 * w, 8 * w, False, act)),
            (-1, down(8 * w, 8 * w)), ([-1, 10], Concat()), (-1, block(16 * w, 16 * w, False, act)),
            ([17, 20, 23], Detect((4 * w, 8 * w, 16 * w), classes, release < 6)),
        ]  # fmt: skip
        for index, (source, layer) in enumerate(layers):
            layer.f, layer.i = source, index
        self.model = nn.Sequential(*(layer for _, layer in layers))

    def forward(self, x):
        made = []
        for layer in self.model:
            sources = layer.f if isinstance(layer.f, list) else [layer.f]
            values = [x if source == -1 else made[source] for source in sources]
            x = layer(values if isinstance(layer.f, list) else values[0])
            made.append(x)
        return x


def network(release=6, act="silu", classes=80, seed=1):
    """A network in evaluation mode whose batch-norms have statistics that are not 0 and 1."""
    torch.manual_seed(seed)
    model = Model(release, act, classes).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.6, 1.4)
            nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0, 1.4 / module.weight[0].numel() ** 0.5)
    return model.requires_grad_(False)


HOMES = {
    "models.common": (Conv, Bottleneck, C3, BottleneckCSP, SPP, SPPF, Focus, Concat),
    "models.yolo": (Detect, Model),
}


@contextmanager
def _at_home():
    """The classes under the names of the modules that YOLOv5 has them in, for as long as something is pickled."""
    packages = {name: types.ModuleType(name) for name in ("models", *HOMES)}
    for name, classes in HOMES.items():
        packages[name].__file__ = __file__  # the legacy format has the sources of the classes inside
        for one in classes:
            one.__module__ = name
            setattr(packages[name], one.__name__, one)
    sys.modules.update(packages)
    try:
        yield
    finally:
        for name in packages:
            del sys.modules[name]
        for classes in HOMES.values():
            for one in classes:
                one.__module__ = __name__


def save(content, legacy=False) -> bytes:
    """What torch.save writes."""
    stream = io.BytesIO()
    with _at_home():
        torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()
