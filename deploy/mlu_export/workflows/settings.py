"""The settings of a model: a recipe's or the network's usual ones, with what the user says on top."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError
from mlu_agent.model.bundle import Thresholds
from mlu_agent.model.output_spec import DISTANCES, TENSORS

from ..calibration.mixed import choose_layers, without_auto
from ..formats.labels import choose_labels, read_labels
from ..formats.recipe import Settings
from ..importers.darknet.archs import OPEN
from ..lowering.detection_output import NONE, check_heads
from ..values.pixels import Preprocessing
from ..values.targets import CORE_NUMBERS
from .request import USUAL_KNOBS, USUAL_PRECISION, said

if TYPE_CHECKING:
    from .read import Read
    from .request import Knobs, Precision, Wanted

DEFAULT_CHANNELS = "rgba"  # of a u8 input; the others have the network's own order
IOUS = {"yolov5": 0.6, "yolox": 0.65, **dict.fromkeys(DISTANCES, 0.7)}  # of suppression, as their authors measure
FORM = ("name", "input", "channels", "batch", "core_number", "target", "flat", "detection_output", "max_boxes")


def choose_settings(
    wanted: Wanted,
    read: Read,
    recipe: Settings | None = None,
    precision: Precision = USUAL_PRECISION,
    knobs: Knobs = USUAL_KNOBS,
) -> Settings:
    """The recipe's settings or the network's defaults, with what is asked for on top. Raises UserError."""
    base = _base(wanted, read, recipe)
    changes = said(wanted.form, *FORM) | said(precision, "bits", "per_channel") | said(knobs, "data_scale")
    for key, patterns in said(precision, "keep_int16", "keep_float").items():
        changes[key] = choose_layers(read.model.graph, without_auto(patterns), f"--{key.replace('_', '-')}")
    preprocessing = wanted.pixels.over(base.preprocessing)
    kind = changes.get("input", base.input)
    if "channels" not in changes and (recipe is None or kind != base.input or preprocessing != base.preprocessing):
        changes["channels"] = DEFAULT_CHANNELS if kind == "u8" else preprocessing.colours
    if recipe is None and read.arch.family in OPEN and read.heads.decode == "yolox":
        _remark_pixels(wanted)
    height, width, _ = read.model.graph.input_shape
    changes.update(width=width, height=height, preprocessing=preprocessing, heads=read.heads)
    settings = _checked(replace(base, thresholds=wanted.suppression.over(base.thresholds), **changes))
    if settings.detection_output != NONE:
        check_heads(read.model)
    elif wanted.form.max_boxes is not None:
        raise UserError(f"--max-boxes {wanted.form.max_boxes} belongs to --detection-output: give that too")
    return settings


def _remark_pixels(wanted: Wanted) -> None:
    """YOLOX's authors train on pixels as they are; seen otherwise, the network finds nothing."""
    if wanted.pixels.std is None and wanted.pixels.colours is None:
        print(
            "mlu-export: warning: built for pixels 0..1 in rgb; YOLOX as its authors export it takes 0..255 in bgr and "
            "would find nothing: if it is theirs, say --std 1 --colours bgr; if it is not, --colours rgb says so",
            file=sys.stderr,
        )


def _base(wanted: Wanted, read: Read, recipe: Settings | None) -> Settings:
    """What holds without a word of the user, apart from the labels, which are checked here."""
    model, arch = read.model, read.arch
    given = None if wanted.form.labels is None else read_labels(wanted.form.labels, model.classes)
    plain = model.decode == TENSORS and not model.classify
    if recipe is not None:
        kept = given or recipe.labels
        return replace(recipe, labels=kept if plain else choose_labels(model.classes, kept, None))
    return Settings(
        wanted.form.name or _default_name(wanted, read),
        arch.name,
        given or () if plain else _labels(wanted, read, given),
        width=0,
        height=0,
        preprocessing=Preprocessing(arch.resize, arch.pad_value),
        thresholds=Thresholds(iou=IOUS.get(read.heads.decode, arch.iou)),
    )


def _labels(wanted: Wanted, read: Read, given: tuple[str, ...] | None) -> tuple[str, ...]:
    model = read.model
    if given is None and model.labels is not None and model.names_of:
        print(f"mlu-export: note: classes are called as {model.names_of} says", file=sys.stderr)
    known = read.arch.is_published and wanted.files.cfg is None
    return choose_labels(model.classes, given, model.labels, model.names_problem, known)


def _default_name(wanted: Wanted, read: Read) -> str:
    """The arch's name; for what has no name of its own, that of its file."""
    arch, files = read.arch, wanted.files
    file = files.module.rpartition(":")[2] if files.module else files.weights
    if arch.family not in OPEN or file is None:
        return arch.model_name
    stem = re.sub(r"[^A-Za-z0-9._+-]", "_", Path(file).stem)[:100]
    return stem if re.match(r"[A-Za-z0-9_]", stem) else arch.model_name


def _checked(settings: Settings) -> Settings:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}", settings.name):
        raise UserError(f"--name {settings.name!r:.60}: a name has up to 100 letters, digits, '.', '_', '+' and '-'")
    if settings.core_number not in CORE_NUMBERS[settings.target]:
        *others, last = map(str, CORE_NUMBERS[settings.target])
        allowed = f"{', '.join(others)} or {last}"
        raise UserError(f"--core-number {settings.core_number}: an {settings.target} runs a model on {allowed} cores")
    if settings.input != "u8" and len(settings.channels) == 4:
        three = settings.preprocessing.colours
        raise UserError(f"--channels {settings.channels}: a {settings.input} input has three channels: {three}")
    colours = settings.preprocessing.colours
    if settings.input != "u8" and settings.channels != colours:
        raise UserError(
            f"--channels {settings.channels}: only a u8 input reorders channels on the device; use {colours}"
        )
    return settings
