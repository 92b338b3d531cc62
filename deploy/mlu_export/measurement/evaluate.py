"""``mlu-export eval``: accuracy of the very file that ships, and of what it was made from.

Pictures go through the agent's own preprocessing, runtime and postprocessing; pycocotools gives the figures. A network
is run in one of three modes:

    offline  the file as a whole, as it ships
    online   every operator of the file by itself on the simulator, its tensors on the host in between
    float    the network that the file was made from, in torch
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import numpy as np

from mlu_agent.detector import Detector
from mlu_agent.errors import UserError
from mlu_agent.model.bundle import ModelSpec, Thresholds, load_detection_bundle
from mlu_agent.model.output_spec import DETECTION_OUTPUT, HeadSpec, OutputSpec
from mlu_agent.postprocess import Postprocessor

from ..formats.pictures import float_input, float_picture, read_picture
from ..formats.recipe import read_recipe
from ..importers.darknet.archs import OPEN, find_arch
from ..importers.source import import_model, read_source
from ..runners.float_graph import FloatRunner
from ..runners.simulated import simulate_target
from ..shards.team import Team
from ..values.heads import AUTO, HeadRequest, request_of
from ..values.pixels import Preprocessing
from .accuracy import Evaluation, Results
from .annotations import Annotations, import_pycocotools
from .online import OnlineDetector
from .same_weights import check_same_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from mlu_agent.detections import Detections

    from ..values.graph import ImportedModel

CONFIDENCE = 0.001
MAX_DETECTIONS = 300
MODES = ("float", "online", "offline")
Found = list[tuple[int, "Detections"]]  # (image id, what was found in it)
Row = tuple[str, int, "Detections"]  # what ran before that


@dataclass(frozen=True)
class Picture:
    """One annotated picture; the Detector reads ``pixels``."""

    image_id: int
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Job:
    """All that a process needs to detect: ``mode`` of ``MODES``; ``iou`` is NMS's, the manifest's if None; ``weights``,
    ``cfg`` and ``module`` (FILE.py:FUNCTION) for float. Plain values, so that it travels to other processes.
    """

    model: Path
    mode: str = "offline"
    runtime: str = "auto"
    iou: float | None = None
    weights: Path | None = None
    cfg: Path | None = None
    module: str | None = None


def detect_all(job: Job, entries: Sequence[tuple[int, Path]], team: Team | None = None) -> tuple[str, Found]:
    """What ran ("simulator", "device" or "float"), and the detections of each (image id, path), in their order.

    No picture's detections depend on the others: a ``team`` finds what one process does (None). Raises MluAgentError.
    """
    _simulate_target(job)  # once, here: processes of this machine inherit it
    work: Callable[[Sequence[tuple[int, Path]]], Iterator[Row]] = partial(detect, job)
    if team is not None and team.is_remote:
        spec = load_detection_bundle(job.model)
        files = {path.name: path.read_bytes() for path in (spec.path, spec.manifest_path)}
        work = partial(detect_files, files, job)
    rows = (team or Team(1)).map(work, entries, f"evaluating {job.mode}")
    return rows[0][0], [(image_id, found) for _, image_id, found in rows]


def detect(job: Job, entries: Sequence[tuple[int, Path]]) -> Iterator[Row]:
    """What ran, image id and detections, picture by picture."""
    spec = load_detection_bundle(job.model)
    thresholds = evaluation_thresholds(spec, job.iou)
    pictures = (Picture(image_id, read_picture(path)) for image_id, path in entries)
    if job.mode == "float":
        if job.weights is None and job.module is None:
            raise UserError("the float network needs the weights that the model was made from: give --weights FILE")
        network = FloatModel(spec, job.weights, job.cfg, job.module)
        for picture in pictures:
            yield "float", picture.image_id, network.detect(picture.pixels, thresholds)
        return
    online = job.mode == "online"
    _simulate_target(job)
    with OnlineDetector(job.model, thresholds) if online else Detector(job.model, job.runtime, thresholds) as detector:
        for picture, found in detector.stream(pictures):
            yield detector.runtime, picture.image_id, found


def _simulate_target(job: Job) -> None:
    if job.mode != "float":
        path = load_detection_bundle(job.model).path
        simulate_target(path, "simulator" if job.mode == "online" else job.runtime)


def detect_files(files: Mapping[str, bytes], job: Job, entries: Sequence[tuple[int, Path]]) -> Iterator[Row]:
    """``detect`` with a model that is not in this machine's files: it comes as the bytes of its files by name."""
    with tempfile.TemporaryDirectory(prefix="mlu-export-") as folder:
        yield from detect(unpack(files, folder, job), entries)


def unpack(files: Mapping[str, bytes], folder: str, job: Job) -> Job:
    """Writes the files into a folder; the job with the model there."""
    for name, data in files.items():
        (Path(folder) / name).write_bytes(data)
    return replace(job, model=Path(folder) / job.model.name)


def summarize(spec: ModelSpec, truth: Annotations, found: Found, runtime: str, mode: str) -> Evaluation:
    """The figures of detections by image id."""
    results = Results(truth, spec.labels, spec.thresholds)
    for image_id, detections in found:
        results.add(image_id, detections)
    return results.summarize(runtime, mode)


def evaluate(
    model: Path, images: Path, annotations: Path, runtime: str = "auto", iou: float | None = None
) -> Evaluation:
    """Runs a model file over an annotated set; ``iou`` is NMS's, the manifest's if None. Raises MluAgentError."""
    return evaluate_job(Job(model, "offline", runtime, iou), images, annotations)


def evaluate_job(job: Job, images: Path, annotations: Path, team: Team | None = None) -> Evaluation:
    """Runs one job over an annotated set, in this process or by a team."""
    import_pycocotools()
    spec = load_detection_bundle(job.model)
    truth = Annotations(annotations, images)
    truth.tell()
    truth.category_ids(spec.labels)  # before a long run, not after it
    runtime, found = detect_all(job, truth.entries, team)
    return summarize(spec, truth, found, runtime, job.mode)


class FloatModel:
    """The float network behind a model file, with the file's own pre- and postprocessing."""

    def __init__(self, spec: ModelSpec, weights: Path | None, cfg: Path | None, module: str | None = None) -> None:
        arch = find_arch(str(spec.provenance.get("arch", "")))
        source = read_source(arch, weights, cfg, module)
        self.spec = spec
        heads = _request(spec) if arch.family in OPEN else None
        model = import_model(arch, source, (spec.input.height, spec.input.width), heads)
        if source.sha256 != spec.provenance.get("weights_sha256"):
            check_same_weights(spec, model.graph, source.name)
        self._runner = FloatRunner(model.graph)
        self._input = float_input(model.graph, _preprocessing(spec))
        self._postprocess = Postprocessor(_of_heads(spec, model))

    def detect(self, pixels: npt.NDArray[np.uint8], thresholds: Thresholds) -> Detections:
        """Detections of one BGR picture, boxes in its pixels."""
        tensor, letterbox = float_picture(pixels, self._input)
        outputs = [output[0] for output in self._runner.run(tensor)]
        return self._postprocess(outputs, letterbox, thresholds)


def _request(spec: ModelSpec) -> HeadRequest:
    """A file with a detection output does not tell its heads; its recipe does, if it lies beside."""
    if spec.output.kind != DETECTION_OUTPUT:
        return request_of(spec)
    beside = spec.path.with_name(f"{spec.path.stem}.recipe.toml")
    return read_recipe(beside).settings.heads if beside.is_file() else HeadRequest(decode=AUTO)


def _of_heads(spec: ModelSpec, model: ImportedModel) -> ModelSpec:
    """The specification of the network itself: a detection output's heads are decoded here."""
    if spec.output.kind != DETECTION_OUTPUT:
        return spec
    heads = tuple(HeadSpec(head.stride, np.array(head.anchors, np.float32), head.scale_x_y) for head in model.heads)
    return replace(spec, output=OutputSpec("yolo_heads", model.decode, heads))


def _preprocessing(spec: ModelSpec) -> Preprocessing:
    """How the float network's pictures are prepared: as the file's, mean and standard deviation included."""
    colours = spec.provenance.get("colours", "rgb")
    return Preprocessing(spec.input.resize, spec.input.pad_value, spec.input.mean, spec.input.std, colours)


def evaluation_thresholds(spec: ModelSpec, iou: float | None) -> Thresholds:
    """As accuracy is measured: every class of a box that reaches a confidence of .001, at most 300 detections. What a
    detection output has dropped in the model is not asked of its float network either."""
    return replace(
        spec.thresholds,
        confidence=spec.thresholds.confidence if spec.output.kind == DETECTION_OUTPUT else CONFIDENCE,
        iou=spec.thresholds.iou if iou is None else iou,
        max_detections=MAX_DETECTIONS,
        multi_label=True,
    )
