"""The modules that scripts import: ``torch_mlu`` and below, and the names of the vendor's torchvision."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from typing import TYPE_CHECKING, Any

import torch

from mlu_agent.errors import UserError

from ..quantizer.dynamic import MLUConv2d, MLULinear, quantize_dynamic_mlu
from ..recording.values import UnknownApiError
from . import device, dump_utils, scripted, trace, vision
from .adaptive import adaptive_quantize, dequantize
from .settings import SETTINGS, is_integer
from .tensor import DEVICE, MluTensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = "torch_mlu"
DUMPS = ("register_dump_hook", "save_data", "diff_data")
ADVICE = {
    "Queue": "the simulator finishes each call before it returns: leave queues out",
    "dumptool": "torch_mlu.core.utils.dump_utils compares the layers' outputs here, and mlu-export verify the file",
}


class CompatModule(types.ModuleType):
    """A module whose missing names are said in one sentence."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known = sorted(key for key in vars(self) if not key.startswith("_"))
        advice = ADVICE.get(name, f"{self.__name__} here has {', '.join(known)}")
        raise UnknownApiError(f"{self.__name__}.{name} is not part of the compatible torch_mlu: {advice}")


class _Refuser:
    """Finds the sub-modules that are not here, to say so."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        del path, target
        if name.startswith(f"{ROOT}."):
            parent, _, last = name.rpartition(".")
            getattr(sys.modules.get(parent, CompatModule(parent)), last)


def install() -> None:
    """Puts the device into torch and the modules into ``sys.modules``."""
    device.install()
    trace.install()
    scripted.install()
    vision.install()
    model = _module("torch_mlu.core.mlu_model", _MODEL)
    quantize = _module("torch_mlu.core.mlu_quantize", {
        "quantize_dynamic_mlu": quantize_dynamic_mlu, "MLUConv2d": MLUConv2d, "MLULinear": MLULinear,
        "adaptive_quantize": adaptive_quantize, "dequantize": dequantize,
    })  # fmt: skip
    core = _module("torch_mlu.core", {"mlu_model": model, "mlu_quantize": quantize}, package=True)
    quantized = _module("torch_mlu.core.quantized", {}, package=True)
    fuse = _module("torch_mlu.core.quantized.fuse_modules", {"fuse_modules": _fuse_modules})
    quantized.fuse_modules = fuse  # type: ignore[attr-defined]
    core.quantized = quantized  # type: ignore[attr-defined]
    dumps = _module("torch_mlu.core.utils.dump_utils", {name: getattr(dump_utils, name) for name in DUMPS})
    utils = _module("torch_mlu.core.utils", {"dump_utils": dumps}, package=True)
    core.utils = utils  # type: ignore[attr-defined]
    made = _module(ROOT, {"core": core, "__version__": "0.15.0+mlu-export"}, package=True)
    for module in (made, core, model, quantize, quantized, fuse, utils, dumps):
        sys.modules[module.__name__] = module
    sys.meta_path.append(_Refuser())  # finds nothing, on purpose
    _extend_device_module()


def _extend_device_module() -> None:
    """``torch.mlu.synchronize()`` and the like."""
    for name in ("synchronize", "device_count", "current_device", "set_device"):
        setattr(getattr(torch, DEVICE), name, _MODEL[name])


def _module(name: str, contents: Mapping[str, Any], package: bool = False) -> types.ModuleType:
    module = CompatModule(name, "The compatible torch_mlu of mlu-export.")
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=package)
    if package:
        module.__path__ = []
    vars(module).update(contents)
    return module


def _fuse_modules(model: Any, names: Any, inplace: bool = False, **_: Any) -> Any:
    """The vendor's, which is torch's own for models in evaluation."""
    return torch.ao.quantization.fuse_modules(model.eval(), names, inplace=inplace)


# ---- torch_mlu.core.mlu_model ----


def _set_device(number: int) -> None:
    if not is_integer(number) or number < -1:
        raise UserError(f"set_device({number!r}): give 0, or -1 to compile without a device")
    SETTINGS.one_device(f"set_device({number})", number)
    SETTINGS.device = number


def _set_core_number(number: int) -> None:
    """Cores of fused calls: 1, 4 or 16. An MLU220 has four: more are clamped at the export, with a warning."""
    SETTINGS.set_core_number(number)


def _set_core_version(version: str) -> None:
    SETTINGS.set_core_version(version)


def _set_input_format(number: int) -> None:
    SETTINGS.set_input_format(number)


def _save_as_cambricon(name: str) -> None:
    """Arms the next compiled or called traced model to be written as NAME.cambricon; '' disarms."""
    SETTINGS.arm(name)


def _mlu_device(index: int = 0) -> Any:
    SETTINGS.one_device(f"mlu_device({index!r})", index if is_integer(index) else None)
    return torch.device(DEVICE)


def _to(optimizer: Any, _device: Any) -> Any:
    """The vendor's for optimizers: nothing trains here, so that there is nothing to move."""
    return optimizer


def _no_effect(name: str, reason: str) -> Callable[..., None]:
    def ignore(*arguments: Any, **_named: Any) -> None:
        SETTINGS.warn(f"{name}({', '.join(map(repr, arguments))}) has no effect: {reason}")

    return ignore


def _set_cnml_enabled(flag: bool) -> None:
    if not flag:
        SETTINGS.warn("set_cnml_enabled(False) has no effect: only inference exists here, and it stays enabled")


def _set_autotune(flag: Any) -> None:
    if flag:
        SETTINGS.warn("set_autotune(True) has no effect: the simulator has nothing to tune")


_MODEL: dict[str, Any] = {
    "set_core_number": _set_core_number,
    "set_core_version": _set_core_version,
    "set_input_format": _set_input_format,
    "save_as_cambricon": _save_as_cambricon,
    "mlu_device": _mlu_device,
    "set_device": _set_device,
    "set_cnml_enabled": _set_cnml_enabled,
    "set_autotune": _set_autotune,
    "set_autotune_config_path": _no_effect("set_autotune_config_path", "the simulator has nothing to tune"),
    "set_autotune_time_limit": _no_effect("set_autotune_time_limit", "the simulator has nothing to tune"),
    "to": _to,
    "synchronize": lambda *_: None,
    "device_count": lambda: 1,
    "current_device": lambda: SETTINGS.device,
    "is_mlu_tensor": lambda tensor: isinstance(tensor, MluTensor),
    "empty_cached_memory": lambda: None,
}
