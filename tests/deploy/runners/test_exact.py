"""The exact torch network: integer for integer what the simulator computes, whatever the network."""

from __future__ import annotations

import numpy as np
import pytest
from tests.deploy.runners import random_networks

from mlu_export.values.network import ACTIVATION, CONV, DECONV, FLOAT16, FLOAT32, FUNCTIONS, OPCODES, UINT8

pytestmark = pytest.mark.torch

GRAPHS = 500
GROUP = 50
ONCE_WRONG = (1942,)  # a sum of minus zero


def _differences(network, got, wanted):
    """Names of the operators whose outputs differ in a bit."""
    return [
        f"{name} ({np.count_nonzero(a.view(np.uint8) != b.view(np.uint8))} bytes of {a.nbytes})"
        for name, a, b in zip(network.output_names, got, wanted)
        if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes()
    ]


@pytest.mark.parametrize("group", range(0, GRAPHS, GROUP))
def test_random_networks_compute_alike_in_torch_and_in_the_simulator(simulator_path, monkeypatch, group):
    """Every operator's output, byte for byte; the seed of a network that differs is told."""
    from mlu_export.runners.exact.network import run_network
    from mlu_export.runners.simulator import Runner

    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    found = ONCE_WRONG if group == 0 else ()
    for seed in [*range(group, group + GROUP), *found]:
        network = random_networks.random_network(seed)
        inputs = random_networks.random_inputs(network, seed)
        runner = Runner(network)
        try:
            simulated = runner.run(inputs)
        finally:
            runner.close()
        odd = _differences(network, run_network(network, inputs), simulated)
        assert not odd, f"seed {seed}: {', '.join(odd)}"


def test_the_random_networks_have_everything():
    """All operators, all functions, all types of weights, inputs and tensors, batches of one to three."""
    operators, functions, weights, inputs, tensors, batches = (set() for _ in range(6))
    for seed in range(GRAPHS):
        network = random_networks.random_network(seed)
        operators |= {operator.opcode for operator in network.operators}
        functions |= {operator.attributes[0] for operator in network.operators if operator.opcode == ACTIVATION}
        weights |= {
            (o.opcode, network.constants[o.constants[0]].dtype.str)
            for o in network.operators
            if o.opcode in (CONV, DECONV)
        }
        inputs |= {network.tensors[number].dtype for number in network.inputs}
        tensors |= {tensor.dtype for tensor in network.tensors}
        batches |= {network.tensors[0].dims[0]}
    assert operators == OPCODES.keys()
    assert functions == set(FUNCTIONS.values())
    assert weights == {(opcode, kind) for opcode in (CONV, DECONV) for kind in ("|i1", "<i2", "<f4")}
    assert inputs == tensors == {UINT8, FLOAT16, FLOAT32}
    assert batches == {1, 2, 3}
