"""The names of the vendor's torchvision: YOLOv3 and quantized classifiers.

An installed torchvision is extended when a script imports it: ``models.object_detection``, ``models.quantization.
object_detection``, and quantized builders that take the vendor's ``pretrained=..., quantize=...``. Without one, a small
package of that name has YOLOv3 alone. The vendor's own torchvision, which has these names, is left as it is.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import re
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mlu_agent.errors import DataError, UserError

from ..quantizer.dynamic import quantize_dynamic_mlu
from ..recording.values import UnknownApiError
from .yolov3 import CLASSES, YOLOv3, classes_of, vendor_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MODELS, QUANTIZED = "torchvision.models", "torchvision.models.quantization"
FLOAT_FOLDERS = ("", "origin")
QUANTIZED_FOLDERS = ("", "int8", "int16", "c_int8", "c_int16")
# Branches that only training uses: their weights may be missing or left over.
TRAINING_BRANCHES = ("aux", "AuxLogits")


# ---- weights ----


def find_weights(name: str, quantize: bool) -> Path:
    """``$TORCH_HOME/checkpoints/NAME.pth``, or the same in the folder of a precision. Raises UserError."""
    home = os.environ.get("TORCH_HOME")
    if not home:
        raise UserError(
            f"{name}(pretrained=True): TORCH_HOME is not set; set it to the folder that holds checkpoints/{name}.pth"
        )
    places = [
        Path(home, one, "checkpoints", f"{name}.pth") for one in (QUANTIZED_FOLDERS if quantize else FLOAT_FOLDERS)
    ]
    for place in places:
        if place.is_file():
            print(f"mlu-export: {name}: weights of {place}", file=sys.stderr)
            return place
    raise UserError(
        f"{name}(pretrained=True): there is none of {', '.join(map(str, places))}; put the "
        f"{'quantized checkpoint' if quantize else 'float weights'} there. Nothing is downloaded"
    )


def _state_of(path: Any) -> Mapping[str, Any]:
    if not Path(path).is_file():
        raise UserError(f"{path}: there is no such file of weights")
    state = torch.load(path, map_location="cpu")
    if not isinstance(state, dict):
        raise DataError(f"{path}: it holds a {type(state).__name__}, not a state dict; save model.state_dict()")
    return state


def _load(model: Any, state: Mapping[str, Any], source: Any, spare: tuple[str, ...] = ()) -> Any:
    result = model.load_state_dict(state, strict=False)
    wrong = {
        kind: [key for key in keys if not key.startswith(spare)]
        for kind, keys in (("lacks", result.missing_keys), ("has no place for", result.unexpected_keys))
    }
    for kind, keys in (("lacks", wrong["lacks"]), ("has unknown", wrong["has no place for"])):
        if keys:
            raise DataError(f"{source}: it {kind} {keys[0]} (and {len(keys) - 1} more): it belongs to another network")
    return model


# ---- builders ----


def yolov3(
    weight_path: Any = None, pretrained: bool = False, img_size: int = 416, conf_thres: float = 0.8,
    nms_thres: float = 0.4,
) -> Any:  # fmt: skip
    """The float network; ``pretrained``: weights of ``weight_path`` or TORCH_HOME. Raises UserError, DataError."""
    return _yolov3(weight_path, pretrained, False, img_size, conf_thres, nms_thres)


def quantized_yolov3(
    weight_path: Any = None, pretrained: bool = False, quantize: bool = False, img_size: int = 416,
    conf_thres: float = 0.8, nms_thres: float = 0.4,
) -> Any:  # fmt: skip
    """The same with quantized layers if ``quantize``; its weights are then a checkpoint with scales."""
    return _yolov3(weight_path, pretrained, quantize, img_size, conf_thres, nms_thres)


def _yolov3(path: Any, pretrained: bool, quantize: bool, size: int, confidence: float, iou: float) -> Any:
    state: dict[str, Any] = {}
    if pretrained:
        path = path or find_weights("yolov3", quantize)
        state = vendor_keys(_state_of(path))
    model = YOLOv3(size, classes_of(state) if pretrained else CLASSES, confidence, iou).eval()
    own = {key: value for key, value in model.state_dict().items() if ".yolo_" in key}
    if quantize:
        model = quantize_dynamic_mlu(model)
    return _load(model, {**state, **own}, path) if pretrained else model


def _classifier(models: Any, name: str, pretrained: bool, options: dict[str, Any]) -> Any:
    """The network of torchvision with quantized layers and the vendor's checkpoint."""
    if name in ("googlenet", "inception_v3"):
        options.setdefault("init_weights", False)
    model = quantize_dynamic_mlu(getattr(models, name)(**options))
    if not pretrained:
        return model
    path = find_weights(name, quantize=True)
    return _load(model, _state_of(path), path, TRAINING_BRANCHES)


def _quantized_builder(models: Any, name: str, original: Callable[..., Any] | None) -> Callable[..., Any]:
    """A builder that serves the vendor's calls, and hands others to torchvision's of that name, if there is one."""

    def build(*arguments: Any, pretrained: bool = False, quantize: bool = False, **options: Any) -> Any:
        vendors = pretrained or original is None
        if not vendors and original is not None:
            return original(*arguments, quantize=quantize, **options)
        if not quantize:
            model = getattr(models, name)(*arguments, **options)
            return _load_float(model, name) if pretrained else model
        return _classifier(models, name, pretrained, options)

    return functools.wraps(original)(build) if original is not None else build


def _load_float(model: Any, name: str) -> Any:
    path = find_weights(name, quantize=False)
    return _load(model, _state_of(path), path, TRAINING_BRANCHES)


# ---- modules ----


class _Module(types.ModuleType):
    """A module whose missing names are said in one sentence."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(f"{self.__name__}.{name}")


def fitting_torchvision(version: str) -> str:
    """pip's name of the torchvision that was made for a version of torch: 0.15 for 2.0, and so on; 0.1 before 1.2."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return "torchvision"
    major, minor = int(found[1]), int(found[2])
    return f"torchvision==0.{minor + (15 if major == 2 else 1)}.*" if major in (1, 2) else "torchvision"


def _refuse(name: str) -> Any:
    if name.startswith((f"{MODELS}.object_detection.", f"{QUANTIZED}.object_detection.")):
        advice = "of the vendor's object detectors yolov3 is here; bring the network's own Python file and weights"
    else:
        advice = (
            "torchvision is not installed, and yolov3 of the vendor's is all that stands in for it: pip install "
            f"'{fitting_torchvision(torch.__version__)}'"
        )
    raise UnknownApiError(f"{name} is not here: {advice}")


def _module(name: str, package: bool, **contents: Any) -> types.ModuleType:
    module = _Module(name, "The vendor's torchvision names, as mlu-export has them.")
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=package)
    if package:
        module.__path__ = []
    vars(module).update(contents)
    sys.modules[name] = module
    return module


def _object_detection(parent: str) -> types.ModuleType:
    quantized = parent == QUANTIZED
    return _module(f"{parent}.object_detection", True, yolov3=quantized_yolov3 if quantized else yolov3)


def _extend_models(module: Any) -> None:
    if not hasattr(module, "object_detection"):
        module.object_detection = _object_detection(MODELS)


def _extend_quantization(module: Any) -> None:
    if hasattr(module, "object_detection"):
        return  # the vendor's own
    module.object_detection = _object_detection(QUANTIZED)
    models = sys.modules[MODELS]
    for name, builder in list(vars(models).items()):
        if _is_builder(name, builder):
            setattr(module, name, _quantized_builder(models, name, vars(module).get(name)))
    module.__getattr__ = _refuse_classifier


def _swapped(model: Any, inplace: bool = False) -> Any:
    return quantize_dynamic_mlu(model, inplace=inplace)


def _extend_utils(module: Any) -> None:
    original = module.quantize_model

    @functools.wraps(original)
    def quantize_model(model: Any, *arguments: Any, inplace: bool = False, **options: Any) -> Any:
        """The vendor's takes no backend: it swaps the layers for quantized ones, which then load a checkpoint."""
        if arguments or options:
            return original(model, *arguments, **options)
        return quantize_dynamic_mlu(model, inplace=inplace)

    module.quantize_model = quantize_model


def _is_builder(name: str, value: Any) -> bool:
    if not isinstance(value, types.FunctionType) or not name.islower():
        return False
    return value.__module__.startswith(f"{MODELS}.") and not value.__module__.startswith(f"{MODELS}._")


def _refuse_classifier(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise UnknownApiError(
        f"{QUANTIZED}.{name} is not here: quantized networks are those of the installed torchvision.models; load "
        "another one's own Python file and swap its layers with quantize_dynamic_mlu"
    )


_EXTENSIONS = {MODELS: _extend_models, QUANTIZED: _extend_quantization, f"{QUANTIZED}.utils": _extend_utils}


class _Loader:
    """Runs the real loader, then adds the vendor's names."""

    def __init__(self, real: Any, extend: Callable[[Any], None]) -> None:
        self._real, self._extend = real, extend

    def create_module(self, spec: Any) -> Any:
        return self._real.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._real.exec_module(module)
        self._extend(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Finder:
    """Finds ``torchvision.models`` where it is, and lets it be extended once it is there."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> Any:
        del target
        if name not in _EXTENSIONS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, _EXTENSIONS[name])  # type: ignore[assignment] # it is one in all that counts
        return spec


class _Refuser:
    """Of a torchvision that is not installed: every sub-module that is not here, to say so."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        del path, target
        if name.startswith("torchvision."):
            _refuse(name)


def install() -> None:
    """Makes the names importable; loads nothing of an installed torchvision."""
    if importlib.util.find_spec("torchvision") is not None:
        sys.meta_path.insert(0, _Finder())
        return
    quantization = _module(QUANTIZED, True)
    quantization.utils = _module(f"{QUANTIZED}.utils", False, quantize_model=_swapped)  # type: ignore[attr-defined]
    models = _module(MODELS, True, quantization=quantization)
    _extend_models(models)
    _extend_quantization(quantization)
    _module("torchvision", True, models=models, __version__="0+mlu-export")
    sys.meta_path.append(_Refuser())  # finds nothing, on purpose
