"""torch_mlu.core.mlu_model, as far as the flow needs it, and the vendor's meaning of torch.jit.trace."""

import os
from pathlib import Path

import numpy as np
import torch

from mlu_export.formats.container import write_model
from mlu_export.values import network as net
from torch_mlu import FOLDER, record

_state = {"name": "", "version": "MLU270", "cores": 1}


def _setter(name, key=None):
    def call(value):
        record(name, value)
        if key:
            _state[key] = value

    return call


set_device = _setter("set_device")
set_core_number = _setter("set_core_number", "cores")
set_core_version = _setter("set_core_version", "version")
set_input_format = _setter("set_input_format")
save_as_cambricon = _setter("save_as_cambricon", "name")


def mlu_device():
    record("mlu_device")
    return torch.device("cpu")


def _trace(module, example, check_trace=True):
    record("trace", str(example.dtype), list(example.shape), check_trace, torch.is_grad_enabled())

    def traced(given):
        record("call", list(given.shape))
        outputs = module(given.float())
        np.savez(FOLDER / "computed.npz", given.numpy(), *(output.numpy() for output in outputs))
        if _state["name"]:
            _write(module, given, outputs)
        return outputs

    return traced


def _write(module, given, outputs):
    if "VENDOR_DOUBLE_FAILS" in os.environ:
        raise RuntimeError("CNML error: no such core version")
    first = next(layer for layer in module.modules() if hasattr(layer, "input_mean"))
    dtype = {torch.float16: net.FLOAT16, torch.float32: net.FLOAT32}[given.dtype]
    n, _, h, w = given.shape
    size = int(os.environ.get("VENDOR_DOUBLE_WIDTH", w))
    entry = net.Tensor((n, h, size, 3), dtype) if first.input_mean is None else net.Tensor((n, h, size, 4), net.UINT8)
    ends = [net.Tensor((n, *output.shape[2:], output.shape[1]), net.FLOAT16) for output in outputs]
    numbers = tuple(range(1, 1 + len(ends)))
    operator = net.Operator(net.CAST, (0,), (), (), 1, "device code")
    network = net.Network((entry, *ends), (), (operator,), (0,), numbers, ("",), ("",) * len(ends))
    data = bytearray(write_model(network, "subnet0", _state["version"], _state["cores"]))
    if "VENDOR_DOUBLE_IS_NONE" not in os.environ:  # no network for a simulator in it, as in all of the vendor's
        data[0x4B0:0x4B4] = b"code"
        data[0x408:0x411] = b"1ecf0a1bd"
    Path(f"{_state['name']}.cambricon").write_bytes(bytes(data))
    Path(f"{_state['name']}.cambricon_twins").write_text("This is the Twins File\n")


torch.jit.trace = _trace
