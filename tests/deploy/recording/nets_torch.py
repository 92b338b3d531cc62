"""Compact networks of the usual families, with weights that make every layer count. Only for tests that have torch."""

from __future__ import annotations

import torch
from tests.deploy.recording import attention_torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """A block of ResNet: two convolutions and a shortcut, which halves the picture where ``stride`` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.short = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.short(x))


class ResNet(nn.Module):
    """Stem, three stages, average pooling, a linear classifier."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.Sequential(Residual(8, 8, 1), Residual(8, 16, 2), Residual(16, 24, 2))
        self.fc = nn.Linear(24, classes)

    def forward(self, x):
        x = self.stages(self.pool(self.stem(x)))
        return self.fc(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class Inverted(nn.Module):
    """A block of MobileNetV2: widen, depthwise, narrow."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.add = stride == 1 and inputs == outputs
        wide = inputs * 3
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.Hardswish(),
            nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip

    def forward(self, x):
        return x + self.layers(x) if self.add else self.layers(x)


class Squeeze(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x):
        gate = functional.relu(self.one(x.mean((2, 3), keepdim=True)))
        return x * functional.hardsigmoid(self.two(gate))


class MobileNet(nn.Module):
    """Inverted residuals with squeeze and excitation, classified with softmax."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), Inverted(8, 8, 1), Squeeze(8), Inverted(8, 12, 2), Inverted(12, 12, 1)
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(12, classes))

    def forward(self, x):
        x = self.features(x).mean([2, 3])
        return torch.softmax(self.classifier(x), 1)


class Ssd(nn.Module):
    """Two levels with an L2 normalisation; boxes are decoded against priors, as ported SSDs do on the device."""

    def __init__(self, classes: int = 3, anchors: int = 2) -> None:
        super().__init__()
        self.classes = classes
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2, 2, ceil_mode=True))
        self.more = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.LeakyReLU(0.1))
        self.scale = nn.Parameter(torch.rand(8) + 1)
        self.boxes = nn.ModuleList(nn.Conv2d(width, anchors * 4, 3, 1, 1) for width in (8, 12))
        self.scores = nn.ModuleList(nn.Conv2d(width, anchors * classes, 3, 1, 1) for width in (8, 12))
        self.register_buffer("priors", torch.rand(1, 2 * (8 * 8 + 4 * 4), 4))

    def forward(self, x):
        first = self.body(x)
        normed = functional.normalize(first, dim=1) * self.scale.view(1, -1, 1, 1)
        levels = [normed, self.more(first)]
        boxes = self._flat([layer(level) for layer, level in zip(self.boxes, levels)], 4)
        scores = self._flat([layer(level) for layer, level in zip(self.scores, levels)], self.classes)
        centres = self.priors[..., :2] + boxes[..., :2] * 0.1 * self.priors[..., 2:]
        sizes = self.priors[..., 2:] * torch.exp(boxes[..., 2:] * 0.2)
        return torch.cat([centres - sizes / 2, sizes], 2), torch.softmax(scores, -1)

    def _flat(self, levels, last):
        return torch.cat([one.permute(0, 2, 3, 1).reshape(one.shape[0], -1, last) for one in levels], 1)


class RetinaFace(nn.Module):
    """A pyramid with PReLU and nearest enlargement; three kinds of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([self._block(3, 8), self._block(8, 12), self._block(12, 16)])
        self.lateral = nn.ModuleList([nn.Conv2d(12, 8, 1), nn.Conv2d(16, 8, 1)])
        self.heads = nn.ModuleList(nn.Conv2d(8, 2 * size, 1) for size in (4, 2, 10))

    def _block(self, inputs, outputs):
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.PReLU(outputs))

    def forward(self, x):
        one = self.down[1](self.down[0](x))
        two = self.lateral[1](self.down[2](one))
        up = functional.interpolate(two, size=(one.shape[2], one.shape[3]), mode="nearest")
        levels = [self.lateral[0](one) + up, two]
        parts = [
            torch.cat([h(v).permute(0, 2, 3, 1).contiguous().view(v.shape[0], -1, size) for v in levels], 1)
            for h, size in zip(self.heads, (4, 2, 10))
        ]
        return parts[0], functional.softmax(parts[1], dim=-1), parts[2]


class UNet(nn.Module):
    """Down, up by a transposed convolution and by bilinear resizing, concatenated; a mask of the picture's size."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU())
        self.two = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ELU())
        self.three = nn.Sequential(nn.Conv2d(12, 16, 3, padding=2, dilation=2), nn.Mish())
        self.up = nn.ConvTranspose2d(16, 12, 2, 2)
        self.join = nn.Conv2d(24, 8, 3, padding=1)
        self.out = nn.Conv2d(16, 1, 1)

    def forward(self, x):
        one = self.one(x)
        two = self.two(functional.max_pool2d(one, 2))
        up = self.up(self.three(functional.avg_pool2d(two, 2)))
        joined = functional.tanh(self.join(torch.cat([up, two], 1)))
        large = functional.interpolate(joined, scale_factor=2, mode="bilinear", align_corners=True)
        return torch.sigmoid(self.out(torch.cat([large, one], 1)))


class Shuffle(nn.Module):
    """Split, channel shuffle, group, layer and instance norm, spatial attention, pixel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.right = nn.Conv2d(4, 4, 3, 1, 1, groups=2)
        self.last = nn.Conv2d(8, 12, 1)
        self.norm = nn.InstanceNorm2d(8, affine=True)
        self.groups, self.layer = nn.GroupNorm(2, 8), nn.LayerNorm(8)

    def forward(self, x):
        left, right = self.stem(x).chunk(2, 1)
        joined = torch.cat([left, self.right(right)], 1)
        n, c, h, w = joined.shape
        mixed = joined.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        mixed = self.layer(self.groups(mixed).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        mixed = self.norm(mixed) * torch.sigmoid(mixed.mean(1, keepdim=True) + mixed.amax(1, keepdim=True))
        return functional.pixel_shuffle(self.last(functional.pad(mixed, (1, 0, 0, 1))), 2)


NETS = {
    "resnet": ResNet,
    "mobilenet": MobileNet,
    "ssd": Ssd,
    "retinaface": RetinaFace,
    "unet": UNet,
    "shuffle": Shuffle,
    **attention_torch.NETS,
}
SIZES = {"ssd": (32, 32)}


def make(name: str, seed: int = 0):
    """A network with weights, statistics and slopes that are not the initial ones, in evaluation mode."""
    torch.manual_seed(seed)
    net = NETS[name]()
    with torch.no_grad():
        for key, value in [*net.named_parameters(), *net.named_buffers()]:
            if key.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.dtype.is_floating_point and value.ndim == 1:
                value.uniform_(0.1, 0.6)
    return net.eval()
