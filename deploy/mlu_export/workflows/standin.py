"""``mlu-export standin``: a model of the simulator that computes for a device file, from its network's weights.

What cannot be known of a device file is said, and kept beside the stand-in: a stand-in proves nothing of a device.
"""

from __future__ import annotations

import hashlib
import math
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlu_agent.config.toml_text import dump
from mlu_agent.errors import DataError, UserError
from mlu_agent.model.offline_model import MAX_FILE, OfflineModel, TensorInfo, read_offline_model
from mlu_agent.model.output_spec import ROW_FIELDS, ROW_HEADER

from .. import __version__
from ..formats.container import write_model
from ..formats.container_reader import read_network as read_model
from ..formats.twins import twins_text
from ..lowering.detection_output import MOST_BOXES, NONE
from ..lowering.fit import fit
from ..lowering.random_weights import INPUTS, U8_CHANNELS, random_network
from ..support.files import check_folder, read_bounded, write_all
from ..values.targets import CORE_NUMBERS
from .build import Prepared, lowered, prepare
from .compile import checkpoint_recipe
from .read import read_network
from .request import Form, Quantization, Wanted, Workers, option_of, said

if TYPE_CHECKING:
    from pathlib import Path

    from ..shards.team import Team
    from ..values.network import Network

UNKNOWN = "the device file's weights and quantization cannot be read: that it computes the same is not known"


@dataclass(frozen=True)
class StandinRequest:
    """One of ``wanted`` (weights), ``model`` (a model that was built) and ``seed`` (random weights). ``inputs`` and
    ``outputs``: what a file of 2019 does not say."""

    device_file: Path
    output: Path
    wanted: Wanted | None = None
    quantization: Quantization = field(default_factory=Quantization)
    workers: Workers = field(default_factory=Workers)
    model: Path | None = None
    seed: int | None = None
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()


@dataclass(frozen=True)
class _Made:
    """A network, what the stand-in is called, where it is from, and what is to be said of it."""

    network: Network
    name: str
    origin: dict[str, str]
    notes: tuple[str, ...] = ()


def make_standin(request: StandinRequest) -> list[Path]:
    """Writes the stand-in and what lies beside it; the paths. Raises UserError, DataError; then nothing is written."""
    check_folder(request.output)
    data = read_bounded(request.device_file, MAX_FILE, "model")
    device = _described(request, data)
    made = _made(request, device)
    network, changes = fit(made.network, device)
    digest = hashlib.sha256(data).hexdigest()
    model = write_model(network, made.name, device.target, device.parallelism)
    notes = [*made.notes, *changes, UNKNOWN]
    for note in notes:
        print(f"mlu-export: note: {note}", file=sys.stderr)
    record = {
        "schema": 1,
        "device_file": request.device_file.name,
        "device_sha256": digest,
        "sha256": hashlib.sha256(model).hexdigest(),
        "tool": f"mlu-export {__version__}",
        **made.origin,
        "notes": notes,
    }
    contents = {
        f"{digest}.cambricon": model,
        f"{digest}.cambricon_twins": twins_text(network, f"{digest}.cambricon", device.parallelism).encode(),
        f"{digest}.standin.toml": dump(record).encode(),
    }
    _tell_replaced(request.output / f"{digest}.cambricon", model)
    write_all(request.output, contents)
    return [request.output / name for name in contents]


def _tell_replaced(path: Path, model: bytes) -> None:
    """Where another stand-in of the same device file lies, as of another seed: nobody asked for its end."""
    if path.is_file() and read_bounded(path, MAX_FILE, "model") != model:
        print(f"mlu-export: note: replaced the stand-in {path.name}, which computes something else", file=sys.stderr)


def _described(request: StandinRequest, data: bytes) -> OfflineModel:
    """The device file, a file of 2019 with what was said of it."""
    path = request.device_file
    try:
        device = read_offline_model(data)
    except DataError as failure:
        raise DataError(f"{path}: {failure.message}") from None
    if device.kind != "device":
        raise UserError(f"{path}: holds a network for the simulator already; it needs no stand-in")
    if device.target not in CORE_NUMBERS:
        raise DataError(f"{path}: is for an unknown device; stand-ins are for {', '.join(CORE_NUMBERS)}")
    given = bool(request.inputs or request.outputs)
    if device.inputs and given:
        raise UserError(f"{path}: describes its inputs and outputs itself; leave out --input-tensor and so on")
    if not device.inputs and not (request.inputs and request.outputs):
        raise UserError(
            f"{path}: a format before 2020, which describes neither inputs nor outputs: say what they are with "
            "--input-tensor and --output-tensor, as 1x224x224x3:float16"
        )
    return replace(device, inputs=request.inputs, outputs=request.outputs) if given else device


def _made(request: StandinRequest, device: OfflineModel) -> _Made:
    if [request.wanted is None, request.model is None, request.seed is None].count(False) != 1:
        raise UserError(
            "a stand-in is made of weights (--arch and --weights, as for build and compile), of a model that was built "
            "(--model) or of --random-weights SEED: give one of them"
        )
    if request.model is not None:
        return _of_model(request.model)
    if request.seed is not None:
        name = f"random weights of seed {request.seed}"
        return _Made(
            random_network(device, request.seed), name, {"weights": name},
            (f"{name}: shapes and types are the device file's, the numbers mean nothing",),
        )  # fmt: skip
    assert request.wanted is not None
    with request.workers.team() as team:
        prepared = _prepared(_for_device(request.wanted, device), request.quantization, team)
    network, _ = lowered(prepared.model, prepared.recipe)
    recipe, bits = prepared.recipe, prepared.recipe.settings.bits
    return _Made(
        network, recipe.settings.name, {"weights": recipe.weights_name, "weights_sha256": recipe.weights_sha256},
        (f"quantized by {recipe.calibration}, int{bits}",),
    )  # fmt: skip


def _of_model(path: Path) -> _Made:
    data = read_bounded(path, MAX_FILE, "model")
    try:
        network, name = read_model(data), read_offline_model(data).name
    except DataError as failure:
        raise DataError(f"{path}: {failure.message}") from None
    return _Made(network, name, {"model": path.name, "model_sha256": hashlib.sha256(data).hexdigest()})


def _prepared(wanted: Wanted, quantization: Quantization, team: Team | None) -> Prepared:
    """Float weights as ``build`` takes them, a quantized checkpoint as ``compile`` does."""
    if quantization.recipe is not None:
        return prepare(wanted, quantization, team=team)
    read = read_network(wanted)
    if read.model.quantized is not None:
        _check_unsaid(quantization, read.source.name)
        return Prepared(read, read.model, checkpoint_recipe(wanted, read))
    return prepare(wanted, quantization, team=team, read=read)


def _check_unsaid(quantization: Quantization, checkpoint: str) -> None:
    """UserError for options of quantization beside a checkpoint that is quantized."""
    given = said(quantization.calibration) | said(quantization.precision) | said(quantization, "learn")
    if given:
        raise UserError(
            f"--weights {checkpoint} is quantized, and its stand-in takes its scales: leave "
            f"{', '.join(map(option_of, given))} out"
        )


def _with_boxes(form: Form, device: OfflineModel) -> Form:
    """A detection output has room for as many boxes as the file's row, in its type."""
    row = device.outputs[0]
    if form.detection_output in (None, NONE) or len(device.outputs) != 1:
        return form
    numbers = math.prod(row.shape[1:])
    room = (numbers - ROW_HEADER) // ROW_FIELDS
    if form.max_boxes is None and not 1 <= room <= MOST_BOXES:
        raise DataError(
            f"--detection-output: the device file's output of {numbers} numbers a picture has room for "
            f"{max(0, room)} boxes; a detection output has 1 to {MOST_BOXES}"
        )
    return replace(
        form,
        max_boxes=form.max_boxes or room,
        detection_output="f32" if row.dtype == "float32" else form.detection_output,
    )


def _for_device(wanted: Wanted, device: OfflineModel) -> Wanted:
    """In the form that the file has."""
    shape, dtype = device.inputs[0].shape, device.inputs[0].dtype
    if len(device.inputs) != 1 or len(shape) != 4 or dtype not in INPUTS:
        raise DataError("the device file takes no single picture, NHWC: build its network, and give it with --model")
    kind = INPUTS[dtype]
    form = replace(
        _with_boxes(wanted.form, device),
        size=(shape[1], shape[2]),
        input=kind,
        batch=shape[0],
        core_number=device.parallelism,
        target=device.target,
        channels=wanted.form.channels or (U8_CHANNELS.get(shape[3]) if kind == "u8" else None),
    )
    return replace(wanted, form=form)
