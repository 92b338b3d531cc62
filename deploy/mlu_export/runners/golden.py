"""The golden frame of a lowered network (FORMAT.md section 4): what the simulator computes for the two inputs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mlu_agent.errors import RuntimeFailure
from mlu_agent.model.golden import FRAMES, GoldenFrame, digests, golden_inputs, golden_text

from ..support.files import sha256_hex
from .simulator import Runner, simulator

if TYPE_CHECKING:
    from ..values.network import Network


def golden_file(network: Network, model: bytes) -> bytes | None:
    """The bytes of ``NAME.golden`` for the file ``model`` that holds the network: a function of the network alone,
    since the numbers do not depend on device, cores or kernels. None, which is said, where there is no simulator."""
    try:
        if simulator().outputs_are_recorded:
            raise RuntimeFailure("CNRT_SIMULATOR_COMPUTE=0: the simulator computes nothing")
        runner = Runner(network)
    except RuntimeFailure as error:
        print(f"mlu-export: note: no golden frame, the agent will record one: {error}", file=sys.stderr)
        return None
    try:
        outputs = tuple(digests(runner.run(golden_inputs(number, runner.inputs))) for number in range(FRAMES))
    finally:
        runner.close()
    return golden_text(GoldenFrame(sha256_hex(model), "simulator", outputs)).encode("utf-8")
