"""Detections and tensors as numpy arrays, for programs that have numpy: imported when asked for, not required."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import DataError, UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .values import Frame, Tensor


class Arrays(NamedTuple):
    """The detections of one frame, by descending confidence.

    ``xyxy``        float32 of shape (N, 4): left, top, right, bottom in pixels of the original frame.
    ``confidence``  float32 of shape (N,), 0..1.
    ``class_id``    int64 of shape (N,).
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int64]


def to_arrays(frame: Frame) -> Arrays:
    """The frame's detections as new arrays.

    Raises UserError where numpy is not installed, DataError for a class_id beyond 63 bits.
    """
    np = _numpy()
    size = np.array([frame.width, frame.height, frame.width, frame.height], np.float64)
    boxes = np.array([one.box for one in frame.detections], np.float64).reshape(-1, 4) * size
    try:
        class_id = np.array([one.class_id for one in frame.detections], np.int64)
    except OverflowError:
        raise DataError(
            "message: a class_id has more than 63 bits, and no model so many classes; it is damaged"
        ) from None
    return Arrays(
        boxes.astype(np.float32), np.array([one.confidence for one in frame.detections], np.float32), class_id
    )


def to_array(tensor: Tensor) -> NDArray[Any] | None:
    """The tensor as an array that may not be written to; None where its data did not fit into the message.

    Raises UserError where numpy is not installed.
    """
    if tensor.data is None:
        return None
    np = _numpy()
    made: NDArray[Any] = np.frombuffer(tensor.data, np.dtype(tensor.dtype).newbyteorder("<")).reshape(tensor.shape)
    return made


def _numpy() -> Any:
    try:
        import numpy as np  # noqa: PLC0415 - who only listens has none
    except ImportError:
        raise UserError("numpy: is not installed, and arrays are its; pip install numpy") from None
    return np
