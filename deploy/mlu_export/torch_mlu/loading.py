"""``torch.load`` for scripts that were not told to trust their files: no code of a file ever runs."""

from __future__ import annotations

import functools
import os
from typing import Any

import torch

_plain: list[Any] = []


def install() -> None:
    """Replaces ``torch.load``; a second call does nothing. Processes that the script starts are held to it by torch."""
    if _plain:
        return
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    _plain.append(torch.load)
    torch.load = torch.serialization.load = functools.wraps(torch.load)(_load)


def _load(f: Any, map_location: Any = None, pickle_module: Any = None, **named: Any) -> Any:
    """What a script asks for with ``weights_only=False`` or a pickle module of its own is not its to decide: files come
    from elsewhere, and scripts written before torch had the choice say it out of habit."""
    del pickle_module
    named["weights_only"] = True
    return _plain[0](f, map_location, **named)
