"""One model, pictures in, what it has to say of them out: what commands and evaluation share with the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .cnrt import open_library
from .detections import Detections
from .engine import Engine
from .engine.engine import SLOTS_PER_CONTEXT
from .engine.served import ServedModel
from .errors import RuntimeFailure, UserError
from .model.bundle import Thresholds, load_bundle

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from .engine.slot import Slot
    from .geometry import Letterbox
    from .postprocess import Result

Item = TypeVar("Item")


class Detector:
    """A loaded model on one runtime; a context manager.

    ``runtime``: auto, device, simulator or a library's path. ``thresholds``, ``cores``: None: the manifest's, all.
    Attributes: ``spec`` (ModelSpec), ``runtime`` ("device" or "simulator"), ``reason`` (why that one, and the stand-in
    that computes, if one does), ``standin`` (that one), ``thresholds``.
    Raises UserError, DataError and RuntimeFailure as ``load_bundle``, ``open_library`` and ``Engine`` do.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str],
        runtime: str = "auto",
        thresholds: Thresholds | None = None,
        *,
        cores: int | None = None,
        slots: int = SLOTS_PER_CONTEXT,
    ) -> None:
        spec = load_bundle(Path(model_path))
        library = open_library(runtime)
        self.spec = spec.on(library.kind)
        self.thresholds = thresholds or self.spec.thresholds
        self.runtime = library.kind
        self.reason = library.reason
        self.engine = Engine(
            library, self.spec.path, cores=cores, slots=slots, stamp=self.spec.stamp, given=self.spec.given
        )
        self.standin = self.engine.standin
        if self.standin is not None:
            self.reason += f"; {self.standin.words}"
        self._served: ServedModel[list[tuple[Any, Letterbox]]] = ServedModel(self.spec, self.engine, self.thresholds)

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """Detections of one picture, uint8 (H, W, 3) BGR; boxes in its pixels. As ``stream`` does."""
        for _, detections in self.stream([pixels]):
            return detections
        raise RuntimeFailure("the detector was closed while it was in use")

    def stream(self, items: Iterable[Item]) -> Iterator[tuple[Item, Detections]]:
        """``results`` of a model that detects; UserError for one that does not."""
        if self.spec.output.task != "detect":
            raise UserError(
                f"{self.spec.name}: the model detects nothing, it gives {self.spec.output.kind}; ask for results"
            )
        for item, result in self.results(items):
            assert isinstance(result, Detections)
            yield item, result

    def results(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """What the model has to say of each item in order, with all cores busy: reads ahead by as many items as there
        are slots. Detections, Classes or Tensors, by what the model does.

        An item is a picture, or anything with a picture in its attribute ``pixels`` (a Frame).
        """
        try:
            for group in _groups(items, self.spec.batch):
                if self._served.pending == self.engine.slots:
                    yield from self._collect()
                self._submit(group)
            while self._served.pending:
                yield from self._collect()
        finally:
            while self._served.pending:  # the caller stopped early, or an item failed: nothing may stay in flight
                done = self._served.collect()
                if done is None:
                    break
                self._served.release(done)

    def _submit(self, group: list[Item]) -> None:
        slot = self.engine.acquire()
        if slot is None:
            raise RuntimeFailure("the detector was closed while it was in use")
        try:
            placed = [(item, self._place(item, slot, index)) for index, item in enumerate(group)]
            self._served.submit(slot, placed)
        except BaseException:
            self.engine.release(slot)
            raise

    def _place(self, item: Any, slot: Slot, index: int) -> Letterbox:
        return self._served.place(getattr(item, "pixels", item), slot, index)

    def _collect(self) -> list[tuple[Any, Result]]:
        done = self._served.collect()
        if done is None:
            raise RuntimeFailure("the detector was closed while it was in use")
        try:
            if done.slot is None:
                raise done.failure or RuntimeFailure("an invocation has no outputs")
            return [
                (item, self._served.read(done.slot, index, letterbox))
                for index, (item, letterbox) in enumerate(done.group)
            ]
        finally:
            self._served.release(done)

    def close(self) -> None:
        """Releases the model and the device; a second call does nothing."""
        self.engine.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    group: list[Item] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
