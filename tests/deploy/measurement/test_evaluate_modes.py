"""``mlu-export eval`` beyond one figure: ways of running, results of a device, the working point, the gate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlu_agent.detections import Detections
from mlu_agent.detector import Detector
from mlu_agent.model.bundle import Thresholds, load_bundle
from mlu_export.measurement.accuracy import Counts, Results, at_work
from mlu_export.measurement.annotations import Annotations
from mlu_export.measurement.evaluate import Job, detect_all

pytestmark = pytest.mark.eval

AGENT = [sys.executable, "-m", "mlu_agent.cli"]
MEASURING = ["--confidence", "0.001", "--max-detections", "300", "--multi-label"]


@pytest.fixture
def run(export, tiny, tiny_model, tiny_annotations, simulator_path):
    """Runs eval over the annotated pictures of the small network."""

    def call(*more):
        return export(
            "eval", tiny_model, "--images", tiny / "pictures", "--annotations", tiny_annotations,
            "--runtime", simulator_path, *more,
        )  # fmt: skip

    return call


def truth_of(tmp_path, boxes, crowds=(), pictures=2):
    """Annotations of so many pictures: ``boxes`` (image id, category id, x, y, w, h)."""
    annotations = [
        {"id": number, "image_id": image, "category_id": category, "bbox": box, "iscrowd": int(number in crowds)}
        for number, (image, category, *box) in enumerate(boxes)
    ]
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(1, pictures + 1)]
    categories = [{"id": 5, "name": "cat"}, {"id": 7, "name": "dog"}]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    for number in range(1, pictures + 1):
        (tmp_path / f"{number}.png").write_bytes(b"")
    return Annotations(path, tmp_path)


def found(*rows):
    """Detections of (x1, y1, x2, y2, confidence, class id), surest first."""
    array = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(array[:, :4].astype(np.float32), array[:, 4].astype(np.float32), array[:, 5].astype(np.int32))


def test_the_working_point_counts_right_wrong_and_missed(tmp_path):
    """At the manifest's confidence, IoU .5, per class and per picture; surer boxes match first, a box once."""
    truth = truth_of(tmp_path, [(1, 5, 0, 0, 10, 10), (1, 7, 20, 20, 10, 10), (2, 5, 0, 0, 10, 10)])
    results = Results(truth, ("cat", "dog"), Thresholds(confidence=0.25))
    results.add(
        1, found((0, 0, 10, 9, 0.9, 0), (0, 0, 10, 8, 0.8, 0), (20, 20, 30, 24, 0.7, 1), (20, 20, 30, 30, 0.2, 1))
    )
    results.add(2, found())
    evaluation = results.summarize("simulator", "offline")
    assert evaluation.working == Counts(found=1, wrong=2, missed=2)
    assert evaluation.class_counts == {"cat": Counts(1, 1, 1), "dog": Counts(0, 1, 1)}
    assert evaluation.picture_counts == {1: Counts(1, 2, 1), 2: Counts(0, 0, 1)}
    assert (evaluation.working.precision, evaluation.working.recall) == (1 / 3, 1 / 3)
    assert (Counts().precision, Counts().recall) == (None, None)


def test_an_annotation_numbered_zero_can_be_found(tmp_path):
    """pycocotools takes a match's number for whether there is one; no annotation may be lost to that."""
    truth = truth_of(tmp_path, [(1, 5, 0, 0, 40, 40)])
    results = Results(truth, ("cat", "dog"), Thresholds())
    results.add(1, found((0, 0, 40, 40, 0.9, 0)))
    results.add(2, found())
    evaluation = results.summarize("simulator", "offline")
    assert (evaluation.map50, evaluation.working) == (pytest.approx(1.0), Counts(1, 0, 0))
    assert evaluation.per_size == {"small": None, "medium": pytest.approx(1.0), "large": None}
    np.testing.assert_array_equal(evaluation.curves["cat"].round(9), np.ones(101))


def test_a_crowd_is_neither_found_nor_missed(tmp_path):
    """A box in a crowd is not wrong either, as COCO counts."""
    truth = truth_of(tmp_path, [(1, 5, 0, 0, 40, 40), (2, 5, 0, 0, 40, 40)], crowds={0})
    results = Results(truth, ("cat", "dog"), Thresholds())
    results.add(1, found((0, 0, 20, 20, 0.9, 0)))
    results.add(2, found())
    assert results.summarize("simulator", "offline").working == Counts(0, 0, 1)


def test_of_a_boxs_classes_the_daemon_reports_the_best():
    """Accuracy is measured with every class of a box; the working point has the best one, and at most so many boxes."""
    several = found((0, 0, 9, 9, 0.9, 1), (5, 5, 9, 9, 0.8, 0), (0, 0, 9, 9, 0.7, 0), (1, 1, 9, 9, 0.6, 0))
    assert (
        at_work(several, Thresholds(0.25)).confidence.tolist()
        == found((0, 0, 1, 1, 0.9, 0), (0, 0, 1, 1, 0.8, 0), (0, 0, 1, 1, 0.6, 0)).confidence.tolist()
    )
    cut = found((0, 0, 9, 9, 0.9, 1), (0, 0, 9, 9, 0.8, 1), (0, 0, 9, 9, 0.7, 0))
    assert at_work(cut, Thresholds(0.25)).class_id.tolist() == [1, 1]
    assert len(at_work(several, Thresholds(0.25, max_detections=1))) == 1
    assert len(at_work(several, Thresholds(0.95))) == 0


@pytest.mark.parametrize("batch", [1, 2])
def test_layer_by_layer_gives_the_same_to_the_bit(tiny, tiny_recipe, tiny_annotations, export, simulator_path, batch):
    """Operators one at a time, tensors on the host in between: detections equal those of the file as a whole."""
    code, _, err = export(
        "build", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--recipe", tiny_recipe,
        "--batch", batch, "--output", tiny / "b",
    )  # fmt: skip
    assert code == 0, err
    model = tiny / "b" / "tiny.cambricon"
    entries = Annotations(tiny_annotations, tiny / "pictures").entries
    _, whole = detect_all(Job(model, "offline", str(simulator_path)), entries)
    runtime, single = detect_all(Job(model, "online"), entries)
    assert runtime == "simulator"
    assert [number for number, _ in single] == [number for number, _ in whole] == [100, 101, 102]
    for (_, one), (_, other) in zip(single, whole):
        assert len(one) > 3
        for field in ("xyxy", "confidence", "class_id"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_online_prints_the_figures_of_offline(run):
    """Operator by operator computes what the whole model does, to the last digit."""
    code, out, err = run("--compare", "online,offline", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["mode"] == "offline"
    online, offline = result["comparison"]
    assert (online.pop("mode"), offline.pop("mode")) == ("online", "offline")
    assert online == offline
    assert offline["against_float"] is None
    assert json.loads(run("--online", "--json")[1])["mode"] == "online"


def test_pictures_may_be_split_in_any_way(tiny, tiny_model, tiny_annotations, simulator_path):
    """A picture's detections do not depend on what else is evaluated, so shards give what one process gives."""
    entries = Annotations(tiny_annotations, tiny / "pictures").entries
    job = Job(tiny_model, runtime=str(simulator_path))
    together = detect_all(job, entries)[1]
    apart = [row for part in (entries[2:], entries[:2]) for row in detect_all(job, part)[1]]
    assert {number: one.xyxy.tolist() for number, one in apart} == {n: one.xyxy.tolist() for n, one in together}


def test_the_text_has_the_vendors_line_and_names_the_worst_classes(run):
    """``Mean AP: 0.xxx`` is AP at IoU .5, as the vendor's example prints it."""
    code, out, _ = run()
    assert code == 0
    lines = out.splitlines()
    figure = next(line for line in lines if line.startswith("Mean AP: "))
    result = json.loads(run("--json")[1])
    assert figure == f"Mean AP: {result['map50']:.3f}"
    assert any(line.startswith("at confidence 0.25: precision ") for line in lines)
    table = lines[lines.index(next(line for line in lines if "worst" in line)) + 1 :]
    assert {line.split()[0] for line in table} == set(result["per_class"])


@pytest.mark.torch
def test_float_stands_beside_what_was_made_of_it(run, tiny):
    """--compare float,online,offline: one table, differences to float; --gate compares with it."""
    weights = ("--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg")
    code, out, err = run("--compare", "float,online,offline", *weights)
    assert code == 0, err
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if "to float" in line) + 1
    rows = [line.split() for line in lines[start : start + 3]]
    assert [row[0] for row in rows] == ["float", "online", "offline"]
    assert rows[0][2] == "-"
    assert float(rows[2][2]) == pytest.approx(float(rows[2][1]) - float(rows[0][1]), abs=2e-4)
    assert rows[1][1:] == rows[2][1:]
    assert "offline against float, with 95 % intervals of 3 pictures (too few for them to hold):" in lines
    code, out, _ = run("--gate", "1", *weights, "--json")
    assert code == 0
    exact, offline = json.loads(out)["comparison"]
    assert (exact["mode"], offline["mode"]) == ("float", "offline")
    lost = offline["against_float"]
    assert lost["map50_95"] == lost["intervals"]["map50_95"]["value"] == offline["map50_95"] - exact["map50_95"]
    boxes = lost["working_point"]["boxes"]
    for parts in (lost["per_size"], lost["per_class"]):
        for name, count in boxes.items():
            assert count == sum(part["boxes"][name] for part in parts.values())
    (verdict,) = json.loads(out)["gate"]
    assert (verdict["passed"], verdict["is_sure"], verdict["loss"]["value"]) == (True, False, -lost["map50_95"])


def test_the_gate_refuses_what_lost_more_than_asked(run, tiny):
    """Exit code 2 and a sentence with the figures, which are printed all the same; a baseline is an earlier --json."""
    path = tiny / "baseline.json"
    path.write_text(run("--json")[1])
    code, _, err = run("--gate", "0.001", "--baseline", path)
    assert code == 0
    assert "note: offline loses 0.0000" in err
    assert "there is no interval against the baseline" in err
    better = {**json.loads(path.read_text())}
    better["map50_95"] = min(1.0, better["map50_95"])
    code, out, err = run("--gate", "0.001", "--baseline", path, "--iou", "0.01")
    assert code == 2
    assert "Mean AP" in out
    assert "offline loses 0." in err
    assert "more than --gate 0.001 allows" in err
    assert "some " not in err  # a baseline has no pictures one by one


@pytest.mark.parametrize(
    "options, word",
    [
        (["--gate", "0.1"], "--weights FILE or --baseline FILE"),
        (["--baseline", "BASE"], "--gate LOSS"),
        (["--gate", "0.1", "--baseline", "BASE"], "measured on 7 pictures"),
        (["--gate", "0.1", "--baseline", "EMPTY"], "an earlier eval --json"),
        (["--gate", "0.1", "--float", "EMPTY"], "nothing to measure"),
        (["--compare", "float"], "--weights FILE"),
        (["--compare", "online,fast"], "is not some of"),
        (["--compare", "offline", "--online"], "not among --compare"),
        (["--online", "--runtime", "device"], "--runtime device: operator by operator (online) runs on the simulator"),
        (["--recorded", "EMPTY"], "lacks 3 of 3"),
        (["--box", "EMPTY"], "box: is missing"),
    ],
)
def test_options_that_do_not_go_together_are_one_sentence(run, tiny, options, word):
    """The sentence says which, and there is no traceback."""
    (tiny / "base.json").write_text('{"images": 7, "map50_95": 0.5}')
    (tiny / "empty").write_text("")
    named = {"BASE": tiny / "base.json", "EMPTY": tiny / "empty"}
    code, _, err = run(*[named.get(option, option) for option in options])
    assert code == 2
    assert word in err
    assert "Traceback" not in err


@pytest.fixture
def recording(tiny, tiny_model, simulator_path):
    """What the agent's own program prints for the pictures."""
    done = subprocess.run(
        [*AGENT, "detect", tiny_model, tiny / "pictures", "--json", "--runtime", simulator_path, *MEASURING],
        capture_output=True, check=True, stdin=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    path = tiny / "lines.jsonl"
    path.write_bytes(done.stdout)
    return path


def test_detect_gives_every_class_of_a_box_if_asked(recording, tiny, tiny_model, simulator_path):
    """``mlu-agent detect --multi-label``: more detections in no more boxes; else a box has its best class alone."""
    done = subprocess.run(
        [*AGENT, "detect", tiny_model, tiny / "pictures", "--json", "--runtime", simulator_path, *MEASURING[:-1]],
        capture_output=True, check=True, stdin=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    for text, single in zip(recording.read_text().splitlines(), done.stdout.splitlines()):
        every, best = json.loads(text)["detections"], json.loads(single)["detections"]
        assert len(every) > len(best) == len({tuple(one["box"]) for one in best})
        assert len(every) > len({tuple(one["box"]) for one in every})


def test_recorded_results_are_measured_like_our_own(run, recording):
    """The agent prints rounded numbers, so figures agree to about a thousandth; no model runs here."""
    code, out, err = run("--recorded", recording, "--compare", "offline", "--json")
    assert code == 0, err
    offline, recorded = json.loads(out)["comparison"]
    assert (recorded["mode"], recorded["runtime"]) == ("recorded", "recorded")
    assert recorded["map50_95"] == pytest.approx(offline["map50_95"], abs=2e-3)
    assert recorded["recall"] == offline["recall"]
    assert json.loads(run("--recorded", recording, "--json")[1])["mode"] == "recorded"


def change(path, **values):
    lines = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(lines[0]), **values}), *lines[1:]]))


def first_box(**values):
    box = {"class_id": 0, "label": "cat", "confidence": 0.5, "box": [0, 0, 1, 1]}
    return lambda path: change(path, detections=[{**box, **values}])


@pytest.mark.parametrize(
    "damage, word",
    [
        (lambda path: path.write_text("no"), "is no JSON"),
        (lambda path: path.write_text("[" * 100000), "is no JSON"),
        (lambda path: path.write_text("[]"), 'has no "input"'),
        (lambda path: path.write_text(path.read_text() * 2), "was there before"),
        (lambda path: change(path, input="other.png"), "lacks 1 of 3"),
        (lambda path: change(path, width=7), "the annotations say"),
        (lambda path: change(path, detections=3), "is no list"),
        (first_box(class_id=9), "another model"),
        (first_box(label="dog"), "another model"),
        (first_box(box=[1, 2]), "is no detection"),
        (first_box(confidence=float("nan")), "is no detection"),
        (first_box(confidence=2), "is no detection"),
    ],
)
def test_wrong_recordings_give_one_sentence(run, recording, damage, word):
    """What a device is said to have found is checked like any file, and never printed whole."""
    damage(recording)
    code, out, err = run("--recorded", recording)
    assert (code, out) == (2, "")
    assert word in err
    assert len(err) < 1000


def test_a_recording_at_the_daemons_threshold_is_told(run, recording):
    """Its mAP is not comparable: said on stderr, with what to do; so are lines of other pictures."""
    rows = [json.loads(line) for line in recording.read_text().splitlines()]
    for row in rows:
        row["detections"] = [one for one in row["detections"] if one["confidence"] >= 0.25]
    lines = [json.dumps(row) for row in (*rows, {**rows[0], "input": "/elsewhere/x.png"})]
    recording.write_text("\n".join(lines))
    code, _, err = run("--recorded", recording)
    assert code == 0
    assert "--confidence 0.001" in err
    assert "1 lines" in err


def address(tiny, **values):
    """An address file for the agent on this machine."""
    table = {
        "command": ["env"], "agent": AGENT, "model": str(tiny / "a" / "tiny.cambricon"),
        "images": str(tiny / "pictures"), **values,
    }  # fmt: skip
    path = tiny / "box.toml"
    path.write_text("[box]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))
    return path


def test_a_box_runs_the_agent_and_is_measured(run, tiny):
    """The command of the address file runs the real agent; its lines stay beside the file."""
    code, out, err = run("--box", address(tiny), "--compare", "offline", "--json")
    assert code == 0, err
    offline, box = json.loads(out)["comparison"]
    assert box["mode"] == "box"
    assert box["map50_95"] == pytest.approx(offline["map50_95"], abs=2e-3)
    assert len((tiny / "box.jsonl").read_text().splitlines()) == 3
    assert str(tiny / "box.jsonl") in err


@pytest.mark.parametrize(
    "values, code, word",
    [
        ({"model": "/m.cambricon; rm -rf /"}, 2, "box.model"),
        ({"images": "-rf"}, 2, "box.images"),
        ({"images": "$(id)"}, 2, "box.images"),
        ({"agent": ["mlu-agent", "a b"]}, 2, "box.agent"),
        ({"command": "ssh box"}, 2, "box.command"),
        ({"speed": 1}, 2, "speed"),
        ({"command": ["/nonexistent/ssh"]}, 2, "cannot be started"),
        ({"model": "/nonexistent.cambricon"}, 3, "/nonexistent.cambricon"),
        ({"command": ["sh", "-c", "echo gone >&2; exit 255"]}, 3, "exit code 255: gone"),
        ({"command": ["sh", "-c", "sleep 600"], "timeout_s": 1}, 3, "did not end within 1 s"),
        ({"command": ["echo"]}, 2, "is no JSON"),
    ],
)
def test_a_box_that_fails_is_one_sentence(run, tiny, values, code, word):
    """2 for a wrong file, 3 where the box fails; an earlier recording is left as it was unless a new one is whole."""
    (tiny / "box.jsonl").write_text("before")
    got, out, err = run("--box", address(tiny, **values))
    assert (got, out) == (code, "")
    assert word in err
    if "is no JSON" not in word:
        assert (tiny / "box.jsonl").read_text() == "before"
    assert not list(tiny.glob(".box*"))


@pytest.mark.shared
def test_yolov3_tiny_layer_by_layer(shared_data, tmp_path, export, simulator_path):
    """The real network: 33 operators one by one see in bus.jpg what the file sees, to the bit."""
    weights = shared_data / "weights" / "yolov3-tiny.weights"
    assert export("build", "--weights", weights, "--recipe", "yolov3-tiny", "--output", tmp_path)[0] == 0
    model = tmp_path / "yolov3-tiny.cambricon"
    entries = [(1, shared_data / "images" / "bus.jpg"), (2, shared_data / "images" / "dog.jpg")]
    _, whole = detect_all(Job(model, "offline", str(simulator_path)), entries)
    _, single = detect_all(Job(model, "online"), entries)
    for (_, one), (_, other) in zip(single, whole):
        assert len(one) > 10
        np.testing.assert_array_equal(one.xyxy, other.xyxy)
        np.testing.assert_array_equal(one.confidence, other.confidence)


def test_the_raw_outputs_are_equal_too(tiny_model, simulator_path):
    """Not the detections alone: every byte of every output."""
    from mlu_export.formats.container_reader import load_network
    from mlu_export.measurement.online import LayerByLayer

    spec = load_bundle(tiny_model)
    picture = np.random.default_rng(4).integers(0, 256, spec.offline.inputs[0].shape, np.uint8)
    with LayerByLayer(load_network(Path(spec.path))) as layers, Detector(tiny_model, str(simulator_path)) as detector:
        slot = detector.engine.acquire()
        slot.inputs[0][...] = picture
        detector.engine.submit(slot)
        whole = [np.array(output) for output in detector.engine.collect().outputs]
        for one, other in zip(layers.run([picture]), whole):
            np.testing.assert_array_equal(one, other)
        assert all(duration > 0 for duration in layers.times)
