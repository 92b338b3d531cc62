"""State dicts of PyTorch ports, float or quantized: every key is asked for by name and shape, none is trusted."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import DataError

from ..values.quantizer_parameters import QuantParameters, parameters_of
from .checkpoint import Checkpoint, checkpoint_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ..values.arrays import FloatArray

# Where training scripts put the state dict, and what data-parallel training puts before every key.
WRAPPERS = ("state_dict", "model_state_dict", "ema", "model")
PARALLEL = "module."
MAX_CHANNELS = 65536


class StateDict:
    """The tensors of a checkpoint by key; remembers which of them were read."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        tensors = checkpoint.tensors
        if all(key.startswith(PARALLEL) for key in tensors):
            tensors = OrderedDict((key[len(PARALLEL) :], value) for key, value in tensors.items())
        self._tensors = tensors
        self._read: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __contains__(self, key: str) -> bool:
        return key in self._tensors

    def items(self) -> list[tuple[str, npt.NDArray[Any]]]:
        """Keys and arrays as they are stored."""
        return list(self._tensors.items())

    @property
    def first(self) -> str:
        return next(iter(self._tensors))

    def shape(self, key: str) -> tuple[int, ...] | None:
        """The shape under a key, None if there is none."""
        return self._tensors[key].shape if key in self._tensors else None

    def take(self, key: str, shape: tuple[int, ...] | None = None) -> FloatArray:
        """The float32 values under a key; raises DataError if it is missing or has another shape than asked for."""
        found = self.raw(key)
        if found.dtype.kind != "f":
            raise DataError(f"{key} holds {found.dtype} where floating-point numbers are needed")
        if shape is not None and found.shape != shape:
            raise DataError(
                f"{key} has the shape {found.shape} where the network has {shape}: "
                "the checkpoint is of another network or cfg"
            )
        if found.dtype == np.float64 and found.size and np.abs(found).max() > np.finfo(np.float32).max:
            raise DataError(f"{key} holds values beyond float32; the weights are damaged")
        return found.astype(np.float32)

    def raw(self, key: str) -> npt.NDArray[Any]:
        """The array under a key as it is stored; raises DataError if it is missing."""
        if key not in self._tensors:
            raise DataError(
                f"the checkpoint has no {key}: it is of another network or cfg (its first key: {self.first:.60})"
            )
        self._read.add(key)
        return self._tensors[key]

    def quantization(self, key: str, layer: str, outputs: int) -> QuantParameters | None:
        """The parameters that the vendor's quantizer wrote beside a layer's weights, None for a layer in float."""
        if f"{key}.scale" not in self:
            return None
        mode = self._numbers(f"{key}.quantized_mode", 1)[0]
        scale = self._numbers(f"{key}.scale", outputs + 2)
        if f"{key}.quantized_by_channel" in self:
            by_channel = self._numbers(f"{key}.quantized_by_channel", 1)[0] == 1
            if by_channel and mode in (1, 2):
                mode += 2
                scale = [*scale[:2], *self._numbers(f"{key}.scale_weight_per_channel", outputs)]
        if mode == 0:
            return None
        pixels: dict[str, tuple[float, ...] | None] = dict.fromkeys(("mean", "std"))
        for what in pixels:
            if f"{key}.input_{what}" in self:
                pixels[what] = tuple(self._numbers(f"{key}.input_{what}", 4))
        return parameters_of(scale, int(mode), pixels["mean"], pixels["std"], layer)

    def _numbers(self, key: str, most: int) -> list[float]:
        values = self.raw(key)
        if not 1 <= values.size <= min(most, MAX_CHANNELS) or values.dtype.kind not in "fiu":
            raise DataError(f"{key} has {values.size} values of {values.dtype} where 1 to {most} numbers belong")
        return [float(value) for value in values.ravel()]

    def unread(self) -> list[str]:
        """Keys that nobody asked for, in order, without those that count training steps."""
        return [key for key in self if key not in self._read and not key.endswith(".num_batches_tracked")]

    def leftovers(self, keys: Sequence[str]) -> Sequence[str]:
        """A warning about keys that are not used."""
        if not keys:
            return ()
        return (f"{len(keys)} entries of the checkpoint are not used, the first is {keys[0]}",)


def state_dict_of(content: Any) -> StateDict | None:
    """The state dict in what a file held, be it wrapped as training scripts do; None if there is none.

    Raises DataError if there is one with something else than finite tensors in it.
    """
    if not isinstance(content, dict):
        return None
    for name in WRAPPERS:
        inner = dict.get(content, name)
        if isinstance(inner, dict):
            content = inner
            break
    if not any(isinstance(value, np.ndarray) for value in dict.values(content)):
        return None
    return StateDict(checkpoint_of(content))
