"""A user's files, read once: what they hold, and the network imported from them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlu_agent.errors import DataError, UserError

from ..importers.darknet.archs import OPEN, Arch, find_arch
from ..importers.source import Source, import_model, read_source
from ..values.heads import NONE, HeadRequest

if TYPE_CHECKING:
    from ..formats.recipe import Recipe
    from ..values.graph import ImportedModel
    from .request import Wanted

BY_SUFFIX = {".onnx": "onnx", ".torchscript": "torchscript"}


@dataclass(frozen=True)
class Read:
    """A source and the network in it; ``size`` (height, width) and ``heads`` are those that it was imported with."""

    arch: Arch
    source: Source
    model: ImportedModel
    size: tuple[int, int] | None
    heads: HeadRequest


def read_network(wanted: Wanted, recipe: Recipe | None = None) -> Read:
    """Reads and imports what is asked for; the importer's warnings are said. Raises UserError and DataError."""
    arch = _choose_arch(wanted, recipe)
    files = wanted.files
    source = read_source(arch, files.weights, files.cfg, files.module)
    if recipe is not None:
        _check_recipe(recipe, source)
    size, heads = _asked(wanted, arch, recipe)
    return _imported(arch, source, size, heads)


def read_for_recipe(read: Read, wanted: Wanted, recipe: Recipe) -> Read:
    """What was read already, as a recipe wants it: imported anew only where that says something else of it.

    Raises UserError and DataError.
    """
    _choose_arch(wanted, recipe)
    _check_recipe(recipe, read.source)
    size, heads = _asked(wanted, read.arch, recipe)
    plain = heads.decode == NONE
    if (size, replace(heads, decode="") if plain else heads) == (read.size, read.heads):
        return read
    return _imported(read.arch, read.source, size, heads)


def _asked(wanted: Wanted, arch: Arch, recipe: Recipe | None) -> tuple[tuple[int, int] | None, HeadRequest]:
    """Size and heads; a recipe that says nothing of heads was made of a network's own outputs."""
    if recipe is None:
        return wanted.form.size, wanted.heads.check()
    heads = wanted.heads.over(recipe.settings.heads).check()
    if not heads.decode and not heads.classify and arch.family in OPEN:
        heads = replace(heads, decode=NONE)
    return wanted.form.size or (recipe.settings.height, recipe.settings.width), heads


def _imported(arch: Arch, source: Source, size: tuple[int, int] | None, heads: HeadRequest) -> Read:
    """The network; what its importer warns of, and what it found itself, is said."""
    model = import_model(arch, source, size, heads)
    for warning in model.warnings:
        print(f"mlu-export: warning: {warning}", file=sys.stderr)
    for note in model.notes:
        print(f"mlu-export: note: {source.name}: {note}", file=sys.stderr)
    return Read(arch, source, model, size, heads if model.request is None else model.request)


def _choose_arch(wanted: Wanted, recipe: Recipe | None) -> Arch:
    name = wanted.files.arch or (recipe.settings.arch if recipe else None)
    if name is None:
        file = wanted.files.weights
        fitting = None if file is None else BY_SUFFIX.get(file.suffix.lower())
        hint = f"--arch {fitting} fits {file}" if fitting else "--arch NAME"
        raise UserError(f"say which network it is: {hint}")
    if recipe is not None and recipe.settings.arch != name:
        raise UserError(f"the recipe is for --arch {recipe.settings.arch}, not {name}")
    return find_arch(name)


def _check_recipe(recipe: Recipe, source: Source) -> None:
    if recipe.weights_sha256 != source.sha256:
        raise DataError(
            f"the recipe was made from weights with sha256 {recipe.weights_sha256[:12]}…, {source.name} has "
            f"{source.sha256[:12]}…: use those weights, or calibrate anew with --calibration and without --recipe"
        )
    if recipe.cfg_sha256 != source.cfg_sha256:
        raise DataError(
            "the recipe was made "
            + (
                f"from a cfg with sha256 {recipe.cfg_sha256[:12]}…: give that file with --cfg"
                if recipe.cfg_sha256
                else "without --cfg: leave --cfg out"
            )
        )
