"""What the daemon says: frames, states, heartbeats and ends, as messages of version 1.0."""

from __future__ import annotations

import collections
import dataclasses
import uuid
from typing import TYPE_CHECKING, Any

from mlu_client.codec import topic

from ..publish.messages import (
    Identity,
    ModelInfo,
    end_message,
    frame_message,
    heartbeat_message,
    state_message,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..config import Config
    from ..detections import Detections
    from ..frame import Frame
    from ..geometry import Letterbox
    from ..model.bundle import ModelSpec, Thresholds
    from ..publish.publisher import Publisher
    from ..sources import Source


class Announcer:
    """Builds messages and hands them to the publisher; any thread may call. One start of the agent has one."""

    def __init__(
        self, config: Config, spec: ModelSpec, runtime: str, thresholds: Thresholds, publisher: Publisher
    ) -> None:
        self._publisher = publisher
        self._interval_s = config.publish.heartbeat_s
        self._runtime = runtime
        self._flags = ("simulated",) if runtime == "simulator" else ()
        self._labels = spec.labels
        self._identity = Identity(config.box, uuid.uuid4().hex)
        self._model = ModelInfo(
            spec.name,
            spec.provenance.get("version", ""),
            spec.sha256,
            thresholds.confidence,
            thresholds.iou,
            thresholds.max_detections,
        )
        self._heartbeats = 0

    def frame(
        self,
        frame: Frame,
        detections: Detections,
        letterbox: Letterbox,
        stages_ms: Mapping[str, float],
        counters: Mapping[str, int],
        *,
        replayed: bool,
    ) -> None:
        """The detections of one frame, empty or not."""
        flags = list(self._flags)
        if replayed:
            flags.append("replayed")
        if detections.invalid:
            flags.append("degraded")
        message = frame_message(
            self._identity,
            frame,
            detections,
            letterbox,
            self._labels,
            self._model,
            self._runtime,
            latency_ms=stages_ms,
            counters=counters,
            flags=flags,
        )
        self._publisher.send(topic("frame", frame.source_id), message)

    def state(self, source: Source, counters: Mapping[str, int]) -> None:
        """How a source is, why, and since when."""
        status = source.status
        message = state_message(
            self._identity, source.source_id, status.state.value, status.reason, status.since_ns, counters=counters
        )
        self._publisher.send(topic("state", source.source_id), message)

    def heartbeat(
        self, counters: Mapping[Source, Mapping[str, int]], device: Mapping[str, int], *, uptime_s: float
    ) -> None:
        """Sign of life, with the states of all sources, the sums of their counters, and those of the device."""
        totals: collections.Counter[str] = collections.Counter(device)
        for one in counters.values():
            totals.update(one)
        message = heartbeat_message(
            self._identity,
            self._heartbeats,
            interval_s=self._interval_s,
            uptime_s=uptime_s,
            runtime=self._runtime,
            model=self._model,
            sources={source.source_id: source.status.state.value for source in counters},
            counters=totals,
            flags=self._flags,
        )
        self._heartbeats += 1
        self._publisher.send(topic("heartbeat", self._identity.box), message)

    def end(self, source: Source, counters: Mapping[str, int], reason: str) -> None:
        """No frame of this source will follow."""
        message = end_message(self._identity, source.source_id, reason, frames=source.sequence, counters=counters)
        self._publisher.send(topic("end", source.source_id), message)


def effective_thresholds(config: Config, spec: ModelSpec) -> Thresholds:
    """The manifest's thresholds with what the configuration sets instead."""
    chosen: dict[str, Any] = {
        name: getattr(config.model, name)
        for name in ("confidence", "iou", "max_detections")
        if getattr(config.model, name) is not None
    }
    return dataclasses.replace(spec.thresholds, **chosen)
