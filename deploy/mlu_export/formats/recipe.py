"""Recipes: everything that calibration found, so that a model can be rebuilt without torch and without pictures.

A recipe names its weights by digest and holds the input range of every quantized layer; with the same weights it gives
the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

from mlu_agent.config.toml import parse_toml
from mlu_agent.errors import DataError, UserError
from mlu_agent.model.bundle import RESIZES

from ..support.files import read_bounded
from ..values.head_request import HeadRequest, read_request
from ..values.ranges import Range
from .manifest import Preprocessing, Thresholds, Triple
from .toml_text import dump

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..values.graph import ImportedModel

SCHEMA = 1
MAX_RECIPE_BYTES = 8 << 20
DEPTHWISE_USE = "the scales of depthwise layers"  # which a checkpoint holds, and no recipe
Scalar = TypeVar("Scalar", int, float, str, bool)


@dataclass(frozen=True)
class Settings:
    """Everything that decides the bytes of a model besides its weights and ranges."""

    name: str
    arch: str
    labels: tuple[str, ...]
    width: int
    height: int
    input: str = "u8"
    channels: str = "rgba"
    batch: int = 1
    core_number: int = 1
    target: str = "MLU220"
    bits: int = 8
    per_channel: bool = True
    keep_int16: tuple[str, ...] = ()
    keep_float: tuple[str, ...] = ()
    data_scale: float = 1.0
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    thresholds: Thresholds = field(default_factory=Thresholds)
    heads: HeadRequest = field(default_factory=HeadRequest)


@dataclass(frozen=True)
class Recipe:
    """Settings, digests of the weights (and of the cfg, "" for a built-in network), calibration told, its ranges."""

    settings: Settings
    weights_name: str
    weights_sha256: str
    cfg_sha256: str
    calibration: str
    ranges: Mapping[str, Range]


def recipe_text(recipe: Recipe) -> str:
    """TOML text of a recipe."""
    settings = recipe.settings
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "name": settings.name,
        "arch": settings.arch,
        "labels": list(settings.labels),
        "weights": {"name": recipe.weights_name, "sha256": recipe.weights_sha256, "cfg_sha256": recipe.cfg_sha256},
        "build": {
            "width": settings.width,
            "height": settings.height,
            "input": settings.input,
            "channels": settings.channels,
            "batch": settings.batch,
            "core_number": settings.core_number,
            "target": settings.target,
            "bits": settings.bits,
            "per_channel": settings.per_channel,
            **{key: list(names) for key, names in _kept(settings).items() if names},
            **({"data_scale": settings.data_scale} if settings.data_scale != 1.0 else {}),
        },
        "preprocessing": _preprocessing_table(settings.preprocessing),
        "thresholds": {
            "confidence": settings.thresholds.confidence,
            "iou": settings.thresholds.iou,
            "max_detections": settings.thresholds.max_detections,
        },
        **({"heads": settings.heads.table()} if settings.heads != HeadRequest() else {}),
        "calibration": {"description": recipe.calibration},
        "ranges": {name: [seen.low, seen.high] for name, seen in recipe.ranges.items()},
    }
    return dump(document)


def _preprocessing_table(preprocessing: Preprocessing) -> dict[str, Any]:
    """Mean, std and order of colours only where they are not those of plain pixels."""
    plain = Preprocessing()
    table: dict[str, Any] = {"resize": preprocessing.resize, "pad_value": preprocessing.pad_value}
    if (preprocessing.mean, preprocessing.std) != (plain.mean, plain.std):
        table.update(mean=list(preprocessing.mean), std=list(preprocessing.std))
    if preprocessing.colours != plain.colours:
        table["colours"] = preprocessing.colours
    return table


def _kept(settings: Settings) -> dict[str, tuple[str, ...]]:
    return {"keep_int16": settings.keep_int16, "keep_float": settings.keep_float}


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe file, or the built-in one of that name if there is no such file. Raises DataError, UserError."""
    data = read_bounded(path, MAX_RECIPE_BYTES, "recipe") if path.exists() else _built_in(path)
    return _recipe(_Table(parse_toml(data, path.name, DataError), path.name))


def built_in_names() -> tuple[str, ...]:
    """Names of the recipes that come with this package."""
    folder = resources.files("mlu_export") / "recipes"
    return tuple(sorted(entry.name[: -len(".toml")] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def _built_in(path: Path) -> bytes:
    names = built_in_names()
    if str(path) not in names:
        raise UserError(
            f"there is no recipe {path}; give a recipe file or one of the built-in names: {', '.join(names)}"
        )
    return (resources.files("mlu_export") / "recipes" / f"{path}.toml").read_bytes()


KEYS = {
    "": "schema name arch labels weights build preprocessing thresholds heads calibration ranges",
    "weights": "name sha256 cfg_sha256",
    "build": "width height input channels batch core_number target bits per_channel keep_int16 keep_float data_scale",
    "preprocessing": "resize pad_value mean std colours",
    "thresholds": "confidence iou max_detections",
    "heads": "outputs decode anchors strides",
    "calibration": "description",
}  # ranges has the names of layers


def _check_keys(root: _Table) -> None:
    for name, keys in KEYS.items():
        table = root.values.get(name) if name else root.values
        for key in table if isinstance(table, dict) else ():
            if key not in keys.split():
                place = f"{name}.{key}" if name else key
                raise DataError(f"{root.path}: {place[:80]!r} is not known; known are {', '.join(keys.split())}")


class _Table:
    """Typed access to one parsed table; every mistake is a DataError with the field's path."""

    def __init__(self, values: Mapping[str, Any], path: str) -> None:
        self.values, self.path = values, path

    def table(self, key: str) -> _Table:
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise DataError(f"{self.path}: [{key}] is missing; this is no recipe of mlu-export, or it was cut")
        return _Table(value, f"{self.path}: {key}")

    def get(self, key: str, kind: type[Scalar], low: float | None = None, high: float | None = None) -> Scalar:
        value = self.values.get(key)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not kind:  # bool is an int to isinstance
            raise DataError(f"{self.path}: {key} is missing or not of type {kind.__name__}")
        if low is not None and high is not None and not low <= value <= high:  # type: ignore[operator]
            raise DataError(f"{self.path}: {key} = {value!r:.40} is not within {low} to {high}")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty where the key is missing."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise DataError(f"{self.path}: {key} must be a list of strings")
        return tuple(value)

    def triple(self, key: str, default: Triple, low: float) -> Triple:
        """Three numbers from ``low`` on; the default where the key is missing."""
        value = self.values.get(key, list(default))
        if (
            not isinstance(value, list)
            or len(value) != 3
            or not all(type(one) in (int, float) and low <= one <= 1e6 for one in value)
        ):
            raise DataError(f"{self.path}: {key} = {value!r:.40} is not a list of three numbers from {low:g} on")
        first, second, third = value
        return float(first), float(second), float(third)

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.get(key, str)
        if value not in choices:
            raise DataError(f"{self.path}: {key} = {value!r:.40} is not one of {', '.join(choices)}")
        return value


def _recipe(root: _Table) -> Recipe:
    if root.get("schema", int) != SCHEMA:
        raise DataError(f"{root.path}: schema {root.values['schema']} is not known; this version reads schema {SCHEMA}")
    _check_keys(root)
    labels = root.values.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise DataError(f"{root.path}: labels must be a list of strings")
    weights = root.table("weights")
    return Recipe(
        _settings(root, tuple(labels)),
        weights.get("name", str),
        weights.get("sha256", str),
        weights.get("cfg_sha256", str),
        root.table("calibration").get("description", str),
        _ranges(root.table("ranges")),
    )


def _settings(root: _Table, labels: tuple[str, ...]) -> Settings:
    build, thresholds, preprocessing = root.table("build"), root.table("thresholds"), root.table("preprocessing")
    bits = build.get("bits", int)
    if bits not in (8, 16):
        raise DataError(f"{build.path}: bits = {bits} is neither 8 nor 16")
    return Settings(
        name=root.get("name", str),
        arch=root.get("arch", str),
        labels=labels,
        width=build.get("width", int, 8, 8192),
        height=build.get("height", int, 8, 8192),
        input=build.choice("input", ("u8", "half", "float")),
        channels=build.choice("channels", ("rgb", "bgr", "rgba", "bgra", "argb", "abgr")),
        batch=build.get("batch", int, 1, 1024),
        core_number=build.get("core_number", int, 1, 64),
        target=build.choice("target", ("MLU220", "MLU270")),
        bits=bits,
        per_channel=build.get("per_channel", bool),
        keep_int16=build.names("keep_int16"),
        keep_float=build.names("keep_float"),
        data_scale=build.get("data_scale", float, 1e-6, 1e6) if "data_scale" in build.values else 1.0,
        preprocessing=Preprocessing(
            preprocessing.choice("resize", RESIZES),
            preprocessing.get("pad_value", int, 0, 255),
            preprocessing.triple("mean", Preprocessing().mean, -1e6),
            preprocessing.triple("std", Preprocessing().std, 1e-6),
            preprocessing.choice("colours", ("rgb", "bgr")) if "colours" in preprocessing.values else "rgb",
        ),
        heads=read_request(root.values.get("heads", {}), root.path),
        thresholds=Thresholds(
            thresholds.get("confidence", float, 0.0, 1.0),
            thresholds.get("iou", float, 0.0, 1.0),
            thresholds.get("max_detections", int, 1, 10000),
        ),
    )


def _ranges(table: _Table) -> dict[str, Range]:
    found: dict[str, Range] = {}
    for name, pair in table.values.items():
        right = (
            isinstance(pair, list)
            and len(pair) == 2
            and all(
                isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
                for value in pair
            )
        )
        if not right or pair[0] > pair[1]:
            raise DataError(f"{table.path}: {name} = {pair!r:.60} is not a pair of a smallest and a largest value")
        found[name] = Range(float(pair[0]), float(pair[1]))
    return found


def pictures_use(uses: Sequence[str], model: ImportedModel) -> str:
    """What calibration pictures do beside a recipe, which has the ranges: those of ``uses`` that the network has."""
    depthwise = model.keys is not None and any(conv.is_depthwise for conv in model.graph.convolutions())
    left = [use for use in uses if use != DEPTHWISE_USE or depthwise]
    return f"for {' and '.join(left)} alone" if left else "not used"
