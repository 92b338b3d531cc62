"""Darknet ``.weights``: a header and one stream of float32 values in the order of the cfg's convolutions."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from mlu_agent.errors import DataError

if TYPE_CHECKING:
    from ...values.arrays import FloatArray


class WeightStream:
    """Hands out the values of a weight file one layer after the other; each is checked to be finite.

    Header (pjreddie's Darknet): int32 major, minor, revision, then ``seen``: int64 from version 0.2 on, int32 before.
    """

    def __init__(self, data: bytes) -> None:
        self._values = _body(data)
        self._used = 0

    @property
    def total(self) -> int:
        return int(self._values.size)

    def take(self, count: int, shape: tuple[int, ...], layer: str, what: str) -> FloatArray:
        """The next ``count`` values as ``shape``; raises DataError if they are missing, NaN or infinite."""
        if count > self._values.size - self._used:
            raise DataError(
                f"the weight file ends in layer {layer} ({what}): it holds {self.total} values; "
                "it is truncated or belongs to another cfg"
            )
        values = self._values[self._used : self._used + count]
        self._used += count
        if not np.isfinite(values).all():
            raise DataError(
                f"layer {layer}: its {what} hold NaN or infinite values; the file is damaged or training diverged"
            )
        return np.array(values, dtype=np.float32).reshape(shape)

    def finish(self) -> None:
        """Raises DataError if values are left over: then file and cfg do not belong together."""
        if self._used != self._values.size:
            raise DataError(
                f"the weight file holds {self.total} values, but the network takes {self._used}; "
                "the file belongs to another cfg"
            )


def _body(data: bytes) -> FloatArray:
    if len(data) < 16:
        raise DataError(f"the weight file has {len(data)} bytes; a Darknet header alone takes 16")
    major, minor, _revision = struct.unpack_from("<iii", data)
    if not (0 <= major < 1000 and 0 <= minor < 1000):
        raise DataError(f"the weight file begins with {data[:4]!r} and not with a version: not Darknet weights")
    start = 20 if major * 10 + minor >= 2 else 16
    if len(data) < start or (len(data) - start) % 4:
        raise DataError(
            f"the weight file has {len(data)} bytes: not a header and whole float32 values; "
            "it is truncated or something was appended: copy it again"
        )
    return np.frombuffer(data, dtype="<f4", offset=start)
