"""The names that the vendor added to torchvision, given to the torchvision that is installed, or to a small stand-in."""

from __future__ import annotations


def install() -> None:
    """Written below."""
