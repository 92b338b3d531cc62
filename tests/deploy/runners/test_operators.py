"""Every operator: the numpy reference and the simulator agree to the bit, and both are near torch's definitions."""

from __future__ import annotations

import numpy as np
import pytest
from tests.deploy.runners import random_networks
from tests.native.make_model import make

from mlu_export.formats.container import write_model
from mlu_export.formats.container_reader import read_network
from mlu_export.runners.reference.functions import activation, logarithm
from mlu_export.runners.reference.network import run_network
from mlu_export.values import network as net
from mlu_export.values.network import Network, Operator, Tensor, float_word


def _inputs(network: Network, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = []
    for number in network.inputs:
        tensor = network.tensors[number]
        dtype = net.DTYPES[tensor.dtype]
        values = rng.integers(0, 256, tensor.dims) if tensor.dtype == net.UINT8 else rng.normal(0, 2, tensor.dims)
        inputs.append(values.astype(dtype))
    return inputs


def _simulate(simulator_path, path, inputs):
    from mlu_agent.cnrt import open_library
    from mlu_agent.engine import Engine

    engine = Engine(open_library(str(simulator_path)), path, cores=1, slots=1)
    try:
        slot = engine.acquire()
        for target, values in zip(slot.inputs, inputs):
            target[...] = values
        engine.submit(slot)
        slot = engine.collect()
        outputs = [output.copy() for output in slot.outputs]
        engine.release(slot)
    finally:
        engine.close()
    return outputs


def _same(data, simulator_path, tmp_path, seed, inputs=None):
    path = tmp_path / "model.cambricon"
    path.write_bytes(data)
    network = read_network(data)
    inputs = _inputs(network, seed) if inputs is None else inputs
    expected = run_network(network, inputs)
    for number, (got, wanted) in enumerate(zip(_simulate(simulator_path, path, inputs), expected)):
        nan = np.isnan(wanted)
        assert (np.isnan(got) == nan).all(), f"output {number}"
        assert got[~nan].tobytes() == wanted[~nan].tobytes(), f"output {number}"
    return expected


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_simulator_computes_every_operator_as_the_reference(tmp_path, simulator_path, seed):
    """The operators 14 to 27 and the functions 5 to 18, of halves and of floats, with detections among the outputs."""
    outputs = _same(make("more", seed, batch=2), simulator_path, tmp_path, seed)
    counts = [int(output.ravel()[0]) for output in outputs[-5:]]
    assert min(counts) > 3


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_compute_alike(tmp_path, simulator_path, seed):
    """Those that the exact torch network is checked with too, every operator's output."""
    data = write_model(random_networks.random_network(seed), "random", "MLU220", 1)
    _same(data, simulator_path, tmp_path, seed, random_networks.random_inputs(read_network(data), seed))


def test_functions_are_near_their_mathematical_definitions():
    """Within a few units of float32's last place, the small results of softplus, elu and tanh included."""
    x = np.concatenate([np.linspace(-30, 30, 4001), np.logspace(-6, 0, 200), -np.logspace(-6, 0, 200)])
    x = x.astype(np.float32)
    wide = x.astype(np.float64)
    softplus = np.log1p(np.exp(wide))
    clipped = np.clip(wide + 3, 0, 6)
    expected = {
        5: wide * clipped / 6, 6: wide * np.tanh(softplus), 7: np.clip(wide, 0, 6), 8: np.tanh(wide), 10: clipped / 6,
        11: np.exp(wide), 13: softplus, 14: np.where(wide > 0, wide, 0.5 * np.expm1(wide)), 15: np.clip(wide, 0.5, 2.5),
    }  # fmt: skip
    for function, exact in expected.items():
        with np.errstate(all="ignore"):  # branches that are computed and not taken
            got = activation(function, x, 0.5, 2.5)
        assert np.abs(got - exact).max() < 1e-6 * max(1, np.abs(exact[np.abs(wide) < 30]).max()), function
        if function not in (5, 10):  # these cancel at -3
            assert (np.abs(got - exact) <= 1e-6 * np.abs(exact) + 1e-37).all(), function
    positive = np.logspace(-30, 30, 5000).astype(np.float32)
    assert np.allclose(logarithm(positive), np.log(positive.astype(np.float64)), rtol=3e-7, atol=3e-7)


def _one(opcode, x, dims, attributes, constants=()):
    tensors = (Tensor(x.shape, net.FLOAT32), Tensor(dims, net.FLOAT32))
    operator = Operator(opcode, (0,), tuple(range(len(constants))), attributes, 1, "x")
    return run_network(Network(tensors, tuple(constants), (operator,), (0,), (1,), ("x",), ("y",)), [x])[0]


@pytest.mark.torch
def test_operators_mean_what_torch_means():
    """Average pooling, transposed convolution, both kinds of bilinear resizing, and the norm of channels."""
    import torch
    from torch.nn import functional

    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, (2, 9, 7, 6)).astype(np.float32)
    picture = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())

    def check(got, wanted):
        assert np.allclose(got, wanted.numpy().transpose(0, 2, 3, 1), atol=1e-5)

    for counted in (0, 1):
        wanted = functional.avg_pool2d(picture, 3, 2, 1, count_include_pad=bool(counted))
        check(_one(net.AVERAGE_POOL, x, (2, 5, 4, 6), (3, 3, 2, 2, 1, 1, counted)), wanted)
    weight = rng.normal(0, 1, (6, 4, 3, 3)).astype(np.float32)  # in, out / groups
    wanted = functional.conv_transpose2d(picture, torch.from_numpy(weight), None, 2, 1, 1, groups=2)
    stored = weight.reshape(2, 3, 4, 3, 3).transpose(0, 2, 3, 4, 1).reshape(8, 3, 3, 3)
    constants = (np.ascontiguousarray(stored),)
    tensors = (Tensor(x.shape, net.FLOAT32), Tensor((2, 18, 14, 8), net.FLOAT32))
    absent = net.ABSENT
    operator = Operator(net.DECONV, (0,), (0, absent, absent, absent, absent), (3, 3, 2, 2, 1, 1, 1, 1, 2, 0), 1, "x")
    check(run_network(Network(tensors, constants, (operator,), (0,), (1,), ("x",), ("y",)), [x])[0], wanted)
    for corners in (False, True):
        wanted = functional.interpolate(picture, (13, 20), mode="bilinear", align_corners=corners)
        check(_one(net.RESIZE_BILINEAR, x, (2, 13, 20, 6), (int(corners),)), wanted)
    scale = rng.normal(0, 1, 6).astype(np.float32)
    wanted = functional.normalize(picture, dim=1) * torch.from_numpy(scale)[:, None, None]
    check(_one(net.L2_NORMALIZE, x, x.shape, (float_word(1e-12),), (scale,)), wanted)


def test_detection_output_has_the_vendors_layout():
    """One box each of two classes and a duplicate: count, 63 zeros, rows of batch, class, score, corners in pixels."""
    head = np.zeros((1, 2, 2, 7), np.float32)
    head[0, 1, 0] = [0.5, 0.5, 0.5, 0.5, 0.9, 0.8, 0.1]  # centre of cell (1, 0); extent = the anchor
    head[0, 1, 1] = [0.25, 0.5, 0.5, 0.5, 0.9, 0.7, 0.6]  # half a cell to the left: overlaps the first one
    attributes = (2, 2, 1, 64, 64, float_word(0.5), float_word(0.45), 3, float_word(1.0))
    tensors = (Tensor(head.shape, net.FLOAT32), Tensor((1, 1, 1, 85), net.FLOAT16))
    operator = Operator(net.DETECTION_OUTPUT, (0,), (0,), attributes, 1, "d")
    anchors = np.array([60.0, 20.0], np.float32)
    out = run_network(Network(tensors, (anchors,), (operator,), (0,), (1,), ("x",), ("y",)), [head])[0].ravel()
    assert out[0] == 2
    assert not out[1:64].any()
    assert out[64:78].reshape(2, 7).tolist() == [
        [0, 0, np.float16(0.72), -14, 38, 46, 58],
        [0, 1, np.float16(0.54), 2, 38, 62, 58],
    ]
    assert not out[78:].any()


def _yolov4(kind, head, beta=()):
    """Rows of class, score and corners that the kind keeps, of one head with one anchor."""
    attributes = (kind, 2, 1, 64, 64, float_word(0.25), float_word(0.45), 8, float_word(1.0), *map(float_word, beta))
    tensors = (Tensor(head.shape, net.FLOAT32), Tensor((1, 1, 1, 120), net.FLOAT16))
    operator = Operator(net.DETECTION_OUTPUT, (0,), (0,), attributes, 1, "d")
    anchors = np.array([60.0, 60.0], np.float32)
    out = run_network(Network(tensors, (anchors,), (operator,), (0,), (1,), ("x",), ("y",)), [head])[0].ravel()
    return out[64 : 64 + 7 * int(out[0])].reshape(-1, 7)[:, 1:]


def test_the_kinds_of_yolov4_differ_as_the_vendors_numbers_say():
    """Each class of a box, one class per box, and far centres that let an overlapping neighbour live."""
    head = np.zeros((1, 2, 2, 7), np.float32)
    head[..., 4:] = -9
    head[0, 0, 0, 4:] = [9, 3, 1]  # both classes are above the confidence
    head[0, 0, 1, 4:] = [9, 2, -9]  # half a box to the right: an overlap of 28 of 92 columns
    assert _yolov4(3, head)[:, 0].tolist() == [0, 0, 1]
    assert _yolov4(5, head)[:, 0].tolist() == [0, 0]
    head[0, 0, 1, :2] = [-2.0, 0.0]  # nearer: iou .535 with the first, centres .051 of the diagonal apart
    assert _yolov4(3, head)[:, 0].tolist() == [0, 1]
    assert _yolov4(4, head, (0.6,))[:, 0].tolist() == [0, 0, 1]
    assert _yolov4(4, head, (4.0,))[:, 0].tolist() == [0, 1]
