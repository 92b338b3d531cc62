"""The bytes of messages that are kept from the day of each version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "golden"
# "empty" is a frame without detections, "region" one of a part of it, "outlines", "pose" and "turned" ones of models
# that tell more than boxes, "picture" a state told by it
KINDS = {
    "1.0": ("frame", "empty", "state", "heartbeat", "end"),
    "1.1": ("frame", "empty", "state", "picture", "heartbeat", "end"),
    "1.2": ("frame", "empty", "region", "classes", "tensors", "state", "picture", "heartbeat", "end"),
}
KINDS["1.3"] = (*KINDS["1.2"], "outlines", "pose", "turned")
ALL = [(version, kind) for version, kinds in KINDS.items() for kind in kinds]


def golden(kind: str, version: str = "1.0") -> bytes:
    """One ZeroMQ frame."""
    return bytes.fromhex((FOLDER / f"message-{version}-{kind}.hex").read_text())


def relaxed(schema: Any) -> Any:
    """The schema without its closed lists of words, to which later minor versions add."""
    if isinstance(schema, list):
        return [relaxed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: relaxed(value) for key, value in schema.items() if key not in ("enum", "uniqueItems")}
