"""Models that classify or give tensors, from a folder of pictures to a subscriber."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from tests.models import LABELS, classifier_bundle, shaped_bundle, tensors_bundle
from tests.pipeline.runs import counted, folder_source, run_to_end

from mlu_agent.client import Subscriber
from mlu_agent.config import ModelConfig, SourceConfig
from mlu_agent.daemon.models import InService, serve
from mlu_agent.detector import Detector
from mlu_agent.engine import Engine
from mlu_agent.model.bundle import load_bundle
from mlu_agent.sources import decode
from mlu_client import values

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlu_agent.cnrt import Library
    from mlu_agent.daemon.pipeline import Pipeline


class Hearing(threading.Thread):
    """Collects what a subscriber hears until a source ends."""

    def __init__(self, subscriber: Subscriber) -> None:
        super().__init__()
        self.subscriber = subscriber
        self.heard: list[values.Message] = []
        self.start()

    def run(self) -> None:
        for message in self.subscriber.typed():
            self.heard.append(message)
            if isinstance(message, values.End):
                return

    def finish(self) -> list[values.Message]:
        self.join(60)
        return self.heard


def listen(pipeline: Pipeline) -> tuple[list[values.Message], Any]:
    """What a real subscriber hears of a pipeline that runs to its end, and its counters."""
    with Subscriber(pipeline._outlet.endpoint, timeout_s=60) as subscriber:
        hearing = Hearing(subscriber)
        while not pipeline._outlet.look_for_subscribers():
            pass
        run_to_end(pipeline)
        return hearing.finish(), subscriber.counters


def turn(pipeline: Pipeline, frames: int, condition: Callable[[], bool] = lambda: True) -> None:
    """Turns the main loop until so many frames more were published, and the condition holds."""
    account = pipeline.ledger.source("camera")
    before, end = account.counters()["published"], time.monotonic() + 60
    while account.counters()["published"] < before + frames or not condition():
        assert time.monotonic() < end
        pipeline.tick(time.monotonic())
        time.sleep(0.002)


def expected(model: Path, library: Library, pictures: Path) -> list[Any]:
    """What the Detector says of the same pictures."""
    pixels = [decode.read_picture(path) for path in sorted(pictures.iterdir())]
    with Detector(model, library.path) as detector:
        return [result for _, result in detector.results(pixels)]


@pytest.mark.parametrize("batch", [1, 3])
def test_classes_of_every_frame_reach_a_subscriber(
    make: Callable[..., Pipeline], library: Library, tmp_path: Path, pictures: Path, batch: int
):
    """In order, with labels, above the threshold, each in a message of kind "classes"; the counters add up."""
    model = classifier_bundle(tmp_path, batch=batch)
    pipeline = make(model, folder_source(pictures))
    heard, counters = listen(pipeline)
    found = [message for message in heard if isinstance(message, values.Classes)]
    assert [message.sequence for message in found] == list(range(30))
    assert not any(isinstance(message, values.Frame) for message in heard)
    for message, wanted in zip(found, expected(model, library, pictures)):
        assert [(one.class_id, one.label) for one in message.classes] == list(
            zip(wanted.class_id.tolist(), wanted.label)
        )
        np.testing.assert_allclose([one.confidence for one in message.classes], wanted.confidence, atol=1e-6)
        assert 1 <= len(message.classes) <= 3
        assert {one.label for one in message.classes} <= set(LABELS)
    told = counted(pipeline)["folder"]
    assert (told["published"], told["published_classes"], told["in_flight"]) == (30, 30, 0)
    assert (counters.lost, counters.damaged) == ({}, 0)


def test_tensors_of_every_frame_reach_a_subscriber(
    make: Callable[..., Pipeline], library: Library, tmp_path: Path, pictures: Path
):
    """To the bit, in the network's order."""
    model = tensors_bundle(tmp_path, batch=2)
    heard, counters = listen(make(model, folder_source(pictures)))
    found = [message for message in heard if isinstance(message, values.Tensors)]
    assert [message.sequence for message in found] == list(range(30))
    for message, wanted in zip(found, expected(model, library, pictures)):
        assert [(one.name, one.shape) for one in message.tensors] == [("map", (1, 5, 4, 3)), ("numbers", (1, 7))]
        for one, array in zip(message.tensors, wanted.arrays):
            assert one.data is not None
            np.testing.assert_array_equal(np.frombuffer(one.data, one.dtype).reshape(one.shape), array)
    assert (counters.lost, counters.damaged) == ({}, 0)


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """Pictures of 64 x 64, twice the network's sides: green where there is an object, red where its mask is."""
    folder = tmp_path / "coloured"
    folder.mkdir()
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[32:48, 32:48, 1] = 255  # BGR; the cell (2, 2), whose middle is (20, 20) in the network
    pixels[36:44, 20:60, 2] = 255
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return folder


def is_outlined(one: values.Detection) -> None:
    (outline,) = one.polygons or ((),)
    points = np.array(outline) * 64
    assert np.allclose([points.min(axis=0), points.max(axis=0)], [[20, 36], [60, 44]], atol=0.3)


def is_posed(one: values.Detection) -> None:
    assert one.keypoints is not None
    (x, y, sure), (other_x, other_y, unsure) = ((point.x, point.y, point.visibility) for point in one.keypoints)
    assert (x * 64, y * 64, other_x * 64, other_y * 64) == pytest.approx((40, 40, 56, 40))
    assert sure is not None
    assert unsure is not None
    assert sure > 0.98 > 0.02 > unsure


def is_turned(one: values.Detection) -> None:
    assert one.angle == pytest.approx(np.pi / 4, abs=1e-5)
    corners = np.array(one.corners) * 64
    assert np.allclose(corners.mean(axis=0), [40, 40], atol=1e-3)
    assert np.hypot(*(corners[1] - corners[0])) == pytest.approx(64, abs=1e-2)
    assert np.hypot(*(corners[2] - corners[1])) == pytest.approx(32, abs=1e-2)


@pytest.mark.parametrize(
    "kind, batch, check",
    [("outlines", 1, is_outlined), ("outlines", 2, is_outlined), ("pose", 1, is_posed), ("turned", 2, is_turned)],
)
def test_outlines_keypoints_and_turned_boxes_reach_a_subscriber(
    make: Callable[..., Pipeline],
    tmp_path: Path,
    coloured: Path,
    kind: str,
    batch: int,
    check: Callable[[values.Detection], None],
):
    """Where the pictures' colours put them: one object, whose box is 8 to 72 by 24 to 56 but for the frame's edge."""
    messages, counters = listen(make(shaped_bundle(tmp_path, kind, batch=batch), folder_source(coloured)))
    frames = [message for message in messages if isinstance(message, values.Frame)]
    assert [(message.sequence, len(message.detections)) for message in frames] == [(0, 1), (1, 1), (2, 1)]
    assert (counters.lost, counters.damaged) == ({}, 0)
    for message in frames:
        one = message.detections[0]
        assert one.label == "thing"
        if kind != "turned":
            assert one.box == pytest.approx((8 / 64, 24 / 64, 1.0, 56 / 64))
        check(one)


def test_shapes_that_have_no_room_are_counted(
    make: Callable[..., Pipeline], tmp_path: Path, coloured: Path, monkeypatch: pytest.MonkeyPatch
):
    """The boxes are told all the same."""
    monkeypatch.setattr("mlu_agent.publish.messages.MAX_DATA", 330)
    pipeline = make(shaped_bundle(tmp_path, "outlines"), folder_source(coloured))
    found = [one for one in listen(pipeline)[0] if isinstance(one, values.Frame)]
    assert [(len(one.detections), one.detections[0].polygons) for one in found] == [(1, None)] * 3
    assert counted(pipeline)["folder"]["detections_without_shape"] == 3


def test_a_tensor_that_is_too_large_for_a_message_is_said_and_counted(
    make: Callable[..., Pipeline], tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    """The others have their data."""
    monkeypatch.setattr("mlu_agent.publish.messages.MAX_DATA", 100)
    pipeline = make(tensors_bundle(tmp_path), folder_source(pictures))
    heard, _ = listen(pipeline)
    found = [message for message in heard if isinstance(message, values.Tensors)]
    assert [[one.data is None for one in message.tensors] for message in found] == [[True, False]] * 30
    assert counted(pipeline)["folder"]["tensors_without_data"] == 30


def test_a_frame_without_a_class_that_is_sure_enough_is_an_empty_one(
    make: Callable[..., Pipeline], tmp_path: Path, pictures: Path
):
    """Left out and counted where empty frames are."""
    model = classifier_bundle(tmp_path)
    manifest = model.with_suffix(".toml")
    manifest.write_text(manifest.read_text().replace("confidence = 0.1", "confidence = 1.0"))
    pipeline = make(model, folder_source(pictures))
    for line in pipeline._lines.values():
        line.empty_frames = False
    told = run_to_end(pipeline)["folder"]
    assert (told["published"], told["dropped_empty"]) == (0, 30)


def test_a_source_whose_model_is_changed_for_one_of_another_kind_goes_on_counting(
    make: Callable[..., Pipeline], library: Library, model_path: Path, tmp_path: Path
):
    """One sequence over all kinds: whoever hears everything misses nothing, nor does who asked for boxes alone."""
    pipeline = make(model_path, SourceConfig("camera", "synthetic", "64x48@100", realtime=True))
    endpoint = pipeline._outlet.endpoint
    with contextlib.ExitStack() as exits:
        everything = exits.enter_context(Subscriber(endpoint, timeout_s=20))
        boxes = exits.enter_context(Subscriber(endpoint, kinds=["frame", "end"], timeout_s=20))
        threads = [Hearing(everything), Hearing(boxes)]
        while pipeline._outlet.sinks[0].subscriptions < 3:
            pipeline._outlet.look_for_subscribers()
        pipeline.start()
        for bundle in (classifier_bundle(tmp_path), tensors_bundle(tmp_path), model_path):
            turn(pipeline, 20)
            config = ModelConfig(bundle)
            engine = exits.enter_context(Engine(library, bundle, cores=1))
            served = serve(load_bundle(bundle), engine, config, pipeline.ledger, pipeline._log)
            served.self_test()
            retired = pipeline.swap(InService(config, served))
            turn(pipeline, 0, retired.is_set)
        turn(pipeline, 20)
        assert pipeline.stop(10)
        heard, frames = (thread.finish() for thread in threads)
    results = [message for message in heard if isinstance(message, values.Result)]
    assert [message.sequence for message in results] == list(range(len(results)))
    kinds = [message.kind for message in results]
    assert list(dict.fromkeys(kinds)) == ["frame", "classes", "tensors"]
    assert kinds[-1] == "frame"
    assert len([one for one in frames if one.kind == "frame"]) == kinds.count("frame")
    for subscriber in (everything, boxes):
        assert (subscriber.counters.lost, subscriber.counters.damaged) == ({}, 0)
    told = counted(pipeline)["camera"]
    assert told["published"] == len(results)
    assert (told["published_classes"], told["published_tensors"]) == (kinds.count("classes"), kinds.count("tensors"))


def test_a_source_may_want_some_classes_of_a_classifier(make: Callable[..., Pipeline], tmp_path: Path, pictures: Path):
    """Each with its own confidence; what it does not want is counted."""
    source = dataclasses.replace(folder_source(pictures), classes=(("bus", 0.01), ("dog", 0.2)))
    pipeline = make(classifier_bundle(tmp_path), source)
    heard, _ = listen(pipeline)
    found = [message for message in heard if isinstance(message, values.Classes)]
    assert {one.label for message in found for one in message.classes} == {"bus"}
    assert counted(pipeline)["folder"]["filtered_candidates"] > 30
