"""Functions of torch that a tensor of the device takes over: those that torch would not trace, or not know, for it.

torch traces its convolutions for its own devices alone. For this one they become operators of ``torch.ops.torch_mlu``,
unquantized, which both tracing and the simulator know.
"""

from __future__ import annotations

from typing import Any, Callable

import torch

from ..recording.values import UnsupportedError

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")


def _each(values: Any, rank: int) -> list[int]:
    """One number for all axes, or one each."""
    given = [values] if isinstance(values, int) else list(values)
    return given * rank if len(given) == 1 else given


def _convolution(rank: int) -> Callable[..., Any]:
    def convolve(
        x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Any:
        spread = _each(dilation, rank)
        if isinstance(padding, str):
            around = [one * (size - 1) // 2 for one, size in zip(spread, weight.shape[2:])]
            padding = [0] * rank if padding == "valid" else around
        operator = getattr(torch.ops.torch_mlu, f"conv{rank}d")
        return operator(x, weight, bias, _each(padding, rank), _each(stride, rank), spread, groups)

    return convolve


def _transposed2d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1,
) -> Any:  # fmt: skip
    sizes = [_each(one, 2) for one in (stride, padding, output_padding)]
    return torch.ops.torch_mlu.conv_transpose2d(x, weight, bias, *sizes, groups, _each(dilation, 2))


def _transposed1d(
    x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1,
) -> Any:  # fmt: skip
    """That of a picture which is one row high."""
    sizes = [[fill, *_each(one, 1)] for fill, one in ((1, stride), (0, padding), (0, output_padding))]
    spread = [1, *_each(dilation, 1)]
    rows = torch.ops.torch_mlu.conv_transpose2d(x.unsqueeze(2), weight.unsqueeze(2), bias, *sizes, groups, spread)
    return rows.squeeze(2)


def _refused(name: str, advice: str) -> Callable[..., Any]:
    def refuse(*_arguments: Any, **_named: Any) -> Any:
        raise UnsupportedError(f"torch.{name} has no operator on the device: {advice}")

    return refuse


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    torch.conv1d: _convolution(1),
    torch.conv2d: _convolution(2),
    torch.conv_transpose1d: _transposed1d,
    torch.conv_transpose2d: _transposed2d,
    torch.Tensor.numpy: _refused("Tensor.numpy", "bring the tensor to the CPU first: tensor.cpu().numpy()"),
    torch.conv3d: _refused("conv3d", "keep three-dimensional convolutions on the CPU, or work on the slices"),
    torch.conv_transpose3d: _refused("conv_transpose3d", "keep three-dimensional convolutions on the CPU"),
    **{
        getattr(torch, name): _refused(name, "keep recurrent layers on the CPU: .to('cpu') on the module and its input")
        for name in RECURRENT
    },
}
