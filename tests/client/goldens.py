"""The bytes of messages that are kept from the day of version 1.0."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "golden"
KINDS = ("frame", "empty", "state", "heartbeat", "end")  # "empty" is a frame without detections


def golden(kind: str) -> bytes:
    """One ZeroMQ frame."""
    return bytes.fromhex((FOLDER / f"message-1.0-{kind}.hex").read_text())
