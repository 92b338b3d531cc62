"""From the files that a user names to the float network: which importer reads what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlu_agent.errors import DataError, UserError

from ..files import read_bounded, sha256_hex
from .darknet import import_darknet
from .darknet_cfg import Section, parse_cfg
from .yolov5 import import_yolov5

if TYPE_CHECKING:
    from pathlib import Path

    from ..archs import Arch
    from ..graph import ImportedModel

MAX_WEIGHT_BYTES = (1 << 31) - 1
MAX_CFG_BYTES = 1 << 20
# Channels of the first layer in the published checkpoints.
YOLOV5_WIDTHS = {16: "yolov5n", 32: "yolov5s", 48: "yolov5m", 64: "yolov5l", 80: "yolov5x"}
DEFAULT_SIZE = 640


@dataclass(frozen=True)
class Source:
    """A weight file as read, with its digests; ``cfg`` holds the sections of a Darknet network."""

    weights: bytes
    name: str
    sha256: str
    cfg: tuple[Section, ...] | None
    cfg_sha256: str


def read_source(arch: Arch, weights: Path, cfg: Path | None) -> Source:
    """Reads weights (and cfg) from disk. Raises UserError if the arch needs a cfg or has no use for one; DataError."""
    if cfg is not None and arch.family != "darknet":
        raise UserError(f"--cfg belongs to Darknet networks; --arch {arch.name} takes none")
    if cfg is None and arch.needs_cfg:
        raise UserError("--arch darknet needs the network's description: give --cfg FILE")
    data = read_bounded(weights, MAX_WEIGHT_BYTES, "weights")
    if cfg is None:
        return Source(data, weights.name, sha256_hex(data), arch.sections() if arch.sections else None, "")
    text = read_bounded(cfg, MAX_CFG_BYTES, "cfg")
    return Source(data, weights.name, sha256_hex(data), parse_cfg(text, cfg.name), sha256_hex(text))


def import_model(arch: Arch, source: Source, size: tuple[int, int] | None) -> ImportedModel:
    """The float network of a source for an input of ``size`` (height, width; None: its own). Raises DataError."""
    try:
        if arch.family == "yolov5":
            model = import_yolov5(source.weights, size or (DEFAULT_SIZE, DEFAULT_SIZE), arch.activation)
            _check_width(arch.name.partition("@")[0], model)
            return model
        assert source.cfg is not None
        return import_darknet(_resized(source.cfg, size), source.weights, source.sha256)
    except DataError as error:
        raise DataError(f"{source.name}: {error}") from error


def _check_width(name: str, model: ImportedModel) -> None:
    """The published sizes of YOLOv5 differ in their first layer; a width that none of them has is left alone."""
    width = model.graph.convolutions()[0].weight.shape[0]
    found = YOLOV5_WIDTHS.get(width, name)
    if found != name:
        raise DataError(
            f"its first layer has {width} channels, which makes it {found}, not {name}: give --arch {found}"
        )


def _resized(sections: tuple[Section, ...], size: tuple[int, int] | None) -> tuple[Section, ...]:
    if size is None:
        return sections
    net = replace(sections[0], options={**sections[0].options, "height": str(size[0]), "width": str(size[1])})
    return (net, *sections[1:])
