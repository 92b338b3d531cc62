"""``--keep-int16 auto``: the layers that come to 16 bits are chosen on the calibration pictures."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError

from ..calibration.calibrate import observe_layers
from ..calibration.mixed import auto_share, keep_layers
from ..calibration.widen import Precisions, widen
from ..formats.pictures import float_input
from ..shards.team import Team
from ..values.ranges import Range, storable
from .ranges import calibration_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..formats.recipe import Settings
    from ..values.graph import ImportedModel
    from .request import Knobs, Quantization

OPTION = "--keep-int16"


def check_widening(quantization: Quantization, knobs: Knobs) -> None:
    """Raises UserError where layers are to be chosen beside what that does not go with."""
    if auto_share(quantization.precision.keep_int16, OPTION) is None:
        return
    if quantization.recipe is not None:
        raise UserError(f"{OPTION} auto chooses layers on --calibration pictures: leave --recipe out, or name layers")
    if quantization.precision.bits == 16:
        raise UserError(f"{OPTION} auto: with --bits 16 every layer has 16 bits; leave one of them out")
    if knobs.data_scale is not None:
        raise UserError(f"{OPTION} auto finds the ranges itself: leave --data-scale out")


def widened(
    model: ImportedModel, settings: Settings, ranges: Mapping[str, Range], quantization: Quantization, knobs: Knobs,
    team: Team | None,
) -> tuple[ImportedModel, Settings, Mapping[str, Range], str]:  # fmt: skip
    """All with the layers that were chosen, and words about them; as they came where nothing is to be chosen."""
    share = auto_share(quantization.precision.keep_int16, OPTION)
    folder = quantization.calibration.pictures
    if share is None or folder is None:
        return model, settings, ranges, ""
    team = team or Team(1)
    spec = float_input(model.graph, settings.preprocessing)
    paths = calibration_pictures(folder, knobs.iterations)
    layers = observe_layers(model.graph, spec, paths, team)
    seen = {name: storable(layer.finish("minmax", 16), 16) for name, layer in layers.items()}
    network = Precisions(model, ranges, seen, settings.bits, settings.per_channel)
    found = widen(network, spec, paths, share, team)
    print(f"mlu-export: note: {found.told}", file=sys.stderr)
    kept = {*settings.keep_int16, *found.layers}
    order = tuple(conv.name for conv in model.graph.convolutions() if conv.name in kept)
    settings = replace(settings, keep_int16=order)
    model = replace(model, graph=keep_layers(model.graph, settings.keep_int16, settings.keep_float))
    return model, settings, {**ranges, **{name: seen[name] for name in found.layers}}, f"; {found.told}"
