"""The float counterpart of a network: every operator and every activation function has one in torch."""

from __future__ import annotations

import numpy as np
import pytest

from mlu_agent.errors import DataError
from mlu_export.runners.float_graph import FloatRunner
from mlu_export.runners.float_operations import _OPERATIONS
from mlu_export.runners.reference.functions import activation
from mlu_export.values import network as net
from mlu_export.values.graph import INPUT, Activation, Graph, Operation

pytestmark = pytest.mark.torch

A, B = 0.25, 0.75
SLOPE = np.array([0.5, 0.125], np.float32)
# Convolutions and normalisation are what a float graph says otherwise; boxes on the device are made by a script alone.
WITHOUT = {"conv", "normalize", "detection_output"}


def test_every_operator_but_three_has_a_float_counterpart():
    """A new one without is either written in float_operations.py or named here with its reason."""
    assert {net.OPCODES[opcode] for opcode in net.OPCODES.keys() - _OPERATIONS.keys()} == WITHOUT


def _run(node):
    values = np.linspace(0.0625, 4, 32, dtype=np.float32).reshape(1, 4, 4, 2)
    if node.name != "sqrt":
        values[:, ::2] *= -1
    return values, FloatRunner(Graph((4, 4, 2), (node,), (node.name,))).run(values)[0]


def _operation(name, constants=()):
    words = (net.FUNCTIONS[name], net.float_word(A), net.float_word(B))
    return Operation(name, (INPUT,), net.ACTIVATION, (1, 4, 4, 2), constants, words)


@pytest.mark.parametrize("name", sorted(net.FUNCTIONS.keys() - {"prelu"}))
def test_every_function_runs_in_float(name):
    """As a generic operation with its two numbers, near what the simulator's arithmetic says of it; and as the node
    ``Activation``, whose second number is 0.
    """
    values, got = _run(_operation(name))
    np.testing.assert_allclose(got, activation(net.FUNCTIONS[name], values, A, B), rtol=1e-4, atol=1e-6)
    low = -1.0 if name == "clip" else A
    values, got = _run(Activation(name, (INPUT,), name, low))
    np.testing.assert_allclose(got, activation(net.FUNCTIONS[name], values, low, 0.0), rtol=1e-4, atol=1e-6)


def test_prelu_has_a_slope_for_each_channel():
    """The one function with a constant: an operation of its own, refused in a sentence as a node without one."""
    values, got = _run(_operation("prelu", (SLOPE,)))
    assert np.array_equal(got, np.where(values > 0, values, values * SLOPE))
    with pytest.raises(DataError, match="prelu has no slope"):
        _run(Activation("last", (INPUT,), "prelu"))


def test_a_name_that_is_no_function_is_refused():
    """In a sentence with those that are."""
    with pytest.raises(DataError, match="activation swish is none of relu, "):
        _run(Activation("last", (INPUT,), "swish"))
