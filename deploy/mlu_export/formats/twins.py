"""The text side-car: what the vendor's compiler writes beside a model, for people and scripts that read it."""

from __future__ import annotations

from ..values.network import DTYPE_NAMES, Network


def twins_text(network: Network, file_name: str, parallelism: int) -> str:
    """Text of ``NAME.cambricon_twins``, in the layout of the vendor's files."""
    lines = [
        f'This is the Twins File of "{file_name}".',
        "Function number: 1",
        "---------------kernel graph--------------------",
        "",
        "Function #0 {",
        "Kernel num:1 ",
        "Cache mode:0 ",
        "Name: subnet0",
        f"Input number: {len(network.inputs)}",
    ]
    for position, number in enumerate(network.inputs):
        lines += _tensor(network, number, network.input_names[position], f"Input #{position}.")
    lines.append(f"Output number: {len(network.outputs)}")
    for position, number in enumerate(network.outputs):
        lines += _tensor(network, number, network.output_names[position], f"Output #{position}.")
    lines += [
        "Kernel header #0:",
        "    Name: subnet00",
        "    Core version: ",
        f"    Model Parallelism: {parallelism}",
        f"    Core limit: {parallelism}",
        "    Inst data split: true",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _tensor(network: Network, number: int, name: str, title: str) -> list[str]:
    tensor = network.tensors[number]
    dims = " ".join(str(size) for size in network.described(number))
    return [
        f"    {title}",
        "        Mask: 338036233",
        f"        Shape(dim): {dims} ",
        f"        Name: {name}",
        f"        Id: {number}",
        f"        Data type: {DTYPE_NAMES[tensor.dtype]}        Dim Order: CNRT_NHWC",
        "        Quantize position: 0",
        "        Quantize scale: 0.000000",
    ]
