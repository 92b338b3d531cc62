"""What is done when somebody asks over the control socket. All of it begins in the main loop; what takes longer
answers later, from a thread of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from ..config.fields import show
from ..sources import SourceState
from .answers import no, yes
from .snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..sources import Source
    from .answers import Answer
    from .control import Control, Request
    from .pipeline import Pipeline
    from .status import Changes, Status

NOT_THERE = "this daemon cannot do that while it runs: restart it"
ENDED = (SourceState.ENDED, SourceState.FAILED)


class Orders:
    """Takes requests from ``control`` and carries them out. ``status()`` tells how everything is; ``set_level(level)``
    changes what is logged.

    ``pipeline``: what is worked on; None until the start is over, and until then only status and log are answered.
    ``reload(answer)`` and ``swap(model, path, answer)``: the daemon's, which puts them here.
    """

    def __init__(
        self,
        control: Control,
        log: Any,
        changes: Changes,
        *,
        status: Callable[[], Status],
        set_level: Callable[[str], None],
    ) -> None:
        self.pipeline: Pipeline | None = None
        self.reload: Callable[[Answer], None] = lambda answer: answer(no(NOT_THERE))
        self.swap: Callable[[str, str, Answer], None] = lambda _model, _path, answer: answer(no(NOT_THERE))
        self._control = control
        self._log = log
        self._changes = changes
        self._status = status
        self._set_level = set_level
        self._snapshots = Snapshots(log)

    @property
    def due(self) -> float:
        """When ``look`` is to be called next, unless the control socket wakes the main loop before."""
        return min(self._control.due, self._snapshots.due)

    def look(self, now: float) -> None:
        """Does what was asked for; ``now``: monotonic seconds."""
        for request in self._control.take(now):
            self._do_or_say_why(request, now)
        self._snapshots.look(now)

    def _do_or_say_why(self, request: Request, now: float) -> None:
        """Whatever is wrong with one request must not end the main loop, which serves everybody."""
        try:
            self._do(request, now)
        except Exception as error:
            self._log.exception("a request could not be carried out", what=request.asked.do, who=request.who)
            request.answer(no(f"{request.asked.do}: internal error: {type(error).__name__}: {error}; see the log"))

    def _do(self, request: Request, now: float) -> None:
        do, fields = request.asked.do, request.asked.fields
        if do == "status":
            request.answer({"ok": True, "status": self._status().as_dict()})
        elif do == "log":
            self._log_level(fields["level"], self._noting(request, f"log {fields['level']}"))
        elif self.pipeline is None:
            request.answer(no("the agent is starting: until it serves, only status and log are answered"))
        elif do == "reload":
            self.reload(self._noting(request, "reload"))
        elif do == "swap":
            self.swap(fields["model"], fields["path"], self._noting(request, f"swap {fields['model']}"))
        else:
            self._with_source(self.pipeline, request, now)

    def _with_source(self, pipeline: Pipeline, request: Request, now: float) -> None:
        do, name = request.asked.do, request.asked.fields["source"]
        source = pipeline.sources.get(name)
        if source is None:
            known = ", ".join(pipeline.sources) or "none"
            request.answer(no(f"source: there is no {show(name)}; known here: {known}"))
        elif do == "snapshot":
            self._snapshot(source, request, now)
        elif source.status.state in ENDED:
            request.answer(no(f"source {name}: it is over ({source.status.state.value}: {source.status.reason})"))
        elif do == "pause":
            self._pause(pipeline, source, request)
        else:
            self._resume(pipeline, source, request)

    def _pause(self, pipeline: Pipeline, source: Source, request: Request) -> None:
        name = source.source_id
        if source.status.state is SourceState.PAUSED:
            request.answer(yes(f"source {name} is paused already"))
            return
        pipeline.pause(name, f"paused by {request.who}")
        self._noting(request, f"pause {name}")(yes(f"source {name} is paused until it is resumed, or until a restart"))

    def _resume(self, pipeline: Pipeline, source: Source, request: Request) -> None:
        name = source.source_id
        if source.status.state is not SourceState.PAUSED:
            request.answer(yes(f"source {name} is not paused"))
            return
        pipeline.resume(name)
        self._noting(request, f"resume {name}")(yes(f"source {name} is read again"))

    def _snapshot(self, source: Source, request: Request, now: float) -> None:
        status = source.status
        if status.state in (*ENDED, SourceState.PAUSED):
            problem = f"source {source.source_id}: no picture will come: it is {status.state.value} ({status.reason})"
        else:
            problem = self._snapshots.ask(source, request.answer, now)
        if problem:
            request.answer(no(problem))
        else:
            self._log.info("a snapshot was asked for", source=source.source_id, who=request.who)

    def _log_level(self, level: str, answer: Answer) -> None:
        self._set_level(level)
        answer(yes(f"lines from {level} on are logged, until a reload or a restart"))

    def _noting(self, request: Request, what: str) -> Answer:
        """The request's answer, which is also logged and kept: who changed something must be found afterwards."""

        def answer(given: Mapping[str, Any]) -> None:
            ok = bool(given.get("ok"))
            came_to = str(given.get("done" if ok else "error", ""))
            self._changes.note(what, request.who, ok=ok, came_to=came_to)
            say = self._log.info if ok else self._log.warning
            say("asked to change", what=what, who=request.who, ok=ok, came_to=came_to)
            request.answer(given)

        return answer
