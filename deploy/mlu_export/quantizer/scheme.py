"""``qconfig_spec``: the vendor's dictionary of quantization options, checked and with its defaults."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

DTYPES = {"int8": 8, "int16": 16}
# The vendor knows minmax alone; the other two are ours (observers.py).
METHODS = ("minmax", "percentile", "mse")


class QuantizeError(UserError, ValueError):
    """A wrong argument of ``quantize_dynamic_mlu``; also a ValueError, as the vendor's tool raises."""


@dataclass(frozen=True)
class Scheme:
    """Options of one quantization; the defaults are those of the vendor's code.

    ``iteration`` counts forward calls, not pictures. ``mean`` and ``std`` are parts of one (255 is 1), for the first
    convolution alone. ``percentile`` is the part of all magnitudes, in percent, that ``method="percentile"`` covers.
    """

    iteration: int = 1
    use_avg: bool = False
    data_scale: float = 1.0
    mean: tuple[float, ...] | None = (0.0, 0.0, 0.0)
    std: tuple[float, ...] | None = (1.0, 1.0, 1.0)
    firstconv: bool = True
    per_channel: bool = False
    method: str = "minmax"
    percentile: float = 99.99


def read_scheme(spec: Mapping[str, Any]) -> Scheme:
    """The options of a ``qconfig_spec``; a key that nobody knows is a warning, as scripts in the wild misspell some.

    Raises QuantizeError for a value that cannot be.
    """
    known = {field.name for field in fields(Scheme)}
    for key in spec:
        if key not in known:
            warnings.warn(
                f"qconfig_spec[{key!r}] is no option and has no effect; the options are {', '.join(sorted(known))}",
                stacklevel=3,
            )
    values = {key: value for key, value in spec.items() if key in known}
    for key in ("mean", "std"):
        if values.get(key) is not None:
            values[key] = tuple(float(value) for value in values[key])
    return _checked(Scheme(**values))


def _checked(scheme: Scheme) -> Scheme:
    if type(scheme.iteration) is not int or scheme.iteration < 1:
        raise QuantizeError(
            f"qconfig_spec['iteration'] is {scheme.iteration!r}; give the number of forward calls, 1 or more"
        )
    if not 0 < float(scheme.data_scale) < float("inf"):
        raise QuantizeError(f"qconfig_spec['data_scale'] is {scheme.data_scale!r}; give a number above 0")
    if scheme.method not in METHODS:
        raise QuantizeError(f"qconfig_spec['method'] is {scheme.method!r}; give one of {', '.join(METHODS)}")
    if not 50 <= float(scheme.percentile) <= 100:
        raise QuantizeError(f"qconfig_spec['percentile'] is {scheme.percentile!r}; give a number from 50 to 100")
    return scheme
