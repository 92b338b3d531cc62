"""The table [model] of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .values import ModelConfig

if TYPE_CHECKING:
    from pathlib import Path

    from .fields import Fields


def read_model(table: Fields, folder: Path) -> ModelConfig:
    """Relative paths start at ``folder``."""
    usual = ModelConfig()
    remedy = 'write "auto", "device", "simulator" or the absolute path of a libcnrt.so'
    runtime = table.text("runtime", usual.runtime, pattern=r"auto|device|simulator|/.*", remedy=remedy)
    model = ModelConfig(
        path=folder
        / table.text("path", pattern=r".+\.(cambricon|toml)", remedy="write the path of a .cambricon model"),
        confidence=table.number("confidence", 0.0, minimum=0.0, maximum=1.0) or None,
        iou=table.number("iou", 0.0, minimum=0.0, maximum=1.0) or None,
        max_detections=table.integer("max_detections", 0, minimum=0, maximum=10000) or None,
        runtime=runtime,
        cores=table.integer("cores", 0, minimum=0, maximum=64) or None,
    )
    table.close()
    return model
