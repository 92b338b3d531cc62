"""Products of two computed tensors, and what belongs to them: what is recognised, what it becomes, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mlu_export.calibration.mixed import keep_layers
from mlu_export.lowering.lower import LowerOptions, lower
from mlu_export.recording.record import RECORDERS
from mlu_export.recording.values import Constant, UnsupportedError, Value
from mlu_export.runners.simulator import Runner
from mlu_export.values import network as net
from mlu_export.values.graph import Operation

matmul, attention = RECORDERS["aten.matmul.default"], RECORDERS["aten.scaled_dot_product_attention.default"]
layer_norm = RECORDERS["aten.native_layer_norm.default"]


def computed(*shape):
    return Value(shape, False, "input")


def constant(*shape):
    return Constant(np.zeros(shape, np.float32), 1)


SMALL = (1, 2, 4, 3)
REFUSED = {
    "rows that do not fit": (lambda: matmul(computed(1, 4, 3), computed(1, 4, 3)), "matrices that fit have"),
    "a vector": (lambda: matmul(computed(4), computed(4, 3)), "matrices that fit have"),
    "other matrices": (lambda: matmul(computed(2, 4, 3), computed(3, 3, 4)), "do not fit each other"),
    "too long sums": (lambda: matmul(computed(1, 2, 65537), computed(1, 65537, 2)), "one of up to 65536 has"),
    "a stack of constants": (lambda: matmul(computed(2, 4, 3), constant(2, 3, 4)), r"with a constant \(2, 3, 4\)"),
    "dropout": (lambda: attention(*[computed(*SMALL)] * 3, None, 0.1), "dropout"),
    "constant keys": (lambda: attention(computed(*SMALL), constant(*SMALL), computed(*SMALL)), "constant keys"),
    "a computed mask": (lambda: attention(*[computed(*SMALL)] * 3, computed(4, 4)), "mask that the network computes"),
    "a norm without eps": (lambda: layer_norm(computed(1, 3), (3,), None, None, 0.0), "a positive one has"),
    "a norm of a batch": (lambda: layer_norm(computed(2, 3), (2, 3), None, None, 1e-5), "pictures of a batch"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_operator_is_refused_by_its_reason(case):
    """Shapes that do not fit, sums beyond the loader's bound, and uses of attention that the device has not."""
    make, text = REFUSED[case]
    with pytest.raises(UnsupportedError, match=text):
        make()


def test_sums_of_65536_products_are_made():
    """The bound itself is within."""
    assert matmul(computed(1, 2, 65536), computed(1, 65536, 2)).shape == (1, 2, 2)


def _model(forward, size=(16, 16)):
    import torch
    from torch import nn

    from mlu_export.importers.module.importer import import_module

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.linear = nn.Linear(8, 8)

        def forward(self, x):
            return forward(self, self.patches(x).flatten(2).transpose(1, 2))

    torch.manual_seed(0)
    module = Net().eval()
    return module, import_module(module, size)


def _operators(model, *wanted):
    made = [node for node in model.graph.nodes if isinstance(node, Operation)]
    return [node for node in made if node.opcode in wanted]


@pytest.mark.torch
def test_factors_and_turns_become_part_of_the_product():
    """Before it, behind a transposition, and after it; the numbers are those of the module."""
    import torch

    def forward(self, x):
        q, k = x * 0.5, self.linear(x) * 0.25
        return (q @ k.transpose(1, 2)) * 3.0

    module, model = _model(forward)
    (product,) = _operators(model, net.MATMUL)
    assert product.attributes[:2] == (1, 1)  # the pixels lie behind the channels, which is a transposition too
    assert net.word_float(product.attributes[2]) == 0.375
    assert not _operators(model, net.AFFINE)
    graph = keep_layers(model.graph, (), tuple(conv.name for conv in model.graph.convolutions()))
    runner = Runner(lower(graph, {}, LowerOptions("float", "rgb")))
    picture = np.random.default_rng(0).normal(0, 1, (1, 16, 16, 3)).astype(np.float32)
    try:
        (got,) = runner.run([picture])
    finally:
        runner.close()
    with torch.no_grad():
        want = module(torch.from_numpy(picture.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(got.reshape(1, 16, 16).transpose(0, 2, 1), want, atol=1e-5)


@pytest.mark.torch
def test_norms_and_gelu_written_by_hand_are_operators():
    """With their gain and shift, whether the half is taken before, behind or within."""
    import torch

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        x = (
            centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + 1e-5) * self.linear.bias
            + self.linear.weight[0]
        )
        x = x * 0.5 * (1 + torch.erf(x * 0.5**0.5))
        x = x * (torch.erf(x / 2**0.5) * 0.5 + 0.5)
        return (x * (1 + torch.erf(x / 2**0.5))) * 0.5

    _, model = _model(forward)
    (norm,) = _operators(model, net.LAYER_NORM)
    assert all(one is not None for one in norm.constants)
    functions = [node.attributes[0] for node in _operators(model, net.ACTIVATION)]
    assert functions == [net.FUNCTIONS["gelu"]] * 3
    assert not _operators(model, net.AFFINE, net.REDUCE, net.DIV)


@pytest.mark.torch
def test_scores_beyond_float16_are_scaled_before_they_are_rounded():
    """Sums of 640,000 times 0.01 fit a half, though the sums alone would not."""
    tensors = (net.Tensor((1, 1, 2, 64), net.FLOAT16), net.Tensor((1, 1, 2, 2), net.FLOAT16))
    operator = net.Operator(net.MATMUL, (0, 0), (), (0, 1, net.float_word(0.01)), 1, "scores")
    runner = Runner(net.Network(tensors, (), (operator,), (0,), (1,), ("x",), ("y",)))
    try:
        (got,) = runner.run([np.full((1, 1, 2, 64), 100, np.float16)])
    finally:
        runner.close()
    assert (got == np.float16(6400)).all()
