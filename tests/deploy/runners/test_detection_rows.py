"""DETECTION_OUTPUT on random heads: the simulator's rows are the numpy reference's to the bit, of float16 and float32,
and outputs may be described with fewer axes than four."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mlu_agent.engine import Engine
from mlu_agent.errors import DataError, RuntimeFailure
from mlu_agent.model.offline_model import read_offline_model
from mlu_export.formats.container import write_model
from mlu_export.runners.reference.network import run_network
from mlu_export.runners.simulator import Runner, simulator
from mlu_export.values import network as net
from mlu_export.values.network import Network, Operator, Tensor, float_word

KINDS = (net.YOLOV3, net.YOLOV5, net.YOLOV4, net.YOLOV4_DISTANCE, net.YOLOV4_SINGLE)


@pytest.fixture(autouse=True)
def library(simulator_path, monkeypatch):
    """The simulator of this tree."""
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))


def detector(seed):
    """A network of one to seven random heads behind the inputs, and inputs for it."""
    rng = np.random.default_rng(seed)
    kind, dtype = KINDS[seed % len(KINDS)], (net.FLOAT16, net.FLOAT32)[seed // 2 % 2]
    heads, anchors, classes, batch = 1 + seed % 7, int(rng.integers(1, 4)), int(rng.integers(1, 140)), seed % 3 + 1
    tensors = [
        Tensor((batch, int(rng.integers(1, 9)), int(rng.integers(1, 9)), anchors * (5 + classes)), dtype)
        for _ in range(heads)
    ]
    most = int(rng.integers(1, 200))
    tensors.append(Tensor((batch, 1, 1, 64 + 7 * most), (net.FLOAT32, net.FLOAT16)[seed % 2]))
    confidence = 0.3 if kind == net.YOLOV5 else 0.5
    words = (
        kind, classes, anchors, 96, 160, float_word(confidence), float_word(0.45), most,
        *[float_word(1.0 if kind == net.YOLOV3 else 1.1)] * heads, *[float_word(0.6)] * (kind == net.YOLOV4_DISTANCE),
    )  # fmt: skip
    sides = rng.uniform(4, 90, heads * anchors * 2).astype(np.float32)
    operator = Operator(net.DETECTION_OUTPUT, tuple(range(heads)), (0,), words, heads, "boxes")
    names = tuple(f"head{number}" for number in range(heads))
    network = Network(tuple(tensors), (sides,), (operator,), tuple(range(heads)), (heads,), names, ("boxes",))
    arrays = []
    for tensor in tensors[:heads]:
        values = rng.normal(0, 2, tensor.dims)
        values = 1 / (1 + np.exp(-values)) if kind == net.YOLOV5 else values
        arrays.append(values.astype(net.DTYPES[dtype]))
    return network, arrays


@pytest.mark.parametrize("seed", range(14))
def test_rows_of_random_heads_are_the_references_to_the_bit(seed):
    """Of any number of heads, anchors and classes, of both types of heads and rows."""
    network, arrays = detector(seed)
    runner = Runner(network)
    try:
        got = runner.run(arrays)[0]
    finally:
        runner.close()
    wanted = run_network(network, arrays)[0]
    assert got.dtype == wanted.dtype == net.DTYPES[network.tensors[-1].dtype]
    assert got.tobytes() == wanted.tobytes()
    assert got.reshape(len(got), -1)[:, 0].any()


@dataclasses.dataclass(frozen=True)
class Described(Network):
    """A network whose output the container describes as it is told."""

    told: tuple[int, ...] = ()

    def described(self, number):
        return self.told if number in self.outputs else super().described(number)


def _plain(dims, told, flat=False):
    tensors = (Tensor(dims, net.FLOAT32), Tensor(dims, net.FLOAT32))
    words = (net.FUNCTIONS["relu"], float_word(0.0), float_word(0.0))
    operator = Operator(net.ACTIVATION, (0,), (), words, 1, "relu")
    return Described(tensors, (), (operator,), (0,), (1,), ("x",), ("y",), flat, told)


@pytest.mark.parametrize("dims, told", [((3, 1, 1, 10), (3, 10)), ((2, 1, 5, 4), (2, 5, 4))])
def test_an_output_may_be_described_without_sides_of_one(tmp_path, dims, told):
    """Library and agent give the axes of the container; the numbers lie as they would with four."""
    path = tmp_path / "net.cambricon"
    path.write_bytes(write_model(_plain(dims, told), "net", "MLU220", 1))
    assert [one.shape for one in read_offline_model(path).outputs] == [told]
    engine = Engine(simulator(), path, slots=1)
    slot = engine.acquire()
    slot.inputs[0][...] = np.arange(slot.inputs[0].size).reshape(dims) - 7.0
    engine.submit(slot)
    output = np.array(engine.collect().outputs[0])
    engine.close()
    assert output.shape == told
    np.testing.assert_array_equal(output.ravel(), np.maximum(np.arange(output.size) - 7.0, 0))


@pytest.mark.parametrize("told", [(3, 1, 10), (3, 10, 1, 1), (3,), (1, 30), (3, 1, 1, 1, 10), (30,), (3, 11)])
def test_an_output_described_otherwise_is_refused(tmp_path, told):
    """By the library and by the agent alike, with a sentence: another order or size, or an axis too many or too few."""
    dims = (3, 1, 1, 10) if told != (3, 1, 10) else (3, 1, 2, 10)
    path = tmp_path / "net.cambricon"
    path.write_bytes(write_model(_plain(dims, told), "net", "MLU220", 1))
    with pytest.raises(DataError, match="describes 'y' differently"):
        read_offline_model(path)
    with pytest.raises(RuntimeFailure, match="differs from the container's description"):
        simulator().call("cnrtLoadModel", simulator().ffi.new("cnrtModel_t *"), bytes(path))


def test_flat_outputs_are_those_of_one_row():
    """A map keeps its four axes, and inputs theirs."""
    row, grid = _plain((2, 1, 1, 6), (), flat=True), _plain((2, 1, 3, 6), (), flat=True)
    assert Network.described(row, 1) == (2, 6)
    assert Network.described(row, 0) == (2, 1, 1, 6)
    assert Network.described(grid, 1) == (2, 1, 3, 6)
