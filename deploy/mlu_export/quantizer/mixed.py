"""``mixed_layer`` of ``quantize_dynamic_mlu``: other widths for some layers, by their paths in the module."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .scheme import DTYPES, QuantizeError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .scheme import Scheme

FLOAT = 0  # bits of a layer that is not quantized
WIDTHS = {**DTYPES, "float16": FLOAT}


def read_mixed(mixed: Any, layers: Collection[str]) -> dict[str, int]:
    """Bits by path, from ``{"0, 2": "int16"}``: a key holds paths with commas between them. Raises QuantizeError.

    A path that is none of ``layers`` has no effect, as with the vendor's, and that is a warning.
    """
    if mixed is None:
        return {}
    if not isinstance(mixed, dict):
        raise QuantizeError(f"type(mixed_layer) must be dict, now is {type(mixed).__name__}")
    bits: dict[str, int] = {}
    for key, dtype in mixed.items():
        if not isinstance(key, str):
            raise QuantizeError(f"mixed_layer has the key {key!r}; give the layers' paths, as in 'model.0, model.3'")
        width = dtype.strip() if isinstance(dtype, str) else dtype
        if width not in WIDTHS:
            raise QuantizeError(f"mixed_layer[{key!r}] is {dtype!r}; give one of {', '.join(WIDTHS)}")
        bits.update({path.strip(): WIDTHS[width] for path in key.rstrip().removesuffix(",").split(",")})
    _remark_strangers(bits, layers)
    return {path: width for path, width in bits.items() if path}


def _remark_strangers(bits: Mapping[str, int], layers: Collection[str]) -> None:
    strangers = [path for path in bits if path not in layers]
    if strangers:
        named = ", ".join(list(layers)[:8]) + (", …" if len(layers) > 8 else "")
        warnings.warn(
            f"mixed_layer names {', '.join(map(repr, strangers))}, which is no layer that is quantized here and has no "
            f"effect; the layers are {named}",
            stacklevel=5,
        )


def scheme_of_mixed(scheme: Scheme) -> Scheme:
    """As the vendor's: a layer of a mixed width has one scale for all its weights, of the extremes."""
    return replace(scheme, per_channel=False, method="minmax")
