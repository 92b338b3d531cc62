"""How the vendor's compiler lays integer weights out in device code; read off real MLU220 and MLU270 files.

Convolutions are [out][kernel_h][kernel_w][in padded to 64], linear layers [out][in]. More than 64 outputs are dealt to
64 lanes: lane after lane, each with the outputs ``lane + 64 * k`` in ascending ``k``. Both devices have equal bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

LANES = 64


def device_weights(integers: npt.NDArray[Any]) -> bytes:
    """The bytes of int8 weights [out, kernel_h, kernel_w, in], or of a linear layer's [out, in], on the device."""
    values = integers.astype(np.int8)
    if values.ndim == 4:
        values = np.pad(values, ((0, 0), (0, 0), (0, 0), (0, -values.shape[3] % LANES)))
    out = values.shape[0]
    if out > LANES:
        if out % LANES:
            raise ValueError(f"the layout of {out} outputs, no multiple of {LANES}, is not known")
        values = values.reshape(out // LANES, LANES, -1).transpose(1, 0, 2)
    return np.ascontiguousarray(values).tobytes()
