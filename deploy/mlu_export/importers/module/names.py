"""What a torch module of the user calls its classes, where it has an attribute for that, as detectors' authors do."""

from __future__ import annotations

import inspect
from typing import Any

ATTRIBUTES = ("names", "class_names", "CLASSES")  # of YOLO's kin, and of others


def names_of_module(module: Any, classes: int) -> tuple[Any, int, str]:
    """The names as they are, None where there are none or the network has no classes; then ``classes``, and what a
    sentence calls the attribute. Nothing of the user's code runs: a property is none.
    """
    if classes:
        for name in ATTRIBUTES:
            value = inspect.getattr_static(module, name, None)
            if isinstance(value, (list, tuple, dict)) and value:
                return value, classes, f"the module's {name}"
        meta = inspect.getattr_static(module, "dataset_meta", None)
        if isinstance(meta, dict):
            for key in ("classes", "CLASSES"):
                if isinstance(meta.get(key), (list, tuple)):
                    return meta[key], classes, "the module's dataset_meta"
    return None, classes, ""
