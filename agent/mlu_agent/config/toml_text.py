"""Writing TOML: only what manifests and recipes need, always the same bytes for the same values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# JSON escapes are TOML escapes, but for DEL, which TOML wants escaped.


def dump(document: Mapping[str, Any]) -> str:
    """TOML text of nested mappings, lists, strings, numbers and booleans; plain values come before tables."""
    lines: list[str] = []
    _table(document, (), lines)
    return "\n".join(lines).strip("\n") + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    for key, value in table.items():
        if not _is_table(value):
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in table.items():
        below = (*path, _key(key))
        if isinstance(value, Mapping):
            lines.extend(["", f"[{'.'.join(below)}]"])
            _table(value, below, lines)
        elif _is_table(value):
            for element in value:
                lines.extend(["", f"[[{'.'.join(below)}]]"])
                _table(element, below, lines)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], Mapping)
    )


def _key(key: str) -> str:
    plain = key.replace("_", "").replace("-", "")
    return key if plain.isascii() and plain.isalnum() else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(element) for element in value) + "]"
    raise TypeError(f"TOML has no place for {type(value).__name__}")
