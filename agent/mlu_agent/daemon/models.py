"""The models in service, and how one is put into service."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

from ..cnrt import open_library
from ..config.files import size_if_there
from ..engine import Engine
from ..engine.deadlines import CallWatch, Deadlines
from ..engine.golden import GoldenTest
from ..engine.recovery import Recovery
from ..engine.scrutiny import Scrutiny
from ..engine.served import ServedModel
from ..model.bundle import below_floor
from ..model.configured import read_configured
from ..model.signatures import described
from .goldens import golden_frame, refuse_damaged
from .line import Pending
from .trial import TrialAccount

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import Callable

    from ..cnrt import Library
    from ..config import ModelConfig, ServiceConfig, SourceConfig
    from ..errors import DeviceLost
    from ..ledger import Ledger
    from ..model.bundle import ModelSpec, Thresholds
    from ..model.golden import GoldenFrame

Served = ServedModel[list[Pending]]


class InService:
    """A model in service, with all that was opened for it, which ``close`` releases. ``config``: as it is now."""

    def __init__(self, config: ModelConfig, served: Served, exits: contextlib.ExitStack | None = None) -> None:
        self.config = config
        self.served = served
        self._exits = exits or contextlib.ExitStack()

    def adjust(self, config: ModelConfig, service: ServiceConfig) -> None:
        """What of it changes while it runs: thresholds, waits and deadlines."""
        self.config = config
        self.served.adjust(effective_thresholds(config, self.served.spec))
        self.served.batch_wait_s = config.batch_wait_ms / 1000
        self.served.keep_time(
            service.device_timeout_s, service.device_start_timeout_s, service.golden_interval_s or math.inf
        )

    def begin(self) -> None:
        """It is put into service, no longer only tried: what its device does wrong counts from now on."""
        account = self.served.account
        if isinstance(account, TrialAccount):
            account.put_down()

    def close(self) -> None:
        """Releases engine, model and device; a second call does nothing."""
        self._exits.close()


class Models:
    """The models in service, by name. The first is the one that heartbeats name.

    The main loop puts and takes; any thread may look.
    """

    def __init__(self, models: Iterable[InService] = ()) -> None:
        self._all: dict[str, InService] = {}
        for one in models:
            self.put(one)

    @property
    def main(self) -> Served:
        """The first."""
        return next(iter(self._all.values())).served

    def name_of(self, source: SourceConfig) -> str:
        """The name of the model that looks at a source's frames."""
        return source.model or next(iter(self._all))

    def items(self) -> Iterable[tuple[str, Served]]:
        """All of them with their names."""
        return [(name, one.served) for name, one in list(self._all.items())]

    def __iter__(self) -> Iterator[Served]:
        return iter([one.served for one in self._all.values()])

    def __getitem__(self, name: str) -> InService:
        return self._all[name]

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def put(self, model: InService) -> None:
        """One more, the last, or another in the place of that of its name; from now on it counts under it."""
        model.begin()
        self._all = {**self._all, model.config.name: model}

    def keep(self, names: Iterable[str]) -> None:
        """Only these, in that order."""
        self._all = {name: self._all[name] for name in names}

    def close(self) -> None:
        """Closes all that are in service."""
        with contextlib.ExitStack() as exits:
            for one in self._all.values():
                exits.callback(one.close)


def put_into_service(
    model: ModelConfig,
    service: ServiceConfig,
    ledger: Ledger,
    log: Any,
    on_hang: Callable[[DeviceLost], None],
    sources: Iterable[SourceConfig] = (),
    spec: ModelSpec | None = None,
    serving: Collection[str] | None = None,
) -> InService:
    """Loads a model onto its runtime, and says what runs where; whoever calls closes it.

    From before the first call of the device until after the last one ``on_hang`` is called, in a thread of its own, if
    one does not return in time. Raises what ``read_configured``, ``open_library`` and ``Engine`` raise.
    ``sources``: those that it is to look at. ``spec``: the model, if it was read already. ``serving``: for a change,
    the digests of the models that serve; None: this is the start, where a golden frame that cannot be taken is no
    reason to stay away.
    """
    spec = read_configured(model, sources, spec)
    library = open_library(model.runtime)
    spec = spec.on(library.kind)
    deadlines = Deadlines(service.device_timeout_s, service.device_start_timeout_s, size_if_there(spec.path))
    with contextlib.ExitStack() as own:  # all of it or nothing: this may be tried again
        own.enter_context(CallWatch(library.calls, deadlines, on_hang))
        say = log.info if library.kind == "device" or model.runtime == "simulator" else log.warning
        say("runtime", kind=library.kind, path=library.path, reason=library.reason, version=library.version())
        unwatched = _why_unwatched(service.golden_interval_s, library)
        engine = own.enter_context(
            Engine(library, spec.path, cores=model.cores, spare=not unwatched, stamp=spec.stamp, given=spec.given)
        )
        log.info(
            "model", model=model.name, name=spec.name, sha256=spec.sha256, device=engine.device.name,
            cores=engine.cores, slots=engine.slots,
        )  # fmt: skip
        if engine.standin is not None:
            log.warning(
                "a stand-in computes for the device file",
                model=model.name, path=str(spec.path), standin=str(engine.standin.path), sha256=engine.standin.sha256,
                network=engine.standin.name,
            )  # fmt: skip
        if spec.packed is not None:
            log.info(
                "bundle", model=model.name, path=str(spec.packed.path), signed_by=list(described(spec.packed.signers))
            )
            if spec.packed.files.uncached:
                log.warning(
                    "the cache of bundles cannot be used: unpacked into a temporary folder",
                    model=model.name, path=str(spec.packed.files.folder), reason=spec.packed.files.uncached,
                )  # fmt: skip
        if unwatched:
            log.warning("nobody looks whether the device computes right", reason=unwatched)
        if serving is not None and not unwatched:
            refuse_damaged(spec, serving)
        golden = None if unwatched else golden_frame(spec, engine, log)
        served = serve(spec, engine, model, ledger, log, deadlines, golden, service.golden_interval_s)
        return InService(model, served, own.pop_all())


def _why_unwatched(interval_s: float, library: Library) -> str:
    """Why no golden frame is run; "": it is."""
    if library.outputs_are_recorded:
        return "nothing is computed, outputs are recorded ones"
    return "" if interval_s else "service.golden_interval_s = 0"


def serve(
    spec: ModelSpec,
    engine: Engine,
    config: ModelConfig,
    ledger: Ledger,
    log: Any,
    deadlines: Deadlines | None = None,
    golden: GoldenFrame | None = None,
    golden_interval_s: float = math.inf,
) -> Served:
    """A model on its engine, with the configuration's thresholds and with what is done when the device fails.

    With a golden frame the engine needs a spare.
    """
    account = TrialAccount(functools.partial(ledger.model, config.name))
    test = None if golden is None else GoldenTest(engine, golden, account)
    recovery = Recovery(engine, account, log, golden=test)
    scrutiny = None if test is None else Scrutiny(engine, test, recovery, account, log, golden_interval_s)
    thresholds = effective_thresholds(config, spec)
    if floor := below_floor(spec, thresholds):
        log.warning("a threshold without effect", model=config.name, reason=floor)
    served: Served = ServedModel(spec, engine, thresholds, recovery, deadlines, scrutiny, account)
    served.batch_wait_s = config.batch_wait_ms / 1000
    return served


def effective_thresholds(config: ModelConfig, spec: ModelSpec) -> Thresholds:
    """The manifest's thresholds with what the configuration sets instead."""
    chosen: dict[str, Any] = {
        name: getattr(config, name)
        for name in ("confidence", "iou", "max_detections")
        if getattr(config, name) is not None
    }
    return dataclasses.replace(spec.thresholds, **chosen)
