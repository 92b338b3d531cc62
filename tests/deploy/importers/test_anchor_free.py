"""Networks with heads without anchors, built, run and refined like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.boxes import iou_matrix

from mlu_agent.detector import Detector
from mlu_agent.model.bundle import Thresholds, load_bundle
from mlu_agent.postprocess import postprocess
from mlu_export.formats.recipe import Recipe, Settings
from mlu_export.support.files import write_all
from mlu_export.values.graph import INPUT, Activation, Conv, Graph, ImportedModel
from mlu_export.values.heads import Head, HeadLayout
from mlu_export.values.ranges import Range
from mlu_export.workflows.build import render

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("cat", "dog", "horse")
WIDTH, HEIGHT = 64, 32
LAYOUTS = {
    "yolox": [
        HeadLayout(),
        HeadLayout(tensors=(("classes",), ("box",), ("objectness",)), activated=("classes", "objectness")),
    ],
    "yolov8": [
        HeadLayout(reg_max=4),
        HeadLayout(reg_max=1, tensors=(("box",), ("classes",)), activated=("classes",)),
    ],
}
CASES = [(decode, layout) for decode, layouts in LAYOUTS.items() for layout in layouts]


def convolution(rng, name, source, inputs, outputs, kernel, stride):
    weight = rng.normal(0, 1.4 / (inputs * kernel**2) ** 0.5, (outputs, inputs, kernel, kernel)).astype(np.float32)
    pad = kernel // 2
    bias = rng.normal(0, 0.3, outputs).astype(np.float32)
    return Conv(name, (source,), weight, bias, None, (stride, stride), (pad, pad, pad, pad))


def network(decode: str, layout: HeadLayout) -> ImportedModel:
    """Two levels of strides 4 and 8 over a small backbone with random weights, three classes."""
    rng = np.random.default_rng(5)
    nodes = [
        convolution(rng, "a", INPUT, 3, 8, 3, 2), Activation("a_act", ("a",), "relu"),
        convolution(rng, "b", "a_act", 8, 12, 3, 2), Activation("b_act", ("b",), "relu"),
        convolution(rng, "c", "b_act", 12, 12, 3, 2), Activation("c_act", ("c",), "relu"),
    ]  # fmt: skip
    channels = {"box": 4 * (layout.reg_max if decode == "yolov8" else 1), "objectness": 1, "classes": len(LABELS)}
    fields = ("box", "objectness", "classes") if decode == "yolox" else ("box", "classes")
    heads = []
    for source, stride in (("b_act", 4), ("c_act", 8)):
        names = []
        for tensor in layout.tensors or (fields,):
            name = f"{source}_{'_'.join(tensor)}"
            nodes.append(convolution(rng, name, source, 12, sum(channels[field] for field in tensor), 1, 1))
            names.append(name)
            if set(tensor) & set(layout.activated) or layout.reg_max == 1:  # such distances are above 0
                nodes.append(Activation(f"{name}_act", (name,), "sigmoid"))
                names[-1] = f"{name}_act"
        heads.append(Head(names[0], stride, more=tuple(names[1:])))
    outputs = tuple(name for head in heads for name in (head.tensor, *head.more))
    graph = Graph((HEIGHT, WIDTH, 3), tuple(nodes), outputs)
    return ImportedModel(graph, decode, tuple(heads), len(LABELS), LABELS, layout=layout)


def write(model: ImportedModel, folder: Path, ranges) -> Path:
    settings = Settings("free", "darknet", LABELS, WIDTH, HEIGHT, thresholds=Thresholds(confidence=0.3))
    write_all(folder, render(model, Recipe(settings, "weights", "0" * 64, "", "made up", ranges)))
    return folder / "free.cambricon"


def full_ranges(model: ImportedModel):
    return {conv.name: Range(-8.0, 8.0) for conv in model.graph.quantized()}


@pytest.mark.parametrize("decode, layout", CASES)
def test_a_network_without_anchors_is_written_and_read_with_its_layout(tmp_path, decode, layout):
    """The manifest says what the tensors hold, and agrees with the container."""
    spec = load_bundle(write(network(decode, layout), tmp_path, full_ranges(network(decode, layout)))).output
    assert (spec.decode, [head.stride for head in spec.heads]) == (decode, [4, 8])
    assert (spec.activated, spec.joined) == (layout.activated, False)
    assert spec.layout == (layout.tensors or spec.layout)
    assert decode == "yolox" or spec.reg_max == layout.reg_max


@pytest.mark.torch
@pytest.mark.parametrize("decode, layout", CASES)
def test_detections_of_the_file_are_those_of_the_float_network(tmp_path, simulator_path, decode, layout):
    """Through the simulator: most sure detections have an equal in the float network's."""
    from mlu_export.calibration.calibrate import calibrate
    from mlu_export.formats.pictures import float_input, float_picture
    from mlu_export.runners.float_graph import FloatRunner
    from mlu_export.values.pixels import Preprocessing

    model = network(decode, layout)
    pixels = np.random.default_rng(1).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    pixels = pixels.repeat(8, axis=0).repeat(8, axis=1)
    import cv2

    cv2.imwrite(str(tmp_path / "picture.png"), pixels)
    ranges = calibrate(model, Preprocessing(), [tmp_path / "picture.png"], "minmax", 8, True)
    with Detector(write(model, tmp_path, ranges), str(simulator_path)) as detector:
        found = detector.detect(pixels)
        tensor, letterbox = float_picture(pixels, float_input(model.graph, Preprocessing()))
        outputs = [output[0] for output in FloatRunner(model.graph).run(tensor)]
        loose = Thresholds(confidence=0.2, iou=1.0)
        expected = postprocess(outputs, detector.spec, letterbox, loose)
    assert len(found) > 5
    assert found.invalid == 0
    same = iou_matrix(found.xyxy, expected.xyxy) * (found.class_id[:, None] == expected.class_id[None, :])
    assert (same.max(axis=1) > 0.7).mean() > 0.9


@pytest.mark.torch
@pytest.mark.parametrize("decode, layout", CASES)
def test_ranges_are_refined_by_the_detections_of_heads_without_anchors(decode, layout):
    """A range far too narrow is widened again; the exact network has no error."""
    import torch

    from mlu_export.calibration.distance import DetectionError
    from mlu_export.calibration.head_parts import head_parts
    from mlu_export.calibration.observe import LayerObserver
    from mlu_export.calibration.refine import refine
    from mlu_export.runners.float_graph import FloatRunner

    model = network(decode, layout)
    pictures = np.random.default_rng(8).random((2, HEIGHT, WIDTH, 3), dtype=np.float32)
    runner = FloatRunner(model.graph)
    layers = {conv.name: LayerObserver() for conv in model.graph.quantized()}
    outputs = runner.run(pictures, lambda name, values: layers[name].see(values))
    seen = {name: layer.finish("minmax", 8) for name, layer in layers.items()}
    narrow = {**seen, "b": Range(0.0, 0.2 * seen["b"].high)}
    better = refine(model, narrow, seen, pictures, 8, True)
    assert better["b"].absmax > narrow["b"].absmax
    moved = [torch.from_numpy(output.transpose(0, 3, 1, 2).copy()) for output in outputs]
    error = DetectionError(model, torch, outputs)
    assert error.of(moved) == 0
    assert error.of([output + torch.linspace(0, 0.5, output.shape[1])[:, None, None] for output in moved]) > 0
    for boxes, sure, confidence in head_parts(model, torch, moved):
        assert (boxes.shape[1], sure.shape[1], confidence.shape[1]) == (4, 1, len(LABELS))
        assert bool((confidence <= sure).all())


@pytest.mark.torch
def test_what_is_compared_are_the_boxes_and_confidences_of_the_agent():
    """yolov8: distances in strides and class probabilities; yolox: objectness times class."""
    import torch

    from mlu_export.calibration.head_parts import head_parts

    model = network("yolov8", HeadLayout(reg_max=4))
    output = torch.zeros(1, 19, 1, 2)
    output[0, 4, 0, 1] = 200.0  # top: all weight on a distance of 0
    output[0, 17, 0, 1] = 2.0
    ((boxes, sure, confidence),) = head_parts(model, torch, [output])
    assert boxes[0, :, 0].T.tolist() == [[1.5, 1.5, 1.5, 1.5], [1.5, 0.0, 1.5, 1.5]]
    assert sure[0, 0, 0].tolist() == pytest.approx([0.5, 0.8807971])
    assert confidence[0, :, 0, 1].tolist() == pytest.approx([0.5, 0.8807971, 0.5])
    model = network("yolox", HeadLayout())
    ((boxes, sure, confidence),) = head_parts(model, torch, [torch.arange(8.0).reshape(1, 8, 1, 1)])
    assert boxes.ravel().tolist() == [0, 1, 2, 3]
    assert confidence[0, 0, 0, 0] == torch.sigmoid(torch.tensor(4.0)) * torch.sigmoid(torch.tensor(5.0))


def test_a_model_without_detection_heads_can_be_timed(tmp_path, simulator_path, export, monkeypatch):
    """``bench`` needs no detections."""
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    layout = HeadLayout(reg_max=1)
    path = write(network("yolov8", layout), tmp_path, full_ranges(network("yolov8", layout)))
    manifest = path.with_suffix(".toml")
    text = manifest.read_text().replace('task = "detect"', 'task = "infer"')
    start, end = text.index("[output]"), text.index("[thresholds]")
    plain = '[output]\nkind = "tensors"\nnames = ["a", "b"]\nshapes = [[1, 7, 8, 16], [1, 7, 4, 8]]\n\n'
    manifest.write_text(text[:start] + plain + text[end:])
    code, out, said = export("bench", path, "--count", "2", "--json")
    assert code == 0, said
    assert "ours" in out
