"""``mlu-agent bench``: how many pictures a second a model gives on this box, and with which lanes, slots and batch."""

from __future__ import annotations

import collections
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_client.text import printable, printable_json

from ..cnrt import open_library
from ..cnrt.model import find_standin, refuse_wrong_kind
from ..engine import Engine
from ..engine.engine import SLOTS_PER_CONTEXT
from ..errors import RuntimeFailure, UserError
from ..model.bundle import load_bundle
from ..model.bundle_file import SUFFIX as BUNDLE
from ..model.offline_model import read_offline_model

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ..cnrt import Library
    from ..engine import Slot

SECONDS = 2.0
MOST_SECONDS = 600.0
SLOTS = (1, 2, 3)
FULL_SPEED = 0.97  # of the best rate: what is slower saves nothing that a measurement of seconds can tell
PASSES = 2  # of a sweep: a neighbour that disturbs one measurement does not decide
ROUNDS = 3  # of all slots, at least, in one measurement
_SWEEP_TAKES = (
    f"a way takes {ROUNDS + 2} invocations of each of its slots at least, twice where that is quicker than --seconds"
)


@dataclass(frozen=True)
class Row:
    """One way to run a model, and what it gave: pictures a second with all slots busy, and how long an invocation took
    then from its submission to its outputs, milliseconds."""

    model: str
    path: str
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
    parser.add_argument("--sweep", action="store_true", help=f"try lanes and slots, and recommend; {_SWEEP_TAKES}")
    parser.add_argument(
        "--cores", type=int, metavar="N", help="device cores (all; of the simulator as many as this host keeps busy)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help=f"for each way to run it ({SECONDS:g}), and longer where {ROUNDS} rounds of all its slots take longer",
    )
    parser.add_argument("--runtime", default="auto", help="auto, device, simulator or the path of a library (auto)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Measures, and prints a line for each way to run it; of what was measured until then where it is interrupted."""
    if not 0 < arguments.seconds <= MOST_SECONDS:
        raise UserError(f"--seconds {arguments.seconds:g}: choose more than 0 and up to {MOST_SECONDS:g}")
    library = open_library(arguments.runtime)
    models = [_file(Path(model)) for model in arguments.models]
    networks = {str(model): _network(library, model) for model in models}  # what cannot be read is told at once
    ways = [(model, _ways(library, model, arguments)) for model in models]
    rows: list[Row] = []
    try:
        for model, some in ways:
            _measure(library, model, some, arguments, rows)
    except (KeyboardInterrupt, RuntimeFailure):
        if rows:
            _tell(library, rows, [], as_json=arguments.json)
        raise
    _tell(library, rows, recommendations(rows, networks) if arguments.sweep else [], as_json=arguments.json)
    return 0


def recommendations(rows: Sequence[Row], networks: Mapping[str, object]) -> list[Row]:
    """What is recommended for each network; ``networks`` tells by the path of a model's file which one it holds."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(networks[row.path], []).append(row)
    return [recommended(group) for group in groups.values()]


def recommended(rows: Sequence[Row]) -> Row:
    """Of those that are as fast as any, the one with the fewest pictures inside at once, so that each waits least."""
    fastest = max(row.pictures_per_second for row in rows)
    good = [row for row in rows if row.pictures_per_second >= FULL_SPEED * fastest]
    return min(good, key=lambda row: (row.in_flight, row.cores, row.median_ms))


def _file(model: Path) -> Path:
    """The .cambricon file; that of a bundle stays unpacked until the process ends."""
    return load_bundle(model).path if model.suffix == BUNDLE else model


def _network(library: Library, model: Path) -> object:
    """What is equal for two files of one network, whatever batch they were compiled for; the file itself where no
    manifest tells. DataError for a file that this runtime cannot run."""
    offline = read_offline_model(model)
    refuse_wrong_kind(library.kind, offline, str(model))
    standin = find_standin(library, offline, model, str(model))
    if standin is not None:
        print(f"mlu-agent: {printable(standin.words)}", file=sys.stderr)
    if not model.with_suffix(".toml").is_file():
        return model.resolve()
    spec = load_bundle(model)
    made = [spec.provenance.get(key, "") for key in ("arch", "weights_sha256", "quantization")]
    # each batch has a bundle of its own name; without the weights' digest only the name tells networks apart
    return repr((made if made[1] else spec.name, spec.labels, spec.input, spec.output))


def _ways(library: Library, model: Path, arguments: argparse.Namespace) -> list[tuple[int, int]]:
    """Cores and slots a lane of each way to run one model: as it is asked for, or all of a sweep."""
    with Engine(library, model, cores=arguments.cores, slots=1) as engine:
        most, parallelism = engine.cores, engine.description.parallelism
    if not arguments.sweep:
        return [(most, SLOTS_PER_CONTEXT)]
    lanes = sorted({min(1 << power, most // parallelism) for power in range(7)})
    return [(count * parallelism, slots) for count in lanes for slots in SLOTS]


def _measure(
    library: Library, model: Path, ways: list[tuple[int, int]], arguments: argparse.Namespace, rows: list[Row]
) -> None:
    """Adds a row for each way. A sweep tells on stderr how far it is, and measures twice what does not take longer
    than it was given anyway: a neighbour can only slow down, so the faster one of a way is nearer to the truth."""
    passes = PASSES if arguments.sweep else 1
    seconds = arguments.seconds / passes
    first, long = len(rows), set()
    for number in range(passes):
        for index, way in enumerate(ways):
            if way in long:
                continue
            start = time.perf_counter()
            row = _measured(library, model, *way, seconds)
            if time.perf_counter() - start > PASSES * seconds:
                long.add(way)
            if number == 0:
                rows.append(row)
            else:
                rows[first + index] = max(row, rows[first + index], key=lambda one: one.pictures_per_second)
            if arguments.sweep:
                _say(row)


def _say(row: Row) -> None:
    words = f"{row.model}: {row.lanes} lanes of {row.slots} slots: {row.pictures_per_second:.1f} pictures/s"
    print(f"mlu-agent bench: {printable(words)}", file=sys.stderr, flush=True)


def _measured(library: Library, model: Path, cores: int | None, slots: int, seconds: float) -> Row:
    with Engine(library, model, cores=cores, slots=slots) as engine:
        rate, latencies = keep_busy(engine, seconds)
        median, p95 = statistics.median(latencies), float(np.percentile(latencies, 95))
        pictures = rate * engine.batch
        return Row(
            model.name, str(model), engine.batch, engine.cores, engine.lanes, slots, pictures, median * 1e3, p95 * 1e3
        )


def keep_busy(engine: Engine, seconds: float) -> tuple[float, list[float]]:
    """Invocations a second with every slot in use, and the seconds of each one from its submission to its outputs.

    Whole rounds of all slots are measured, after one that is not. What was submitted first is collected first, so
    invocations come in bursts, and their number between two moments tells how the moments lie to the bursts. As all
    slots are in use at any time, the rate is their number by the mean of an invocation's time (Little's law).
    """
    submitted: collections.deque[float] = collections.deque()
    latencies: list[float] = []
    for _ in range(engine.slots):
        slot = _given(engine.acquire())
        _fill(slot.inputs)
        _submit(engine, slot, submitted)
    for _ in range(engine.slots):
        _again(engine, submitted)
    start = time.perf_counter()
    while len(latencies) < ROUNDS * engine.slots or time.perf_counter() - start < seconds:
        latencies += [_again(engine, submitted) for _ in range(engine.slots)]
    for _ in range(engine.slots):
        engine.release(_given(engine.collect()))
    return engine.slots / statistics.fmean(latencies), latencies


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


def _tell(library: Library, rows: Sequence[Row], best: Sequence[Row], *, as_json: bool) -> None:
    kernels = library.kernels
    if not as_json:
        for line in _lines(library, rows, best, kernels):
            print(printable(line))
        return
    told: dict[str, Any] = {"runtime": library.kind, "kernels": kernels[0] if kernels else None, "notes": library.notes}
    told["says_nothing_of_a_device"] = library.kind == "simulator"
    told["rows"] = [asdict(row) for row in rows]
    told["recommended"] = asdict(best[0]) if len(best) == 1 else None
    told["recommended_by_network"] = [asdict(row) for row in best]
    print(printable_json(told))


def _lines(library: Library, rows: Sequence[Row], best: Sequence[Row], kernels: Sequence[str]) -> Iterator[str]:
    head = f"{'batch':>5} {'cores':>5} {'lanes':>5} {'slots':>5} {'pictures/s':>10} {'median':>9} {'p95':>9}"
    yield f"{'model':28} {head}"
    for row in rows:
        numbers = f"{row.batch:5} {row.cores:5} {row.lanes:5} {row.slots:5} {row.pictures_per_second:10.1f}"
        yield f"{row.model:28.28} {numbers} {row.median_ms:6.2f} ms {row.p95_ms:6.2f} ms"
    if len(best) > 1:
        yield "these are different networks: which one to take is not a question of speed alone"
    for row in best:
        yield f"recommended: {row.model}, batch {row.batch}, cores = {row.cores}, slots a lane: {row.slots}"
    if any(row.slots != SLOTS_PER_CONTEXT for row in best):
        yield f"(the daemon has {SLOTS_PER_CONTEXT} slots a lane; others are for programs of your own)"
    if library.kind == "simulator":
        yield "the simulator's speed tells nothing about a device's"
    if kernels:
        yield f"kernels of this simulator: {kernels[0]}"
    if library.notes:
        yield f"of this simulator: {library.notes}"
