"""Learned weights in the workflows: learned from calibration pictures, or read from the file beside a recipe."""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.errors import UserError

from ..formats.learned import SUFFIX, learned_bytes, parse_learned, read_learned
from ..formats.recipe import LearnedFile
from ..support.files import sha256_hex
from ..values.learned import with_learned
from .ranges import calibration_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from ..calibration.choose import Rule
    from ..formats.recipe import Recipe, Settings
    from ..shards.team import Team
    from ..values.graph import BatchNorm, ImportedModel
    from ..values.ranges import Range
    from .request import Knobs, Quantization

    Tensors = OrderedDict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Taught:
    """A network with learned weights, its ranges, the file that holds the weights (None: none), and words about it."""

    model: ImportedModel
    ranges: Mapping[str, Range]
    data: bytes | None = None
    told: str = ""

    def file(self, settings: Settings) -> LearnedFile | None:
        return None if self.data is None else LearnedFile(f"{settings.name}{SUFFIX}", sha256_hex(self.data))


def teach(
    model: ImportedModel, settings: Settings, ranges: Mapping[str, Range], rule: Rule, quantization: Quantization,
    knobs: Knobs, team: Team | None,
) -> Taught:  # fmt: skip
    """Learns what was asked for, and says what was gained; ``rule`` made the ranges. Raises UserError and DataError."""
    if quantization.learn is None:
        return Taught(model, ranges)
    from ..learning.learn import learn, usual_passes  # noqa: PLC0415 - only who learns waits for it

    folder = quantization.calibration.pictures
    assert folder is not None  # the ranges were found on its pictures
    paths = calibration_pictures(folder, knobs.iterations)
    passes = quantization.learn or usual_passes(model.graph)
    found = learn(model, settings, ranges, rule, paths, passes, team)
    learned = f"learned from {passes} view{'s' * (passes != 1)}, {found.told}"
    print(f"mlu-export: note: {learned}", file=sys.stderr)
    if not found.layers:
        return Taught(model, ranges)
    graph = with_learned(model.graph, found.layers, settings.bits, settings.per_channel)
    return Taught(replace(model, graph=graph), found.ranges, learned_bytes(found.layers), f"; {learned}")


def remark_left(folder: Path, recipe: Recipe) -> None:
    """Says that learned weights of an earlier recipe of that name lie beside one that does not use them."""
    left = folder / f"{recipe.settings.name}{SUFFIX}"
    if recipe.learned is None and left.exists():
        print(
            f"mlu-export: note: {left} is of an earlier build, and the recipe written now does not use it: remove it "
            "if no other recipe needs it",
            file=sys.stderr,
        )


def check_learning(quantization: Quantization, knobs: Knobs) -> None:
    """Raises UserError where learning was asked for beside what it does not go with."""
    if quantization.learn is None:
        return
    if quantization.recipe is not None:
        raise UserError("--learn finds weights and ranges on --calibration pictures: leave --recipe out")
    if knobs.data_scale is not None:
        raise UserError("--learn finds the ranges itself: leave --data-scale out")


def recall(model: ImportedModel, settings: Settings, recipe: Recipe, quantization: Quantization) -> Taught:
    """The network with the weights that a recipe was made with. Raises UserError and DataError."""
    if recipe.learned is None or quantization.recipe is None:
        return Taught(model, recipe.ranges)
    if settings.bits != recipe.settings.bits:
        raise UserError(
            f"the learned weights are for {recipe.settings.bits} bits: leave --bits out, or calibrate anew with "
            "--calibration and without --recipe"
        )
    data = read_learned(quantization.recipe, recipe.learned.name, recipe.learned.sha256)
    graph = with_learned(model.graph, parse_learned(data), settings.bits, settings.per_channel)
    return Taught(replace(model, graph=graph), recipe.ranges, data)


def enter_norms(state: Tensors, before: ImportedModel, after: ImportedModel) -> Tensors:
    """A state dict with the learned batch norms; ``before`` is the network that it was imported as."""
    found = OrderedDict(state)
    for old, new in zip(before.graph.convolutions(), after.graph.convolutions()):
        if old.norm is None or new.norm is None or old.norm is new.norm:
            continue
        prefix, start = _place(state, (before.keys or {})[old.name], old.norm)
        for name, values in (("weight", new.norm.gamma), ("bias", new.norm.beta)):
            whole = found[f"{prefix}.{name}"].copy()
            whole[start : start + values.size] = values
            found[f"{prefix}.{name}"] = whole
    return found


def _place(state: Tensors, key: str, norm: BatchNorm) -> tuple[str, int]:
    """The batch norm's prefix, beside the layer or beside its parent, and its first channel there."""
    ending = ".running_mean"
    for home in (key.rpartition(".")[0], key.rpartition(".")[0].rpartition(".")[0]):
        for name in state:
            prefix = name[: -len(ending)]
            if name.endswith(ending) and prefix.rpartition(".")[0] == home:
                whole = [state[f"{prefix}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
                for start in range(0, whole[0].size - norm.mean.size + 1, norm.mean.size):
                    parts = [values[start : start + norm.mean.size].astype(np.float32) for values in whole]
                    if all(map(np.array_equal, parts, (norm.mean, norm.variance, norm.gamma, norm.beta))):
                        return prefix, start
    raise UserError(f"the batch norm of layer {key} is not found in the weights: use `mlu-export build --learn`")
