"""``torch_mlu.core.utils.dump_utils``: the outputs of layers on the CPU and on the device, written and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from mlu_agent.errors import DataError, UserError

from ..quantizer.modules import MLULayer
from ..quantizer.observers import MinMaxObserver

_outputs: dict[str, Any] = {}


def register_dump_hook(model: Any, start: str | None = None, end: str | None = None) -> None:
    """Lets the layers without layers below them, from ``start`` to ``end``, keep what they give in the next calls."""
    leaves = {name: layer for name, layer in model.named_modules() if name and _is_layer(layer)}
    names = list(leaves)
    for name in (start, end):
        if name is not None and _place(names, name) is None:
            raise UserError(
                f"register_dump_hook: the model has no layer {name!r}; it has {', '.join(names[:8])}"
                f"{', …' if len(names) > 8 else ''}"
            )
    first = 0 if start is None else _place(names, start)
    last = len(names) - 1 if end is None else _place(names, end)
    _outputs.clear()
    for name in names[first : None if last is None else last + 1]:
        leaves[name].register_forward_hook(_keep(name))


def _is_layer(module: Any) -> bool:
    """One with nothing below it but an observer."""
    if isinstance(module, MinMaxObserver):
        return False
    return isinstance(module, MLULayer) or not any(module.children())


def _place(names: list[str], wanted: str) -> int | None:
    """Scripts write ``self.layer1`` for the first layer below it, too."""
    path = wanted.removeprefix("self.")
    return next((place for place, name in enumerate(names) if name == path or name.startswith(f"{path}.")), None)


def _keep(name: str) -> Any:
    def keep(_layer: Any, _inputs: Any, output: Any) -> None:
        tensors = [one for one in pytree.tree_leaves(output) if isinstance(one, torch.Tensor)]
        for number, one in enumerate(tensors):
            _outputs[name if len(tensors) == 1 else f"{name}.{number}"] = one.detach().cpu().float()

    return keep


def save_data(folder: str, device: str) -> str:
    """Writes ``FOLDER/dump_DEVICE_data.pth``, the last output of each layer by its name, and forgets them."""
    if not _outputs:
        raise UserError("save_data: no layer has given anything yet: call register_dump_hook(model), then the model")
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / f"dump_{device}_data.pth"
    torch.save(dict(_outputs), path)
    _outputs.clear()
    return str(path)


def diff_data(first: str, second: str) -> dict[str, float]:
    """Prints how far each layer of both files is apart: the root of the squared error over that of the squares."""
    one, other = (torch.load(path, map_location="cpu") for path in (first, second))
    common = [name for name in one if name in other]
    if not common:
        raise DataError(f"diff_data: {first} and {second} have no layer in common")
    for name in sorted(set(one) ^ set(other)):
        print(f"{name}: in one of the files only")
    return {name: _difference(name, one[name], other[name]) for name in common}


def _difference(name: str, one: Any, other: Any) -> float:
    if one.shape != other.shape:
        print(f"{name}: shapes {tuple(one.shape)} and {tuple(other.shape)} differ")
        return float("inf")
    size = one.square().sum().sqrt().item()
    apart = (one - other).square().sum().sqrt().item()
    part: float = apart / size if size else apart
    print(f"{name}: {part:.6f}, at most {(one - other).abs().max().item() if one.numel() else 0.0:.6g}")
    return part
