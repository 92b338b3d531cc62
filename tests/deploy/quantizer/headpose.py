"""The vendor's headpose network, rebuilt from the shapes in its weight file; and its calibration pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "ip2", "ip3")
MEAN = (104.0, 117.0, 124.0)
STD = 128.0


def folder(shared: Path) -> Path:
    return shared / "data" / "vendor" / "headpose"


class Headpose(torch.nn.Module):
    """Input (N, 3, 48, 48) BGR, (x - (104, 117, 124)) / 128; two outputs of 10 and 3 values."""

    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.conv1, self.prelu1 = nn.Conv2d(3, 16, 3), nn.PReLU(16)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(32, 32, 3), nn.PReLU(32)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(32, 64, 2), nn.PReLU(64)
        self.conv5, self.prelu5 = nn.Linear(576, 128), nn.PReLU(128)
        self.ip2, self.ip3 = nn.Linear(128, 10), nn.Linear(128, 3)

    def forward(self, x):
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).flatten(1)
        x = self.prelu5(self.conv5(x))
        return self.ip2(x), self.ip3(x)


def simulated(network, x):
    """The same network with every swapped layer computed as the simulator does."""
    layer = {name: getattr(network, name).simulate for name in LAYERS}
    x = network.pool1(network.prelu1(layer["conv1"](x)))
    x = network.pool2(network.prelu2(layer["conv2"](x)))
    x = network.pool3(network.prelu3(layer["conv3"](x)))
    x = network.prelu4(layer["conv4"](x)).flatten(1)
    x = network.prelu5(layer["conv5"](x))
    return layer["ip2"](x), layer["ip3"](x)


def pictures(shared: Path):
    """All calibration pictures as tensors (1, 3, 48, 48)."""
    found = []
    for path in sorted((folder(shared) / "calibration").iterdir()):
        pixels = cv2.resize(cv2.imread(str(path)), (48, 48)).astype(np.float32)
        normal = (pixels - np.array(MEAN, np.float32)) / np.float32(STD)
        found.append(torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)[None])))
    return found
