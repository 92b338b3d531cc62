"""Learning: what is trained is what the file will hold, and nothing is kept that does not gain."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from tests.deploy import nets

from mlu_export.calibration.calibrate import calibrate
from mlu_export.calibration.choose import RULES, Rule
from mlu_export.formats.recipe import Settings
from mlu_export.importers.darknet.cfg import parse_cfg
from mlu_export.importers.darknet.importer import import_darknet
from mlu_export.learning import learn as learning
from mlu_export.learning.equalize import channel_magnitudes, equalized
from mlu_export.learning.losses import distance
from mlu_export.learning.student import Student
from mlu_export.values.graph import Activation
from mlu_export.values.learned import weight_tops, with_learned
from mlu_export.values.ranges import Range, qmax_of

pytestmark = pytest.mark.torch


@pytest.fixture
def model():
    return import_darknet(parse_cfg(nets.TINY_CFG.encode(), "tiny.cfg"), nets.tiny_weights(), "")


@pytest.fixture
def pictures():
    return np.random.default_rng(8).random((3, 32, 64, 3), dtype=np.float32)


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures, of which nine are learned from and three judge."""
    rng = np.random.default_rng(5)
    for number in range(12):
        pixels = cv2.resize(rng.integers(0, 256, (6, 9, 3), np.uint8), (90, 60), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels)
    return sorted(tmp_path.iterdir())


def observed(graph, pictures):
    from mlu_export.runners.float_graph import FloatRunner

    found = {}
    FloatRunner(graph).run(
        pictures, lambda name, values: found.update({name: Range(float(values.min()), float(values.max()))})
    )
    return found


def quantized(graph, ranges, pictures, bits=8, per_channel=True):
    from mlu_export.runners.fake_quantization import FakeQuantRunner

    runner = FakeQuantRunner(graph, ranges, bits, per_channel)
    return [one.numpy() for one in runner.outputs(runner.advance(runner.start(pictures), 0, len(graph.nodes)))]


def heads(student, pictures):
    import torch

    outputs = student.outputs(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))
    return [one.detach().numpy() for one in outputs]


def assert_close(found, wanted):
    for one, other in zip(found, wanted):
        assert np.abs(one - other).max() < 1e-4 * np.abs(other).max()


@pytest.mark.parametrize("bits, per_channel", [(8, True), (8, False), (16, True)])
def test_the_network_that_learns_is_the_quantized_one(model, pictures, bits, per_channel):
    """At its start, and after its numbers were moved: then it is the network with the learned weights entered."""
    ranges = observed(model.graph, pictures)
    student = Student(model.graph, ranges, bits, per_channel)
    assert_close(heads(student, pictures), quantized(model.graph, ranges, pictures, bits, per_channel))
    random = np.random.default_rng(3)
    for group in student.groups():
        for values in group["params"]:
            noise = random.normal(0, 0.05, values.shape).astype(np.float32)
            values.data += student.torch.from_numpy(noise)
    layers, moved = student.learned()
    graph = with_learned(model.graph, pinned(model.graph, layers, bits, per_channel), bits, per_channel)
    assert moved["5_conv"].absmax != ranges["5_conv"].absmax
    assert_close(heads(student, pictures), quantized(graph, moved, pictures, bits, per_channel))


def pinned(graph, layers, bits, per_channel):
    """The noise of the test also moved codes that learning never moves: of those the rounded ones are still qmax."""
    qmax = qmax_of(bits)
    for conv in graph.quantized():
        codes = layers[conv.name].codes
        rows = np.abs(codes.astype(np.int64)).reshape(codes.shape[0] if per_channel else 1, -1)
        assert (rows.max(1) == qmax).all()
        assert np.array_equal(layers[conv.name].tops, weight_tops(conv.weight, qmax, per_channel))
    return layers


def test_the_largest_weight_of_a_scale_is_never_moved(model, pictures):
    """Its gradient is zero, and so is that of a channel of zeros alone, which has no scale."""
    conv = model.graph.quantized()[1]
    weight = conv.weight.copy()
    weight[0] = 0
    nodes = tuple(replace(node, weight=weight) if node is conv else node for node in model.graph.nodes)
    graph = replace(model.graph, nodes=nodes)
    student = Student(graph, observed(graph, pictures), 8, True)
    import torch

    outputs = student.outputs(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))
    sum(one.square().sum() for one in outputs).backward()
    codes = student._layers[conv.name].parameters["codes"]
    still = np.abs(np.rint(codes.detach().numpy())) == 127
    assert still.reshape(len(still), -1).any(1)[1:].all()
    assert (codes.grad.numpy()[still] == 0).all()
    assert (codes.grad.numpy()[0] == 0).all()
    assert (codes.grad.numpy()[1:][~still[1:]] != 0).any()


def test_the_slope_of_a_step_is_that_of_rounding_with_a_straight_way_through():
    """Inside the range its error, at the ends qmax: as Esser et al. derive it (Learned Step Size Quantization)."""
    import torch

    from mlu_export.learning.student import _functions

    step, values = 0.5, torch.tensor([0.2, -0.9, 100.0, -90.0], requires_grad=True)
    log_step = torch.log(torch.tensor([step])).requires_grad_()
    result = _functions(torch)[0].apply(values, log_step, 127)
    assert torch.equal(result, torch.tensor([0.0, -1.0, 63.5, -63.5]))
    result.backward(torch.tensor([1.0, 2.0, 3.0, 5.0]))
    assert values.grad.tolist() == [1.0, 2.0, 0.0, 0.0]
    slopes = [(0 - 0.4) * 1, (-2 + 1.8) * 2, 127 * 3, -127 * 5]
    assert log_step.grad.item() == pytest.approx(sum(slopes) * step)


def leaky(model):
    nodes = tuple(
        replace(node, function="leaky_relu", a=0.1) if isinstance(node, Activation) else node
        for node in model.graph.nodes
    )
    return replace(model.graph, nodes=nodes)


def test_equalization_moves_factors_and_the_float_network_computes_the_same(model, pictures):
    """Through additions, joins, pools and a depthwise layer; outputs and inputs keep their own scale."""
    from mlu_export.runners.float_graph import FloatRunner

    graph = leaky(model)
    before = channel_magnitudes(FloatRunner(graph), [pictures])
    moved = equalized(graph, before, 1.0)
    assert_close(FloatRunner(moved).run(pictures), FloatRunner(graph).run(pictures))
    after = channel_magnitudes(FloatRunner(moved), [pictures])
    assert any(
        (after[name] / after[name].max()).min() > 1.5 * (tops / tops.max()).min() for name, tops in before.items()
    )
    assert np.array_equal(after["0_conv"], before["0_conv"])
    assert equalized(graph, before, 0.0).nodes[0].weight.tobytes() == graph.nodes[0].weight.tobytes()


def test_factors_do_not_pass_functions_that_do_not_commute_with_them(model, pictures):
    """The layer before a SiLU keeps its scale."""
    from mlu_export.runners.float_graph import FloatRunner

    moved = equalized(model.graph, channel_magnitudes(FloatRunner(model.graph), [pictures]), 1.0)
    assert_close(FloatRunner(moved).run(pictures), FloatRunner(model.graph).run(pictures))
    norms = {conv.name: conv.norm for conv in model.graph.convolutions()}
    kept = {
        conv.name for conv in moved.convolutions() if conv.norm and np.allclose(conv.norm.gamma, norms[conv.name].gamma)
    }
    assert "5_conv" in kept


SETTINGS = Settings("tiny", "darknet", ("cat", "dog"), 64, 32)


def test_learning_gains_on_pictures_held_out_and_gives_the_same_each_time(model, folder, pictures, monkeypatch):
    """Twice the same layers and ranges, however many threads torch had before: one learns, where more would sum in
    another order. The words name both distances.
    """
    import torch

    threads = []
    monkeypatch.setattr(learning, "distance", lambda *each: threads.append(torch.get_num_threads()) or distance(*each))
    monkeypatch.setattr(learning, "LEAST_GAIN", 0.0)
    narrow = {name: Range(seen.low * 0.6, seen.high * 0.6) for name, seen in observed(model.graph, pictures).items()}
    first = learning.learn(model, SETTINGS, narrow, RULES[0], folder, 80, None)
    torch.set_num_threads(3)
    second = learning.learn(model, SETTINGS, narrow, RULES[0], folder, 80, None)
    assert set(threads) == {1}
    assert first.layers
    assert "on 3 pictures that no weight was learned from: " in first.told
    assert first.ranges == second.ranges
    for name, layer in first.layers.items():
        assert all(
            np.array_equal(getattr(layer, part), getattr(second.layers[name], part)) for part in ("codes", "offset")
        )


@pytest.mark.parametrize("rule", [Rule("minmax"), Rule("percentile", 95.0)], ids=str)
def test_an_equalized_network_starts_with_ranges_of_the_rule_that_made_the_others(model, folder, pictures, rule):
    """So what a recipe says of its ranges is true of them, too."""
    narrow = {name: Range(seen.low * 0.01, seen.high * 0.01) for name, seen in observed(model.graph, pictures).items()}
    start = learning._start(model, SETTINGS, narrow, rule, folder, None)
    assert start.graph is not model.graph
    moved = replace(model, graph=start.graph)
    assert start.ranges == calibrate(
        moved, SETTINGS.preprocessing, folder, rule.observer, 8, True, rule.percentile or 99.99
    )


def test_what_does_not_gain_is_not_kept(model, folder, pictures, monkeypatch):
    """The ranges are the ones that were given, and there are no learned weights."""
    monkeypatch.setattr(learning, "LEAST_GAIN", 1.1)
    ranges = observed(model.graph, pictures)
    found = learning.learn(model, SETTINGS, ranges, RULES[0], folder, 2, None)
    assert (found.layers, found.ranges) == ({}, ranges)
    assert found.told.endswith("no gain: the weights stay as they are")


def test_the_usual_number_of_views_is_fewer_for_larger_networks(model):
    """It depends on the network alone, not on the machine."""
    small = learning.usual_passes(model.graph)
    assert small == learning.MOST_PASSES
    cfg = nets.TINY_CFG.replace("width=64", "width=4096").replace("height=32", "height=2048")
    large = import_darknet(parse_cfg(cfg.encode(), "tiny.cfg"), nets.tiny_weights(), "")
    assert learning.BATCH <= learning.usual_passes(large.graph) < 1000


def test_large_inputs_are_seen_a_window_at_a_time(folder):
    """At places of a grid that strides divide; the same ones for the same seed. A small input is seen whole."""
    from mlu_export.formats.pictures import float_input
    from mlu_export.learning.views import GRID, Views, window
    from mlu_export.values.graph import Graph

    large, small = (Graph((height, 704, 3), (), ()) for height in (640, 192))
    assert (window(large), window(small)) == ((320, 320), (192, 704))
    seen = []
    for _ in range(2):
        views = Views(folder, float_input(large, SETTINGS.preprocessing), large, 3)
        seen.append([views.next() for _ in range(14)])
    assert all(np.array_equal(one, other) for one, other in zip(*seen))
    assert {one.shape for one in seen[0]} == {(1, 320, 320, 3)}
    assert len({one.tobytes() for one in seen[0]}) > 9
    assert window(large)[0] % GRID == 0
