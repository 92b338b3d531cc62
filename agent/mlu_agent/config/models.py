"""The tables [[model]] of the configuration, or the one table [model]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .fields import show
from .sources import ID_REMEDY, SOURCE_ID
from .values import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .fields import Fields
    from .values import SourceConfig

MAX_MODELS = 8


def read_models(root: Fields, folder: Path) -> tuple[ModelConfig, ...]:
    """All of them, each with a name of its own; relative paths start at ``folder``. One alone may leave its name out,
    and may be written as ``[model]``."""
    if not isinstance(root.raw("model"), list):
        return (_read_model(root.table("model", required=True), folder, alone=True),)
    tables = root.tables("model", longest=MAX_MODELS)
    if not tables:
        root.problem("model", "is empty; add a table [[model]]")
    models = tuple(_read_model(table, folder, alone=len(tables) == 1) for table in tables)
    seen: set[str] = set()
    for table, model in zip(tables, models):
        if model.name and model.name in seen:
            table.problem("name", f"{show(model.name)} names two models; give each its own")
        seen.add(model.name)
    return models or (ModelConfig(),)


def check_models_of(sources: Iterable[SourceConfig], models: Iterable[ModelConfig], root: Fields) -> None:
    """Notes each source that names a model which is none of ``models``."""
    names = [model.name for model in models]
    for number, source in enumerate(sources):
        if source.model and source.model not in names:
            known = ", ".join(f'"{name}"' for name in names)
            root.problem(f"source[{number}].model", f"{show(source.model)} is no model of this file; it has {known}")


def _read_model(table: Fields, folder: Path, *, alone: bool) -> ModelConfig:
    usual = ModelConfig()
    remedy = 'write "auto", "device", "simulator" or the absolute path of a libcnrt.so'
    runtime = table.text("runtime", usual.runtime, pattern=r"auto|device|simulator|/.*", remedy=remedy)
    trust = table.text("trust", "")
    model = ModelConfig(
        path=folder
        / table.text(
            "path",
            pattern=r".+\.(cambricon|toml|bundle)",
            remedy="write the path of a .cambricon model or of a .bundle",
        ),
        confidence=table.number("confidence", 0.0, minimum=0.0, maximum=1.0) or None,
        iou=table.number("iou", 0.0, minimum=0.0, maximum=1.0) or None,
        max_detections=table.integer("max_detections", 0, minimum=0, maximum=10000) or None,
        runtime=runtime,
        cores=table.integer("cores", 0, minimum=0, maximum=64) or None,
        trust=folder / trust if trust else None,
        batch_wait_ms=table.number("batch_wait_ms", usual.batch_wait_ms, minimum=0.0, maximum=1000.0),
        require_signature=table.boolean("require_signature", usual.require_signature),
        name=table.text("name", usual.name if alone else None, pattern=SOURCE_ID, remedy=ID_REMEDY),
    )
    table.close()
    return model
