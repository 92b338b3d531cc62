"""What a command line changes of a recipe's settings, in words: nothing departs from a recipe silently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..formats.recipe import Settings

PRECISION = ("bits", "per_channel", "keep_int16", "keep_float", "data_scale")


def departures(ours: Settings, recipe: Settings) -> str:
    """The settings of precision that are not the recipe's, for one note; "" where all are."""
    changed = [key for key in PRECISION if getattr(ours, key) != getattr(recipe, key)]
    return "; ".join(f"{_words(key, getattr(ours, key))} instead of {_theirs(key, recipe)}" for key in changed)


def _theirs(key: str, recipe: Settings) -> str:
    value = getattr(recipe, key)
    return f"the recipe's {value}" if key in ("bits", "data_scale") else f"the recipe's {_words(key, value)}"


def _words(key: str, value: Any) -> str:
    if key == "per_channel":
        return "scales per channel" if value else "--per-tensor"
    option = f"--{key.replace('_', '-')}"
    if isinstance(value, tuple):
        return f"{option} of {len(value)} layers" if value else f"no {option}"
    return f"{option} {value}"
