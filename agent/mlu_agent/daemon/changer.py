"""Reloads and swaps of a daemon that serves: one at a time, each as a whole or not at all.

    in a thread      read, check, plan; load new models beside the old ones, self-test and golden frame: all that may
                     fail or take long
    in the main loop one step: lines get their new models, sources and options change
    in the thread    the old models are closed once they have delivered what they had

Until the main loop's step nothing is touched, so whatever is wrong leaves what serves as it is.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from ..cnrt.status import NOMEM
from ..config.fields import show
from ..config.files import lost_paths
from ..errors import MluAgentError, RuntimeFailure, UserError
from ..model.configured import read_configured
from ..model.standins import Standin
from . import last_good
from .answers import no, yes
from .plan import Plan, make_plan, needs_restart, resolved
from .waiting import Stopped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..config import Config, ModelConfig
    from .answers import Answer
    from .models import InService
    from .pipeline import Pipeline

RELOAD = "reload"
MAX_WAITING = 8  # changes that wait for the one that is under way
LOOK_S = 0.1  # how soon a thread that waits notices that the daemon stops
NO_ROOM = "; where a device has no room for the new model beside the old one, restart the service instead"
GOES_ON = "what served before goes on unchanged"


@dataclass(frozen=True)
class Ready:
    """A change that was checked, and whose models are loaded. ``config``: what is in force with it. ``written``: what
    the file says then. ``done``: what is answered."""

    config: Config
    written: Config
    plan: Plan
    models: tuple[InService, ...]
    done: str


@dataclass(frozen=True)
class _Order:
    what: str
    prepare: Callable[[], Ready]
    answers: list[Answer]

    def answer(self, outcome: Mapping[str, Any]) -> None:
        for answer in self.answers:
            answer(outcome)


class Changer:
    """Carries out what is asked of it, in turn. Its methods are the main loop's, but for what stands in the thread.

    ``read()``: the configuration as the file has it now. ``load(model, config)``: puts a model of that configuration
    into service. ``options(config)``: takes over what does not belong to models, sources and publishing. ``wake()``
    is called when ``look`` is due. ``config``: the one in force; ``trouble``: why the last change was refused, "" if
    it was not.
    """

    def __init__(
        self,
        config: Config,
        pipeline: Pipeline,
        log: Any,
        *,
        read: Callable[[], Config],
        load: Callable[[ModelConfig, Config], InService],
        options: Callable[[Config], None],
        wake: Callable[[], None],
    ) -> None:
        self.config = self._written = resolved(config)
        self.trouble = ""
        self._pipeline = pipeline
        self._log = log
        self._read = read
        self._load = load
        self._options = options
        self._wake = wake
        self._waiting: collections.deque[_Order] = collections.deque()
        self._thread: threading.Thread | None = None
        self._ready: Ready | None = None
        self._applied = threading.Event()
        self._problem = ""  # why it could not be applied
        self._retiring: list[tuple[threading.Event, InService]] = []
        self._stopping = threading.Event()
        self._stopped = threading.Event()

    def reload(self, answer: Answer) -> None:
        """Reads the configuration anew and puts it in force, or leaves everything as it is.

        ``answer(map)`` is called once, in any thread: with "ok" and "done", or "error". One that would come right after
        another that has not begun is that one."""
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last.what == RELOAD:
            last.answers.append(answer)
        else:
            self._ask(_Order(RELOAD, self._prepare_reload, [answer]))

    def swap(self, name: str, path: str, answer: Answer) -> None:
        """Puts the model at ``path`` in the place of the one that is called ``name``, until a reload or a restart."""
        self._ask(_Order(f"swap of {name}", functools.partial(self._prepare_swap, name, path), [answer]))

    @property
    def busy(self) -> bool:
        """Whether a change is under way or waits."""
        return self._thread is not None or bool(self._waiting)

    def look(self) -> None:
        """Applies what is ready, and begins what waits."""
        if self._ready is not None:
            ready, self._ready = self._ready, None
            self._apply_or_say_why(ready)
            self._applied.set()
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None
        if self._thread is None and self._waiting:
            self._begin(self._waiting.popleft())

    def stop(self) -> None:
        """The daemon stops: what is not applied yet never will be."""
        self._stopping.set()
        while self._waiting:
            self._waiting.popleft().answer(no("the agent stops"))

    def join(self, seconds: float) -> bool:
        """After the pipeline has stopped: waits for what is under way, and for models that were replaced to close.
        False if that takes longer: the thread is inside a call of the device."""
        self._stopped.set()
        if self._thread is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _ask(self, order: _Order) -> None:
        if self._stopping.is_set() or len(self._waiting) >= MAX_WAITING:
            reason = "the agent stops" if self._stopping.is_set() else f"{MAX_WAITING} others wait; ask again later"
            order.answer(no(f"{order.what}: {reason}"))
            return
        self._waiting.append(order)
        self.look()

    def _begin(self, order: _Order) -> None:
        self._applied.clear()
        self._thread = threading.Thread(target=self._work, args=(order,), name="change", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no thread can be had
            self._thread = None
            self._refused(order, f"{error}")

    # ---- the main loop's step --------------------------------------------------------------------------------------

    def _apply_or_say_why(self, ready: Ready) -> None:
        self._problem = ""
        try:
            self._add(ready)
        except Exception as error:  # no thread can be had, above all
            self._problem = f"it could not be begun ({error})"
            return
        self._retiring = [*self._replace(ready), *self._drop(ready.plan)]
        for source in ready.plan.adjust:
            self._pipeline.adjust(source)
        for source in ready.plan.add:  # only now: their frames are the new models'
            self._pipeline.release(source.id)
        for model in ready.config.models:
            self._pipeline.models[model.name].adjust(model, ready.config.service)
        self._pipeline.models.keep(model.name for model in ready.config.models)
        self._pipeline.configure(ready.config.publish)
        if ready.written is not self._written:
            self._options(ready.config)
        self.config, self._written = ready.config, ready.written

    def _add(self, ready: Ready) -> None:
        """What is new, all of it or nothing."""
        pipeline = self._pipeline
        with contextlib.ExitStack() as undo:
            for model in ready.models:
                if model.config.name not in pipeline.models:
                    pipeline.add_model(model)
                    undo.callback(pipeline.remove_model, model.config.name)
            for source in ready.plan.add:
                if source.id in pipeline.sources:  # one of that id was removed and is not gone yet
                    pipeline.remove(source.id, source)
                    undo.callback(pipeline.remove, source.id)
                else:
                    pipeline.add(source, held=True)
                    undo.callback(pipeline.remove, source.id)
            undo.pop_all()

    def _replace(self, ready: Ready) -> list[tuple[threading.Event, InService]]:
        """Models whose frames come out still, each with what is set when all have."""
        replaced = []
        for model in ready.models:
            before = self._pipeline.models[model.config.name]
            if before is not model:
                replaced.append((self._pipeline.swap(model), before))
        return replaced

    def _drop(self, plan: Plan) -> list[tuple[threading.Event, InService]]:
        for source_id in plan.remove:
            self._pipeline.remove(source_id)
        for source in plan.restart:
            self._pipeline.remove(source.id, source)
        dropped = []
        for name in plan.drop:
            before = self._pipeline.models[name]
            dropped.append((self._pipeline.remove_model(name), before))
        return dropped

    # ---- in the thread ---------------------------------------------------------------------------------------------

    def _work(self, order: _Order) -> None:
        try:
            self._carry_out(order, order.prepare())
        except Stopped:
            self._refused(order, "the agent stops")
        except MluAgentError as error:
            self._refused(order, error.message)
        except Exception as error:
            self._log.exception("internal error", thread="change")
            self._refused(order, f"internal error: {type(error).__name__}: {error}")
        finally:
            self._pipeline.ledger.keep_models(name for name, _ in self._pipeline.models.items())
            self._wake()

    def _carry_out(self, order: _Order, ready: Ready) -> None:
        self._ready = ready
        self._wake()
        while not self._applied.wait(LOOK_S):
            if self._stopping.is_set() and not self._applied.is_set():
                self._problem = "the agent stops"
                break
        if self._problem:
            self._close(ready.models)
            self._refused(order, self._problem)
            return
        while self._retiring:
            event, model = self._retiring.pop()
            while not event.wait(LOOK_S) and not self._stopped.is_set():
                pass
            self._close([model])
        self.trouble = ""
        self._log.info("changed", what=order.what, done=ready.done)
        order.answer(yes(ready.done))

    def _refused(self, order: _Order, reason: str) -> None:
        self.trouble = f"the last {order.what} was refused: {reason}"
        self._log.error("a change was refused: what served before goes on unchanged", what=order.what, reason=reason)
        order.answer(no(f"{order.what} refused, {GOES_ON}: {reason}"))

    def _close(self, models: Iterable[InService]) -> None:
        """Each of them. One that the device does not give back whole changes nothing of what the change came to."""
        for model in models:
            try:
                model.close()
            except Exception as error:  # noqa: PERF203 - of a few models
                self._log.exception("a model could not be closed", model=model.config.name, reason=str(error))

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _prepare_reload(self) -> Ready:
        new = resolved(self._read())
        problems = needs_restart(self.config, new)
        replaced = {model.name for model in new.models if self._is_another(model, new, problems)}
        plan = make_plan(self.config, new, replaced)
        problems += lost_paths([*plan.add, *plan.restart])
        if problems:
            raise UserError("\n".join(problems))
        return Ready(new, new, plan, self._loaded(plan.load, new, new), plan.words())

    def _is_another(self, model: ModelConfig, new: Config, problems: list[str]) -> bool:
        """Whether its files hold another model than the one in service; what is wrong with them is noted."""
        self._go_on()
        try:
            spec = read_configured(model, new.sources_of(model))
        except MluAgentError as error:
            problems.append(f"model {model.name}: {error.message}")
            return False
        if model.name not in self._pipeline.models:
            return False
        serving = self._pipeline.models[model.name].served.spec
        if serving.packed is not None and serving.packed.refused:  # the last good one; what is there now is right again
            return True
        standin = self._pipeline.models[model.name].served.engine.standin
        if standin is not None and standin != Standin.at(standin.path):
            return True
        return spec.manifest_sha256 != serving.manifest_sha256

    def _prepare_swap(self, name: str, path: str) -> Ready:
        before = next((model for model in self.config.models if model.name == name), None)
        if before is None:
            known = ", ".join(model.name for model in self.config.models)
            raise UserError(f"no model is called {show(name)}; there is {known}")
        if not Path(path).is_absolute():
            raise UserError(f"{show(path)} is no absolute path; the agent's folder is another one than yours")
        model = dataclasses.replace(before, path=Path(path))
        models = tuple(model if one is before else one for one in self.config.models)
        config = dataclasses.replace(self.config, models=models)
        loaded = self._loaded((model,), config, self._written)
        spec = loaded[0].served.spec
        done = f"model {name} is {spec.name} (sha256 {spec.sha256[:12]}) from {path}"
        written = next((one.path for one in self._written.models if one.name == name), None)
        if written != model.path:
            done += f", until a reload or a restart: the configuration names {written}"
        return Ready(config, self._written, Plan(), loaded, done)

    def _loaded(self, models: Iterable[ModelConfig], config: Config, written: Config) -> tuple[InService, ...]:
        """All of them, tested, or none. ``written``: what the file says then."""
        loaded: list[InService] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self._close, loaded)
            for model in models:
                self._go_on()
                loaded.append(self._loaded_one(model, config, written))
            self._go_on()
            undo.pop_all()
        return tuple(loaded)

    def _loaded_one(self, model: ModelConfig, config: Config, written: Config) -> InService:
        try:
            made = self._load(model, config)
            with contextlib.ExitStack() as undo:
                undo.callback(self._close, [made])
                self._go_on()
                device_ms = made.served.self_test()
                undo.pop_all()
        except MluAgentError as error:
            full = isinstance(error, RuntimeFailure) and error.status == NOMEM
            raise error.told(f"model {model.name}: {error.message}{NO_ROOM if full else ''}") from error
        self._log.info("self-test passed", model=model.name, device_ms=round(device_ms, 3))
        if any(one.path == model.path for one in written.models):  # what a swap names is in no configuration
            last_good.remember(model, made.served.spec, self._log, [*self._written.models, *written.models])
        return made
