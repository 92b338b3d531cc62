"""What is asked of ``mlu-agent adopt``, what a file's outputs are as seen here, and what comes of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.offline_model import OfflineModel

Pairs = tuple[tuple[float, float], ...]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Request:
    """The options, each as on the command line; None or () where it was not given.

    ``family``   the word of ``--as``.
    ``anchors``  pairs of pixels for each level; ``anchor_set``: the name of a set known here.
    ``outputs``  the container's outputs that are the heads, in order.
    ``activated``  fields that are probabilities already; ("none",): no field is.
    """

    family: str
    labels: tuple[str, ...] = ()
    anchors: tuple[Pairs, ...] = ()
    anchor_set: str = ""
    strides: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    channels: str = ""
    mean: Triple | None = None
    std: Triple | None = None
    resize: str = ""
    pad_value: int | None = None
    coordinates: str = ""
    activated: tuple[str, ...] = ()
    reg_max: int | None = None
    keypoints: tuple[int, ...] = ()
    scale_x_y: tuple[float, ...] = ()
    variances: tuple[float, float] | None = None
    activation: str = ""
    top: int | None = None
    confidence: float | None = None
    iou: float | None = None
    max_detections: int | None = None


@dataclass(frozen=True)
class Tensor:
    """One output of the container: its number, its name and its (H, W, C)."""

    number: int
    name: str
    height: int
    width: int
    channels: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def elements(self) -> int:
        """Numbers for one picture."""
        return self.height * self.width * self.channels

    def __str__(self) -> str:
        return f"output {self.number} ({self.height}x{self.width}x{self.channels})"


@dataclass
class Findings:
    """What the file tells, and what was assumed, each a sentence; an assumption names the option that changes it."""

    known: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)

    borrowed: bool = False

    def know(self, sentence: str) -> None:
        """Adds what the file tells; what another tells in its place is assumed."""
        (self.assumed if self.borrowed else self.known).append(sentence)

    def borrow(self, sentence: str) -> None:
        """From here on it is not the file that tells, as the sentence says."""
        self.borrowed = True
        self.assume(sentence)

    def assume(self, sentence: str) -> None:
        """Adds what was taken for granted."""
        self.assumed.append(sentence)


@dataclass(frozen=True)
class Described:
    """The manifest's table ``output``, and the labels that go with it."""

    table: dict[str, Any]
    labels: tuple[str, ...]


class LabelsMissing(UserError):
    """All fits but for the labels, which nobody named. ``count``: how many are needed, 0: the file does not tell."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


def input_size(model: OfflineModel) -> tuple[int, int]:
    """Width and height of the one input, which has been looked at before."""
    return model.inputs[0].shape[2], model.inputs[0].shape[1]


def order_table(tensors: Sequence[Tensor], model: OfflineModel) -> dict[str, Any]:
    """The manifest's ``order``, where the tensors are not the container's outputs as they stand there."""
    numbers = [tensor.number for tensor in tensors]
    return {} if numbers == list(range(len(model.outputs))) else {"order": numbers}


def listed(tensors: Sequence[Tensor]) -> str:
    """Outputs for a sentence."""
    return ", ".join(str(tensor) for tensor in tensors)


def misfit(sentence: str) -> UserError:
    """The error of an option, or a family, that contradicts the file."""
    return UserError(sentence)
