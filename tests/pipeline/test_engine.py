"""The engine on the real simulator: order, cores, failures, flat memory."""

from __future__ import annotations

import gc
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from mlu_agent.cnrt import Library
from mlu_agent.engine import Engine, Slot
from mlu_agent.errors import RuntimeFailure, UserError
from mlu_agent.model.bundle import load_bundle


def fill(slot: Slot, value: int) -> None:
    slot.inputs[0][...] = value


def run_one(engine: Engine, value: int) -> np.ndarray:
    slot = engine.acquire()
    assert slot is not None
    fill(slot, value)
    engine.submit(slot)
    done = engine.collect()
    assert done is slot
    result = done.outputs[0].copy()
    engine.release(done)
    return result


@pytest.mark.parametrize("change", ["replaced", "rewritten", "removed"])
def test_a_model_that_changes_while_it_is_loaded_is_refused(
    library: Library, model_path: Path, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
):
    """It would serve under the digest of the one before; that may pass, so it is tried again."""
    for suffix in (".cambricon", ".toml"):
        shutil.copy(model_path.with_suffix(suffix), tmp_path)
    path = tmp_path / model_path.name
    spec = load_bundle(path)
    Engine(library, spec.path, cores=1, stamp=spec.stamp).close()
    if change == "rewritten":
        path.write_bytes(path.read_bytes())
    elif change == "replaced":
        shutil.copy2(path, tmp_path / "new")
        (tmp_path / "new").replace(path)
    call = Library.call

    def removed(library: Library, name: str, *arguments: object) -> None:
        call(library, name, *arguments)
        if change == "removed" and name == "cnrtLoadModel":
            path.unlink()

    monkeypatch.setattr(Library, "call", removed)
    for stamp in (spec.stamp, None) if change == "removed" else (spec.stamp,):
        with pytest.raises(RuntimeFailure, match="was changed while it was loaded") as failure:
            Engine(library, spec.path, cores=1, stamp=stamp)
        assert failure.value.passes
        shutil.copy2(model_path, path)


def test_one_context_per_core_and_two_slots_on_each(library: Library, model_path: Path, four_core_path: Path):
    """A one-core model gets four contexts on an MLU220, a four-core model one; slots belong to contexts."""
    with Engine(library, model_path) as engine:
        assert (engine.cores, engine.slots, engine.batch) == (4, 8, 1)
    with Engine(library, four_core_path, slots=3) as engine:
        assert (engine.cores, engine.slots, engine.batch) == (4, 3, 4)
    with Engine(library, model_path, cores=2) as engine:
        assert (engine.cores, engine.slots) == (2, 4)


@pytest.mark.parametrize("threads, one_core, four_cores", [(1, 1, 4), (2, 2, 4), (3, 3, 4), (64, 4, 4), (None, 4, 4)])
def test_the_simulator_gets_no_more_lanes_than_the_host_keeps_busy(
    library: Library,
    model_path: Path,
    four_core_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    threads: int | None,
    one_core: int,
    four_cores: int,
):
    """More cores than threads compute at once only take memory and turns, but what is asked for is given."""
    monkeypatch.setattr(Library, "threads", threads)
    with Engine(library, model_path) as engine:
        assert engine.cores == engine.lanes == one_core
    with Engine(library, four_core_path) as engine:
        assert (engine.cores, engine.lanes) == (four_cores, 1)
    with Engine(library, model_path, cores=4) as engine:
        assert engine.lanes == 4


def test_outputs_that_are_read_one_after_another_share_their_memory(library: Library, model_path: Path):
    """The host has one set of outputs for all slots, and another one only while two collected slots are held."""
    with Engine(library, model_path) as engine:
        slots = [engine.acquire() for _ in range(engine.slots)]
        for slot in slots:
            assert slot is not None
            engine.submit(slot)
        arrays = set()
        for _ in slots:
            done = engine.collect()
            assert done is not None
            arrays.add(id(done.outputs[0]))
            engine.release(done)
        assert len(arrays) == 1
        held = [engine.acquire() for _ in range(2)]
        for slot in held:
            assert slot is not None
            engine.submit(slot)
        assert len({id(one.outputs[0]) for one in (engine.collect(), engine.collect()) if one is not None}) == 2


def test_impossible_numbers_are_the_users_mistake(library: Library, model_path: Path, four_core_path: Path):
    """cores and slots are checked with a sentence that names value and bound."""
    with pytest.raises(UserError, match="cores = 5: the device has 4"):
        Engine(library, model_path, cores=5)
    with pytest.raises(UserError, match="cores = 2: the model takes 4 cores"):
        Engine(library, four_core_path, cores=2)
    with pytest.raises(UserError, match="slots = 0"):
        Engine(library, model_path, slots=0)


def test_results_do_not_depend_on_core_slot_or_neighbours(library: Library, model_path: Path):
    """Eight different pictures in flight at once give what each gives alone, in the order of submission."""
    with Engine(library, model_path) as engine:
        alone = [run_one(engine, 30 * number) for number in range(8)]
        slots = [engine.acquire() for _ in range(8)]
        assert engine.acquire(0) is None
        for number, slot in enumerate(slots):
            assert slot is not None
            fill(slot, 30 * number)
            engine.submit(slot)
        for number, slot in enumerate(slots):
            done = engine.collect()
            assert done is slot
            assert np.array_equal(done.outputs[0], alone[number])
            assert done.device_us > 0
        assert engine.in_flight == 0
    assert not np.array_equal(alone[0], alone[7])


def test_a_batch_is_run_as_a_whole(library: Library, model_path: Path, four_core_path: Path):
    """Each picture of a batch on four cores gives the bytes that it gives alone on one core."""
    with Engine(library, model_path) as engine:
        alone = [run_one(engine, value)[0] for value in (0, 80, 160, 240)]
    with Engine(library, four_core_path) as engine:
        slot = engine.acquire()
        assert slot is not None
        for index, value in enumerate((0, 80, 160, 240)):
            slot.inputs[0][index] = value
        engine.submit(slot)
        done = engine.collect()
        assert done is not None
        assert [np.array_equal(done.outputs[0][index], alone[index]) for index in range(4)] == [True] * 4


def test_one_thread_submits_while_another_collects(library: Library, model_path: Path):
    """500 invocations through two threads arrive complete and in order."""
    with Engine(library, model_path) as engine:
        expected = [run_one(engine, value) for value in range(10)]
        wrong = []

        def collect() -> None:
            for number in range(500):
                done = engine.collect()
                assert done is not None
                if not np.array_equal(done.outputs[0], expected[number % 10]):
                    wrong.append(number)
                engine.release(done)

        thread = threading.Thread(target=collect)
        thread.start()
        for number in range(500):
            slot = engine.acquire()
            assert slot is not None
            fill(slot, number % 10)
            engine.submit(slot)
        thread.join(60)
        assert not thread.is_alive()
        assert wrong == []


def test_a_failed_invocation_is_reported_and_its_slot_is_free_again(library: Library, model_path: Path):
    """After a failure of collect nothing is lost: all slots can be acquired."""
    with Engine(library, model_path, cores=1) as engine:
        slot = engine.acquire()
        assert slot is not None
        engine.submit(slot)

        def fail(start: object) -> float:
            raise RuntimeFailure("cnrtNotifierDuration failed", status=632046)

        original = slot._end.microseconds_since
        slot._end.microseconds_since = fail  # type: ignore[method-assign]
        with pytest.raises(RuntimeFailure):
            engine.collect()
        slot._end.microseconds_since = original  # type: ignore[method-assign]
        assert [engine.acquire(0) is not None for _ in range(3)] == [True, True, False]


def test_interrupt_wakes_everybody(library: Library, model_path: Path):
    """A thread that waits for a slot or for a result can always be ended; close works twice."""
    engine = Engine(library, model_path)
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(engine.collect()))
    thread.start()
    engine.interrupt()
    thread.join(10)
    assert results == [None]
    assert engine.acquire() is None
    engine.close()
    engine.close()


def test_closing_with_work_in_flight_waits_for_it(library: Library, model_path: Path):
    """Buffers are freed only after the invocations that write to them have ended."""
    engine = Engine(library, model_path)
    for _ in range(8):
        slot = engine.acquire()
        assert slot is not None
        engine.submit(slot)
    engine.close()
    assert engine.collect() is None


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def test_memory_is_flat_without_the_garbage_collector(library: Library, model_path: Path):
    """At most 0.1 kB per invocation over 20,000 of them with gc disabled: no reference cycles, no growth."""
    with Engine(library, model_path, cores=1) as engine:
        gc.collect()
        gc.disable()
        try:
            for _ in range(2000):
                run_one(engine, 1)
            before = resident_kib()
            for _ in range(20_000):
                run_one(engine, 2)
            grown = resident_kib() - before
        finally:
            gc.enable()
        assert gc.collect() < 50
    assert grown < 2000


def test_opening_and_closing_many_times_leaks_nothing(library: Library, model_path: Path):
    """100 model swaps leave memory where it was."""
    for _ in range(20):
        Engine(library, model_path).close()
    before = resident_kib()
    for _ in range(100):
        Engine(library, model_path).close()
    assert resident_kib() - before < 4000
