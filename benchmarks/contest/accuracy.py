"""Accuracy of every engine on a labelled set, all behind the same pre- and postprocessing.

    python benchmarks/contest/accuracy.py FOLDER LABELLED [--json FILE]

FOLDER: of a network, as prepare.py made it; LABELLED: has images/ and instances.json of COCO. Everything down to a
confidence of .001 counts, as usual.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from contest.contender import ENGINES

from mlu_agent.model.bundle import InputSpec, ModelSpec, load_detection_bundle
from mlu_agent.postprocess import Postprocessor
from mlu_agent.preprocess import Preprocessor
from mlu_export.formats.pictures import read_picture
from mlu_export.measurement.accuracy import Results
from mlu_export.measurement.annotations import Annotations
from mlu_export.measurement.evaluate import evaluation_thresholds

NAMES = ("ours", "onnxruntime float", "onnxruntime int8", "onnxruntime 7 bits", "openvino int8", "ncnn int8")


def main() -> int:
    """By the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    truth = Annotations(arguments.labelled / "instances.json", arguments.labelled / "images")
    spec = load_detection_bundle(arguments.folder / "ours-1.cambricon")
    categories = sorted(truth.coco.dataset["categories"], key=lambda one: one["id"])
    if len(categories) == len(spec.labels):
        spec = replace(spec, labels=tuple(one["name"] for one in categories))
    rows = []
    for name in NAMES:
        rows.append({"engine": name, **accuracy(name, arguments.folder, spec, truth)})
        print(rows[-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows), encoding="ascii")
    return 0


def accuracy(engine: str, folder: Path, spec: ModelSpec, truth: Annotations) -> dict[str, Any]:
    """Mean AP of one engine on the whole set."""
    run, _ = ENGINES[engine](folder, len(os.sched_getaffinity(0)))
    given = spec.input
    if engine != "ours":  # mean 0 and deviation 255, in the network's own order of colours
        given = InputSpec(
            width=given.width, height=given.height, resize=given.resize, pad_value=given.pad_value, channels="rgb",
            dtype="float32", mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0),
        )  # fmt: skip
    prepare, thresholds, read = Preprocessor(given), evaluation_thresholds(spec, None), Postprocessor(spec)
    results = Results(truth, spec.labels, spec.thresholds)
    out = np.empty((given.height, given.width, len(given.channels)), given.dtype)
    for image_id, path in truth.entries:
        place = prepare(read_picture(path), out)
        heads = run(out[None] if engine == "ours" else np.ascontiguousarray(out.transpose(2, 0, 1)[None]))
        if engine != "ours":
            heads = [np.ascontiguousarray(head.transpose(0, 2, 3, 1)) for head in heads]
        results.add(image_id, read([head[0] for head in heads], place, thresholds))
    found = results.summarize(engine, "offline")
    return {"images": results.images, "map50_95": found.map50_95, "map50": found.map50}


if __name__ == "__main__":
    sys.exit(main())
