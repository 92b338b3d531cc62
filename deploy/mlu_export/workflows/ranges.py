"""The input ranges of a network's layers: those of a recipe, or found on pictures."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError
from mlu_agent.model.output_spec import TENSORS

from ..calibration.calibrate import calibrate
from ..calibration.choose import Rule, choose
from ..calibration.observe import USUAL_PERCENTILE
from ..formats.pictures import float_input, list_pictures
from ..formats.recipe import pictures_use
from ..shards.team import Team
from ..support.torch_needed import import_torch
from ..values.ranges import Range, storable
from .request import said

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..formats.recipe import Recipe, Settings
    from ..values.graph import ImportedModel
    from .request import Calibration, Knobs

DEFAULT_OBSERVER = {8: "auto", 16: "minmax"}


def recipe_ranges(
    recipe: Recipe, calibration: Calibration, model: ImportedModel, pictures_for: Sequence[str]
) -> dict[str, Range]:
    """A recipe's ranges; what of ``calibration`` is not used then is said. ``pictures_for``: what its pictures are for
    all the same, in words. Raises UserError.
    """
    if calibration.pictures is not None and not calibration.pictures.is_dir():
        raise UserError(f"--calibration {calibration.pictures} is not a folder")
    for name in said(calibration):
        pictures = name == "pictures"
        use = pictures_use(pictures_for, model) if pictures else "not used"
        option = "calibration" if pictures else name
        print(f"mlu-export: note: --{option} is {use}, the ranges come from the recipe", file=sys.stderr)
    return _ranges_left(recipe, model)


def _ranges_left(recipe: Recipe, model: ImportedModel) -> dict[str, Range]:
    """The recipe's ranges without those of layers that now stay in float; the others must all be there."""
    kept = {conv.name for conv in model.graph.convolutions() if conv.bits == 0}
    missing = sorted({conv.name for conv in model.graph.quantized()} & set(recipe.settings.keep_float))
    if missing:
        raise UserError(
            f"the recipe kept layer {missing[0]!r} in float and has no range for it: calibrate anew, without --recipe"
        )
    return {name: seen for name, seen in recipe.ranges.items() if name not in kept}


def found_ranges(
    model: ImportedModel, settings: Settings, calibration: Calibration, knobs: Knobs, team: Team | None
) -> tuple[dict[str, Range], Rule, str]:
    """Ranges observed on the pictures, as they are stored, by which rule, and how they were found, in words. Raises
    UserError.
    """
    if calibration.pictures is None and model.quantized is not None:
        raise UserError(
            "these weights are a quantized checkpoint: `mlu-export compile` makes a model with its scales, "
            "--calibration DIR finds others"
        )
    if calibration.pictures is None:
        raise UserError(
            "give --calibration DIR with some hundred pictures of the kind the camera will see, or --recipe FILE"
        )
    paths = calibration_pictures(calibration.pictures, knobs.iterations)
    way = _way(calibration, knobs, settings.bits, plain=model.decode == TENSORS)
    found, rule, told = _observed(model, settings, paths, way, team)
    if settings.data_scale != 1.0:
        found = {key: Range(s.low * settings.data_scale, s.high * settings.data_scale) for key, s in found.items()}
        told = f"{told} times {settings.data_scale:g}"
    own = {conv.name: conv.bits or settings.bits for conv in model.graph.quantized()}
    ranges = {name: storable(seen, own[name]) for name, seen in found.items()}
    folder = calibration.pictures.resolve()
    name = f"{folder.parent.name}/{folder.name}" if folder.name == "images" else folder.name
    return ranges, rule, f"{len(paths)} picture{'s' * (len(paths) != 1)} of {name}, {told}"


@dataclass(frozen=True)
class _Way:
    """How ranges are made of what layers see; ``averaged``: of minmax, the vendor's average over pictures."""

    observer: str
    percentile: float
    averaged: bool

    @property
    def rule(self) -> Rule:
        return Rule(self.observer, self.percentile if self.observer == "percentile" else 0.0)

    @property
    def told(self) -> str:
        return "averaged minmax" if self.averaged else self.rule.told


def _way(calibration: Calibration, knobs: Knobs, bits: int, *, plain: bool) -> _Way:
    """The observer that was asked for or the usual one, and the percentile in case it is that. The few numbers of a
    classifier tell rules apart by chance alone.
    """
    asked, percentile = calibration.observer, calibration.percentile
    if percentile is not None and asked not in (None, "percentile"):
        raise UserError(f"--percentile is for --observer percentile, not for --observer {asked}")
    usual = "mse" if plain and bits == 8 else DEFAULT_OBSERVER[bits]
    usual = usual if percentile is None else "percentile"
    if knobs.use_avg and percentile is None:
        usual = "minmax"
    return _Way(asked or usual, percentile or USUAL_PERCENTILE, bool(knobs.use_avg))


def calibration_pictures(folder: Path, most: int | None) -> list[Path]:
    """The pictures that calibration looks at: the first ``most`` of the folder, or all. Raises UserError."""
    paths = list_pictures(folder)
    if most is not None and most > len(paths):
        print(f"mlu-export: note: --iterations {most}, but there are {len(paths)} pictures", file=sys.stderr)
    return paths[:most]


def _observed(
    model: ImportedModel, settings: Settings, paths: list[Path], way: _Way, team: Team | None
) -> tuple[dict[str, Range], Rule, str]:
    """The ranges, by which rule, and how they were found, in words."""
    if way.observer == "auto" and not way.averaged:
        if any((conv.bits or settings.bits) != 16 for conv in model.graph.quantized()):
            spec = float_input(model.graph, settings.preprocessing)
            return choose(model, spec, paths, settings.bits, settings.per_channel, team or Team(1))
        way = replace(way, observer="minmax")
    if not way.averaged:
        rules = (settings.bits, settings.per_channel)
        ranges = calibrate(model, settings.preprocessing, paths, way.observer, *rules, way.percentile, team)
        return ranges, way.rule, way.told
    if way.observer != "minmax":
        raise UserError(
            f"--use-avg averages smallest and largest values: it has no meaning with --observer {way.observer}"
        )
    import_torch()
    from ..quantizer.calibration import observe_layers  # noqa: PLC0415 - torch
    from ..quantizer.scheme import Scheme  # noqa: PLC0415

    names = [conv.name for conv in model.graph.quantized()]
    scheme = Scheme(iteration=len(paths), use_avg=True)
    return observe_layers(model, settings.preprocessing, paths, names, scheme, team), way.rule, way.told
