"""``torch.jit.load`` and ``torch.jit.save`` for models that run on the device: files hold weights as CPU tensors."""

from __future__ import annotations

import functools
from typing import Any

import torch

from .tensor import DEVICE, MluTensor, host_of
from .trace import FusedModule

_plain: dict[str, Any] = {}


def install() -> None:
    """Replaces ``torch.jit.load`` and ``torch.jit.save``; a second call does nothing."""
    if not _plain:
        _plain.update(load=torch.jit.load, save=torch.jit.save)
        torch.jit.load = functools.wraps(torch.jit.load)(_load)
        torch.jit.save = functools.wraps(torch.jit.save)(_save)
        FusedModule.save = _save
        FusedModule.cpu = _cpu


def _load(f: Any, map_location: Any = None, *arguments: Any, **named: Any) -> Any:
    """The model of a file; called with tensors of the device it is compiled for them, like one that was just traced."""
    if map_location is not None and torch.device(map_location).type == DEVICE:
        map_location = "cpu"
    return FusedModule(_plain["load"](f, map_location, *arguments, **named))


def _save(module: Any, f: Any, *arguments: Any, **named: Any) -> None:
    traced = _cpu(module).traced if isinstance(module, FusedModule) else module
    _plain["save"](traced, f, *arguments, **named)


def _cpu(module: Any) -> Any:
    """Puts numbers on the CPU in place of weights on the device; what was compiled keeps its own."""
    for part in module.traced.modules():
        holder = part._c  # noqa: SLF001 - torch moves no weights of a traced module to a class of tensors of its own
        for name, weight in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            if isinstance(weight, MluTensor):
                holder.setattr(name, host_of(weight))
    return module
