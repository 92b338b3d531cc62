"""One model, pictures in, detections out: what `mlu-agent detect` and accuracy evaluation share with the daemon."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .cnrt import open_library
from .engine import Engine
from .engine.engine import SLOTS_PER_CONTEXT
from .errors import RuntimeFailure
from .model.bundle import Thresholds, load_detection_bundle
from .postprocess import postprocess
from .preprocess import Preprocessor

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from .detections import Detections
    from .engine.slot import Slot
    from .geometry import Letterbox

Item = TypeVar("Item")


class Detector:
    """A loaded model on one runtime; a context manager.

    `runtime`: auto, device, simulator or a library's path; `thresholds`: instead of the manifest's; `cores`: None for
    all.
    Attributes: `spec` (ModelSpec), `runtime` ("device" or "simulator"), `reason` (why that one), `thresholds`.
    Raises UserError, DataError and RuntimeFailure as `load_detection_bundle`, `open_library` and `Engine` do.
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
        self.spec = load_detection_bundle(Path(model_path))
        self.thresholds = thresholds or self.spec.thresholds
        self._preprocess = Preprocessor(self.spec.input)
        library = open_library(runtime)
        self.spec = self.spec.on(library.kind)
        self.runtime = library.kind
        self.reason = library.reason
        self.engine = Engine(library, self.spec.path, cores=cores, slots=slots)

    def detect(self, pixels: NDArray[np.uint8]) -> Detections:
        """Detections of one picture, uint8 (H, W, 3) BGR; boxes in its pixels."""
        for _, detections in self.stream([pixels]):
            return detections
        raise RuntimeFailure("the detector was closed while it was in use")

    def stream(self, items: Iterable[Item]) -> Iterator[tuple[Item, Detections]]:
        """Detections of each item in order, with all cores busy: reads ahead by as many items as there are slots.

        An item is a picture, or anything with a picture in its attribute `pixels` (a Frame).
        """
        running: collections.deque[list[tuple[Item, Letterbox]]] = collections.deque()
        try:
            for group in _groups(items, self.spec.batch):
                if len(running) == self.engine.slots:
                    yield from self._collect(running.popleft())
                running.append(self._submit(group))
            while running:
                yield from self._collect(running.popleft())
        finally:
            for _ in running:  # the caller stopped early, or an item failed: nothing may stay in flight
                slot = self.engine.collect()
                if slot is not None:
                    self.engine.release(slot)

    def _submit(self, group: list[Item]) -> list[tuple[Item, Letterbox]]:
        slot = self.engine.acquire()
        if slot is None:
            raise RuntimeFailure("the detector was closed while it was in use")
        try:
            placed = [(item, self._place(slot, index, item)) for index, item in enumerate(group)]
            self.engine.submit(slot)
        except BaseException:
            self.engine.release(slot)
            raise
        return placed

    def _place(self, slot: Slot, index: int, item: Any) -> Letterbox:
        return self._preprocess(getattr(item, "pixels", item), slot.inputs[0][index])

    def _collect(self, placed: list[tuple[Item, Letterbox]]) -> list[tuple[Item, Detections]]:
        slot = self.engine.collect()
        if slot is None:
            raise RuntimeFailure("the detector was closed while it was in use")
        try:
            return [(item, self._read(slot, index, letterbox)) for index, (item, letterbox) in enumerate(placed)]
        finally:
            self.engine.release(slot)

    def _read(self, slot: Slot, index: int, letterbox: Letterbox) -> Detections:
        outputs = [output[index] for output in slot.outputs]
        return postprocess(outputs, self.spec, letterbox, self.thresholds, image=index)

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
