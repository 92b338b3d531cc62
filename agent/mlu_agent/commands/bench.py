"""``mlu-agent bench``: how many pictures a second a model gives on this box, and with which lanes, slots and batch."""

from __future__ import annotations

import collections
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_client.text import printable, printable_json

from ..cnrt import open_library
from ..engine import Engine
from ..engine.engine import SLOTS_PER_CONTEXT
from ..errors import RuntimeFailure, UserError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ..cnrt import Library
    from ..engine import Slot

SECONDS = 2.0
MOST_SECONDS = 600.0
SLOTS = (1, 2, 3)
FULL_SPEED = 0.97  # of the best rate: what is slower saves nothing that a measurement of seconds can tell
PASSES = 2  # of a sweep: a neighbour that disturbs one measurement does not decide
FEWEST = 3  # invocations of one measurement, however slow they are


@dataclass(frozen=True)
class Row:
    """One way to run a model, and what it gave: pictures a second with all slots busy, and how long an invocation took
    then from its submission to its outputs, milliseconds."""

    model: str
    batch: int
    cores: int
    lanes: int
    slots: int
    pictures_per_second: float
    median_ms: float
    p95_ms: float

    @property
    def in_flight(self) -> int:
        """Pictures that are inside at once."""
        return self.lanes * self.slots * self.batch


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "models", metavar="MODEL", nargs="+", help="a .cambricon model; several of one network, compiled for batches"
    )
    parser.add_argument("--sweep", action="store_true", help="try lanes and slots, and recommend")
    parser.add_argument("--cores", type=int, metavar="N", help="device cores to use (all)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for each way to run it ({SECONDS:g})")
    parser.add_argument("--runtime", default="auto", help="auto, device, simulator or the path of a library (auto)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Measures, and prints a line for each way to run it."""
    if not 0 < arguments.seconds <= MOST_SECONDS:
        raise UserError(f"--seconds {arguments.seconds:g}: choose more than 0 and up to {MOST_SECONDS:g}")
    library = open_library(arguments.runtime)
    rows = [row for model in arguments.models for row in _rows(library, Path(model), arguments)]
    best = recommended(rows) if arguments.sweep else None
    if arguments.json:
        is_simulator = library.kind == "simulator"
        told = {"runtime": library.kind, "notes": library.notes, "says_nothing_of_a_device": is_simulator}
        told = {**told, "rows": [asdict(row) for row in rows], "recommended": asdict(best) if best else None}
        print(printable_json(told))
    else:
        for line in _lines(library, rows, best):
            print(printable(line))
    return 0


def recommended(rows: Sequence[Row]) -> Row:
    """Of those that are as fast as any, the one with the fewest pictures inside at once, so that each waits least."""
    fastest = max(row.pictures_per_second for row in rows)
    good = [row for row in rows if row.pictures_per_second >= FULL_SPEED * fastest]
    return min(good, key=lambda row: (row.in_flight, row.cores, row.median_ms))


def _rows(library: Library, model: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    """The ways to run one model: as it is asked for, or all of a sweep."""
    if not arguments.sweep:
        yield _measured(library, model, arguments.cores, SLOTS_PER_CONTEXT, arguments.seconds)
        return
    with Engine(library, model, cores=arguments.cores) as engine:
        most, parallelism = engine.cores, engine.description.parallelism
    lanes = sorted({min(1 << power, most // parallelism) for power in range(7)})
    ways = [(count * parallelism, slots) for count in lanes for slots in SLOTS]
    found: dict[tuple[int, int], Row] = {}
    for _ in range(PASSES):
        for way in ways:
            row = _measured(library, model, *way, arguments.seconds / PASSES)
            found[way] = max(row, found.get(way, row), key=lambda one: one.pictures_per_second)
    yield from found.values()


def _measured(library: Library, model: Path, cores: int | None, slots: int, seconds: float) -> Row:
    with Engine(library, model, cores=cores, slots=slots) as engine:
        latencies, elapsed = _keep_busy(engine, seconds)
        rate = len(latencies) * engine.batch / elapsed
        median, p95 = statistics.median(latencies), float(np.percentile(latencies, 95))
        return Row(model.name, engine.batch, engine.cores, engine.lanes, slots, rate, median * 1e3, p95 * 1e3)


def _keep_busy(engine: Engine, seconds: float) -> tuple[list[float], float]:
    """Seconds of each invocation with every slot in use, and of all of them; the first of each slot are not counted."""
    submitted: collections.deque[float] = collections.deque()
    latencies: list[float] = []
    for _ in range(engine.slots):
        slot = _given(engine.acquire())
        _fill(slot.inputs)
        _submit(engine, slot, submitted)
    for _ in range(engine.slots):
        _again(engine, submitted)
    start = time.perf_counter()
    while len(latencies) < FEWEST or time.perf_counter() - start < seconds:
        latencies.append(_again(engine, submitted))
    elapsed = time.perf_counter() - start
    for _ in range(engine.slots):
        engine.release(_given(engine.collect()))
    return latencies, elapsed


def _again(engine: Engine, submitted: collections.deque[float]) -> float:
    """The oldest invocation's seconds; its slot is submitted anew."""
    slot = _given(engine.collect())
    took = time.perf_counter() - submitted.popleft()
    _submit(engine, slot, submitted)
    return took


def _submit(engine: Engine, slot: Slot, submitted: collections.deque[float]) -> None:
    submitted.append(time.perf_counter())
    engine.submit(slot)


def _given(slot: Slot | None) -> Slot:
    if slot is None:
        raise RuntimeFailure("the engine was closed while it was in use")
    return slot


def _fill(arrays: Sequence[NDArray[Any]]) -> None:
    """Noise: bytes, or values from 0 to 1."""
    rng = np.random.default_rng(0)
    for array in arrays:
        values = rng.integers(0, 256, array.shape) if array.dtype.kind in "iu" else rng.random(array.shape)
        array[...] = values.astype(array.dtype)


def _lines(library: Library, rows: Sequence[Row], best: Row | None) -> Iterator[str]:
    head = f"{'batch':>5} {'cores':>5} {'lanes':>5} {'slots':>5} {'pictures/s':>10} {'median':>9} {'p95':>9}"
    yield f"{'model':28} {head}"
    for row in rows:
        numbers = f"{row.batch:5} {row.cores:5} {row.lanes:5} {row.slots:5} {row.pictures_per_second:10.1f}"
        yield f"{row.model:28.28} {numbers} {row.median_ms:6.2f} ms {row.p95_ms:6.2f} ms"
    if best is not None:
        yield f"recommended: {best.model}, batch {best.batch}, cores = {best.cores}, slots a lane: {best.slots}"
        if best.slots != SLOTS_PER_CONTEXT:
            yield f"(the daemon has {SLOTS_PER_CONTEXT} slots a lane; others are for programs of your own)"
    if library.kind == "simulator":
        yield "the simulator's speed tells nothing about a device's"
    if library.notes:
        yield f"of this simulator: {library.notes}"
