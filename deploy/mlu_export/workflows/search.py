"""Which layers to keep in int16 so that accuracy stays within a bound: every trial is a model file, built and measured.

Layers are taken in the order of their own noise, 1, 2, 4 and so on, then the numbers between by bisection; then each
of the layers found, the least noisy first, is given back to int8 if accuracy allows it. A layer of 16 bits has as its
range all that calibration saw.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError
from mlu_agent.model.bundle import load_detection_bundle

from ..calibration.calibrate import observe_layers
from ..calibration.noise import LayerNoise, candidates, fewest
from ..formats.pictures import float_input
from ..measurement.against import against_float
from ..measurement.annotations import Annotations, import_pycocotools
from ..measurement.evaluate import Job, detect_files, summarize, unpack
from ..measurement.gate import is_sure, too_small
from ..values.ranges import Range, storable
from .build import render
from .ranges import calibration_pictures

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..formats.recipe import Recipe
    from ..measurement.accuracy import Evaluation
    from ..measurement.resampling import Interval
    from ..shards.team import Team
    from ..values.graph import ImportedModel
    from .request import QuantizeRequest

MOST_GIVEN_BACK = 8  # trials after the bisection


@dataclass(frozen=True)
class Target:
    """How much of the float network's mAP50-95 may be lost, and the pictures on which."""

    loss: float
    images: Path
    annotations: Path


@dataclass(frozen=True)
class MapProposal:
    """Layers to keep in int16 beside those already asked for, in execution order; mAP50-95 of the float network and of
    the quantized one without and with them; the loss that was allowed, and that with them on so many pictures.
    """

    layers: tuple[str, ...]
    exact: float
    before: float
    after: float
    loss: float
    lost: Interval
    pictures: int

    def sentence(self) -> str:
        """For a person, with options to paste."""
        now = f"float has mAP50-95 {self.exact:.4f}, int8 {self.before:.4f}"
        chance = f" +-{self.lost.half:.4f}"
        doubt = (
            ""
            if is_sure(self.pictures, self.lost, self.loss)
            else f"; {too_small(self.pictures, self.lost, self.loss)}"
        )
        if not self.layers:
            lost = f"{self.exact - self.before:.4f}{chance}"
            return f"{now}, which loses {lost}, at most {self.loss:g}: no layer needs more bits{doubt}"
        options = " ".join(f"--keep-int16 {name}" for name in self.layers)
        return (
            f"{now}; with {options} it is {self.after:.4f}, which loses {self.lost.value:.4f}{chance}; the recipe "
            f"holds these layers and their ranges{doubt}"
        )


class Search:
    """One search; it checks what it is given before the calibration that comes first."""

    def __init__(self, request: QuantizeRequest, target: Target) -> None:
        import_pycocotools()
        self.request = request
        self.target = target
        self.truth = Annotations(target.annotations, target.images)
        self.truth.tell()

    def run(
        self, model: ImportedModel, recipe: Recipe, layers: list[LayerNoise], team: Team
    ) -> tuple[MapProposal, Recipe]:
        """What was found, and the recipe with it. Raises UserError where even all layers in int16 lose more."""
        trials = _Trials(self, model, recipe, self._seen(model, recipe, team), team)
        names = candidates(layers)
        wanted = trials.exact() - self.target.loss

        def is_enough(count: int) -> bool:
            return trials.figure(names[:count]) >= wanted

        kept = names[: fewest(len(names), is_enough)]
        if trials.figure(kept) < wanted:
            raise UserError(
                f"even with all {len(names)} layers in int16 mAP50-95 is {trials.figure(names):.4f}, "
                f"{trials.exact() - trials.figure(names):.4f} below float's {trials.exact():.4f} and not within "
                f"{self.target.loss:g}; the best that was reached is {trials.best():.4f}"
            )
        for name in kept[::-1][:MOST_GIVEN_BACK]:
            fewer = [other for other in kept if other != name]
            if trials.figure(fewer) >= wanted:
                kept = fewer
        chosen = trials.recipe(kept)
        order = tuple(name for name in chosen.settings.keep_int16 if name in kept)
        figures = (trials.exact(), trials.figure(()), trials.figure(kept))
        proposal = MapProposal(order, *figures, self.target.loss, trials.loss(kept), len(self.truth.entries))
        return proposal, chosen

    def _seen(self, model: ImportedModel, recipe: Recipe, team: Team) -> dict[str, Range]:
        """The widest range of every layer, as it is stored for 16 bits."""
        spec = float_input(model.graph, recipe.settings.preprocessing)
        folder = self.request.quantization.calibration.pictures
        assert folder is not None  # without pictures there were no noises to search by
        paths = calibration_pictures(folder, self.request.knobs.iterations)
        layers = observe_layers(model.graph, spec, paths, team)
        scale = recipe.settings.data_scale
        return {name: storable(Range(seen.low * scale, seen.high * scale), 16) for name, seen in layers.items()}


class _Trials:
    """Model files with some layers in int16, and what they reach; nothing is measured twice."""

    def __init__(
        self, search: Search, model: ImportedModel, recipe: Recipe, seen: Mapping[str, Range], team: Team
    ) -> None:
        self._search = search
        self._model = model
        self._recipe = recipe
        self._seen = seen
        self._team = team
        self._figures: dict[frozenset[str], Evaluation] = {}
        self._exact: Evaluation | None = None

    def recipe(self, names: Collection[str]) -> Recipe:
        """The recipe with those layers in int16 too."""
        settings = self._recipe.settings
        kept = {*settings.keep_int16, *names}
        order = tuple(conv.name for conv in self._model.graph.convolutions() if conv.name in kept)
        ranges = {name: self._seen[name] if name in names else seen for name, seen in self._recipe.ranges.items()}
        return replace(self._recipe, settings=replace(settings, keep_int16=order), ranges=ranges)

    def exact(self) -> float:
        """mAP50-95 of the float network."""
        return self._float().map50_95

    def _float(self) -> Evaluation:
        if self._exact is None:
            self._exact = self._measure(self._recipe, "float")
            print(f"mlu-export: float: mAP50-95 {self._exact.map50_95:.4f}", file=sys.stderr)
        return self._exact

    def best(self) -> float:
        return max(one.map50_95 for one in self._figures.values())

    def loss(self, names: Collection[str]) -> Interval:
        """What is lost with those layers in int16, and how sure that is."""
        self.figure(names)
        return against_float([self._float(), self._figures[frozenset(names)]])["offline"].map50_95.negated()

    def figure(self, names: Collection[str]) -> float:
        """mAP50-95 on the simulator with those layers in int16."""
        key = frozenset(names)
        if key not in self._figures:
            self._figures[key] = self._measure(self.recipe(key), "offline")
            lost = self.loss(key)
            print(
                f"mlu-export: trial {len(self._figures)}, {len(key)} layers in int16: mAP50-95 "
                f"{self._figures[key].map50_95:.4f}, loses {lost.value:.4f} +-{lost.half:.4f}",
                file=sys.stderr,
            )
            self._warn(lost)
        return self._figures[key].map50_95

    def _warn(self, lost: Interval) -> None:
        """Once, before the long rest: the figures decide all the same."""
        allowed = self._search.target.loss
        if len(self._figures) == 1 and lost.half > allowed:
            print(
                f"mlu-export: note: {too_small(len(self._search.truth.entries), lost, allowed)}; what is found may be "
                "chance",
                file=sys.stderr,
            )

    def _measure(self, recipe: Recipe, mode: str) -> Evaluation:
        asked = self._search.request.wanted.files
        files = render(self._model, recipe, golden=False)
        truth = self._search.truth
        made = Path(f"{recipe.settings.name}.cambricon")
        job = Job(made, mode, "simulator", None, asked.weights, asked.cfg, asked.module)
        with tempfile.TemporaryDirectory(prefix="mlu-export-") as folder:
            spec = load_detection_bundle(unpack(files, folder, job).model)
        truth.category_ids(spec.labels)
        rows = self._team.map(partial(detect_files, files, job), truth.entries, "trying")
        return summarize(spec, truth, [(image_id, found) for _, image_id, found in rows], rows[0][0], mode)
