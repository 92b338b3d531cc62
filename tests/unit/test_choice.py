"""The classes that a source wants, each with its own confidence, against a plain definition."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mlu_agent.config import SourceConfig
from mlu_agent.errors import UserError
from mlu_agent.geometry import Letterbox
from mlu_agent.model.bundle import InputSpec, ModelSpec, OutputSpec, Thresholds
from mlu_agent.model.info import ModelInfo
from mlu_agent.model.labels import refuse_unknown_labels
from mlu_agent.model.offline_model import OfflineModel
from mlu_agent.postprocess import Postprocessor, choose

LABELS = ("person", "car", "traffic light", "car")
BOXES = 60


def model(labels: tuple[str, ...] = LABELS, thresholds: Thresholds | None = None) -> ModelSpec:
    offline = OfflineModel("simulator", "test", "MLU220", 1, ["subnet0"], {}, (), (), 0)
    output = OutputSpec("detection_output", max_boxes=BOXES, coordinates="pixels")
    return ModelSpec(
        "street", Path(), Path(), "", offline, InputSpec(64, 64), output, thresholds or Thresholds(), labels, {}
    )


SPEC = model()
INFO = ModelInfo.of(SPEC, SPEC.thresholds, "simulator")
FRAME = Letterbox(1.0, 1.0, 0.0, 0.0, 64, 64)


def row_of(found: list[tuple[int, float]]) -> np.ndarray:
    """The output of a detection operator: boxes that do not overlap, of these classes and scores."""
    row = np.zeros(64 + 7 * BOXES, np.float32)
    row[0] = len(found)
    for number, (class_id, score) in enumerate(found):
        x, y = number % 8 * 8, number // 8 * 8
        row[64 + 7 * number :][:7] = (0, class_id, score, x, y, x + 4, y + 4)
    return row


def detections_of(found, classes, confidence, thresholds=SPEC.thresholds):
    choice = choose(classes, confidence, thresholds, INFO)
    return Postprocessor(SPEC)([row_of(found)], FRAME, choice.thresholds, least=choice.least)


def wanted(label: str, score: float, classes, confidence, thresholds) -> bool:
    usual = confidence or thresholds.confidence
    if not classes:
        return score >= np.float32(usual)
    own = dict(classes)
    return label in own and score >= np.float32(own[label] or usual)


@settings(max_examples=80, deadline=None)
@given(
    found=st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1, width=32)), max_size=BOXES),
    classes=st.dictionaries(st.sampled_from(LABELS), st.sampled_from([0.0, 0.1, 0.25, 0.6]), max_size=3),
    confidence=st.sampled_from([0.0, 0.2, 0.5]),
    most=st.sampled_from([3, 300]),
)
def test_what_is_wanted_stays_whatever_the_models_threshold(found, classes, confidence, most):
    """A class needs its own confidence, else the source's, else the model's, whichever is lower than another's; and
    max_detections counts what is wanted alone."""
    thresholds = dataclasses.replace(SPEC.thresholds, max_detections=most)
    pairs = tuple(classes.items())
    right = sorted(
        (score for class_id, score in found if wanted(LABELS[class_id], score, pairs, confidence, thresholds)),
        reverse=True,
    )
    result = detections_of(found, pairs, confidence, thresholds)
    assert result.confidence.tolist() == pytest.approx(right[:most])
    if not pairs:
        assert result.filtered == 0


def test_a_lower_confidence_than_the_models_finds_more():
    """The model's threshold of 0.25 does not hide what the source asks for; the others keep it."""
    found = [(0, 0.1), (1, 0.1), (1, 0.3), (2, 0.9)]
    result = detections_of(found, (("person", 0.05), ("car", 0.0)), 0.0)
    assert result.class_id.tolist() == [1, 0]
    assert result.filtered == 2


def test_what_is_told_of_the_model_says_what_was_looked_for():
    """The thresholds of a message are those in force for its source, and name the classes with their confidences."""
    told = choose((("person", 0.6), ("car", 0.0)), 0.4, SPEC.thresholds, INFO).info
    assert (told.confidence, told.classes) == (0.4, (("person", 0.6), ("car", 0.4)))
    assert choose((), 0.0, SPEC.thresholds, INFO).info == INFO


@pytest.mark.parametrize(
    "label, labels, sentence",
    [
        ("persn", LABELS, "source door: classes: 'persn' is no label of 'street'; did you mean 'person'?"),
        ("Car", LABELS, "did you mean 'car'?"),
        ("zebra", LABELS, "it knows 'person', 'car', 'traffic light', 'car'"),
        ("zebra", tuple(f"label {n}" for n in range(9)), "'label 7', …"),
        ("zebra", (), "it has none: remove classes"),
    ],
)
def test_a_label_that_the_model_does_not_have_is_refused(label, labels, sentence):
    """The source, the label, the model, and what may have been meant; all of them are told together."""
    source = SourceConfig("door", "camera", "0", classes=((label, 0.0),))
    other = SourceConfig("gate", "camera", "1", classes=((label, 0.5),))
    with pytest.raises(UserError) as failure:
        refuse_unknown_labels([source, other], model(labels))
    first, second = failure.value.message.splitlines()
    assert sentence in first
    assert second.startswith("source gate: classes: ")


def test_labels_that_the_model_has_are_accepted():
    """So is a source that names none."""
    refuse_unknown_labels([SourceConfig("a", "camera", "0", classes=(("traffic light", 0.0),))], SPEC)
    refuse_unknown_labels([SourceConfig("a", "camera", "0")], model(()))
