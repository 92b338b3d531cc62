"""What has to be done so that one configuration takes the place of another, while what stays the same goes on.

Functions of values. A plan begins, loads and ends what differs and nothing else: an option that can change in place
does, a source begins anew only for another one, a model is loaded only where it is another one. Thresholds are handed
to every model that stays, which changes nothing where they are the same.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..sources.source import ADJUSTABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ..config import Config, ModelConfig, SourceConfig

THRESHOLDS = frozenset({"confidence", "iou", "max_detections", "batch_wait_ms"})
# Tables and options that are read at the start only, and why: all others change while it runs.
AT_START = {
    "box": "subscribers know the agent by it",
    "publish.endpoint": "subscribers are connected to it",
    "publish.insecure": "it belongs to the endpoint",
    "publish.high_water_mark": "the connections of subscribers have it",
    "publish.linger_ms": "the endpoint has it",
    "service.watchdog": "the service manager counts on it",
}
IN_PLACE = frozenset({"publish", "log", "service"})  # tables of which the others change in place
OF_THEIR_OWN = frozenset({"models", "sources"})


@dataclass(frozen=True)
class Plan:
    """What to do. ``load``: models that are new, or in the place of another of their name; ``adjust``: those with other
    thresholds; ``drop``: names of those that go. Of sources ``add``, ``restart``, ``adjust`` and ``remove`` by id.
    ``options``: what else differs, as "log.level"."""

    load: tuple[ModelConfig, ...] = ()
    adjust_models: tuple[ModelConfig, ...] = ()
    drop: tuple[str, ...] = ()
    add: tuple[SourceConfig, ...] = ()
    restart: tuple[SourceConfig, ...] = ()
    adjust: tuple[SourceConfig, ...] = ()
    remove: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def words(self) -> str:
        """For people: what changes."""
        parts = [
            _named("model loaded", (model.name for model in self.load)),
            _named("thresholds of model", (model.name for model in self.adjust_models)),
            _named("model removed", self.drop),
            _named("source added", (source.id for source in self.add)),
            _named("source begun anew", (source.id for source in self.restart)),
            _named("options of source", (source.id for source in self.adjust)),
            _named("source removed", self.remove),
            _named("option", self.options),
        ]
        return "; ".join(part for part in parts if part) or "nothing differs"


def _named(what: str, names: Iterable[str]) -> str:
    joined = ", ".join(names)
    return f"{what} {joined}" if joined else ""


def resolved(config: Config) -> Config:
    """The same with each source naming its model: so the first one may become another."""
    first = config.models[0].name
    sources = tuple(one if one.model else dataclasses.replace(one, model=first) for one in config.sources)
    return dataclasses.replace(config, sources=sources)


def needs_restart(old: Config, new: Config) -> list[str]:
    """What differs and cannot change while it runs, each a sentence."""
    found = []
    for name in _differing(old, new):
        table = name.split(".")[0]
        if name in AT_START:
            found.append(f"{name}: changes with a restart of the service only, since {AT_START[name]}")
        elif table not in IN_PLACE | OF_THEIR_OWN:
            found.append(f"{name}: changes with a restart of the service only, since it is read at the start")
    return found


def make_plan(old: Config, new: Config, replaced: Collection[str] = ()) -> Plan:
    """From one ``resolved`` configuration to another. ``replaced``: models whose files are others than those that are
    in service."""
    before_models = {model.name: model for model in old.models}
    kept = [model for model in new.models if model.name in before_models]
    watched_anew = bool(old.service.golden_interval_s) != bool(new.service.golden_interval_s)
    load = [
        model
        for model in new.models
        if watched_anew
        or model.name in replaced
        or model.name not in before_models
        or _changed(before_models[model.name], model) - THRESHOLDS
    ]
    before = {source.id: source for source in old.sources}
    after = {source.id for source in new.sources}
    changed = [one for one in new.sources if one.id in before and one != before[one.id]]
    restart = [one for one in changed if _changed(before[one.id], one) - _adjustable(one)]
    return Plan(
        load=tuple(load),
        adjust_models=tuple(one for one in kept if one not in load and one != before_models[one.name]),
        drop=tuple(before_models.keys() - {model.name for model in new.models}),
        add=tuple(one for one in new.sources if one.id not in before),
        restart=tuple(restart),
        adjust=tuple(one for one in changed if one not in restart),
        remove=tuple(source_id for source_id in before if source_id not in after),
        options=tuple(name for name in _differing(old, new) if name.split(".")[0] in IN_PLACE),
    )


def _adjustable(source: SourceConfig) -> frozenset[str]:
    """A snapshot is asked for at its rate: by what opened it."""
    return ADJUSTABLE - {"max_fps"} if source.kind == "snapshot" else ADJUSTABLE


def _differing(old: Config, new: Config) -> list[str]:
    """The tables that differ, and of those with options each that does, as "log.level"."""
    names = []
    for table in sorted(_changed(old, new) - OF_THEIR_OWN):
        before, after = getattr(old, table), getattr(new, table)
        whole = not dataclasses.is_dataclass(before) or type(before) is not type(after)
        names += [table] if whole else [f"{table}.{option}" for option in sorted(_changed(before, after))]
    return names


def _changed(before: Any, after: Any) -> set[str]:
    """The fields of which two values of one kind differ."""
    return {one.name for one in dataclasses.fields(before) if getattr(before, one.name) != getattr(after, one.name)}
