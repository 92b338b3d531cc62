"""What the daemon says: frames, states, heartbeats and ends, as messages."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from mlu_client.codec import topic

from ..publish.messages import Identity, end_message, heartbeat_message, result_message, state_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..engine.health import Health
    from ..frame import Frame
    from ..geometry import Letterbox
    from ..model.info import ModelInfo
    from ..postprocess import Result
    from ..publish.sink import Outlet
    from ..sources import Source


class Announcer:
    """Builds messages and hands them to the outlet; any thread may call. One start of the agent has one.

    ``box``: this machine's name in messages; ``interval_s``: what heartbeats promise as their distance; may be set.
    """

    def __init__(self, box: str, interval_s: float, outlet: Outlet) -> None:
        self._outlet = outlet
        self.interval_s = interval_s
        self._identity = Identity(box, uuid.uuid4().hex)
        self._heartbeats = 0

    @property
    def boot_id(self) -> str:
        """What tells this start from others, in every message."""
        return self._identity.boot_id

    def frame(
        self,
        frame: Frame,
        result: Result,
        letterbox: Letterbox,
        model: ModelInfo,
        stages_ms: Mapping[str, float],
        counters: Mapping[str, int],
        *,
        flags: Sequence[str],
    ) -> str:
        """What a model has to say of one frame, or that it found nothing; ``flags``: of the frame itself. The kind of
        the message."""
        flags = [*_flags(model), *flags]
        if result.invalid:
            flags.append("degraded")
        message = result_message(
            self._identity, frame, result, letterbox, model, latency_ms=stages_ms, counters=counters, flags=flags
        )
        kind: str = message["kind"]
        self._outlet.send(topic(kind, frame.source_id), message)
        return kind

    def state(self, source: Source, counters: Mapping[str, int]) -> None:
        """How a source is, why, and since when."""
        status = source.status
        message = state_message(
            self._identity,
            source.source_id,
            status.state.value,
            status.reason,
            status.since_ns,
            code=status.code,
            counters=counters,
        )
        self._outlet.send(topic("state", source.source_id), message)

    def heartbeat(
        self,
        model: ModelInfo,
        states: Mapping[str, str],
        counters: Mapping[str, int],
        device: Health,
        *,
        uptime_s: float,
    ) -> None:
        """Sign of life, with the states of all sources by id, the sums of all counters, and how the device is."""
        message = heartbeat_message(
            self._identity,
            self._heartbeats,
            interval_s=self.interval_s,
            uptime_s=uptime_s,
            model=model,
            sources=states,
            counters=counters,
            flags=_flags(model),
            device={"state": device.state, "reason": device.reason, "since_ns": device.since_ns},
        )
        self._heartbeats += 1
        self._outlet.send(topic("heartbeat", self._identity.box), message)

    def end(self, source: Source, counters: Mapping[str, int], reason: str) -> None:
        """No frame of this source will follow."""
        message = end_message(self._identity, source.source_id, reason, frames=source.sequence, counters=counters)
        self._outlet.send(topic("end", source.source_id), message)


def _flags(model: ModelInfo) -> list[str]:
    return [*(["simulated"] if model.runtime == "simulator" else []), *model.flags]
