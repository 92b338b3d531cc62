"""``mlu-export quantize``: calibrates a network, writes its recipe, and tells what each layer loses."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import UserError

from .build import Request, prepare
from .calibrate import float_input, float_picture, list_pictures, read_picture
from .files import write_all
from .noise import LayerNoise, measure_noise, worst_layers
from .recipe import Recipe, recipe_text
from .refine import choose_pictures

if TYPE_CHECKING:
    from pathlib import Path

    from .graph import FloatArray, ImportedModel

SCHEMA = 1


@dataclass(frozen=True)
class Result:
    """What was written, and the layers in execution order (empty without a report)."""

    recipe: Path
    report: Path | None
    layers: tuple[LayerNoise, ...]
    pictures: int

    def document(self) -> dict[str, Any]:
        """The report's JSON: ratios in dB, ``clipped`` as a part of one."""
        return {
            "schema": SCHEMA,
            "recipe": self.recipe.name,
            "pictures": self.pictures,
            "layers": [asdict(layer) for layer in self.layers],
            "worst": [layer.name for layer in worst_layers(list(self.layers))],
        }

    def json(self) -> str:
        return json.dumps({**self.document(), "recipe": str(self.recipe)})

    def text(self) -> str:
        """The files written, and the worst layers as a table."""
        lines = [str(path) for path in (self.recipe, self.report) if path is not None]
        if self.layers:
            lines.append(f"worst of {len(self.layers)} layers over {self.pictures} pictures, signal to noise in dB:")
            lines.append(f"{'layer':24} {'bits':>4} {'own':>7} {'network':>7} {'clipped':>8}")
        lines += [
            f"{layer.name:24} {layer.bits:4} {layer.own:7.1f} {layer.network:7.1f} {layer.clipped * 100:7.3f}%"
            for layer in worst_layers(list(self.layers))
        ]
        return "\n".join(lines)


def quantize(request: Request, report: Path | None) -> Result:
    """Writes ``NAME.recipe.toml`` into the output folder, and the report. Raises UserError, DataError."""
    if report is not None and request.calibration is None:
        raise UserError("--report measures on pictures: give --calibration DIR, also beside --recipe")
    model, recipe = prepare(request)
    settings = recipe.settings
    pictures = None if report is None else _pictures(model, recipe, request)
    layers: tuple[LayerNoise, ...] = ()
    if pictures is not None:
        noise = measure_noise(model.graph, recipe.ranges, settings.bits, settings.per_channel, pictures)
        layers = tuple(noise)
    path = request.output / f"{settings.name}.recipe.toml"
    write_all(request.output, {path.name: recipe_text(recipe).encode("utf-8")})
    result = Result(path, report, layers, 0 if pictures is None else len(pictures))
    if report is not None:
        write_all(report.parent, {report.name: (json.dumps(result.document(), indent=1) + "\n").encode("utf-8")})
    return result


def _pictures(model: ImportedModel, recipe: Recipe, request: Request) -> FloatArray:
    """Some of the calibration pictures, evenly spread, as one normalised batch."""
    assert request.calibration is not None
    paths = list_pictures(request.calibration)
    spec = float_input(model.graph, recipe.settings.preprocessing)
    some = choose_pictures(paths, spec.height, spec.width)
    if len(some) < len(paths):
        print(f"mlu-export: note: the report is measured on {len(some)} of {len(paths)} pictures", file=sys.stderr)
    return np.concatenate([float_picture(read_picture(path), spec)[0] for path in some])
