"""What a gate lets pass: the loss against float or an earlier result, and whether so many pictures can tell it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import DataError

from ..support.files import read_bounded
from .resampling import LEAST_PICTURES, Interval, pictures_needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .accuracy import Evaluation
    from .against import Against

MAX_BASELINE_BYTES = 1 << 24


@dataclass(frozen=True)
class Reference:
    """What a gate measures against."""

    name: str
    images: int
    map50_95: float


def read_baseline(path: Path) -> Reference:
    """An earlier ``eval --json``. Raises DataError."""
    try:
        document = json.loads(read_bounded(path, MAX_BASELINE_BYTES, "baseline"))
        images, figure = document["images"], document["map50_95"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise DataError(f"{path} is not what an earlier eval --json printed: it has no images and map50_95") from None
    if not isinstance(images, int) or not isinstance(figure, (int, float)) or not 0 <= figure <= 1:
        raise DataError(f"{path}: images {images!r:.20} and map50_95 {figure!r:.20} are not what eval --json prints")
    return Reference(f"the baseline {path.name}", images, float(figure))


@dataclass(frozen=True)
class Verdict:
    """Of one result against one reference. ``loss`` with its interval where the pictures were compared one by one;
    ``is_sure``: the whole interval lies on one side of what is allowed. What is not sure goes by the figure itself.
    """

    mode: str
    reference: Reference
    figure: float
    allowed: float
    loss: Interval | None

    @property
    def lost(self) -> float:
        return self.reference.map50_95 - self.figure

    @property
    def passed(self) -> bool:
        return self.lost <= self.allowed

    @property
    def is_sure(self) -> bool:
        return self.loss is not None and is_sure(self.reference.images, self.loss, self.allowed)

    @property
    def needed(self) -> int | None:
        """So many pictures would tell a loss of what is allowed from none; None if unknown."""
        return None if self.loss is None else pictures_needed(self.reference.images, self.loss.half, self.allowed)

    def sentence(self) -> str:
        """What was found, and how sure that is."""
        chance = "" if self.loss is None else f" +-{self.loss.half:.4f}"
        side = "within" if self.passed else "more than"
        allows = (
            f"{side} what --gate {self.allowed:g} allows" if self.passed else f"{side} --gate {self.allowed:g} allows"
        )
        change = f"gains {-self.lost:.4f}" if self.lost < 0 else f"loses {self.lost:.4f}"
        found = (
            f"{self.mode} {change}{chance} mAP50-95 against {self.reference.name} "
            f"({self.figure:.4f} against {self.reference.map50_95:.4f}), {allows}"
        )
        return found if self.is_sure else f"{found}, by the figure alone: {self.too_small()}"

    def too_small(self) -> str:
        """Why it is not sure."""
        if self.loss is None:
            return f"there is no interval against {self.reference.name}, so chance may be all of it"
        return too_small(self.reference.images, self.loss, self.allowed)

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "mode": self.mode,
            "reference": self.reference.name,
            "loss": {"value": self.lost} if self.loss is None else self.loss.document(),
            "allowed": self.allowed,
            "passed": self.passed,
            "is_sure": self.is_sure,
            "pictures": self.reference.images,
            "pictures_needed": self.needed,
        }


def is_sure(pictures: int, loss: Interval, allowed: float) -> bool:
    """Whether what is allowed lies outside of the interval, and that is one of enough pictures."""
    if pictures < LEAST_PICTURES:
        return False
    return loss.high <= allowed or loss.low > allowed


def too_small(pictures: int, loss: Interval, allowed: float) -> str:
    """That so many pictures cannot tell a loss, and how many could."""
    if pictures < LEAST_PICTURES:
        return f"{pictures} pictures are too few for an interval that holds: {LEAST_PICTURES} are the least"
    needed = pictures_needed(pictures, loss.half, allowed)
    found = f"{pictures} pictures tell a loss of {allowed:g} apart only with +-{loss.half:.4f}"
    if needed is None:
        return f"{found}: no set has as many as are needed"
    return found + (
        f": some {needed} are needed" if needed > pictures else ", and it lies on the edge: more would tell"
    )


def judge(
    results: Sequence[Evaluation], baseline: Reference | None, against: Mapping[str, Against], allowed: float
) -> list[Verdict]:
    """Every result that is not float against the float network and the baseline, as far as there are. Raises DataError
    if one was measured on another number of pictures.
    """
    exact = [Reference("float", one.images, one.map50_95) for one in results if one.mode == "float"]
    verdicts = []
    for reference in (*exact, *([] if baseline is None else [baseline])):
        for result in (one for one in results if one.mode != "float"):
            if result.images != reference.images:
                raise DataError(
                    f"{reference.name} was measured on {reference.images} pictures, this is on {result.images}: "
                    "measure it anew on the same set"
                )
            known = against.get(result.mode) if reference in exact else None
            loss = None if known is None else known.map50_95.negated()
            verdicts.append(Verdict(result.mode, reference, result.map50_95, allowed, loss))
    return verdicts
