"""The vendor's quantized layers: MLUConv1d, MLUConv2d, MLUConv3d and MLULinear, by their names and state dicts.

On the CPU ``forward`` is the float layer, so that calibration sees what the float network computes. What the simulator
computes for the layer is ``simulate``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ..values.quantizer_parameters import QuantParameters, parameters_of
from . import arithmetic
from .observers import make_observer, weight_scale, weight_scales
from .scheme import QuantizeError, Scheme

if TYPE_CHECKING:
    from .observers import MinMaxObserver

NO_MEAN = (
    "You are using firstconv, default mean [0, 0, 0] std [1, 1, 1] are used: the layer divides pixels by 255. "
    "Set mean and std in qconfig if the network wants other values, or firstconv False to normalise on the host"
)


class MLULayer(torch.nn.Module):  # type: ignore[misc]
    """Weights, bias, scales and an observer; the float attributes are those of the layer that it replaces.

    ``scale`` is float32: input, weight (0 if per channel), then one per output channel if per channel.
    """

    scale_first: ClassVar[bool] = True  # the order in which the state dict names scale and quantized_mode
    may_split: ClassVar[bool] = True  # whether per-channel scales exist for this kind of layer
    bits: int = 8

    def __init__(self, weight: Any, bias: Any) -> None:
        super().__init__()
        self.weight = _parameter(weight)
        if bias is None:
            self.register_parameter("bias", None)
        else:
            self.bias = _parameter(bias)
        self.scale: Any = None
        self.quantized_mode: Any = None
        self.input_mean: Any = None
        self.input_std: Any = None
        self.quant = False
        self.scheme = Scheme()

    def observe(self, scheme: Scheme, bits: int) -> None:
        """From now on each forward call shows the layer's input to a new observer."""
        self.quant, self.scheme, self.bits = True, scheme, bits
        self.observer: MinMaxObserver = make_observer(bits, scheme)
        self.register_forward_hook(_observe_input)

    def stay_float(self) -> None:
        """The layer observes no more: its mode in the checkpoint is 0, the vendor's number for float16."""
        self.quant = False
        self.scale, self.quantized_mode = torch.ones(2), torch.zeros(1, dtype=torch.int32)

    def finish(self, layer: str = "") -> None:
        """Makes scale and mode of what was observed, as the vendor's tool does whenever a state dict is asked for."""
        split = self.scheme.per_channel and self.may_split
        seen = self.observer.scale(layer)
        mode = 1 if self.bits == 8 else 2
        if split:
            scales = weight_scales(self.weight, self.bits, self.scheme.data_scale, layer)
            self.scale = torch.tensor([seen, 0.0, *scales], dtype=torch.float32)
        else:
            self.scale = torch.tensor([seen, weight_scale(self.weight, self.bits, layer)], dtype=torch.float32)
        self.quantized_mode = torch.tensor([mode + 2 if split else mode], dtype=torch.int32)

    def quant_parameters(self, layer: str = "") -> QuantParameters | None:
        """The layer's quantization; None for a layer in float. Raises DataError for scales that cannot be."""
        if self.quant:
            self.finish(layer)
        if self.scale is None or self.quantized_mode is None or int(self.quantized_mode) == 0:
            return None
        return parameters_of(self.scale.tolist(), int(self.quantized_mode), *self._mean_and_std(), layer)

    def simulate(self, values: Any, layer: str = "") -> Any:
        """What the simulator computes for a layer of its own: output dtype is input dtype. CPU tensors (N, C, ...)."""
        parameters = self.quant_parameters(layer)
        if parameters is not None and parameters.mean is not None and parameters.std is not None:
            values = arithmetic.normalize(values, parameters.mean, parameters.std)
        return self._compute(values, parameters, layer).to(values.dtype)

    def _compute(self, values: Any, parameters: QuantParameters | None, layer: str) -> Any:
        raise NotImplementedError

    def _on_device(self, operator: str, values: Any, *geometry: Any) -> Any:
        """Calls ``torch.ops.torch_mlu.<operator>`` with the vendor's arguments: geometry, scale and mode."""
        if self.input_mean is not None and self.input_std is not None:
            values = (values - self.input_mean.to(values.device)) / self.input_std.to(values.device)
        function = getattr(torch.ops.torch_mlu, operator)
        return function(values, self.weight, self.bias, *geometry, self.scale, self.quantized_mode)

    def _mean_and_std(self) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
        if self.input_mean is None or self.input_std is None:
            return None, None
        return tuple(self.input_mean.flatten().tolist()), tuple(self.input_std.flatten().tolist())

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        del keep_vars  # the vendor's files hold weights as Parameters
        destination[f"{prefix}weight"] = self.weight
        if self.bias is not None:
            destination[f"{prefix}bias"] = self.bias
        if self.quant:
            self.finish(prefix[:-1])
        if self.scale is not None and self.quantized_mode is not None:
            destination.update(self._quantization_state(prefix))

    def _quantization_state(self, prefix: str) -> dict[str, Any]:
        """The entries behind weight and bias, in the vendor's order: it differs between convolution and linear."""
        mode = int(self.quantized_mode)
        state: dict[str, Any] = {}
        split = {
            f"{prefix}quantized_by_channel": torch.tensor([1]),
            f"{prefix}scale_weight_per_channel": self.scale[2:].clone(),
        }
        scale = {f"{prefix}scale": self.scale[:2].clone()}
        kind = {f"{prefix}quantized_mode": torch.tensor([mode - 2 if mode >= 3 else mode], dtype=torch.int32)}
        parts = [split if mode >= 3 else {}, scale]
        for part in [*parts, kind] if self.scale_first else [kind, *parts]:
            state.update(part)
        if self.input_mean is not None and self.input_std is not None:
            state[f"{prefix}input_mean"] = self.input_mean.clone()
            state[f"{prefix}input_std"] = self.input_std.clone()
        return state

    def _load_from_state_dict(
        self, state: Any, prefix: str, metadata: Any, strict: bool, missing: Any, unexpected: Any, errors: Any
    ) -> None:
        """As the vendor's: a bias that the file lacks is zero, and scales come along with the weights.

        A float file may be loaded into a layer that observes. Into one that runs, its missing scales are missing keys.
        """
        own = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        keys = {"weight", "bias", "use_symmetry"}
        taken = {f"{prefix}{name}": own[name] for name in ("weight", "bias") if own.get(name) is not None}
        if "bias" not in own:
            self.bias = _parameter(torch.zeros(self.weight.shape[0]))
            taken[f"{prefix}bias"] = self.bias
        super()._load_from_state_dict(taken, prefix, metadata, strict, missing, unexpected, errors)
        if "scale" in own and "quantized_mode" in own:
            keys |= self._load_quantization(own, prefix, errors)
        elif not self.quant:
            missing.extend(f"{prefix}{name}" for name in ("scale", "quantized_mode") if name not in own)
        if strict:
            children = tuple(f"{name}." for name in self._modules)
            unexpected.extend(
                f"{prefix}{name}" for name in own if name not in keys and not name.startswith(children or ("\0",))
            )

    def _load_quantization(self, own: dict[str, Any], prefix: str, errors: Any) -> set[str]:
        """Takes scale, mode, mean and std; returns the names that were understood."""
        scale, mode = own["scale"].detach().float().flatten(), own["quantized_mode"].detach().int().flatten()
        by_channel = own.get("quantized_by_channel")
        if by_channel is not None and int(by_channel) and "scale_weight_per_channel" in own:
            scale = torch.cat((scale[:2], own["scale_weight_per_channel"].detach().float().flatten()))
            mode = mode + 2
        wanted = 2 + self.weight.shape[0] if mode.numel() == 1 and int(mode) >= 3 else 2
        if mode.numel() != 1 or int(mode) not in (0, 1, 2, 3, 4) or scale.numel() != wanted:
            errors.append(
                f"{prefix}scale has {scale.numel()} values with quantized_mode {mode.tolist()}, which cannot be: "
                f"the checkpoint belongs to another network or is damaged"
            )
            return {"scale", "quantized_mode", "quantized_by_channel", "scale_weight_per_channel"}
        self.scale, self.quantized_mode = scale.clone(), mode.clone()
        if "input_mean" in own and "input_std" in own:
            self.input_mean, self.input_std = (own[name].detach().float() for name in ("input_mean", "input_std"))
        self._stop_observing()
        return {
            "scale", "quantized_mode", "quantized_by_channel", "scale_weight_per_channel", "input_mean", "input_std",
        }  # fmt: skip

    def _stop_observing(self) -> None:
        """A quantization that was loaded is not replaced by an observer that has seen nothing."""
        if self.quant and not self.observer.calls:
            self.quant = False

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, bias={self.bias is not None}, scale={self.scale}, quant={self.quant}"


class _Convolution(MLULayer):
    """What the three convolutions share; their attributes are those of torch's."""

    rank: ClassVar[int] = 2

    def __init__(self, source: Any) -> None:
        super().__init__(source.weight, source.bias)
        self.in_channels, self.out_channels = source.in_channels, source.out_channels
        self.kernel_size, self.stride, self.dilation = source.kernel_size, source.stride, source.dilation
        self.padding = _padding(source)
        self.groups, self.padding_mode = source.groups, source.padding_mode

    @classmethod
    def from_float(cls, source: Any, scheme: Scheme | None = None, bits: int = 8) -> Any:
        """The quantized twin of a convolution, sharing its weights; it observes if a scheme is given."""
        if source.padding_mode != "zeros":
            raise QuantizeError(
                f"a convolution pads with {source.padding_mode!r}, which has no operator; pad in front of it with zeros"
            )
        made = cls(source)
        if scheme is not None:
            made.observe(scheme, bits)
        return made

    def forward(self, values: Any) -> Any:
        """The float convolution; on the device ``mlu`` the quantized operator, which whoever provides it computes."""
        if values.device.type == "mlu":
            return self._on_device(f"conv{self.rank}d", values, *map(list, self._geometry()), self.groups)
        function = getattr(torch.nn.functional, f"conv{self.rank}d")
        return function(values, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def _geometry(self) -> tuple[Any, Any, Any]:
        return self.padding, self.stride, self.dilation

    def _compute(self, values: Any, parameters: QuantParameters | None, layer: str) -> Any:
        return arithmetic.convolve(
            values,
            self.weight,
            self.bias,
            parameters,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            name=layer,
        )


class MLUConv1d(_Convolution):
    """A quantized nn.Conv1d."""

    rank = 1


class MLUConv3d(_Convolution):
    """A quantized nn.Conv3d; the vendor never splits its weights by channel."""

    rank = 3
    may_split = False


class MLUConv2d(_Convolution):
    """A quantized nn.Conv2d. ``is_first_layer`` is the vendor's: the first one of the process that observes may fold
    the normalisation of pixels into itself, and no other one ever; a script may set it back to True.
    """

    is_first_layer: ClassVar[bool] = True

    @classmethod
    def from_float(cls, source: Any, scheme: Scheme | None = None, bits: int = 8) -> MLUConv2d:
        made: MLUConv2d = super().from_float(source, scheme, bits)
        if scheme is not None and MLUConv2d.is_first_layer:
            if scheme.firstconv:
                made.fold_normalisation(scheme)
            MLUConv2d.is_first_layer = False
        return made

    def fold_normalisation(self, scheme: Scheme) -> None:
        """Lets the layer take pixels 0..255: it computes ``(x - mean) / std`` itself. Raises QuantizeError."""
        mean, std = scheme.mean, scheme.std
        if mean is None or std is None:
            raise QuantizeError("firstconv needs mean and std in qconfig; set both, or firstconv False")
        if self.in_channels not in (1, 3, 4):
            raise QuantizeError(
                f"firstconv: the first convolution has {self.in_channels} input channels, pictures have 1, 3 or 4; "
                "set firstconv False"
            )
        if not all(0 <= value <= 1 for value in (*mean, *std)) or not all(std) or len(mean) != len(std):
            raise QuantizeError(
                f"firstconv: mean {list(mean)} and std {list(std)} must be as many numbers of 0 to 1 (255 is 1), "
                "std above 0; set firstconv False to normalise on the host"
            )
        if len(mean) not in (1, self.in_channels) and any((*mean, *(value - 1 for value in std))):
            raise QuantizeError(f"firstconv: {len(mean)} means for {self.in_channels} channels; give one per channel")
        if not any(mean) and all(value == 1 for value in std):
            warnings.warn(NO_MEAN, stacklevel=5)
            mean, std = (0.0,) * self.in_channels, (1.0,) * self.in_channels
        shape = (1, -1, 1, 1)
        self.input_mean, self.input_std = (torch.tensor(values).mul(255).reshape(shape) for values in (mean, std))


class MLULinear(MLULayer):
    """A quantized nn.Linear."""

    scale_first = False

    def __init__(self, source: Any) -> None:
        super().__init__(source.weight, source.bias)
        self.in_features, self.out_features = source.in_features, source.out_features

    @classmethod
    def from_float(cls, source: Any, scheme: Scheme | None = None, bits: int = 8) -> MLULinear:
        made = cls(source)
        if scheme is not None:
            made.observe(scheme, bits)
        return made

    def forward(self, values: Any) -> Any:
        """The float layer; on the device ``mlu`` the quantized operator."""
        if values.device.type == "mlu":
            return self._on_device("linear", values)
        return torch.nn.functional.linear(values, self.weight, self.bias)

    def _compute(self, values: Any, parameters: QuantParameters | None, layer: str) -> Any:
        return arithmetic.linear(values, self.weight, self.bias, parameters, layer)


def _parameter(values: Any) -> Any:
    return values if isinstance(values, torch.nn.Parameter) else torch.nn.Parameter(values, requires_grad=False)


def _padding(source: Any) -> Any:
    """Numbers, where newer torch also allows words."""
    if source.padding == "valid":
        return (0,) * len(source.kernel_size)
    if source.padding == "same":
        total = [spread * (size - 1) for spread, size in zip(source.dilation, source.kernel_size)]
        if any(value % 2 for value in total):
            raise QuantizeError(
                "a convolution pads 'same' with an even kernel, unevenly; pad in front of it with zeros"
            )
        return tuple(value // 2 for value in total)
    return source.padding


def _observe_input(layer: Any, inputs: Any, _output: Any) -> None:
    layer.observer(*inputs)
