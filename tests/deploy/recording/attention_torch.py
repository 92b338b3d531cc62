"""Networks with attention, as they are published: a detector's block over pixels, and a small vision transformer."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


class PixelAttention(nn.Module):
    """Heads over the pixels of a map, channels in the matrices' rows, with the positions by a depthwise layer."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.value = heads, channels // heads
        self.key = self.value // 2
        self.qkv = nn.Conv2d(channels, channels + 2 * self.key * heads, 1)
        self.positions = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        parts = self.qkv(x).view(n, self.heads, 2 * self.key + self.value, h * w)
        q, k, v = parts.split([self.key, self.key, self.value], dim=2)
        share = ((q.transpose(-2, -1) @ k) * self.key**-0.5).softmax(dim=-1)
        mixed = (v @ share.transpose(-2, -1)).view(n, c, h, w)
        return self.out(mixed + self.positions(v.reshape(n, c, h, w)))


class PixelNet(nn.Module):
    """Half of the channels go through attention and a small feed-forward part, each added to what it was made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 4, 1), nn.BatchNorm2d(16), nn.SiLU())
        self.attention = PixelAttention(8, 2)
        self.feed = nn.Sequential(nn.Conv2d(8, 16, 1), nn.SiLU(), nn.Conv2d(16, 8, 1))
        self.head = nn.Conv2d(16, 6, 1)

    def forward(self, x):
        kept, changed = self.stem(x).split([8, 8], 1)
        changed = changed + self.attention(changed)
        changed = changed + self.feed(changed)
        return self.head(torch.cat([kept, changed], 1))


class Vit(nn.Module):
    """Patches, learned positions and torch's own encoder layer, one with the norm first; the mean is classified."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.positions = nn.Parameter(torch.randn(1, 30, width) * 0.2)
        kinds = (("gelu", True), ("relu", False))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 32, 0.0, kind, batch_first=True, norm_first=first)
            for kind, first in kinds
        )
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, 5)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        for layer in self.layers:
            tokens = layer(tokens)
        return self.last(self.norm(tokens).mean(1))


class Written(nn.Module):
    """Attention, norm and gelu written out by hand, a mask, and queries that are fewer than the keys."""

    def __init__(self, width: int = 12, heads: int = 3) -> None:
        super().__init__()
        self.heads = heads
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.cross = nn.MultiheadAttention(width, heads, batch_first=True)
        self.qkv = nn.Linear(width, 3 * width)
        self.gain, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mask", torch.ones(30, 30).tril().bool())

    def norm(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5) * self.gain + self.shift

    def forward(self, x):
        tokens = self.norm(self.patches(x).flatten(2).transpose(1, 2))
        n, count, width = tokens.shape
        parts = self.qkv(tokens).reshape(n, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], self.mask)
        mixed = tokens + mixed.transpose(1, 2).reshape(n, count, width)
        mixed = mixed * 0.5 * (1 + torch.erf(mixed / math.sqrt(2)))
        few = mixed[:, :4]
        return self.cross(few, mixed, mixed)[0] + functional.gelu(few, approximate="tanh")


NETS = {"pixels": PixelNet, "vit": Vit, "written": Written}
