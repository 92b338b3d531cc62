"""How a picture becomes a network's input: the values, in the agent's words and with its defaults."""

from __future__ import annotations

from dataclasses import dataclass

from mlu_agent.model.bundle import InputSpec

from . import network as net

Triple = tuple[float, float, float]

# The input's channel order -> for each of R, G, B the channel it comes from.
CHANNEL_SOURCES = {
    "rgb": (0, 1, 2),
    "bgr": (2, 1, 0),
    "rgba": (0, 1, 2),
    "bgra": (2, 1, 0),
    "argb": (1, 2, 3),
    "abgr": (3, 2, 1),
}
# An input's type by the word for it; u8 is normalised on the device.
INPUT_DTYPES = {"u8": net.UINT8, "half": net.FLOAT16, "float": net.FLOAT32}
COLOURS = ("rgb", "bgr")


@dataclass(frozen=True)
class Preprocessing:
    """How a picture is brought to the input's size, and its pixels (0..255) to what the network wants to see.

    ``mean`` and ``std`` are in the network's order of colours, which is ``colours``: rgb or bgr.
    """

    resize: str = InputSpec.resize
    pad_value: int = InputSpec.pad_value
    mean: Triple = InputSpec.mean
    std: Triple = InputSpec.std
    colours: str = COLOURS[0]
