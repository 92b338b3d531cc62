"""``mlu-export build``: weights and pictures (or a recipe) in, model, side-car, manifest and recipe out."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlu_agent.model.golden import SUFFIX

from .. import __version__
from ..calibration.mixed import keep_layers
from ..formats.container import write_model
from ..formats.manifest import manifest_text
from ..formats.pictures import other_kinds
from ..formats.recipe import Recipe, Settings, read_recipe, recipe_text
from ..formats.twins import twins_text
from ..lowering.detection_output import NONE, DetectionOutput, append_detection_output
from ..lowering.lower import LowerOptions, lower
from ..runners.golden import golden_file
from ..support.files import check_folder, sha256_hex, write_all
from ..values.quantizer_parameters import scaled_range
from .departures import departures
from .learned import check_learning, recall, remark_left, teach
from .ranges import found_ranges, recipe_ranges
from .read import Read, read_for_recipe, read_network
from .request import USUAL_KNOBS, BuildRequest, Knobs, Quantization, Wanted
from .settings import choose_settings
from .widen import check_widening, widened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..shards.team import Team
    from ..values.graph import Graph, ImportedModel
    from ..values.network import Network
    from ..values.ranges import Range

NOT_FLAT = "--flat changes nothing here: no output of this network is one row of numbers a picture"


@dataclass(frozen=True)
class Prepared:
    """A network ready to be lowered, with its precision rules and its recipe; and what was read for it, so that nobody
    reads it again.
    """

    read: Read
    model: ImportedModel
    recipe: Recipe
    learned: bytes | None = None

    def learned_file(self) -> dict[str, bytes]:
        """What lies beside the recipe: the learned weights, if there are any."""
        file = self.recipe.learned
        return {} if file is None or self.learned is None else {file.name: self.learned}


def build(request: BuildRequest) -> list[Path]:
    """Builds a model and returns the paths written. Raises UserError and DataError; then nothing is written."""
    check_folder(request.output)
    with request.workers.team() as team:
        prepared = prepare(request.wanted, request.quantization, team=team)
    contents = {**render(prepared.model, prepared.recipe), **prepared.learned_file()}
    write_all(request.output, contents)
    remark_left(request.output, prepared.recipe)
    return [request.output / name for name in contents]


def prepare(
    wanted: Wanted,
    quantization: Quantization,
    knobs: Knobs = USUAL_KNOBS,
    team: Team | None = None,
    pictures_for: Sequence[str] = (),
    read: Read | None = None,
) -> Prepared:
    """The network as imported with its precision rules, and its recipe, calibrated (by the team) or read.

    ``pictures_for``: what calibration pictures are for where a recipe has the ranges, in words. ``read``: what was read
    of ``wanted`` already. Raises UserError and DataError.
    """
    check_learning(quantization, knobs)
    check_widening(quantization, knobs)
    recipe = None if quantization.recipe is None else read_recipe(quantization.recipe)
    if read is None:
        read = read_network(wanted, recipe)
    elif recipe is not None:
        read = read_for_recipe(read, wanted, recipe)
    settings = choose_settings(wanted, read, None if recipe is None else recipe.settings, quantization.precision, knobs)
    if recipe is not None and (changed := departures(settings, recipe.settings)):
        print(f"mlu-export: note: {changed}", file=sys.stderr)
    model = _with_rules(read.model, settings)
    _tell_other_kinds(quantization.calibration.pictures)
    if recipe is None:
        ranges, rule, told = found_ranges(model, settings, quantization.calibration, knobs, team)
        model, settings, wider, kept = widened(model, settings, ranges, quantization, knobs, team)
        taught = teach(model, settings, wider, rule, quantization, knobs, team)
        ranges, told = dict(taught.ranges), told + kept + taught.told
    else:
        ranges = recipe_ranges(recipe, quantization.calibration, model, pictures_for)
        taught = recall(model, settings, recipe, quantization)
        told = recipe.calibration
    name = recipe.weights_name if recipe else read.source.name
    digests = (read.source.sha256, read.source.cfg_sha256)
    made = Recipe(settings, name, *digests, told, ranges, taught.file(settings))
    return Prepared(read, taught.model, made, taught.data)


def _tell_other_kinds(pictures: Path | None) -> None:
    """Once, however often the folder is looked at."""
    others = other_kinds(pictures) if pictures is not None and pictures.is_dir() else ""
    if others:
        print(f"mlu-export: note: {others}", file=sys.stderr)


def _with_rules(model: ImportedModel, settings: Settings) -> ImportedModel:
    return replace(model, graph=keep_layers(model.graph, settings.keep_int16, settings.keep_float))


def render(model: ImportedModel, recipe: Recipe, *, golden: bool = True) -> dict[str, bytes]:
    """The bytes of the files by name: a function of the imported weights and the recipe alone.

    ``golden``: with the golden frame, for which the simulator runs in this process.
    """
    settings = recipe.settings
    network, options = lowered(model, recipe)
    if golden and settings.flat and all(len(network.described(number)) != 2 for number in network.outputs):
        print(f"mlu-export: note: {NOT_FLAT}", file=sys.stderr)
    name = settings.name
    data = write_model(network, name, settings.target, settings.core_number)
    manifest = manifest_text(
        name, sha256_hex(data), model, network, options, settings.preprocessing, settings.thresholds, settings.labels,
        _provenance(recipe),
    )  # fmt: skip
    frame = golden_file(network, data) if golden else None
    return {
        f"{name}.cambricon": data,
        f"{name}.cambricon_twins": twins_text(network, f"{name}.cambricon", settings.core_number).encode("utf-8"),
        f"{name}.toml": manifest.encode("utf-8"),
        f"{name}.recipe.toml": recipe_text(recipe).encode("utf-8"),
        **({} if frame is None else {f"{name}{SUFFIX}": frame}),
    }


def lowered(model: ImportedModel, recipe: Recipe) -> tuple[Network, LowerOptions]:
    """The network that the model file holds."""
    settings = recipe.settings
    options = LowerOptions(
        settings.input,
        settings.channels,
        settings.batch,
        settings.bits,
        settings.per_channel,
        settings.preprocessing,
    )
    graph = _with_rules(model, settings).graph
    network = lower(graph, _with_data_scale(graph, settings, recipe.ranges), options)
    if settings.detection_output != NONE:
        wanted = DetectionOutput(settings.detection_output, settings.max_boxes, settings.thresholds)
        network = append_detection_output(network, model, wanted)
    return replace(network, flat=settings.flat), options


def _with_data_scale(graph: Graph, settings: Settings, ranges: Mapping[str, Range]) -> Mapping[str, Range]:
    """The vendor's ``data_scale`` also multiplies the weights' ranges where there is one per output channel."""
    if settings.data_scale == 1.0 or not settings.per_channel:
        return ranges
    return {
        conv.name: scaled_range(ranges[conv.name], conv.weight, conv.bits or settings.bits, settings.data_scale)
        for conv in graph.quantized()
        if conv.name in ranges
    }


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
