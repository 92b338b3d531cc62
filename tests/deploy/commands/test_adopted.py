"""A model that mlu-export built, without its manifest: adopted, it finds what it found before."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tests.deploy.commands.test_commands import build
from tests.deploy.importers.test_anchor_free import CASES, LABELS, full_ranges, network, write

from mlu_agent.cli import main
from mlu_agent.detector import Detector
from mlu_agent.model.bundle import load_bundle

RNG = np.random.default_rng(3)
PICTURES = [RNG.integers(0, 256, (h, w, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1) for h, w in ((6, 9), (12, 5))]
FORMS = {
    "bytes": ((), ()),
    "half, batch 4": (("--input", "half", "--batch", "4"), ()),
    "float": (("--input", "float", "--core-number", "4"), ()),
    "argb": (("--channels", "argb"), ("--channels", "argb")),
}


def equal(model, simulator_path, tmp_path, *options):
    """The manifest of ``model`` against the one that is made for the file alone."""
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(model, alone)
    assert main(["adopt", str(alone / model.name), *options, "--labels", str(tmp_path / "labels.txt")]) == 0
    found = []
    for path in (model, alone / model.name):
        with Detector(path, str(simulator_path)) as detector:
            found.append([one for _, one in detector.stream(PICTURES)])
    for one, other in zip(*found):
        assert len(one) > 0
        np.testing.assert_array_equal(one.xyxy, other.xyxy)
        np.testing.assert_array_equal(one.confidence, other.confidence)
        np.testing.assert_array_equal(one.class_id, other.class_id)
    specs = load_bundle(model), load_bundle(alone / model.name)
    assert specs[0].input == specs[1].input
    assert specs[0].labels == specs[1].labels
    return specs


@pytest.mark.parametrize("form", FORMS)
def test_a_model_with_anchors_is_adopted_as_it_was_built(tiny, tiny_recipe, export, simulator_path, tmp_path, form):
    """Types, batches, channels and cores are the file's own; anchors and labels are given."""
    built, said = FORMS[form]
    assert export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a", *built))[0] == 0
    model = tiny / "a" / "tiny.cambricon"
    spec = load_bundle(model)
    heads = "/".join(",".join(f"{side:g}" for side in head.anchors.reshape(-1)) for head in spec.output.heads)
    (tmp_path / "labels.txt").write_text("\n".join(spec.labels))
    low = ("--confidence", str(spec.thresholds.confidence), "--iou", str(spec.thresholds.iou))
    scale = ",".join(f"{head.scale_x_y:g}" for head in spec.output.heads)
    said = ("--anchors", heads, "--scale-x-y", scale, *low, *said)
    equal(model, simulator_path, tmp_path, "--as", "yolov3", *said)


@pytest.mark.parametrize("decode, layout", CASES)
def test_a_model_without_anchors_is_adopted_as_it_was_built(tmp_path, simulator_path, decode, layout):
    """Which fields a tensor holds is seen from its channels; whether they are logits is said."""
    model = write(network(decode, layout), tmp_path / "built", full_ranges(network(decode, layout)))
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    options = ["--as", decode, "--resize", "letterbox", "--pad", "128", "--channels", "rgba", "--confidence", "0.3"]
    options += ["--iou", "0.45", "--activated", ",".join(layout.activated) or "none"]
    options += ["--reg-max", str(layout.reg_max)] if decode == "yolov8" else []
    one, other = equal(model, simulator_path, tmp_path, *options)
    assert one.output.layout == other.output.layout
