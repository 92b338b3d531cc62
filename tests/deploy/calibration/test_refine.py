"""Refining activation ranges by what detections change least."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.deploy import nets

from mlu_export.calibration.distance import DetectionError
from mlu_export.calibration.refine import choose_pictures, clipped, refine
from mlu_export.importers.darknet.cfg import parse_cfg
from mlu_export.importers.darknet.importer import import_darknet
from mlu_export.lowering.lower import LowerOptions, lower
from mlu_export.runners.reference.network import run_network
from mlu_export.values.ranges import Range

pytestmark = pytest.mark.torch


@pytest.fixture
def model():
    return import_darknet(parse_cfg(nets.TINY_CFG.encode(), "tiny.cfg"), nets.tiny_weights(), "")


@pytest.fixture
def pictures():
    return np.random.default_rng(8).random((3, 32, 64, 3), dtype=np.float32)


def observed(model, pictures):
    from mlu_export.calibration.observe import LayerObserver
    from mlu_export.runners.float_graph import FloatRunner

    layers = {conv.name: LayerObserver() for conv in model.graph.quantized()}
    runner = FloatRunner(model.graph)
    runner.run(pictures, lambda name, values: layers[name].see(values))
    return runner, {name: layer.finish("minmax", 8) for name, layer in layers.items()}


def test_a_range_that_is_far_too_narrow_is_widened_again_but_never_beyond_what_was_seen(model, pictures):
    """One layer starts at a fifth of its range; the detections' error falls, and every range stays within its own."""
    runner, seen = observed(model, pictures)
    narrow = dict(seen)
    narrow["11_conv"] = clipped(seen["11_conv"], 0.2 * seen["11_conv"].absmax)
    better = refine(model, narrow, seen, pictures, 8, True)
    assert better["11_conv"].absmax > narrow["11_conv"].absmax
    assert all(seen[name].low <= found.low and found.high <= seen[name].high for name, found in better.items())
    exact = DetectionError(model, runner.torch, runner.run(pictures))

    def error(ranges):
        network = lower(model.graph, ranges, LowerOptions(input="float", channels="rgb", batch=3))
        outputs = [
            runner.torch.from_numpy(output.transpose(0, 3, 1, 2).copy()) for output in run_network(network, [pictures])
        ]
        return exact.of(outputs)

    assert error(better) < error(narrow)


def test_the_fast_quantized_network_is_the_integer_one_but_for_roundings(model, pictures):
    """Where refinement measures is what the file will hold: head outputs agree to a ten-thousandth of their range."""
    from mlu_export.runners.fake_quantization import FakeQuantRunner

    _, seen = observed(model, pictures)
    fast = FakeQuantRunner(model.graph, seen, 8, True)
    outputs = fast.outputs(fast.advance(fast.start(pictures), 0, len(model.graph.nodes)))
    network = lower(model.graph, seen, LowerOptions(input="float", channels="rgb", batch=3))
    for got, expected in zip(outputs, run_network(network, [pictures])):
        difference = np.abs(got.numpy().transpose(0, 2, 3, 1) - expected)
        # A value on the edge between two codes may fall either way, so a few outputs differ by one step.
        assert np.quantile(difference, 0.9) < 1e-4 * np.abs(expected).max()


def test_the_exact_network_has_no_error(model, pictures):
    """Outputs that are the truth cost nothing, and moved ones cost something."""
    runner, _ = observed(model, pictures)
    outputs = runner.run(pictures)
    moved = [runner.torch.from_numpy(output.transpose(0, 3, 1, 2).copy()) for output in outputs]
    error = DetectionError(model, runner.torch, outputs)
    assert error.of(moved) == 0
    assert error.of([output + 0.5 for output in moved]) > 0


def test_noise_of_the_last_digits_is_rounded_away():
    """A limit has four digits, so that it is the same on every machine, and stays in the range."""
    seen = Range(-1.0, 10.0)
    assert clipped(seen, 3.14159265) == clipped(seen, 3.14159301) == Range(-1.0, 3.142)
    assert clipped(seen, 0.5) == Range(-0.5, 0.5)
    assert clipped(seen, 99.0) == seen


def test_pictures_are_evenly_spread_and_bounded():
    """At most 32, and fewer for large inputs."""
    paths = [Path(str(number)) for number in range(128)]
    assert len(choose_pictures(paths, 416, 416)) == 32
    assert len(choose_pictures(paths, 640, 640)) == 16
    assert len(choose_pictures(paths, 8192, 8192)) == 1
    assert choose_pictures(paths[:3], 640, 640) == paths[:3]
