"""The vendor's checkpoint out of ``mlu-export quantize``: NAME_int8.pth or NAME_int16.pth."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from ..support.torch_needed import import_torch
from .convert import state_of
from .learned import enter_norms
from .ranges import calibration_pictures

if TYPE_CHECKING:
    from ..shards.team import Team
    from ..values.ranges import Range
    from .build import Prepared
    from .request import QuantizeRequest


def make_checkpoint(request: QuantizeRequest, prepared: Prepared, team: Team) -> dict[str, bytes]:
    """The checkpoint's bytes by file name; empty for a network that has no layout there. Raises UserError."""
    arch, source = prepared.read.arch, prepared.read.source
    model, recipe = prepared.model, prepared.recipe
    if arch.family == "onnx" or model.keys is None:  # names of nodes are no state dict's
        return {}
    if recipe.learned is not None and arch.family == "module":
        print(
            "mlu-export: note: no checkpoint is written: learned weights of a module are in the recipe's file alone, "
            "`mlu-export build --recipe` makes a model of them",
            file=sys.stderr,
        )
        return {}
    import_torch()
    from ..quantizer.calibration import checkpoint_of  # noqa: PLC0415 - torch
    from ..quantizer.module_checkpoint import module_checkpoint  # noqa: PLC0415
    from ..quantizer.scheme import Scheme  # noqa: PLC0415

    settings = recipe.settings
    scheme = Scheme(
        iteration=1,
        data_scale=settings.data_scale,
        firstconv=bool(request.knobs.first_conv),
        per_channel=settings.per_channel,
    )
    ranges = {**_depthwise_ranges(request, prepared, team), **recipe.ranges}
    if arch.family == "module":
        data, unseen = module_checkpoint(source.module, model, ranges, settings.bits, scheme)
    else:  # of a quantized checkpoint, the float part is what is wanted: its scales are not taken over
        state = state_of(arch, source, replace(model, quantized=None))
        state = enter_norms(state, prepared.read.model, model) if recipe.learned and arch.family != "darknet" else state
        data, unseen = checkpoint_of(model, state, ranges, settings.bits, scheme)
    if unseen:
        print(
            f"mlu-export: note: {len(unseen)} layers have a scale of 1 in the checkpoint, the first is {unseen[0]}: "
            "nobody saw their inputs (of depthwise layers a recipe holds none: give --calibration). No model uses them",
            file=sys.stderr,
        )
    return {f"{settings.name}_int{settings.bits}.pth": data}


def _depthwise_ranges(request: QuantizeRequest, prepared: Prepared, team: Team) -> dict[str, Range]:
    """The vendor's checkpoint has scales of depthwise layers too, though its compiler keeps their weights in float."""
    model, settings = prepared.model, prepared.recipe.settings
    names = [conv.name for conv in model.graph.convolutions() if conv.is_depthwise]
    pictures = request.quantization.calibration.pictures
    if not names or pictures is None:
        return {}
    from ..quantizer.calibration import observe_layers  # noqa: PLC0415 - torch
    from ..quantizer.scheme import Scheme  # noqa: PLC0415

    paths = calibration_pictures(pictures, request.knobs.iterations)
    scheme = Scheme(len(paths), bool(request.knobs.use_avg), settings.data_scale)
    return observe_layers(model, settings.preprocessing, paths, names, scheme, team)
