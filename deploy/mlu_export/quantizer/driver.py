"""Compiles a network with the vendor's SDK. Runs in the SDK's own interpreter: Python 3.7 and torch 1.3 are enough, and
nothing of mlu_export is imported. ``driver.py PLAN.json``: backend.py writes the plan and describes it.

The calls are those of the vendor's documents, in their order; see ``main``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LOWEST_HALF = -65504.0


def main(path: str) -> None:
    """Writes NAME.cambricon and NAME.cambricon_twins into the current folder."""
    import torch  # noqa: PLC0415 - the SDK's
    import torch_mlu.core.mlu_model as ct  # noqa: PLC0415
    from torch_mlu.core import mlu_quantize  # noqa: PLC0415

    plan = json.loads(Path(path).read_text(encoding="utf-8"))
    torch.set_grad_enabled(False)
    if plan["fake_device"]:
        ct.set_device(-1)
    ct.set_core_number(plan["core_number"])
    ct.set_core_version(plan["core_version"])
    ct.set_input_format(plan["input_format"])
    state = torch.load(plan["checkpoint"], map_location="cpu")
    network = make_network(torch, plan, state).eval().float()
    quantized = mlu_quantize.quantize_dynamic_mlu(network)
    quantized.load_state_dict(state)
    quantized = quantized.eval().to(ct.mlu_device())
    example = make_input(torch, plan).to(ct.mlu_device())
    ct.save_as_cambricon(plan["name"])
    traced = torch.jit.trace(quantized, example, check_trace=False)
    for output in traced(example):  # the first call compiles and saves
        output.cpu()
    ct.save_as_cambricon("")


def make_input(torch: Any, plan: Any) -> Any:
    """Pixels of 0..255 for a first convolution that normalises, else what the host makes of them."""
    pixels = torch.rand(*plan["shape"]) * 255
    if plan["input"] != "u8":
        pixels = pixels / 255
    return pixels.float() if plan["input"] == "float" else pixels.half()


def make_network(torch: Any, plan: Any, state: Any) -> Any:
    """The network of the plan as a module with the keys of the checkpoint."""
    nn = torch.nn
    base: Any = nn.Module

    class Network(base):  # type: ignore[misc] # where torch is not looked into
        def forward(self, pictures: Any) -> Any:
            values = {"input": pictures}
            modules = dict(self.named_modules())
            for node in plan["nodes"]:
                inputs = [values[name] for name in node["inputs"]]
                values[node["name"]] = _FORWARD[node["kind"]](torch, node, inputs, modules)
            return tuple(values[name] for name in plan["outputs"])

    network: Any = Network()
    for node in plan["nodes"]:
        if node["kind"] == "conv":
            pad = node["pad"]
            padding = pad[:2] if pad[:2] == pad[2:] else [0, 0]
            layer = nn.Conv2d(
                node["in"], node["out"], node["kernel"], node["stride"], padding, node["dilation"], node["groups"],
                node["bias"],
            )  # fmt: skip
            put(nn, network, node["path"], layer)
            if node["norm"]:
                put(nn, network, node["norm"], nn.BatchNorm2d(node["out"], node["eps"]))
    layers = {node[key] for node in plan["nodes"] if node["kind"] == "conv" for key in ("path", "norm")}
    for key, value in state.items():
        home, _, name = key.rpartition(".")
        if home not in layers:  # what the network keeps beside its layers: anchors, positions of cells
            put(nn, network, home, None).register_buffer(name, value.detach().clone())
    return network


def put(nn: Any, root: Any, path: str, module: Any) -> Any:
    """Registers a module under a dotted path, with plain ones on the way; None makes the last one plain too."""
    parts = path.split(".") if path else []
    for index, part in enumerate(parts):
        if part not in root._modules:  # noqa: SLF001 - names may be numbers
            last = index == len(parts) - 1 and module is not None
            root.add_module(part, module if last else nn.Module())
        root = root._modules[part]  # noqa: SLF001
    return root


def _padded(torch: Any, node: Any, value: Any, fill: float) -> Any:
    top, left, bottom, right = node["pad"]
    if (top, left) == (bottom, right):
        return value
    return torch.nn.functional.pad(value, (left, right, top, bottom), value=fill)


def _conv(torch: Any, node: Any, inputs: Any, modules: Any) -> Any:
    value = modules[node["path"]](_padded(torch, node, inputs[0], 0.0))
    return modules[node["norm"]](value) if node["norm"] else value


def _max_pool(torch: Any, node: Any, inputs: Any, _: Any) -> Any:
    pad = node["pad"]
    padding = pad[:2] if pad[:2] == pad[2:] and 2 * max(pad) <= min(node["kernel"]) else [0, 0]
    value = inputs[0]
    if padding == [0, 0] and any(pad):
        value = torch.nn.functional.pad(value, (pad[1], pad[3], pad[0], pad[2]), value=LOWEST_HALF)
    return torch.nn.functional.max_pool2d(value, node["kernel"], node["stride"], padding)


def _slice(_: Any, node: Any, inputs: Any, __: Any) -> Any:
    value = inputs[0]
    for axis, (begin, step, count) in enumerate(zip(node["begin"], node["step"], node["count"])):
        ends = slice(begin, begin + (count - 1) * step + 1, step)
        value = (value[:, :, ends], value[:, :, :, ends], value[:, ends])[axis]
    return value


def _activation(torch: Any, node: Any, inputs: Any, _: Any) -> Any:
    functional, value = torch.nn.functional, inputs[0]
    function = node["function"]
    if function == "silu":
        return value * torch.sigmoid(value)
    if function == "hardswish":
        return value * functional.relu6(value + 3) / 6
    if function == "mish":
        return torch.ops.torch_mlu.mish(value)
    if function in ("leaky_relu", "elu"):
        return getattr(functional, function)(value, node["a"])
    return {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": functional.relu, "relu6": functional.relu6}[function](
        value
    )


_FORWARD: dict[str, Any] = {
    "conv": _conv,
    "max_pool": _max_pool,
    "slice": _slice,
    "activation": _activation,
    "upsample": lambda torch, node, x, _: torch.nn.functional.interpolate(x[0], scale_factor=node["scale"]),
    "concat": lambda torch, _, x, __: torch.cat(x, 1),
    "add": lambda _, __, x, ___: x[0] + x[1],
    "mul": lambda _, __, x, ___: x[0] * x[1],
}

if __name__ == "__main__":
    main(sys.argv[1])
