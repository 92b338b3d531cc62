"""Models that were adopted, run: the same network with its outputs in another order, joined, or behind the vendor's
detection output finds the same."""

from __future__ import annotations

import contextlib
import io
import json
import random
from dataclasses import replace

import cv2
import numpy as np
import pytest
from tests.boxes import iou_matrix
from tests.native import codes
from tests.native.make_model import Layers, Model, f32_word

from mlu_agent.cli import main
from mlu_agent.detector import Detector
from mlu_agent.model.bundle import load_bundle

ANCHORS = ((6.0, 8.0, 12.0, 10.0), (20.0, 24.0, 40.0, 30.0))  # of strides 4 and 8
LABELS = "cat\ndog\n"
ANCHORED = ("--anchors", "/".join(",".join(f"{side:g}" for side in head) for head in ANCHORS))
REVERSED = ("--anchors", "/".join(",".join(f"{side:g}" for side in head) for head in ANCHORS[::-1]))
PICTURE = np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)


class Network:
    """A backbone of random weights with levels of strides 4 and 8 for a picture of 64 x 64."""

    def __init__(self, dtype: int, batch: int, channels: int) -> None:
        self.model = Model("net")
        self.layers = layers = Layers(self.model, random.Random(7), codes.FLOAT16 if dtype == codes.UINT8 else dtype)
        x = self.model.input("data", (batch, 64, 64, channels), dtype)
        x = layers.normalize(x, [0, 1, 2]) if dtype == codes.UINT8 else x
        x = layers.activation(layers.conv(x, 8, stride=(2, 2)), codes.FUNCTIONS["relu"])
        self.levels = [layers.activation(layers.conv(x, 12, stride=(2, 2)), codes.FUNCTIONS["relu"])]
        self.levels.append(layers.activation(layers.conv(self.levels[0], 12, stride=(2, 2)), codes.FUNCTIONS["relu"]))

    def heads(self, *depths: int) -> list[int]:
        """For each level a tensor of each depth."""
        return [
            self.layers.conv(level, depth, (1, 1), batch_norm=False, bias=True)
            for level in self.levels
            for depth in depths
        ]

    def joined(self, heads: list[int], depth: int, *, columns: bool) -> int:
        """The rows of all heads in one tensor, or (``columns``) as the vendor's compiler leaves them."""
        dims = [self.layers.dims(head) for head in heads]
        rows = [self.layers.reshape(head, (n, h * w * c // depth, 1, depth)) for head, (n, h, w, c) in zip(heads, dims)]
        whole = self.layers.concat(rows, 1)
        return self.layers.permute(whole, (0, 3, 2, 1)) if columns else whole

    def detection_output(self, heads: list[int], kind: int, most: int) -> int:
        """The operator over the heads, logits for kind 1 (yolov3); it wants probabilities for kind 2 (yolov5)."""
        heads = [self.layers.activation(head, codes.FUNCTIONS["sigmoid"]) for head in heads] if kind == 2 else heads
        out = self.model.tensor((self.layers.dims(heads[0])[0], 1, 1, 64 + 7 * most), codes.FLOAT16)
        anchors = self.model.floats([side for head in ANCHORS for side in head])
        words = [kind, 2, 2, 64, 64, f32_word(0.3), f32_word(0.45), most, f32_word(1.0), f32_word(1.0)]
        return int(self.model.operator(codes.DETECTION_OUTPUT, heads, out, [anchors], words, "detection"))


@pytest.fixture
def found(tmp_path, simulator_path):
    """Writes the network with such outputs, adopts it, and gives what it finds in the picture and the manifest."""
    (tmp_path / "labels.txt").write_text(LABELS)

    def run(network, outputs, *options, multi_label=False):
        for number, tensor in enumerate(outputs):
            network.model.output(tensor, f"out{number}")
        path = tmp_path / "net.cambricon"
        path.write_bytes(network.model.build())
        words = ["adopt", str(path), "--force", "--labels", str(tmp_path / "labels.txt"), *options]
        with contextlib.redirect_stdout(io.StringIO()):
            assert main([*words, "--confidence", "0.3", "--iou", "0.45"]) == 0
        thresholds = replace(load_bundle(path).thresholds, multi_label=multi_label)
        with Detector(path, str(simulator_path), thresholds) as detector:
            detections = [one for _, one in detector.stream([PICTURE] * detector.spec.batch)]
        first = detections[0]
        for other in detections[1:]:  # every place of the batch
            np.testing.assert_array_equal(first.xyxy, other.xyxy)
        assert len(first) > 3
        assert first.invalid == 0
        return first

    return run


def same(one, other):
    """The very same detections."""
    order, others = (np.lexsort((*each.xyxy.T, each.class_id, -each.confidence)) for each in (one, other))
    np.testing.assert_array_equal(one.xyxy[order], other.xyxy[others])
    np.testing.assert_array_equal(one.confidence[order], other.confidence[others])
    np.testing.assert_array_equal(one.class_id[order], other.class_id[others])


KINDS = [
    pytest.param(codes.UINT8, 1, 4, id="bytes, four channels"),
    pytest.param(codes.FLOAT16, 4, 3, id="half, batch 4"),
    pytest.param(codes.FLOAT32, 2, 4, id="float, four channels, batch 2"),
]


@pytest.mark.parametrize("dtype, batch, channels", KINDS)
@pytest.mark.parametrize("family", ["yolov3", "yolov5"])
def test_heads_with_anchors_may_come_in_any_order(found, family, dtype, batch, channels):
    """The manifest follows them."""
    network = Network(dtype, batch, channels)
    straight = found(network, network.heads(14), "--as", family, *ANCHORED)
    network = Network(dtype, batch, channels)
    same(straight, found(network, network.heads(14)[::-1], "--as", family, *REVERSED))


@pytest.mark.parametrize("dtype, batch, channels", KINDS)
@pytest.mark.parametrize("family, depths", [("yolov8", (64, 2)), ("yolox", (4, 1, 2))])
def test_fields_of_levels_may_come_in_any_order(found, family, depths, dtype, batch, channels):
    """Field by field, backwards, and all levels joined in rows or in columns."""
    options = ("--as", family)
    network = Network(dtype, batch, channels)
    straight = found(network, network.heads(*depths), *options)
    for backwards in (True, False):
        network = Network(dtype, batch, channels)
        heads = network.heads(*depths)
        by_field = [head for place in range(len(depths)) for head in heads[place :: len(depths)]]
        same(straight, found(network, heads[::-1] if backwards else by_field, *options))
    for columns in (False, True):
        network = Network(dtype, batch, channels)
        heads = network.heads(*depths)
        outputs = [network.joined(heads[i :: len(depths)], depth, columns=columns) for i, depth in enumerate(depths)]
        same(straight, found(network, outputs[::-1], *options, "--strides", "4,8"))


@pytest.mark.parametrize("dtype, batch, channels", KINDS)
def test_priors_may_lie_level_by_level_or_joined(found, dtype, batch, channels):
    """Boxes first or scores first, beside landmarks that nobody reads."""
    options = ("--as", "ssd", *ANCHORED, "--strides", "4,8", "--resize", "letterbox")
    network = Network(dtype, batch, channels)
    straight = found(network, network.heads(8, 6), *options)
    network = Network(dtype, batch, channels)
    same(straight, found(network, network.heads(8, 6)[::-1], *options))
    for columns in (False, True):
        network = Network(dtype, batch, channels)
        heads = network.heads(8, 6)
        box, scores = (network.joined(heads[place::2], depth, columns=columns) for place, depth in ((0, 4), (1, 3)))
        landmarks = network.joined(network.heads(20), 10, columns=columns)
        same(straight, found(network, [scores, landmarks, box], *options))


@pytest.mark.parametrize("family, kind", [("yolov3", 1), ("yolov5", 2)])
def test_a_detection_output_finds_what_its_heads_hold(found, family, kind):
    """In the coordinates of each family, to the precision of half floats."""
    network = Network(codes.FLOAT16, 2, 3)
    raw = found(network, network.heads(14), "--as", family, *ANCHORED, multi_label=True)
    network = Network(codes.FLOAT16, 2, 3)
    pad = ("--pad", "128" if family == "yolov3" else "114")
    device = found(network, [network.detection_output(network.heads(14), kind, 200)], "--as", family, *pad)
    sure = raw.confidence > 0.32
    matched = iou_matrix(raw.xyxy[sure], device.xyxy) * (raw.class_id[sure][:, None] == device.class_id[None, :])
    assert sure.sum() > 3
    assert (matched.max(axis=1) > 0.9).mean() > 0.9


def test_a_trial_draws_what_it_found(tmp_path, simulator_path, capsys):
    """Beside the manifest, or where it is asked to; never over the picture itself."""
    network = Network(codes.UINT8, 1, 4)
    for number, tensor in enumerate(network.heads(14)):
        network.model.output(tensor, f"out{number}")
    path, picture = tmp_path / "net.cambricon", tmp_path / "street.png"
    path.write_bytes(network.model.build())
    cv2.imwrite(str(picture), PICTURE)
    (tmp_path / "labels.txt").write_text(LABELS)
    words = ["adopt", str(path), "--as", "yolov3", *ANCHORED, "--labels", str(tmp_path / "labels.txt")]
    trial = ["--try", str(picture), "--runtime", str(simulator_path)]
    assert main([*words, *trial]) == 0
    told = capsys.readouterr().out
    assert "tried on the simulator" in told
    assert " found; see " in told
    drawn = cv2.imread(str(tmp_path / "net.try.jpg"))
    assert drawn.shape == PICTURE.shape
    assert (np.abs(drawn.astype(int) - PICTURE) > 60).any()
    assert main([*words, *trial, "--max-detections", "2", "--force"]) == 0
    assert "2 found" in (told := capsys.readouterr().out)
    assert "as many as --max-detections allows" in told
    before = picture.read_bytes()
    assert main([*words, *trial, "--drawn", str(picture)]) == 2
    assert picture.read_bytes() == before
    assert main([*words, "--try", str(tmp_path / "labels.txt")]) == 2


@pytest.mark.parametrize("family, sentence", [("classify", "  0."), ("tensors", "  out0 1x2: ")])
def test_a_trial_tells_classes_and_tensors(tmp_path, simulator_path, capsys, family, sentence):
    """Of a network that detects nothing."""
    network = Network(codes.FLOAT16, 2, 3)
    pooled = network.layers.max_pool(network.levels[1], 8, 8, 0, 1, 1)
    network.model.output(network.layers.conv(pooled, 2, (1, 1), batch_norm=False, bias=True), "out0")
    path, picture = tmp_path / "net.cambricon", tmp_path / "street.png"
    path.write_bytes(network.model.build())
    cv2.imwrite(str(picture), PICTURE)
    (tmp_path / "labels.txt").write_text(LABELS)
    words = ["adopt", str(path), "--as", family, "--labels", str(tmp_path / "labels.txt"), "--try", str(picture)]
    assert main([*words, "--runtime", str(simulator_path)]) == 0
    assert sentence in capsys.readouterr().out
    assert not (tmp_path / "net.try.jpg").exists()
    assert main([*words, "--runtime", str(simulator_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["try"]
    if family == "classify":
        assert sum(one["confidence"] for one in told["classes"]) == pytest.approx(1, abs=1e-3)
        assert {one["label"] for one in told["classes"]} == {"cat", "dog"}
    else:
        assert (told["tensors"][0]["shape"], told["tensors"][0]["not_finite"]) == ([1, 2], 0)
