"""Names of classes in files beside a network's own: Darknet's X.names, what X.data calls its ``names``, recipes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mlu_agent.config.text import decode_text
from mlu_agent.config.toml import parse_toml
from mlu_agent.errors import DataError

from ..support.files import read_bounded
from .labels import MAX_LABEL_BYTES, fitting_names
from .recipe import MAX_RECIPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_FILES = 16
MAX_DATA_BYTES = 1 << 16
_NAMES_LINE = re.compile(r"^[ \t]*names[ \t]*=[ \t]*([^\r\n#;]{1,1000})", re.MULTILINE)

Lines = tuple[str, ...]


def names_beside(path: Path, own_alone: bool) -> dict[str, Lines | str]:
    """What the files of names beside ``path`` hold, by their names: lines, or why there are none.

    Those that are called as ``path`` itself come alone, where there are such; with ``own_alone`` only these count.
    """
    try:
        beside = sorted(one for one in path.parent.iterdir() if one.suffix in (".names", ".data") and one.is_file())
    except OSError:
        return {}
    own = [one for one in beside if one.stem == path.stem and one != path]
    found = _name_files(own) or ({} if own_alone else _name_files(one for one in beside if one != path))
    return {one.name: problem or _lines(one) for one, problem in list(found.items())[:MAX_FILES]}


def names_of_recipe(checkpoint: Path) -> dict[str, Lines | str]:
    """The labels of NAME.recipe.toml beside the quantized checkpoint NAME_int8.pth: `quantize` writes both, and names
    have no place in a checkpoint.
    """
    name = re.sub(r"_int(8|16)$", "", checkpoint.stem)
    recipe = checkpoint.with_name(f"{name}.recipe.toml")
    if name == checkpoint.stem or not recipe.is_file():
        return {}
    try:
        labels = parse_toml(read_bounded(recipe, MAX_RECIPE_BYTES, "recipe"), recipe.name, DataError).get("labels")
    except DataError as error:
        return {recipe.name: str(error)}
    if not isinstance(labels, list) or not all(isinstance(one, str) for one in labels):
        return {recipe.name: f"{recipe.name} has no list of labels"}
    return {recipe.name: tuple(labels)} if labels else {}


def _name_files(files: Iterable[Path]) -> dict[Path, str]:
    """Files of names and those that files of data mention, each once; with why it cannot be read, a file of data."""
    found: dict[Path, str] = {}
    for one in files:
        try:
            names = one if one.suffix == ".names" else _mentioned(one)
        except DataError as error:
            found[one] = str(error)
            continue
        if names is not None:
            found[names] = ""
    return found


def _mentioned(data: Path) -> Path | None:
    """The path is written from Darknet's own folder, which may be the one above; nothing outside is read. Raises
    DataError.
    """
    text = _NAMES_LINE.search(decode_text(read_bounded(data, MAX_DATA_BYTES, "data"), data.name, DataError))
    if text is None:
        return None
    said = Path(text[1].strip().replace("\\", "/"))
    places = [data.parent / said.name]
    if not said.is_absolute() and ".." not in said.parts:
        places = [data.parent / said, data.parent.parent / said, *places]
    return next((place for place in places if place.suffix != ".data" and place.is_file()), None)


def _lines(path: Path) -> Lines | str:
    try:
        text = decode_text(read_bounded(path, MAX_LABEL_BYTES, "names"), path.name, DataError)
    except DataError as error:
        return str(error)
    return tuple(line.strip() for line in text.rstrip().split("\n"))


def choose_names(found: Mapping[str, Lines | str], classes: int) -> tuple[Lines | None, str, str]:
    """The names in those files that fit ``classes``; else None and why. Last, the file that they are from."""
    fits: dict[Lines, str] = {}
    problems = []
    for name, lines in found.items():
        labels, problem = (None, lines) if isinstance(lines, str) else fitting_names(lines, classes, name)
        if labels is None:
            problems.append(problem)
        else:
            fits.setdefault(labels, name)
    if len(fits) == 1:
        labels, name = fits.popitem()
        return labels, "", name
    if fits:
        return None, f"{' and '.join(fits.values())} both have names for {classes} classes", ""
    more = f" (and {len(problems) - 1} files more do not fit)" if len(problems) > 1 else ""
    return None, problems[0] + more if problems else "", ""
