"""Mixed precision by rule: chosen layers keep 16 bits or float weights where 8 bits cost too much."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mlu_agent.errors import UserError

from ..values.graph import Conv, Graph

if TYPE_CHECKING:
    from collections.abc import Sequence


AUTO = "auto"  # instead of a layer's name
USUAL_PERCENT = 10.0


def auto_share(patterns: Sequence[str] | None, option: str) -> float | None:
    """The share (0..1) of multiplications that ``auto`` or ``auto:PERCENT`` may spend, None without.

    Raises UserError.
    """
    found = [pattern for pattern in patterns or () if _is_auto(pattern)]
    if not found:
        return None
    if len(found) > 1:
        raise UserError(f"{option} {found[0]} and {option} {found[1]}: give one of them")
    _, colon, text = found[0].partition(":")
    try:
        percent = float(text) if colon else USUAL_PERCENT
    except ValueError:
        percent = 0.0
    if not 0 < percent <= 100:
        raise UserError(f"{option} {found[0]!r:.60}: give a number of percent above 0 and up to 100, as auto:5")
    return percent / 100


def without_auto(patterns: Sequence[str]) -> tuple[str, ...]:
    """Those that name layers."""
    return tuple(pattern for pattern in patterns if not _is_auto(pattern))


def _is_auto(pattern: str) -> bool:
    return pattern.partition(":")[0] == AUTO


def choose_layers(graph: Graph, patterns: Sequence[str], option: str) -> tuple[str, ...]:
    """Names of the layers that the patterns (``*`` and ``?`` as in a shell) match, in execution order.

    Raises UserError for a pattern that matches no layer that would be quantized.
    """
    names = [conv.name for conv in graph.convolutions() if not conv.is_depthwise]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = get_close_matches(pattern, names, 3) or names[:3]
            raise UserError(f"{option} {pattern!r:.60} matches no quantized layer; there are {', '.join(near)}, …")
    return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def keep_layers(graph: Graph, int16: Sequence[str], in_float: Sequence[str]) -> Graph:
    """The graph with its rules entered: layers named in both stay in float. Raises UserError for a name unknown."""
    known = {node.name for node in graph.nodes if isinstance(node, Conv)}
    unknown = [name for name in (*int16, *in_float) if name not in known]
    if unknown:
        raise UserError(f"the layer {unknown[0]!r:.60} that is to keep its precision does not exist in this network")
    rules = {**dict.fromkeys(int16, 16), **dict.fromkeys(in_float, 0)}
    nodes = tuple(replace(node, bits=rules.get(node.name)) if isinstance(node, Conv) else node for node in graph.nodes)
    return replace(graph, nodes=nodes)
