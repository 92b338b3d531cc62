"""``mlu-export bench``: how fast a model file runs, by the formulas of the vendor's porting guide and by ours.

Two passes over the same pictures, after some invocations to warm up. In the first, one batch follows the other, and
each of its parts is timed; in the second all cores are kept busy. Pictures are decoded beforehand.

The guide's ``test.py`` prints, of the first pass::

    Throughput(fps)  image_number / total_e2e
    Latency(ms)      batch_size / (image_number / total_hardware) * 1000

with total_e2e the time of preprocessing, copies, network and boxes, and total_hardware that of the network alone. Its
offline program prints::

    Throughput(fps)      batch * count / (end of the last copy out - start of the first copy in)    (second pass)
    Latency(ms)          mean of copy in + compute + copy out                                       (first pass)
    HardwareLatency(ms)  mean of the time between the notifiers around the network on the device    (first pass)
"""

from __future__ import annotations

import collections
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import numpy.typing as npt

from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine, Slot
from mlu_agent.errors import RuntimeFailure, UserError
from mlu_agent.model.bundle import ModelSpec, load_bundle
from mlu_agent.postprocess import Reader
from mlu_agent.preprocess import Preprocessor

from ..formats.container_reader import load_network
from ..formats.pictures import list_pictures, read_picture
from ..runners.simulated import simulate_target
from ..support.progress import show_progress
from ..values.network import DTYPES
from .online import LayerByLayer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from mlu_agent.geometry import Letterbox

WARM_UP = 10  # invocations, as many as the guide's test.py makes
WARM_UP_SECONDS = 5.0  # after which a slow model is warm enough, unless a number was asked for
MOST_PICTURES = 64  # decoded and kept; they are taken again and again
SYNTHETIC = (480, 640)  # rows and columns of made-up pictures
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Parts:
    """One invocation's parts in milliseconds: ``compute`` is the host's wait for the network, ``device`` the device's
    own time for it, by its notifiers.
    """

    preprocess: float
    copy_in: float
    compute: float
    copy_out: float
    postprocess: float
    device: float

    @property
    def total(self) -> float:
        """End to end."""
        return self.preprocess + self.copy_in + self.compute + self.copy_out + self.postprocess


PARTS = tuple(field.name for field in fields(Parts))


@dataclass(frozen=True)
class Busy:
    """The pass with all cores busy: seconds of everything, and from the first copy in to the last copy out."""

    seconds: float
    window: float


@dataclass(frozen=True)
class Layer:
    """One operator of an online run: its mean time on the device in milliseconds."""

    name: str
    opcode: int
    device: float


@dataclass(frozen=True)
class Timing:
    """What was measured; ``busy`` None and ``layers`` filled for an online run."""

    model: str
    mode: str
    runtime: str
    batch: int
    cores: int
    warm_up: int
    pictures: str
    parts: tuple[Parts, ...]
    busy: Busy | None
    layers: tuple[Layer, ...] = ()
    notes: str = ""  # what of the simulator's answers its environment changed

    @property
    def device_kind(self) -> str:
        """What device times are to be called: "" as measured, or "estimate" of the simulator's."""
        return "estimate" if "estimates" in self.notes else ""

    @property
    def images(self) -> int:
        """Pictures of one pass."""
        return len(self.parts) * self.batch

    def latencies(self) -> npt.NDArray[np.float64]:
        """End-to-end milliseconds of each invocation of the first pass: what every picture of its batch waits."""
        return np.array([part.total for part in self.parts])

    def mean(self, part: str) -> float:
        """Mean milliseconds of one of ``PARTS``."""
        return float(np.mean([getattr(one, part) for one in self.parts]))

    def guide_online(self) -> dict[str, float]:
        """The two figures of the guide's test.py."""
        hardware = self.mean("compute") * len(self.parts) / 1000
        return {
            "throughput_fps": self.images / (float(self.latencies().sum()) / 1000),
            "latency_ms": self.batch / (self.images / hardware) * 1000,
        }

    def guide_offline(self) -> dict[str, float] | None:
        """The three figures of the guide's offline program; None for an online run, which it does not know."""
        if self.busy is None:
            return None
        return {
            "throughput_fps": self.images / self.busy.window,
            "latency_ms": self.mean("copy_in") + self.mean("compute") + self.mean("copy_out"),
            "hardware_latency_ms": self.mean("device"),
        }

    def ours(self) -> dict[str, Any]:
        """Our figures: a percentile is None where there are too few invocations for it to be one."""
        values = self.latencies()
        count = len(values)
        return {
            "latency_ms": {
                "count": count,
                "median": float(np.median(values)),
                "p90": float(np.percentile(values, 90)) if count >= 10 else None,
                "p99": float(np.percentile(values, 99)) if count >= 100 else None,
                "mean": float(values.mean()),
                "deviation": float(values.std(ddof=1)) if count > 1 else None,
                "least": float(values.min()),
                "most": float(values.max()),
            },
            "parts_ms": {part: self.mean(part) for part in PARTS},
            "pictures_per_second": None if self.busy is None else self.images / self.busy.seconds,
        }

    def document(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "model": self.model,
            "mode": self.mode,
            "runtime": self.runtime,
            "says_nothing_of_a_device": self.runtime == "simulator",
            "device_times": self.device_kind or "measured",
            "notes": self.notes,
            "images": self.images,
            "pictures": self.pictures,
            "batch": self.batch,
            "cores": self.cores,
            "warm_up": self.warm_up,
            "guide_online": self.guide_online(),
            "guide_offline": self.guide_offline(),
            "ours": self.ours(),
            "layers": [{"name": one.name, "opcode": one.opcode, "device_ms": one.device} for one in self.layers],
        }


def bench(
    model: Path, images: Path | None, count: int, batch: int | None, runtime: str, online: bool,
    warm_up: int | None = None,
) -> Timing:  # fmt: skip
    """Measures a model file on ``count`` pictures of a folder, or on made-up ones, after ``warm_up`` invocations.

    None makes ``WARM_UP``, fewer where they take ``WARM_UP_SECONDS``; one where online. Raises MluAgentError.
    """
    spec = load_bundle(model)
    if batch is not None and batch != spec.batch:
        raise UserError(
            f"--batch {batch}: {spec.path.name} was compiled for {spec.batch}; build it with --batch {batch}"
        )
    pictures, source = _pictures(images, count)
    groups = [
        [pictures[(start + index) % len(pictures)] for index in range(spec.batch)]
        for start in range(0, count, spec.batch)
    ]
    simulate_target(spec.path, "simulator" if online else runtime)
    if online:
        return _bench_online(spec, groups, source, 1 if warm_up is None else warm_up)
    with Engine(open_library(runtime), spec.path) as engine:
        run = _Run(spec, engine)
        warm = _warm_up(run.invoke, groups[0], warm_up)
        parts = tuple(run.invoke(group) for group in show_progress(groups, "one after the other", "batch"))
        busy = run.keep_busy(show_progress(groups, "all cores busy", "batch"))
        return Timing(
            spec.name,
            "offline",
            engine.library.kind,
            spec.batch,
            engine.cores,
            warm,
            source,
            parts,
            busy,
            notes=engine.library.notes,
        )


def _warm_up(invoke: Callable[[Sequence[Pixels]], Parts], group: Sequence[Pixels], wanted: int | None) -> int:
    """Invokes with one batch again and again; how often."""
    start, made = time.perf_counter(), 0
    for _ in show_progress(range(WARM_UP if wanted is None else wanted), "warming up", "batch"):
        invoke(group)
        made += 1
        if wanted is None and time.perf_counter() - start >= WARM_UP_SECONDS:
            break
    return made


def _pictures(images: Path | None, count: int) -> tuple[list[Pixels], str]:
    if images is None:
        rng = np.random.default_rng(0)
        return [rng.integers(0, 256, (*SYNTHETIC, 3), np.uint8) for _ in range(min(count, 4))], "made up: noise"
    paths = list_pictures(images)[: min(count, MOST_PICTURES)]
    return [read_picture(path) for path in paths], f"{len(paths)} of {images.resolve().name}/"


class _Run:
    """Invocations of one model through the agent's engine, timed."""

    def __init__(self, spec: ModelSpec, engine: Engine) -> None:
        self.spec = spec
        self.engine = engine
        self._preprocess = Preprocessor(spec.input)
        self._reader = Reader(spec)

    def invoke(self, group: Sequence[Pixels]) -> Parts:
        """One batch, from pixels to detections."""
        slot = self._acquire()
        start = time.perf_counter()
        places = self._place(slot, group)
        placed = time.perf_counter()
        self.engine.submit(slot)
        slot = self._collect()
        done = time.perf_counter()
        self._read(slot, places)
        end = time.perf_counter()
        copies = slot.copy_in_us + slot.copy_out_us
        parts = Parts(
            (placed - start) * 1e3,
            slot.copy_in_us / 1e3,
            max(0.0, (done - placed) * 1e3 - copies / 1e3),
            slot.copy_out_us / 1e3,
            (end - done) * 1e3,
            slot.device_us / 1e3,
        )
        self.engine.release(slot)
        return parts

    def keep_busy(self, groups: Iterable[Sequence[Pixels]]) -> Busy:
        """All batches, with as many in flight as there are slots."""
        running: collections.deque[list[Letterbox]] = collections.deque()
        start = time.perf_counter()
        first, last = 0.0, 0.0
        for group in groups:
            if len(running) == self.engine.slots:
                last = self._finish(running.popleft())
            slot = self._acquire()
            places = self._place(slot, group)
            first = first or time.perf_counter()
            self.engine.submit(slot)
            running.append(places)
        while running:
            last = self._finish(running.popleft())
        return Busy(time.perf_counter() - start, last - first)

    def _finish(self, places: list[Letterbox]) -> float:
        slot = self._collect()
        done = time.perf_counter()
        self._read(slot, places)
        self.engine.release(slot)
        return done

    def _acquire(self) -> Slot:
        return _given(self.engine.acquire())

    def _collect(self) -> Slot:
        return _given(self.engine.collect())

    def _place(self, slot: Slot, group: Sequence[Pixels]) -> list[Letterbox]:
        return [self._preprocess(pixels, slot.inputs[0][index]) for index, pixels in enumerate(group)]

    def _read(self, slot: Slot, places: list[Letterbox]) -> None:
        _read_all(self._reader, self.spec, slot.outputs, places)


def _given(slot: Slot | None) -> Slot:
    if slot is None:
        raise RuntimeFailure("the engine was closed while it was in use")
    return slot


def _read_all(read: Reader, spec: ModelSpec, outputs: Sequence[npt.NDArray[Any]], places: list[Letterbox]) -> None:
    for index, place in enumerate(places):
        read(outputs, index, place, spec.thresholds)


def _bench_online(spec: ModelSpec, groups: list[list[Pixels]], source: str, warm_up: int) -> Timing:
    """Operator by operator on the simulator: the first pass alone, and each operator's own time."""
    with LayerByLayer(load_network(spec.path)) as layers:
        tensor = layers.network.tensors[layers.network.inputs[0]]
        array = np.zeros(tensor.dims, DTYPES[tensor.dtype])
        run = _OnlineRun(spec, layers, array)
        warm = _warm_up(run.invoke, groups[0], warm_up)
        run.device[:] = 0
        parts = tuple(run.invoke(group) for group in show_progress(groups, "layer by layer", "batch"))
        found = tuple(
            Layer(operator.name, operator.opcode, float(value) / len(parts) / 1e3)
            for operator, value in zip(layers.network.operators, run.device)
        )
    return Timing(
        spec.name,
        "online",
        "simulator",
        spec.batch,
        1,
        warm,
        source,
        parts,
        None,
        found,
        open_library("simulator").notes,
    )


class _OnlineRun:
    """Batches through a network layer by layer; ``device`` sums each operator's microseconds."""

    def __init__(self, spec: ModelSpec, layers: LayerByLayer, array: npt.NDArray[Any]) -> None:
        self.spec = spec
        self.layers = layers
        self.device = np.zeros(len(layers.times))
        self._array = array
        self._preprocess = Preprocessor(spec.input)
        self._reader = Reader(spec)

    def invoke(self, group: Sequence[Pixels]) -> Parts:
        """One batch; copies are part of ``compute``, as every operator has its own."""
        clock: Callable[[], float] = time.perf_counter
        start = clock()
        places = [self._preprocess(pixels, self._array[index]) for index, pixels in enumerate(group)]
        placed = clock()
        outputs = self.layers.run([self._array])
        done = clock()
        _read_all(self._reader, self.spec, outputs, places)
        end = clock()
        self.device += self.layers.times
        device = sum(self.layers.times) / 1e3
        return Parts((placed - start) * 1e3, 0.0, (done - placed) * 1e3, 0.0, (end - done) * 1e3, device)
