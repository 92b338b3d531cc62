"""``mlu-export eval``: accuracy of a model file on annotated pictures, alone or beside what it was made from."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import UserError
from mlu_agent.model.bundle import ModelSpec, load_detection_bundle
from mlu_agent.model.output_spec import DETECTION_OUTPUT

from ..measurement.against import against_float, own_intervals
from ..measurement.annotations import Annotations, import_pycocotools
from ..measurement.box import Box, read_box, record
from ..measurement.comparison import comparison, comparison_text, result_text
from ..measurement.evaluate import MODES, Job, detect_all, evaluation_thresholds, summarize
from ..measurement.gate import judge, read_baseline
from ..measurement.recordings import read_recording
from ..report.evaluation import Outcome, evaluation_page
from ..report.losses import Judgement
from ..shards.team import Team
from ..support.circumstances import Circumstances, circumstances, file_digest, files_digest
from ..support.files import write_all
from .arguments import Number, declare_workers
from .checkpoint import declare_checkpoint, is_checkpoint_path, model_file
from .report_file import check_report

if TYPE_CHECKING:
    from ..measurement.accuracy import Evaluation


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    path: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    declare_checkpoint(parser)
    parser.add_argument("--images", required=True, type=Path, metavar="DIR")
    parser.add_argument("--annotations", required=True, type=Path, metavar="FILE", help="COCO instances.json")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--runtime", default="auto", help="auto, device, simulator or the path of a library (default auto)"
    )
    parser.add_argument("--iou", type=Number(1.0), metavar="X", help="NMS IoU threshold (default: the manifest's)")
    parser.add_argument(
        "--online", action="store_true", help="run operator by operator on the simulator instead of the file as a whole"
    )
    _declare_networks(parser, path)
    parser.add_argument(
        "--gate",
        type=Number(1.0),
        metavar="LOSS",
        help="exit with 2 if mAP50-95 is more than LOSS below float (--weights) or below --baseline; says where the "
        "pictures are too few to tell",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write curves, classes and the worst pictures, in one file"
    )
    parser.add_argument("--baseline", **path, help="what an earlier eval --json printed, for --gate")
    declare_workers(parser)


def _declare_networks(parser: argparse.ArgumentParser, path: dict[str, Any]) -> None:
    """What is measured beside the file as it ships, or in its place."""
    parser.add_argument(
        "--compare", type=_modes, metavar="MODES", help=f"measure several side by side: some of {','.join(MODES)}"
    )
    parser.add_argument(
        "--float",
        type=Path,
        metavar="WEIGHTS",
        dest="float_weights",
        help="measure the float network of these weights instead (torch), with the model's own processing",
    )
    parser.add_argument("--weights", **path, help="the weights that the model was made from, for --compare and --gate")
    parser.add_argument("--cfg", **path, help="the Darknet description of weights or checkpoint")
    parser.add_argument(
        "--recorded", **path, help="measure what `mlu-agent detect --json` printed on a device for these pictures"
    )
    parser.add_argument(
        "--box",
        **path,
        help="an address file: run the model on that box; its lines are kept beside the report, or beside the file",
    )


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(text.split(","))
    if not set(modes) <= set(MODES) or len(set(modes)) != len(modes):
        raise argparse.ArgumentTypeError(f"{text!r} is not some of {', '.join(MODES)}, with commas between them")
    return modes


def run(arguments: argparse.Namespace) -> int:
    """Evaluates, prints the figures and minds the gate."""
    check_report(arguments)
    with model_file(arguments, takes_module=True) as path:
        return _evaluate(Run(arguments, path, arguments.model if is_checkpoint_path(arguments.model) else None))


@dataclass(frozen=True)
class Run:
    """What was asked for: the model file, and the checkpoint that it was just made of, which is also its float network
    where no other weights are given.
    """

    arguments: argparse.Namespace
    model: Path
    checkpoint: Path | None

    @property
    def given_weights(self) -> Path | None:
        """Float weights, or a checkpoint, that the command line names."""
        found: Path | None = self.arguments.weights or self.arguments.float_weights
        return found

    @property
    def knows_float(self) -> bool:
        """Whether there is a float network to measure; a module may have its weights inside."""
        return bool(self.given_weights or self.checkpoint or self.arguments.module)

    def job(self, mode: str) -> Job:
        """How the pictures are detected in one of ``MODES``."""
        weights = self.given_weights or self.checkpoint
        arguments = self.arguments
        return Job(self.model, mode, arguments.runtime, arguments.iou, weights, arguments.cfg, arguments.module)

    def plain_modes(self) -> tuple[str, ...]:
        """What to run where --compare does not tell: a checkpoint layer by layer, a file as it ships."""
        arguments = self.arguments
        if arguments.online:
            return ("online",)
        if arguments.float_weights is not None:
            return ("float",)
        if arguments.recorded is not None or arguments.box is not None:
            return ()
        return ("offline",) if self.checkpoint is None else ("online",)


def _evaluate(asked: Run) -> int:
    arguments = asked.arguments
    import_pycocotools()
    baseline = None if arguments.baseline is None else read_baseline(arguments.baseline)
    box = None if arguments.box is None else read_box(arguments.box)
    modes = _choose_modes(asked)
    spec = load_detection_bundle(asked.model)
    _say_floor(spec)
    truth = Annotations(arguments.annotations, arguments.images)
    truth.tell()
    truth.category_ids(spec.labels)  # before a long run, not after it
    with Team(arguments.workers, arguments.ray) as team:
        outcomes = [_measure(asked, spec, truth, mode, team) for mode in modes]
    outcomes += _from_devices(arguments, box, spec, truth)
    results = [outcome.evaluation for outcome in outcomes]
    shown = choose_main(results)
    _say_notes(shown)
    against = against_float(results)
    intervals = own_intervals(shown)
    verdicts = [] if arguments.gate is None else judge(results, baseline, against, arguments.gate)
    if arguments.report is not None:  # before anything is printed: who reads that may go
        made = _made(arguments, spec, truth)
        contents = evaluation_page(spec, truth, outcomes, shown, Judgement(intervals, against, verdicts), made)
        write_all(arguments.report.parent, {arguments.report.name: contents})
    if arguments.json:
        print(json.dumps(_document(results, shown, Judgement(intervals, against, verdicts))))
    else:
        print(result_text(shown, intervals))
        if len(results) > 1:
            print(comparison_text(results, against))
    for verdict in verdicts:
        if not (verdict.passed and verdict.is_sure):
            print(f"mlu-export: {'note: ' * verdict.passed}{verdict.sentence()}", file=sys.stderr)
    return 0 if all(verdict.passed for verdict in verdicts) else 2


def _say_floor(spec: ModelSpec) -> None:
    if spec.output.kind == DETECTION_OUTPUT:
        print(
            f"mlu-export: note: the model's detection output drops boxes below a confidence of "
            f"{spec.thresholds.confidence:g}: figures are of what is left, of its float network too; a build with "
            "--confidence 0.001, or without --detection-output, tells all",
            file=sys.stderr,
        )


def _document(results: list[Evaluation], shown: Evaluation, found: Judgement) -> dict[str, Any]:
    """What ``--json`` prints."""
    intervals = {name: None if one is None else one.document() for name, one in found.intervals.items()}
    more = {"comparison": comparison(results, found.against)} if len(results) > 1 else {}
    gate = {"gate": [verdict.document() for verdict in found.verdicts]} if found.verdicts else {}
    return {**shown.document(), "intervals": intervals, **more, **gate}


def _made(arguments: argparse.Namespace, spec: ModelSpec, truth: Annotations) -> Circumstances:
    digests = {
        "the model": spec.sha256,
        "the annotations": file_digest(truth.path),
        "the pictures' names and digests": files_digest(path for _, path in truth.entries),
    }
    return circumstances(arguments.words, digests)


def _choose_modes(asked: Run) -> tuple[str, ...]:
    """What is to be run here. Raises UserError where options do not go together."""
    arguments = asked.arguments
    modes: tuple[str, ...] = arguments.compare or asked.plain_modes()
    if arguments.online and "online" not in modes:
        raise UserError("--online is not among --compare: name it there")
    if "online" in modes and "offline" not in modes and arguments.runtime == "device":
        raise UserError(f"--runtime {arguments.runtime}: operator by operator (online) runs on the simulator only")
    if arguments.gate is None and arguments.baseline is not None:
        raise UserError("--baseline is for --gate: say with --gate LOSS how much may be lost")
    if arguments.gate is not None and "float" not in modes and arguments.baseline is None:
        modes = ("float", *modes)
    if "float" in modes and not asked.knows_float:
        wanted = "--gate compares with the float network or an earlier result" if not arguments.compare else "--compare"
        raise UserError(f"{wanted}: give --weights FILE" + ("" if arguments.compare else " or --baseline FILE"))
    if "float" not in modes and (asked.given_weights or (arguments.module and asked.checkpoint is None)):
        what = "the weights are" if asked.given_weights else "the module is"
        print(f"mlu-export: note: {what} not used: nothing asks for the float network", file=sys.stderr)
    if arguments.gate is not None and modes == ("float",) and not (arguments.recorded or arguments.box):
        raise UserError("--gate has nothing to measure: --float measures the float network alone; use --weights")
    return modes


def _measure(asked: Run, spec: ModelSpec, truth: Annotations, mode: str, team: Team) -> Outcome:
    # One process keeps all cores of a device or simulator busy: others share that only if asked to.
    alone = mode == "offline" and asked.arguments.workers is None and asked.arguments.ray is None
    runtime, found = detect_all(asked.job(mode), truth.entries, None if alone else team)
    return Outcome(summarize(spec, truth, found, runtime, mode), found)


def _from_devices(arguments: argparse.Namespace, box: Box | None, spec: ModelSpec, truth: Annotations) -> list[Outcome]:
    outcomes = []
    if arguments.recorded is not None:
        outcomes.append(_recorded(arguments.recorded, spec, truth, "recorded"))
    if box is not None:
        path = (arguments.report or arguments.box).with_suffix(".jsonl")
        record(box, evaluation_thresholds(spec, arguments.iou), path, len(truth.entries))
        print(f"mlu-export: note: what the box printed is in {path}", file=sys.stderr)
        outcomes.append(_recorded(path, spec, truth, "box"))
    return outcomes


def _recorded(path: Path, spec: ModelSpec, truth: Annotations, mode: str) -> Outcome:
    found = read_recording(path, spec.labels, truth)
    return Outcome(summarize(spec, truth, found, "recorded", mode), found)


def choose_main(results: list[Evaluation]) -> Evaluation:
    """The result that the plain keys and lines are about: the file as it ships, if it was measured."""
    order = ("offline", "online", "box", "recorded", "float")
    return min(results, key=lambda result: order.index(result.mode))


def _say_notes(result: Evaluation) -> None:
    if result.unmatched:
        print(
            f"mlu-export: note: {len(result.unmatched)} labels are no categories of the annotations and do not count, "
            f"the first is {result.unmatched[0]!r}",
            file=sys.stderr,
        )
    if result.foreign:
        print(
            f"mlu-export: note: {result.foreign} annotations belong to no picture or category that the file lists "
            "and do not count",
            file=sys.stderr,
        )
