"""Workers that are actors of a Ray cluster (extra ``[ray]``): one for each of its processors, or as many as asked for.

Every machine of the cluster needs mlu-export of the same version, and the files at the same paths. Results are equal to
the bit where processors are of one kind; torch rounds differently on another.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import RuntimeFailure, UserError

from .crew import Host, open_reply, usual_workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .crew import Member

LOCAL = "local"
MANY = 1 << 20


def import_ray() -> Any:
    """The package; raises UserError where the extra is not installed."""
    try:
        import ray  # noqa: PLC0415 - the extra [ray]
    except ImportError as error:
        raise UserError("--ray needs Ray: pip install 'mlu-export[ray]', or use --workers N on this machine") from error
    return ray


class RayCrew:
    """A connection to a cluster, and its actors."""

    def __init__(self, address: str, count: int | None) -> None:
        self._ray = import_ray()
        self.members: list[_Actor] = []
        self._connect(address, count)
        try:
            processors = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
            if count is not None and count > processors:
                print(
                    f"mlu-export: note: the Ray cluster has {processors} processors: that many workers, not {count}",
                    file=sys.stderr,
                )
            count = min(count or processors, processors)
            # Nothing restarts: a worker's state would be gone.
            actor = self._ray.remote(num_cpus=1, max_restarts=0)(Host)
            self.members = [_Actor(self._ray, actor.remote(), f"worker {n + 1} of {count}") for n in range(count)]
            for member in self.members:
                member.ask("enter", str(Path.cwd()))
            for member in self.members:
                member.answer()
        except BaseException:
            self.close()
            raise

    def _connect(self, address: str, count: int | None) -> None:
        more: dict[str, Any] = {}
        if address == LOCAL:
            more = {"num_cpus": usual_workers(MANY) if count is None else count, "include_dashboard": False}
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level="ERROR", **more)
        except (OSError, ValueError, RuntimeError) as error:
            words = str(error).splitlines() or [type(error).__name__]
            raise UserError(f"--ray {address}: cannot reach or start that cluster: {words[0]:.200}") from error

    def ready(self, waiting: Sequence[Member]) -> Sequence[Member]:
        asked = {member.reference: member for member in waiting if isinstance(member, _Actor)}
        done, _ = self._ray.wait(list(asked), num_returns=1)
        return [asked[reference] for reference in done]

    def close(self) -> None:
        for member in self.members:
            member.close()
        self._ray.shutdown()


class _Actor:
    """One actor; ``reference`` is that of the answer it owes."""

    def __init__(self, ray: Any, handle: Any, who: str) -> None:
        self._ray = ray
        self._handle = handle
        self._who = who
        self.reference: Any = None

    def ask(self, verb: str, *arguments: Any) -> None:
        self.reference = self._handle.reply.remote(verb, arguments)

    def answer(self) -> Any:
        try:
            reply = self._ray.get(self.reference)
        except self._ray.exceptions.RayError as error:
            words = str(error).splitlines() or [type(error).__name__]
            raise RuntimeFailure(
                f"{self._who} of the Ray cluster was lost before its work was done ({words[0]:.200}): it may have run "
                "out of memory, or its machine lacks mlu-export of this version"
            ) from error
        return open_reply(reply)

    def close(self) -> None:
        self._ray.kill(self._handle)
