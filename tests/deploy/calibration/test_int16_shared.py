"""Sixteen bits on real weights and pictures: nothing to be seen of quantization."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = [pytest.mark.shared, pytest.mark.torch]
PICTURES = 12


def test_sixteen_bits_find_what_the_float_network_finds(shared_data, tmp_path, export, simulator_path):
    """yolo-fastest calibrated on the pictures that it is tried on, so that no value is beyond its range: every
    detection of the float network with a confidence of .05 is there, of the same class, and but for a few with a box
    and a confidence that differ by less than a person could see. The usual observer of 16 bits clips nothing.
    """
    from tests.boxes import iou_matrix

    from mlu_agent.model.bundle import load_bundle
    from mlu_export.measurement.evaluate import Job, detect_all

    calibration = tmp_path / "calibration"
    calibration.mkdir()
    images = sorted((shared_data / "sets" / "coco128-val" / "images").iterdir())[:PICTURES]
    for path in images:
        (calibration / path.name).symlink_to(path)
    weights = shared_data / "weights" / "yolo-fastest-1.1.weights"
    code, _, err = export(
        "build", "--arch", "yolo-fastest", "--weights", weights, "--calibration", calibration, "--bits", "16",
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 0, err
    model = tmp_path / "out" / "yolo-fastest.cambricon"
    assert load_bundle(model).provenance["calibration"].endswith("minmax")
    entries = list(enumerate(images))
    _, exact = detect_all(Job(model, "float", weights=weights), entries)
    _, found = detect_all(Job(model, "offline", str(simulator_path)), entries)
    overlaps, differences = [], []
    for (_, wanted), (_, got) in zip(exact, found):
        sure = wanted.confidence >= 0.05
        overlap = iou_matrix(wanted.xyxy[sure], got.xyxy)
        overlap[wanted.class_id[sure][:, None] != got.class_id] = 0
        best = overlap.argmax(axis=1)
        overlaps.append(overlap.max(axis=1))
        differences.append(np.abs(got.confidence[best] - wanted.confidence[sure]))
    overlap, difference = np.concatenate(overlaps), np.concatenate(differences)
    assert len(overlap) > 100
    assert overlap.min() > 0.5
    # of two boxes of one object that are as good as equally sure, suppression may keep the other one
    assert (overlap > 0.95).mean() > 0.95
    assert (difference < 0.01).mean() > 0.95
