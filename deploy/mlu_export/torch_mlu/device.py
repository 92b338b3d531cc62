"""Makes torch know the device ``mlu``, its tensors' methods and the namespace ``torch.ops.torch_mlu``."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.utils import backend_registration

from mlu_agent.errors import UserError

from ..quantizer.modules import MLUConv2d, MLULinear
from ..recording.values import UnknownApiError
from .calls import Operator
from .settings import SETTINGS, is_integer
from .tensor import DEVICE, MluTensor, dispatch, to_device

SCHEMAS = (
    (
        "conv2d(Tensor input, Tensor weight, Tensor? bias, int[] padding, int[] stride, int[] dilation, int groups, "
        "Tensor? scale=None, Tensor? quantized_mode=None, Tensor? input_mean=None, Tensor? input_std=None) -> Tensor"
    ),
    (
        "conv1d(Tensor input, Tensor weight, Tensor? bias, int[] padding, int[] stride, int[] dilation, int groups, "
        "Tensor? scale=None, Tensor? quantized_mode=None) -> Tensor"
    ),
    (
        "conv_transpose2d(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, "
        "int[] output_padding, int groups, int[] dilation) -> Tensor"
    ),
    "linear(Tensor input, Tensor weight, Tensor? bias=None, Tensor? scale=None, Tensor? quantized_mode=None) -> Tensor",
    "mish(Tensor input) -> Tensor",
    "normalize(Tensor input, int p, Tensor scale, float eps) -> Tensor",
    (
        "yolov3_detection_output(Tensor a, Tensor b, Tensor c, int[] anchors, int num_classes, int num_anchors, "
        "int img_size, float conf_thres, float nms_thres, int maxBoxNum) -> Tensor"
    ),
    (
        "yolov3_detection_output.heads(Tensor[] heads, int[] anchors, int num_classes, int num_anchors, int img_size, "
        "float conf_thres, float nms_thres, int maxBoxNum) -> Tensor"
    ),
    (
        "yolov4_detection_output(Tensor[] outputs, int[] anchors, int num_classes, int num_anchors, int img_w, "
        "int img_h, float conf_thres, float nms_thres, int maxBoxNum, float scale_x_y=1.0, float beta=0.6, "
        "int nms_type=0) -> Tensor"
    ),
    (
        "yolov5_detection_output(Tensor p3, Tensor p4, Tensor p5, int[] anchors, int num_classes, int num_anchors, "
        "int img_h, int img_w, float conf_thres, float iou_thres, int maxBoxNum) -> Tensor"
    ),
    (
        "yolov5_detection_output.heads(Tensor[] heads, int[] anchors, int num_classes, int num_anchors, int img_h, "
        "int img_w, float conf_thres, float iou_thres, int maxBoxNum) -> Tensor"
    ),
)
FACTORIES = ("arange", "arange.start", "arange.start_step", "linspace", "eye", "eye.m", "randperm")
NAMES = tuple(schema.split("(", 1)[0] for schema in SCHEMAS)
OPERATORS = tuple(name for name in NAMES if "." not in name)
TESTED = "2.13"
HOOK = "_setup_privateuseone_for_python_backend"  # experimental in torch: each release may change it
REMEDY = f"install the tested version: pip install 'mlu-export[run]' (torch {TESTED}, Python 3.10 or newer)"
LEGACY_PLACE = 5  # of _use_new_zipfile_serialization among the arguments of torch.save
_installed: list[Any] = []


def install() -> None:
    """Registers everything; a second call does nothing. Raises UserError for a torch that has not what it takes."""
    if _installed:
        return
    check_torch()
    try:
        getattr(backend_registration, HOOK)(rename=DEVICE)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise UserError(
            f"torch {torch.__version__} cannot be given the device {DEVICE!r}: {error}; {REMEDY}"
        ) from error
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    _register_operators()
    _patch_tensor()
    _patch_save()
    _patch_parallel()
    for layer, on_device in ((MLUConv2d, _conv_on_device), (MLULinear, _linear_on_device)):
        kind: Any = layer
        kind.forward = _forward_of(kind.forward, on_device)


def check_torch() -> None:
    """Raises UserError where torch lacks the hooks for a device in Python; says if it is not the tested one."""
    needed = (
        (backend_registration, HOOK),
        (torch.Tensor, "_make_wrapper_subclass"),
        (torch._C, "DisableTorchFunctionSubclass"),  # noqa: SLF001 - to ask whether it is there
        (torch.jit, "trace"),
    )
    missing = [name for owner, name in needed if not hasattr(owner, name)]
    if missing:
        raise UserError(
            f"running scripts for torch_mlu takes hooks that torch {torch.__version__} has not ({', '.join(missing)}); "
            f"{REMEDY}"
        )
    if not torch.__version__.startswith(f"{TESTED}."):
        SETTINGS.warn(f"running scripts for torch_mlu was tested with torch {TESTED}, and this is {torch.__version__}")


def _register_operators() -> None:
    library = torch.library.Library("torch_mlu", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    for name in NAMES:
        library.impl(name, functools.partial(_on_cpu, name), "CPU")
    aten = torch.library.Library("aten", "IMPL")
    aten.impl("empty.memory_format", _empty, "PrivateUse1")
    aten.impl("empty_strided", _empty_strided, "PrivateUse1")
    aten.impl("_copy_from", _copy_from, "PrivateUse1")
    for name in FACTORIES:
        aten.impl(name, functools.partial(_made_on_cpu, name), "PrivateUse1")
    real = torch.ops.torch_mlu
    torch.ops.torch_mlu = _Operators(real)
    _installed.extend([library, aten, real])


class _Operators:
    """``torch.ops.torch_mlu``; what it has not is said by name."""

    def __init__(self, real: Any) -> None:
        # torch itself looks operators up here, and expects that they stay
        self._own = {name: Operator(name, getattr(real, name)) for name in OPERATORS}

    def __getattr__(self, name: str) -> Any:
        if name in self._own:
            return self._own[name]
        if name == "conv3d":
            raise UnknownApiError("torch.ops.torch_mlu.conv3d: three-dimensional convolutions have no operator here")
        raise UnknownApiError(
            f"torch.ops.torch_mlu.{name} is not among the operators here ({', '.join(OPERATORS)}); write it with "
            "those or with torch's own"
        )


def _on_cpu(name: str, *arguments: Any, **named: Any) -> Any:
    """With CPU tensors: the float layers as torch has them, the others as the simulator computes them."""
    if name in ("conv1d", "conv2d"):
        x, weight, bias, padding, stride, dilation, groups = arguments[:7]
        return getattr(torch.nn.functional, name)(x, weight, bias, stride, padding, dilation, groups)
    if name == "conv_transpose2d":
        return torch.nn.functional.conv_transpose2d(*arguments)
    if name == "linear":
        return torch.nn.functional.linear(*arguments[:3])
    if name == "mish":
        return torch.nn.functional.mish(*arguments)
    moved = [_moved(one) for one in arguments]
    base, _, overload = name.partition(".")
    function = getattr(getattr(_installed[2], base), overload or "default")
    result = dispatch(function, moved, {key: _moved(one) for key, one in named.items()})
    return result.cpu()


def _moved(one: Any) -> Any:
    if isinstance(one, (list, tuple)):
        return [_moved(part) for part in one]
    return to_device(one) if isinstance(one, torch.Tensor) else one


def _empty(size: Any, dtype: Any = None, **others: Any) -> Any:
    _one_device(others.get("device"))
    return MluTensor(torch.zeros(size, dtype=dtype))


def _empty_strided(size: Any, _stride: Any, dtype: Any = None, **others: Any) -> Any:
    _one_device(others.get("device"))
    return MluTensor(torch.zeros(size, dtype=dtype))


def _copy_from(source: Any, target: Any, _non_blocking: bool = False) -> Any:
    """What ``torch.tensor(..., device="mlu")`` ends with."""
    target.host = source.to(target.dtype).reshape(target.shape).clone()
    return target


def _made_on_cpu(name: str, *arguments: Any, **named: Any) -> Any:
    """Tensors made on the device, which torch would make empty first and then resize."""
    _one_device(named.get("device"))
    base, _, overload = name.partition(".")
    options = {key: value for key, value in named.items() if key not in ("device", "pin_memory", "layout")}
    function = getattr(getattr(torch.ops.aten, base), overload or "default")
    return MluTensor(function(*arguments, **options))


def _patch_tensor() -> None:
    plain_to = torch.Tensor.to

    @functools.wraps(plain_to)
    def to(self: Any, *arguments: Any, **named: Any) -> Any:
        if not isinstance(self, MluTensor) and _names_device((*arguments, *named.values())):
            dtypes = [one for one in (*arguments, *named.values()) if isinstance(one, torch.dtype)]
            return to_device(plain_to(self, dtypes[0]) if dtypes else self)
        return plain_to(self, *arguments, **named)

    torch.Tensor.to = to
    torch.Tensor.mlu = _mlu
    torch.nn.Module.mlu = _mlu


def _mlu(self: Any, device: Any = None, *_arguments: Any, **_named: Any) -> Any:
    """``.mlu()``, ``.mlu(0)``."""
    if is_integer(device):
        SETTINGS.one_device(f"{DEVICE}:{device}", device)
    else:
        _one_device(device)
    return self.to(DEVICE)


def _patch_save() -> None:
    """Files as torch 1.3 wrote them, which the vendor's tools read, unless a script asks for the newer ones."""
    plain_save = torch.save

    @functools.wraps(plain_save)
    def save(*arguments: Any, **named: Any) -> None:
        if len(arguments) < LEGACY_PLACE:
            named.setdefault("_use_new_zipfile_serialization", False)
        plain_save(*arguments, **named)

    torch.save = save


def _patch_parallel() -> None:
    """There is one device: data-parallel modules call theirs, and memory needs no pinning for it."""

    @functools.wraps(torch.nn.DataParallel.__init__)
    def begin(self: Any, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        torch.nn.Module.__init__(self)
        for number in device_ids or ():
            _one_device(torch.device(DEVICE, number) if is_integer(number) else number)
        self.module, self.device_ids, self.output_device, self.dim = module, [], output_device, dim

    torch.nn.DataParallel.__init__ = begin
    torch.Tensor.pin_memory = lambda self, *_: self


def _names_device(arguments: Any) -> bool:
    return any(_one_device(one) or isinstance(one, MluTensor) for one in arguments)


def _one_device(named: Any) -> bool:
    """Whether it is the device, which has one number only; another is said."""
    if isinstance(named, str) and named.split(":")[0] == DEVICE:
        named = torch.device(named)
    if not isinstance(named, torch.device) or named.type != DEVICE:
        return False
    SETTINGS.one_device(f"{DEVICE}:{named.index}", named.index)
    return True


def _forward_of(plain: Any, on_device: Any) -> Any:
    @functools.wraps(plain)
    def forward(self: Any, values: Any) -> Any:
        return on_device(self, values) if values.device.type == DEVICE else plain(self, values)

    return forward


def _conv_on_device(layer: Any, values: Any) -> Any:
    _finish(layer)
    return torch.ops.torch_mlu.conv2d(
        values, layer.weight, layer.bias, list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups,
        layer.scale, layer.quantized_mode, layer.input_mean, layer.input_std,
    )  # fmt: skip


def _linear_on_device(layer: Any, values: Any) -> Any:
    _finish(layer)
    return torch.ops.torch_mlu.linear(values, layer.weight, layer.bias, layer.scale, layer.quantized_mode)


def _finish(layer: Any) -> None:
    """A layer that observed and was not saved yet runs with what it has seen."""
    if layer.quant and layer.scale is None:
        layer.finish()
