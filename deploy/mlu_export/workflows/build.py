"""``mlu-export build``: weights and pictures (or a recipe) in, model, side-car, manifest and recipe out."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlu_agent.errors import DataError, UserError

from .. import __version__
from ..calibration.calibrate import calibrate
from ..calibration.mixed import choose_layers, keep_layers
from ..calibration.observe import USUAL_PERCENTILE
from ..formats.container import write_model
from ..formats.labels import choose_labels, read_labels
from ..formats.manifest import Preprocessing, Thresholds, manifest_text
from ..formats.pictures import list_pictures
from ..formats.recipe import Recipe, Settings, pictures_use, read_recipe, recipe_text
from ..formats.twins import twins_text
from ..importers.darknet.archs import Arch, find_arch
from ..importers.source import Source, import_model, read_source
from ..lowering.lower import LowerOptions, lower
from ..shards.team import Team
from ..support.files import sha256_hex, write_all
from ..support.torch_needed import import_torch
from ..values.graph import TENSORS
from ..values.head_request import HeadRequest
from ..values.quantizer_parameters import scaled_range
from ..values.ranges import Range, storable
from .departures import departures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..lowering.lower import Triple
    from ..values.graph import Graph, ImportedModel
    from ..values.head_request import Anchors
    from ..values.network import Network

Changed = TypeVar("Changed", HeadRequest, Preprocessing)

CORE_NUMBERS = {"MLU220": (1, 4), "MLU270": (1, 4, 16)}
DEFAULT_CHANNELS = "rgba"  # of a u8 input; the others have the network's own order
HEAD_OPTIONS = ("outputs", "decode", "anchors", "strides")
PIXEL_OPTIONS = ("resize", "mean", "std", "colours")
IOUS = {"yolov5": 0.6, "yolov8": 0.7, "yolox": 0.65}  # of suppression, as their authors measure
DEFAULT_OBSERVER = {8: "heads", 16: "minmax"}


@dataclass(frozen=True)
class Request:
    """What the command line asked for; None where it said nothing."""

    weights: Path | None
    output: Path
    arch: str | None = None
    cfg: Path | None = None
    calibration: Path | None = None
    recipe: Path | None = None
    labels: Path | None = None
    name: str | None = None
    size: tuple[int, int] | None = None
    input: str | None = None
    channels: str | None = None
    batch: int | None = None
    core_number: int | None = None
    target: str | None = None
    bits: int | None = None
    per_channel: bool | None = None
    observer: str | None = None
    keep_int16: tuple[str, ...] | None = None
    keep_float: tuple[str, ...] | None = None
    module: str | None = None
    outputs: tuple[str, ...] | None = None
    decode: str | None = None
    anchors: Anchors | None = None
    strides: tuple[int, ...] | None = None
    resize: str | None = None
    mean: Triple | None = None
    std: Triple | None = None
    colours: str | None = None
    percentile: float | None = None
    workers: int | None = None
    ray: str | None = None
    # The vendor's options of calibration: how many pictures, averages instead of extremes, a factor of all ranges, and
    # a first convolution that normalises (of the checkpoint alone: what is built always normalises u8 pictures).
    iterations: int | None = None
    use_avg: bool | None = None
    data_scale: float | None = None
    first_conv: bool | None = None
    # What calibration pictures are for where a recipe has the ranges, in words.
    pictures_for: tuple[str, ...] = ()
    # Of compile: "vendor" also drives the vendor's SDK, in the interpreter that it is installed for.
    backend: str | None = None
    vendor_python: Path | None = None


def build(request: Request) -> list[Path]:
    """Builds a model and returns the paths written. Raises UserError and DataError; then nothing is written."""
    with Team(request.workers, request.ray) as team:
        model, recipe = prepare(request, team)
    contents = render(model, recipe)
    write_all(request.output, contents)
    return [request.output / name for name in contents]


def prepare(request: Request, team: Team | None = None) -> tuple[ImportedModel, Recipe]:
    """The imported network with its precision rules, and its recipe, calibrated (by the team) or read.

    Raises UserError and DataError.
    """
    recipe = None if request.recipe is None else read_recipe(request.recipe)
    arch, source, model = read_model(request, recipe)
    settings = choose_settings(request, recipe, arch, model)
    changed = departures(settings, recipe.settings) if recipe else ""
    if changed:
        print(f"mlu-export: note: {changed}", file=sys.stderr)
    model = _with_rules(model, settings)
    ranges, described = _ranges(request, recipe, model, settings, team)
    name = recipe.weights_name if recipe else source.name
    return model, Recipe(settings, name, source.sha256, source.cfg_sha256, described, ranges)


def read_model(request: Request, recipe: Recipe | None = None) -> tuple[Arch, Source, ImportedModel]:
    """The network of a request as imported; its warnings are said. Raises UserError and DataError."""
    arch = _choose_arch(request, recipe)
    source = read_source(arch, request.weights, request.cfg, request.module)
    if recipe is not None:
        _check_recipe(recipe, source)
    size = request.size or ((recipe.settings.height, recipe.settings.width) if recipe else None)
    model = import_model(arch, source, size, _heads(request, recipe))
    for warning in model.warnings:
        print(f"mlu-export: warning: {warning}", file=sys.stderr)
    return arch, source, model


def _with_rules(model: ImportedModel, settings: Settings) -> ImportedModel:
    return replace(model, graph=keep_layers(model.graph, settings.keep_int16, settings.keep_float))


def render(model: ImportedModel, recipe: Recipe) -> dict[str, bytes]:
    """The bytes of the four files by name: a function of the imported weights and the recipe alone."""
    settings = recipe.settings
    network, options = lowered(model, recipe)
    name = settings.name
    data = write_model(network, name, settings.target, settings.core_number)
    manifest = manifest_text(
        name, sha256_hex(data), model, network, options, settings.preprocessing, settings.thresholds, settings.labels,
        _provenance(recipe),
    )  # fmt: skip
    return {
        f"{name}.cambricon": data,
        f"{name}.cambricon_twins": twins_text(network, f"{name}.cambricon", settings.core_number).encode("utf-8"),
        f"{name}.toml": manifest.encode("utf-8"),
        f"{name}.recipe.toml": recipe_text(recipe).encode("utf-8"),
    }


def lowered(model: ImportedModel, recipe: Recipe) -> tuple[Network, LowerOptions]:
    """The network that the model file holds."""
    settings = recipe.settings
    preprocessing = settings.preprocessing
    options = LowerOptions(
        settings.input,
        settings.channels,
        settings.batch,
        settings.bits,
        settings.per_channel,
        preprocessing.mean,
        preprocessing.std,
        preprocessing.colours,
    )
    graph = _with_rules(model, settings).graph
    return lower(graph, _with_data_scale(graph, settings, recipe.ranges), options), options


def _changed(base: Changed, request: Request, options: tuple[str, ...]) -> Changed:
    """``base`` with what the command line says of these fields."""
    given = {key: getattr(request, key) for key in options if getattr(request, key) is not None}
    return replace(base, **given)


def _heads(request: Request, recipe: Recipe | None) -> HeadRequest:
    base = HeadRequest() if recipe is None else recipe.settings.heads
    return _changed(base, request, HEAD_OPTIONS).check()


def _with_data_scale(graph: Graph, settings: Settings, ranges: Mapping[str, Range]) -> Mapping[str, Range]:
    """The vendor's ``data_scale`` also multiplies the weights' ranges where there is one per output channel."""
    if settings.data_scale == 1.0 or not settings.per_channel:
        return ranges
    return {
        conv.name: scaled_range(ranges[conv.name], conv.weight, conv.bits or settings.bits, settings.data_scale)
        for conv in graph.quantized()
        if conv.name in ranges
    }


def _choose_arch(request: Request, recipe: Recipe | None) -> Arch:
    name = request.arch or (recipe.settings.arch if recipe else None)
    if name is None:
        raise UserError("say which network it is: --arch NAME")
    if recipe is not None and recipe.settings.arch != name:
        raise UserError(f"the recipe is for --arch {recipe.settings.arch}, not {name}")
    return find_arch(name)


def _check_recipe(recipe: Recipe, source: Source) -> None:
    if recipe.weights_sha256 != source.sha256:
        raise DataError(
            f"the recipe was made from weights with sha256 {recipe.weights_sha256[:12]}…, {source.name} has "
            f"{source.sha256[:12]}…: use those weights, or calibrate anew with --calibration and without --recipe"
        )
    if recipe.cfg_sha256 != source.cfg_sha256:
        raise DataError(
            "the recipe was made "
            + (
                f"from a cfg with sha256 {recipe.cfg_sha256[:12]}…: give that file with --cfg"
                if recipe.cfg_sha256
                else "without --cfg: leave --cfg out"
            )
        )


def choose_settings(request: Request, recipe: Recipe | None, arch: Arch, model: ImportedModel) -> Settings:
    """The recipe's settings or the arch's defaults, with what the command line says on top."""
    given = None if request.labels is None else read_labels(request.labels)
    plain = model.decode == TENSORS
    height, width, _ = model.graph.input_shape
    if recipe is not None:
        base = recipe.settings
        labels = given or base.labels if plain else choose_labels(model.classes, given or base.labels, None)
    else:
        labels = given or () if plain else choose_labels(model.classes, given, model.labels)
        base = Settings(
            request.name or _default_name(request, arch),
            arch.name,
            labels,
            width,
            height,
            preprocessing=Preprocessing(arch.resize, arch.pad_value),
            thresholds=Thresholds(iou=IOUS.get(request.decode or "", arch.iou)),
        )
    changes: dict[str, Any] = {
        key: getattr(request, key)
        for key in ("name", "input", "channels", "batch", "core_number", "target", "bits", "per_channel", "data_scale")
        if getattr(request, key) is not None
    }
    changes.update(
        (key, choose_layers(model.graph, getattr(request, key), f"--{key.replace('_', '-')}"))
        for key in ("keep_int16", "keep_float")
        if getattr(request, key) is not None
    )
    preprocessing = _changed(base.preprocessing, request, PIXEL_OPTIONS)
    changed = recipe is None or changes.get("input", base.input) != base.input
    if "channels" not in changes and (changed or preprocessing != base.preprocessing):
        kind = changes.get("input", base.input)
        changes["channels"] = DEFAULT_CHANNELS if kind == "u8" else preprocessing.colours
    heads = _heads(request, recipe)
    return _checked(
        replace(base, labels=labels, width=width, height=height, preprocessing=preprocessing, heads=heads, **changes)
    )


def _default_name(request: Request, arch: Arch) -> str:
    """The arch's name; for what has no name of its own, that of its file."""
    file = request.module.rpartition(":")[2] if request.module else request.weights
    if arch.family not in ("onnx", "module") or file is None:
        return arch.model_name
    stem = re.sub(r"[^A-Za-z0-9._+-]", "_", Path(file).stem)[:100]
    return stem if re.match(r"[A-Za-z0-9_]", stem) else arch.model_name


def _checked(settings: Settings) -> Settings:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}", settings.name):
        raise UserError(f"--name {settings.name!r:.60}: a name has up to 100 letters, digits, '.', '_', '+' and '-'")
    if settings.core_number not in CORE_NUMBERS[settings.target]:
        *others, last = map(str, CORE_NUMBERS[settings.target])
        allowed = f"{', '.join(others)} or {last}"
        raise UserError(f"--core-number {settings.core_number}: an {settings.target} runs a model on {allowed} cores")
    if settings.input != "u8" and len(settings.channels) == 4:
        three = settings.preprocessing.colours
        raise UserError(f"--channels {settings.channels}: a {settings.input} input has three channels: {three}")
    colours = settings.preprocessing.colours
    if settings.input != "u8" and settings.channels != colours:
        raise UserError(
            f"--channels {settings.channels}: only a u8 input reorders channels on the device; use {colours}"
        )
    return settings


def _ranges(
    request: Request, recipe: Recipe | None, model: ImportedModel, settings: Settings, team: Team | None
) -> tuple[dict[str, Range], str]:
    if recipe is not None:
        if request.calibration is not None and not request.calibration.is_dir():
            raise UserError(f"--calibration {request.calibration} is not a folder")
        for option in ("calibration", "observer", "percentile"):
            if getattr(request, option) is not None:
                use = pictures_use(request.pictures_for, model) if option == "calibration" else "not used"
                print(f"mlu-export: note: --{option} is {use}, the ranges come from the recipe", file=sys.stderr)
        return _ranges_left(recipe, model), recipe.calibration
    if request.calibration is None and model.quantized is not None:
        raise UserError(
            "these weights are a quantized checkpoint: `mlu-export compile` makes a model with its scales, "
            "--calibration DIR finds others"
        )
    if request.calibration is None:
        raise UserError(
            "give --calibration DIR with some hundred pictures of the kind the camera will see, or --recipe FILE"
        )
    paths = calibration_pictures(request)
    folder = request.calibration.resolve()
    name = f"{folder.parent.name}/{folder.name}" if folder.name == "images" else folder.name
    observer, percentile = _observer(request, settings.bits, plain=model.decode == TENSORS)
    if request.use_avg:
        found, observer = _averaged(model, settings, paths, observer, team), "averaged minmax"
    else:
        rules = (settings.bits, settings.per_channel)
        found = calibrate(model, settings.preprocessing, paths, observer, *rules, percentile, team)
        observer = f"percentile {percentile:g}" if observer == "percentile" else observer
    if settings.data_scale != 1.0:
        found = {key: Range(s.low * settings.data_scale, s.high * settings.data_scale) for key, s in found.items()}
        observer = f"{observer} times {settings.data_scale:g}"
    own = {conv.name: conv.bits or settings.bits for conv in model.graph.quantized()}
    ranges = {name: storable(seen, own[name]) for name, seen in found.items()}
    return ranges, f"{len(paths)} pictures of {name}, {observer}"


def _observer(request: Request, bits: int, *, plain: bool) -> tuple[str, float]:
    """The observer that was asked for or the usual one, and the percentile in case it is that.

    ``heads`` needs the many numbers that heads have: the few of a classifier would be fitted to chance.
    """
    if request.percentile is not None and request.observer not in (None, "percentile"):
        raise UserError(f"--percentile is for --observer percentile, not for --observer {request.observer}")
    usual = "mse" if plain and bits == 8 else DEFAULT_OBSERVER[bits]
    usual = usual if request.percentile is None else "percentile"
    if request.use_avg and request.percentile is None:
        usual = "minmax"
    return request.observer or usual, request.percentile or USUAL_PERCENTILE


def calibration_pictures(request: Request) -> list[Path]:
    """The pictures that calibration looks at: the first ``iterations`` of the folder, or all. Raises UserError."""
    assert request.calibration is not None
    paths = list_pictures(request.calibration)
    if request.iterations is not None and request.iterations > len(paths):
        print(
            f"mlu-export: note: --iterations {request.iterations}, but there are {len(paths)} pictures", file=sys.stderr
        )
    return paths[: request.iterations]


def _averaged(
    model: ImportedModel, settings: Settings, paths: list[Path], observer: str, team: Team | None
) -> dict[str, Range]:
    if observer != "minmax":
        raise UserError(f"--use-avg averages smallest and largest values: it has no meaning with --observer {observer}")
    import_torch()
    from ..quantizer.calibration import observe_layers  # noqa: PLC0415 - torch
    from ..quantizer.scheme import Scheme  # noqa: PLC0415

    names = [conv.name for conv in model.graph.quantized()]
    scheme = Scheme(iteration=len(paths), use_avg=True)
    return observe_layers(model, settings.preprocessing, paths, names, scheme, team)


def _ranges_left(recipe: Recipe, model: ImportedModel) -> dict[str, Range]:
    """The recipe's ranges without those of layers that now stay in float; the others must all be there."""
    kept = {conv.name for conv in model.graph.convolutions() if conv.bits == 0}
    missing = sorted({conv.name for conv in model.graph.quantized()} & set(recipe.settings.keep_float))
    if missing:
        raise UserError(
            f"the recipe kept layer {missing[0]!r} in float and has no range for it: calibrate anew, without --recipe"
        )
    return {name: seen for name, seen in recipe.ranges.items() if name not in kept}


def _provenance(recipe: Recipe) -> dict[str, str]:
    settings = recipe.settings
    granularity = "per channel" if settings.per_channel else "per tensor"
    rules = (("int16", settings.keep_int16), ("float", settings.keep_float))
    kept = [f"{what}: {', '.join(names)}" for what, names in rules if names]
    cfg = {"cfg_sha256": recipe.cfg_sha256} if recipe.cfg_sha256 else {}
    if settings.preprocessing.colours != "rgb":
        cfg["colours"] = settings.preprocessing.colours
    return {
        "tool": f"mlu-export {__version__}",
        "arch": settings.arch,
        "weights": recipe.weights_name,
        "weights_sha256": recipe.weights_sha256,
        **cfg,
        "quantization": "; ".join([f"int{settings.bits}, {granularity}", *kept]),
        "calibration": recipe.calibration,
    }
