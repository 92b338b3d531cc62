"""Where a layer's batch-norm stands in a state dict, by where its convolution does. No torch here."""

from __future__ import annotations

import re

_RULES = (
    (re.compile(r"(.*\.)Conv2d"), r"\1BatchNorm2d"),  # the vendor's port of Darknet networks
    (re.compile(r"(.*\.)conv_(\d+)"), r"\1batch_norm_\2"),  # the public port
    (re.compile(r"(.*\.)conv"), r"\1bn"),  # YOLOv5
)


def norm_key(conv: str) -> str:
    """The module path of the batch-norm beside the convolution ``conv``; empty where none of the ports has one."""
    return next((rule.sub(place, conv) for rule, place in _RULES if rule.fullmatch(conv)), "")
