"""``mlu-export quantize``: calibrates a network, writes its recipe, and tells what each layer loses."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import UserError

from ..calibration.mixed import keep_layers
from ..calibration.noise import LayerNoise, NoiseMeter, Proposal, propose, worst_layers
from ..calibration.refine import choose_pictures
from ..formats.pictures import float_input, float_picture, list_pictures, read_picture
from ..formats.recipe import DEPTHWISE_USE, Recipe, recipe_text
from ..report.quantization import DRAWN_LAYERS, measure_spread, quantization_page
from ..support.circumstances import Circumstances, circumstances, files_digest
from ..support.files import check_folder, sha256_hex, write_all
from .build import prepare
from .checkpoint import make_checkpoint
from .learned import remark_left
from .search import MapProposal, Search, Target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..values.arrays import FloatArray
    from ..values.graph import ImportedModel
    from .request import QuantizeRequest

SCHEMA = 1


@dataclass(frozen=True)
class Result:
    """What was written, and the layers in execution order (empty without a report)."""

    recipe: Path
    checkpoint: Path | None
    report: Path | None
    layers: tuple[LayerNoise, ...]
    pictures: int
    proposal: Proposal | None = None
    map_proposal: MapProposal | None = None

    def document(self) -> dict[str, Any]:
        """The report's JSON: ratios in dB, ``clipped`` as a part of one."""
        proposal = self.map_proposal or self.proposal
        found = {} if proposal is None else {"proposal": asdict(proposal)}
        return {
            "schema": SCHEMA,
            "recipe": self.recipe.name,
            "checkpoint": None if self.checkpoint is None else self.checkpoint.name,
            "pictures": self.pictures,
            "layers": [asdict(layer) for layer in self.layers],
            "worst": [layer.name for layer in worst_layers(list(self.layers))],
            **found,
        }

    def json(self) -> str:
        checkpoint = None if self.checkpoint is None else str(self.checkpoint)
        return json.dumps({**self.document(), "recipe": str(self.recipe), "checkpoint": checkpoint})

    def text(self) -> str:
        """The files written, and the worst layers as a table."""
        lines = [str(path) for path in (self.recipe, self.checkpoint, self.report) if path is not None]
        if self.layers:
            lines.append(f"worst of {len(self.layers)} layers over {self.pictures} pictures, signal to noise in dB:")
            lines.append(f"{'layer':24} {'bits':>4} {'own':>7} {'network':>7} {'clipped':>8}")
        lines += [
            f"{layer.name:24} {layer.bits:4} {layer.own:7.1f} {layer.network:7.1f} {layer.clipped * 100:7.3f}%"
            for layer in worst_layers(list(self.layers))
        ]
        if self.proposal is not None:
            lines.append(_sentence(self.proposal))
        if self.map_proposal is not None:
            lines.append(self.map_proposal.sentence())
        return "\n".join(lines)


def quantize(
    request: QuantizeRequest,
    report: Path | None,
    decibel: float | None = None,
    accuracy: Target | None = None,
    words: Sequence[str] = (),
) -> Result:
    """Writes ``NAME.recipe.toml`` and the vendor's checkpoint (``NAME_int8.pth`` or ``NAME_int16.pth``) of a network
    that has a layout there into the output folder, and the report.

    With ``decibel`` it also proposes which layers to keep in int16 for that ratio at the outputs; with ``accuracy``
    it searches those that keep mAP within that target, and the recipe and checkpoint hold them. ``words``: of the
    command line, which the report repeats. Raises UserError, DataError; then nothing is written.
    """
    check_folder(request.output)
    wanted = _why_pictures(report, decibel, accuracy)
    folder = request.quantization.calibration.pictures
    if wanted and folder is None:
        raise UserError(f"{wanted} measures on pictures: give --calibration DIR, also beside --recipe")
    search = None if accuracy is None else Search(request, accuracy)
    layers: list[LayerNoise] = []
    proposal, found, pictures = None, None, None
    with request.workers.team() as team:
        prepared = prepare(request.wanted, request.quantization, request.knobs, team, _uses(wanted, accuracy))
        model, recipe = prepared.model, prepared.recipe
        settings = recipe.settings
        _check_layers(model, settings.keep_float)
        if wanted and folder is not None:
            pictures = _pictures(model, recipe, folder)
            meter = NoiseMeter(model.graph, recipe.ranges, settings.bits, settings.per_channel, pictures, team)
            layers = meter.layers()
            proposal = None if decibel is None else propose(meter, layers, decibel)
        if search is not None and recipe.learned is not None:
            raise UserError("--propose-map searches before weights are learned: give --learn with the layers it names")
        if search is not None:
            found, recipe = search.run(model, recipe, layers, team)
            kept = recipe.settings.keep_int16
            model = replace(model, graph=keep_layers(model.graph, kept, settings.keep_float))
        checkpoint = make_checkpoint(request, replace(prepared, model=model, recipe=recipe), team)
    path = request.output / f"{settings.name}.recipe.toml"
    recipe_file = {path.name: recipe_text(recipe).encode("utf-8"), **prepared.learned_file()}
    write_all(request.output, {**recipe_file, **checkpoint})
    remark_left(request.output, recipe)
    written = next((request.output / name for name in checkpoint), None)
    count = 0 if pictures is None else len(pictures)
    result = Result(path, written, report, tuple(layers), count, proposal, found)
    if report is not None:
        made = circumstances(words, _digests(recipe, folder))
        write_all(report.parent, {report.name: _report(report, result, model, recipe, pictures, made)})
    return result


def _digests(recipe: Recipe, folder: Path | None) -> dict[str, str]:
    found = {"the weights": recipe.weights_sha256, "the recipe": sha256_hex(recipe_text(recipe).encode("utf-8"))}
    if folder is not None:
        found["the pictures' names and digests"] = files_digest(list_pictures(folder))
    return found


def _uses(wanted: str, accuracy: Target | None) -> tuple[str, ...]:
    """What the pictures are for where a recipe has the ranges already."""
    found = () if accuracy is None else ("the ranges of layers that come to be in int16",)
    return (*(("measuring",) if wanted else ()), *found, DEPTHWISE_USE)


def _check_layers(model: ImportedModel, keep_float: Sequence[str]) -> None:
    """Raises UserError where nothing is left to quantize: a checkpoint of it would hold scales that no layer has."""
    if not model.graph.quantized():
        why = "--keep-float keeps every layer in float" if keep_float else "the network has no layer that can be"
        raise UserError(f"there is nothing to quantize: {why}; `mlu-export convert` writes the float network")


def _why_pictures(report: Path | None, decibel: float | None, accuracy: Target | None) -> str:
    """The option that needs calibration pictures, or nothing. Raises UserError for two that exclude each other."""
    if decibel is not None and accuracy is not None:
        raise UserError("--propose and --propose-map are two ways to choose layers: give one of them")
    asked = (("--report", report), ("--propose", decibel), ("--propose-map", accuracy))
    return next((option for option, value in asked if value is not None), "")


def _report(
    path: Path, result: Result, model: ImportedModel, recipe: Recipe, pictures: FloatArray | None, made: Circumstances
) -> bytes:
    """What the report's file holds: a page for people if its name ends in .html, else JSON."""
    if path.suffix.lower() not in (".html", ".htm") or pictures is None:
        return (json.dumps({**result.document(), "made": made.document()}, indent=1) + "\n").encode("utf-8")
    names = [layer.name for layer in worst_layers(list(result.layers), DRAWN_LAYERS)]
    spreads = measure_spread(model.graph, recipe.ranges, names, pictures)
    settings = recipe.settings
    told: list[tuple[str, object]] = [
        ("network", settings.arch),
        ("weights", recipe.weights_name),
        ("weights' sha256", recipe.weights_sha256),
        ("calibration", recipe.calibration),
        ("bits", settings.bits),
        ("weight scales", "per channel" if settings.per_channel else "per tensor"),
        ("kept in 16 bits", ", ".join(settings.keep_int16) or "none"),
        ("kept in float", ", ".join(settings.keep_float) or "none"),
        ("input", f"{settings.width} x {settings.height}, {settings.input}, {settings.channels}"),
    ]
    if result.proposal is not None:
        told.append(("proposal", _sentence(result.proposal)))
    if result.map_proposal is not None:
        told.append(("proposal", result.map_proposal.sentence()))
    return quantization_page(settings.name, result.layers, spreads, told, result.pictures, made)


def _sentence(proposal: Proposal) -> str:
    now = f"the outputs have {proposal.before:.1f} dB"
    if proposal.before >= proposal.target:
        return f"{now}, which reaches {proposal.target:g} dB: no layer needs more bits"
    options = " ".join(f"--keep-int16 {name}" for name in proposal.layers)
    short = "" if proposal.after >= proposal.target else f", less than {proposal.target:g} dB: choose --observer minmax"
    return f"{now}; with {options} they have {proposal.after:.1f} dB{short}"


def _pictures(model: ImportedModel, recipe: Recipe, folder: Path) -> FloatArray:
    """Some of the calibration pictures, evenly spread, as one normalised batch."""
    paths = list_pictures(folder)
    spec = float_input(model.graph, recipe.settings.preprocessing)
    some = choose_pictures(paths, spec.height, spec.width)
    if len(some) < len(paths):
        print(f"mlu-export: note: the report is measured on {len(some)} of {len(paths)} pictures", file=sys.stderr)
    return np.concatenate([float_picture(read_picture(path), spec)[0] for path in some])
