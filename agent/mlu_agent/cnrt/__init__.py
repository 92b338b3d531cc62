"""The binding to CNRT 4.x: handles and bytes, never boxes.

Importing this package loads nothing and starts nothing; ``open_library`` does.
"""

from __future__ import annotations

from .device import Device, DeviceInfo
from .execution import Context, DeviceBuffer, Notifier, Queue
from .library import Library, open_library
from .model import Model

__all__ = [
    "Context",
    "Device",
    "DeviceBuffer",
    "DeviceInfo",
    "Library",
    "Model",
    "Notifier",
    "Queue",
    "open_library",
]
