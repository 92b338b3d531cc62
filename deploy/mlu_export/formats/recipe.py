"""Recipes: everything that calibration found, so that a model can be rebuilt without torch and without pictures.

A recipe names its weights by digest and holds the input range of every quantized layer; with the same weights it gives
the same bytes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

from mlu_agent.config.fields import Fields, is_number, raise_problems, show
from mlu_agent.config.toml import parse_toml
from mlu_agent.config.toml_text import dump
from mlu_agent.errors import DataError, UserError
from mlu_agent.model.bundle import MAX_PIXEL, RESIZES, SMALLEST_DEVIATION, Thresholds, read_three, read_thresholds

from ..lowering.detection_output import DTYPES, MOST_BOXES, NONE, USUAL_BOXES
from ..support.files import read_bounded
from ..values.heads import HeadRequest, read_request
from ..values.pixels import CHANNEL_SOURCES, COLOURS, INPUT_DTYPES, Preprocessing
from ..values.ranges import Range
from ..values.targets import CORE_NUMBERS
from .manifest import thresholds_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..values.graph import ImportedModel

SCHEMA = 1
MAX_RECIPE_BYTES = 8 << 20
DEPTHWISE_USE = "the scales of depthwise layers"  # which a checkpoint holds, and no recipe


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
    flat: bool = False
    detection_output: str = NONE
    max_boxes: int = USUAL_BOXES


@dataclass(frozen=True)
class LearnedFile:
    """A file in the recipe's folder (formats/learned.py), and its digest."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Recipe:
    """Settings, digests of the weights (and of the cfg, "" for a built-in network), calibration told, its ranges; and
    the file of learned weights beside it, if any."""

    settings: Settings
    weights_name: str
    weights_sha256: str
    cfg_sha256: str
    calibration: str
    ranges: Mapping[str, Range]
    learned: LearnedFile | None = None


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
            **({"flat": True} if settings.flat else {}),
            **_detection_output(settings),
        },
        "preprocessing": _preprocessing_table(settings.preprocessing),
        "thresholds": thresholds_table(settings.thresholds),
        **({"heads": settings.heads.table()} if settings.heads != HeadRequest() else {}),
        "calibration": {"description": recipe.calibration},
        **({} if recipe.learned is None else {"learned": asdict(recipe.learned)}),
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


def _detection_output(settings: Settings) -> dict[str, Any]:
    if settings.detection_output == NONE:
        return {}
    return {"detection_output": settings.detection_output, "max_boxes": settings.max_boxes}


def _kept(settings: Settings) -> dict[str, tuple[str, ...]]:
    return {"keep_int16": settings.keep_int16, "keep_float": settings.keep_float}


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe file, or the built-in one of that name if there is no such file. Raises UserError where there is
    neither, DataError with all that is wrong in it."""
    data = read_bounded(path, MAX_RECIPE_BYTES, "recipe") if path.exists() else _built_in(path)
    root = Fields(parse_toml(data, path.name, DataError), "", [])
    _check_schema(root)
    raise_problems(path.name, root.problems, DataError)  # of another schema no other field can be judged
    recipe = _recipe(root)
    raise_problems(path.name, root.problems, DataError)
    return recipe


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


def _check_schema(root: Fields) -> None:
    schema = root.raw("schema")
    if schema is None:
        root.problem("schema", "is missing; this is no recipe of mlu-export, or it was cut")
    elif type(schema) is not int or schema != SCHEMA:
        root.problem("schema", f"{show(schema)} is not known; this version reads schema {SCHEMA}")


def _recipe(root: Fields) -> Recipe:
    weights, calibration = root.table("weights", required=True), root.table("calibration", required=True)
    recipe = Recipe(
        _settings(root),
        _text(weights, "name"),
        _text(weights, "sha256"),
        _text(weights, "cfg_sha256"),
        _text(calibration, "description"),
        _ranges(root.table("ranges", required=True)),
        _learned(root),
    )
    for table in (weights, calibration, root):
        table.close()
    return recipe


def _learned(root: Fields) -> LearnedFile | None:
    if root.raw("learned") is None:
        return None
    table = root.table("learned")
    name, sha256 = _text(table, "name"), _text(table, "sha256")
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        table.problem("name", f"{show(name)} is not the name of a file beside the recipe; write one without a folder")
    table.close()
    return LearnedFile(name, sha256)


def _settings(root: Fields) -> Settings:
    build = root.table("build", required=True)
    settings = Settings(
        name=_text(root, "name"),
        arch=_text(root, "arch"),
        labels=_names(root, "labels"),
        width=build.integer("width", minimum=8, maximum=8192),
        height=build.integer("height", minimum=8, maximum=8192),
        input=build.text("input", choices=tuple(INPUT_DTYPES)),
        channels=build.text("channels", choices=tuple(CHANNEL_SOURCES)),
        batch=build.integer("batch", minimum=1, maximum=1024),
        core_number=build.integer("core_number", minimum=1, maximum=64),
        target=build.text("target", choices=tuple(CORE_NUMBERS)),
        bits=_bits(build),
        per_channel=build.boolean("per_channel"),
        keep_int16=_names(build, "keep_int16", []),
        keep_float=_names(build, "keep_float", []),
        data_scale=build.number("data_scale", 1.0, minimum=1e-6, maximum=1e6),
        flat=build.boolean("flat", False),
        detection_output=build.text("detection_output", NONE, choices=(NONE, *DTYPES)),
        max_boxes=build.integer("max_boxes", USUAL_BOXES, minimum=1, maximum=MOST_BOXES),
        preprocessing=_preprocessing(root.table("preprocessing", required=True)),
        heads=read_request(root.table("heads")),
        thresholds=read_thresholds(root.table("thresholds", required=True)),
    )
    build.close()
    return settings


def _bits(build: Fields) -> int:
    bits = build.raw("bits")
    if type(bits) is int and bits in (8, 16):
        return bits
    build.problem("bits", "is missing; write 8 or 16" if bits is None else f"{show(bits)} is neither 8 nor 16")
    return 8


def _preprocessing(table: Fields) -> Preprocessing:
    plain = Preprocessing()
    preprocessing = Preprocessing(
        table.text("resize", choices=RESIZES),
        table.integer("pad_value", minimum=0, maximum=255),
        read_three(table, "mean", plain.mean, -MAX_PIXEL),
        read_three(table, "std", plain.std, SMALLEST_DEVIATION),
        table.text("colours", plain.colours, choices=COLOURS),
    )
    table.close()
    return preprocessing


def _text(table: Fields, key: str) -> str:
    """Any text at all: it may be the name of a file, and those are free."""
    return table.text(key, longest=MAX_RECIPE_BYTES, printable=False)


def _names(table: Fields, key: str, default: list[Any] | None = None) -> tuple[str, ...]:
    """A list of texts."""
    remedy = 'write a list of texts, as ["cat", "dog"]'
    names = table.array(key, default, longest=MAX_RECIPE_BYTES, remedy=remedy)
    if all(isinstance(name, str) for name in names):
        return tuple(names)
    table.problem(key, f"{show(names)} is not accepted; {remedy}")
    return ()


def _ranges(table: Fields) -> dict[str, Range]:
    found: dict[str, Range] = {}
    for name, pair in table.items():
        if isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair)) and pair[0] <= pair[1]:
            found[name] = Range(float(pair[0]), float(pair[1]))
        else:
            remedy = "write the smallest and the largest value of the layer's input, as [-1.5, 2.0]"
            table.problem(show(name)[1:-1], f"{show(pair)} is not accepted; {remedy}")
    return found


def pictures_use(uses: Sequence[str], model: ImportedModel) -> str:
    """What calibration pictures do beside a recipe, which has the ranges: those of ``uses`` that the network has."""
    depthwise = model.keys is not None and any(conv.is_depthwise for conv in model.graph.convolutions())
    left = [use for use in uses if use != DEPTHWISE_USE or depthwise]
    return f"for {' and '.join(left)} alone" if left else "not used"
