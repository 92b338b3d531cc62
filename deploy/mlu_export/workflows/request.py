"""What a user asks for, one value per concern, put together per workflow: what a workflow does not take has no place in
its request. None (or an empty head request) where the command line said nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from ..shards.team import Team
from ..values.heads import HeadRequest

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.model.bundle import Thresholds

    from ..values.pixels import Preprocessing, Triple


def said(part: Any, *names: str) -> dict[str, Any]:
    """The fields of a request's part that the command line said something of: of those named, or of all."""
    chosen = {one.name: getattr(part, one.name) for one in fields(part) if not names or one.name in names}
    return {name: value for name, value in chosen.items() if value is not None}


def option_of(name: str) -> str:
    """The option that says a field."""
    return {"per_channel": "--per-tensor", "pictures": "--calibration"}.get(name, f"--{name.replace('_', '-')}")


@dataclass(frozen=True)
class Files:
    """Which network: its name and its files; ``module`` is FILE.py:FUNCTION."""

    arch: str | None = None
    weights: Path | None = None
    cfg: Path | None = None
    module: str | None = None


@dataclass(frozen=True)
class Form:
    """What the model is called, what it takes and where it runs; ``size`` is (height, width) in pixels."""

    name: str | None = None
    labels: Path | None = None
    size: tuple[int, int] | None = None
    input: str | None = None
    channels: str | None = None
    batch: int | None = None
    core_number: int | None = None
    target: str | None = None
    flat: bool | None = None
    detection_output: str | None = None
    max_boxes: int | None = None


@dataclass(frozen=True)
class Suppression:
    """The thresholds of boxes; the fields are those of Thresholds."""

    confidence: float | None = None
    iou: float | None = None

    def over(self, base: Thresholds) -> Thresholds:
        """``base`` with what is said here."""
        return replace(base, **said(self))


@dataclass(frozen=True)
class Pixels:
    """What only the user knows of a network's pictures; the fields are those of Preprocessing."""

    resize: str | None = None
    mean: Triple | None = None
    std: Triple | None = None
    colours: str | None = None

    def over(self, base: Preprocessing) -> Preprocessing:
        """``base`` with what is said here."""
        return replace(base, **said(self))


@dataclass(frozen=True)
class Wanted:
    """A model: of which network, in which form. All that ``compile`` is told of it, for a checkpoint has the rest."""

    files: Files = Files()
    form: Form = Form()
    heads: HeadRequest = field(default_factory=HeadRequest)
    pixels: Pixels = Pixels()
    suppression: Suppression = Suppression()


@dataclass(frozen=True)
class Precision:
    """How layers are quantized; ``keep_int16`` and ``keep_float`` name layers or patterns of them."""

    bits: int | None = None
    per_channel: bool | None = None
    keep_int16: tuple[str, ...] | None = None
    keep_float: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Calibration:
    """A folder of pictures, and the rule that makes ranges of what the layers see."""

    pictures: Path | None = None
    observer: str | None = None
    percentile: float | None = None


@dataclass(frozen=True)
class Quantization:
    """Where the ranges of a float network come from: a recipe, or else calibration. ``learn``: weights too are learned,
    from that many views of pictures; 0: as many as are usual."""

    recipe: Path | None = None
    calibration: Calibration = Calibration()
    precision: Precision = Precision()
    learn: int | None = None


@dataclass(frozen=True)
class Knobs:
    """The vendor's options of calibration: how many pictures, averages instead of extremes, a factor of all ranges, and
    a first convolution that normalises (of the checkpoint alone: what is built always normalises u8 pictures).
    """

    iterations: int | None = None
    use_avg: bool | None = None
    data_scale: float | None = None
    first_conv: bool | None = None


USUAL_PRECISION, USUAL_KNOBS = Precision(), Knobs()


@dataclass(frozen=True)
class Workers:
    """Who shares the work on pictures: processes of this machine, or a Ray cluster."""

    workers: int | None = None
    ray: str | None = None

    def team(self) -> Team:
        """Those workers. Raises UserError where they cannot be had."""
        return Team(self.workers, self.ray)


@dataclass(frozen=True)
class VendorSdk:
    """The vendor's SDK, which makes the device's own file; ``python`` is the interpreter that it is installed for."""

    python: Path | None = None


@dataclass(frozen=True)
class BuildRequest:
    """Of ``mlu-export build``."""

    wanted: Wanted
    output: Path
    quantization: Quantization = Quantization()
    workers: Workers = Workers()


@dataclass(frozen=True)
class QuantizeRequest:
    """Of ``mlu-export quantize``, without what is to be measured."""

    wanted: Wanted
    output: Path
    quantization: Quantization = Quantization()
    knobs: Knobs = Knobs()
    workers: Workers = Workers()


@dataclass(frozen=True)
class CompileRequest:
    """Of ``mlu-export compile``: precision and ranges are the checkpoint's."""

    wanted: Wanted
    output: Path
    device: VendorSdk | None = None
