"""Models that detect nothing, by the programs that people use: ``run`` with a subscriber, ``infer``, ``inspect``."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from tests.models import LABELS, classifier_bundle, shaped_bundle, tensors_bundle

from mlu_agent.cli import main
from mlu_agent.detector import Detector
from mlu_client.subscriber import Subscriber
from mlu_client.values import Classes, End, Message, Tensors

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    return {"classes": classifier_bundle(folder), "tensors": tensors_bundle(folder)}


@pytest.mark.parametrize("kind", ["classes", "tensors"])
def test_a_daemon_serves_a_model_of_another_kind(
    cli: Any, run_daemon: Any, endpoint: str, clip: Path, models: dict[str, Path], kind: str
):
    """Golden frame, frames of its kind in a sequence without a gap, an end that adds up; ``subscribe`` prints them."""
    daemon = run_daemon(f'[[source]]\nid = "clip"\npath = "{clip}"\nloop = true\n', model=models[kind])
    daemon.wait_for_log("ready")
    assert any(line["event"].startswith("golden frame") for line in daemon.lines)
    told = cli("subscribe", endpoint, "--count", 2, "--kind", kind, "--timeout", 30).stdout.splitlines()
    assert len(told) == 2
    assert all(line.startswith(kind) for line in told)
    assert any(word in told[0] for word in (*LABELS, "map 1x5x4x3 float16, numbers 1x7 float16"))
    as_json = json.loads(cli("subscribe", endpoint, "--json", "--count", 1, "--kind", kind, "--timeout", 30).stdout)
    if kind == "tensors":
        assert len(base64.b64decode(as_json["tensors"][1]["data"])) == 14
    with Subscriber(endpoint, kinds=[kind], timeout_s=30) as subscriber:
        values: list[Message] = []
        for value in subscriber.typed():
            values.append(value)
            if len(values) == 20:
                break
        assert subscriber.counters.lost == {}
    assert {type(value) for value in values} == {{"classes": Classes, "tensors": Tensors}[kind]}
    with Subscriber(endpoint, timeout_s=30) as subscriber:
        next(subscriber.typed())  # it is connected
        daemon.process.terminate()
        end = next(value for value in subscriber.typed() if isinstance(value, End))
    assert daemon.wait() == 0
    assert end.counters["published"] == end.counters[f"published_{kind}"] == end.frames


def test_detect_tells_and_draws_what_models_tell_beside_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """In a line for people, in pixels under --json, and in the picture that --output writes."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[32:48, 32:48, 1] = 255  # an object, BGR
    pixels[36:44, 20:60, 2] = 255  # its mask
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), pixels)
    words = {
        "outlines": ("polygons", "outline of "),
        "pose": ("keypoints", "2 keypoints, 1 of them visible"),
        "turned": ("corners", "turned by 45.0 degrees"),
    }
    for kind, (field, line) in words.items():
        model = shaped_bundle(tmp_path, kind)
        options = [str(model), str(picture), "--runtime", "simulator"]
        assert main(["detect", *options, "--output", str(tmp_path / kind)]) == 0
        assert line in capsys.readouterr().out
        drawn = cv2.imread(str(tmp_path / kind / "picture.jpg"))
        assert np.abs(drawn.astype(int) - pixels).max() > 60
        assert main(["detect", *options, "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)["detections"]
        assert set(found) - {"class_id", "label", "confidence", "box", "angle"} == {field}
        points = np.array(found[field][0] if kind == "outlines" else found[field])
        assert np.abs(points[:, :2].mean(axis=0) - 40).max() < 9  # pixels around the object's middle, (40, 40)


def test_infer_prints_and_saves_what_the_detector_gives(
    cli: Any, models: dict[str, Path], simulator_path: Path, tmp_path: Path, clip: Path
):
    """Classes and tensors of pictures of a folder and of a video; saved files hold the numbers, never the same name."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        pixels = np.random.default_rng(len(folder)).integers(0, 255, (20, 30, 3), np.uint8)
        cv2.imwrite(str(tmp_path / folder / "one.png"), pixels)
    with Detector(models["classes"], str(simulator_path)) as detector:
        wanted = next(result for _, result in detector.results([pixels]))
    done = cli("infer", models["classes"], tmp_path / "a", "--json")
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert [one["label"] for one in line["classes"]] == list(wanted.label)
    assert "no class is sure enough" in cli("infer", models["classes"], tmp_path / "a", "--confidence", "1").stdout
    with Detector(models["tensors"], str(simulator_path)) as detector:
        arrays = next(result for _, result in detector.results([pixels])).arrays
    out = tmp_path / "out"
    done = cli(
        "infer", models["tensors"], tmp_path / "a", tmp_path / "b", clip, "--frames", 1, "--output", out, "--json"
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(one) for one in done.stdout.splitlines()]
    files = [tensor["file"] for line in lines for tensor in line["tensors"]]
    names = [f"{stem}.npy" for stem in ("one.map", "one.numbers", "one.map-2", "one.numbers-2")]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*names, "clip-000000.map.npy", "clip-000000.numbers.npy"]
    )
    for path, array in zip(files[:2], arrays):
        np.testing.assert_array_equal(np.load(path), array)
    shown = cli("infer", models["tensors"], tmp_path / "a").stdout
    assert "map 1x5x4x3 float16: " in shown
    assert ", ".join(f"{value:.4g}" for value in arrays[1].reshape(-1).tolist()) in shown


@pytest.mark.parametrize(
    "command, sentence",
    [
        (
            ["infer", "{small}", "{clip}"],
            'small.toml: task = "detect": the model finds objects; run it with mlu-agent detect',
        ),
        (["detect", "{tensors}", "{clip}"], "nothing can be detected with it; run it with mlu-agent infer"),
        (["infer", "{classes}", "{clip}", "--output", "x"], "--output: classifier.toml has output.kind"),
        (["infer", "{tensors}", "{clip}", "--confidence", "0.5"], "whose numbers are no classes; leave it out"),
        (["infer", "{classes}", "{clip}", "--confidence", "1.5"], "--confidence 1.5: give a number from 0 to 1"),
        (["infer", "{classes}", "{clip}", "--frames", "0"], "--frames 0: give 1 or more"),
        (["infer", "{classes}", "missing.png"], "missing.png: there is no such file"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(
    models: dict[str, Path],
    model_path: Path,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    sentence: str,
):
    """And exit code 2."""
    words = [word.format(small=model_path, clip=clip, **models) for word in command]
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err


def test_inspect_says_what_the_outputs_are(models: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    """In a line."""
    told = {}
    for kind, model in models.items():
        assert main(["inspect", str(model.with_suffix(".toml"))]) == 0
        told[kind] = capsys.readouterr().out
    assert "6 classes, softmax still to be applied, the first 3 are told" in told["classes"]
    assert "no detections: map 1x5x4x3, numbers 1x7" in told["tensors"]
