"""Handles of the runtime: device, model, context, queue, notifier, buffers, on the real simulator."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlu_agent.cnrt import Context, Device, DeviceBuffer, Library, Model, Notifier, Queue
from mlu_agent.cnrt.device import list_devices
from mlu_agent.cnrt.model import refuse_wrong_kind
from mlu_agent.errors import DataError, RuntimeFailure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def device(library: Library):
    with Device(library) as opened:
        yield opened


def test_the_simulator_shows_one_mlu220_with_four_cores(library: Library):
    """What ``devices`` prints: clients look for MLU220 in the name."""
    (info,) = list_devices(library)
    assert (info.ordinal, info.target, info.cores) == (0, "MLU220", 4)
    assert "MLU220" in info.name


def test_a_device_that_does_not_exist_is_a_sentence(library: Library):
    """The ordinal is checked before any handle is asked for."""
    with pytest.raises(RuntimeFailure, match=r"device 7 does not exist: the simulator has 1 device"):
        Device(library, 7)


def test_bytes_survive_the_way_to_the_device_and_back(device: Device):
    """cnrtMemcpy both ways through one DeviceBuffer."""
    sent = np.arange(4096, dtype=np.uint8)
    back = np.zeros_like(sent)
    ffi = device.library.ffi
    with DeviceBuffer(device.library, sent.nbytes) as buffer:
        buffer.copy_from(ffi.from_buffer(sent))
        buffer.copy_to(ffi.from_buffer(back))
    assert np.array_equal(sent, back)


def test_a_model_runs_and_notifiers_measure_it(device: Device, model_path: Path):
    """The guide's sequence: context, queue, notifier, invoke, notifier, wait, duration, read."""
    library = device.library
    with Model(library, model_path) as model, Queue(library) as queue, Context(device, model) as context:
        tensors = [*model.description.inputs, *model.description.outputs]
        buffers = [DeviceBuffer(library, tensor.bytes) for tensor in tensors]
        parameters = library.ffi.new("void *[]", [buffer.pointer for buffer in buffers])
        picture = np.full(model.description.inputs[0].shape, 200, np.uint8)
        result = np.zeros(model.description.outputs[0].shape, model.description.outputs[0].dtype)
        buffers[0].copy_from(library.ffi.from_buffer(picture))
        with Notifier(library) as start, Notifier(library) as end:
            start.place(queue)
            context.invoke(parameters, queue)
            end.place(queue)
            end.wait()
            queue.sync()
            assert end.reached()
            assert end.microseconds_since(start) > 0
        buffers[1].copy_to(library.ffi.from_buffer(result))
        for buffer in buffers:
            buffer.close()
    assert np.isfinite(result.astype(np.float32)).all()
    assert result.astype(np.float32).std() > 0


def test_a_notifier_that_was_never_placed_has_no_duration(device: Device):
    """The library's error arrives with the simulator's own sentence behind the code."""
    with Notifier(device.library) as start, Notifier(device.library) as end, pytest.raises(RuntimeFailure) as caught:
        end.microseconds_since(start)
    assert caught.value.status is not None
    assert caught.value.message.startswith("cnrtNotifierDuration failed with ")
    sentence = caught.value.message.partition("): ")[2]
    assert len(sentence) > 10


def test_close_is_idempotent(device: Device):
    """A second close of any handle does nothing, and ``closed`` tells."""
    buffer = DeviceBuffer(device.library, 64)
    assert not buffer.closed
    buffer.close()
    buffer.close()
    assert buffer.closed


def test_a_leaked_handle_warns(device: Device):
    """Forgetting to close is told by a ResourceWarning that names the kind."""
    queue = Queue(device.library)
    handle = queue.handle
    with pytest.warns(ResourceWarning, match="Queue was never closed"):
        del queue  # the last reference: no collection is needed
    device.library.call("cnrtDestroyQueue", handle)


def test_a_constructor_that_fails_leaves_nothing_to_close(library: Library, tmp_path: Path):
    """No ResourceWarning and no half-open handle after a refusal."""
    broken = tmp_path / "broken.cambricon"
    broken.write_bytes(b"\x7fMEF" + bytes(100))
    with pytest.raises(DataError, match=r"broken\.cambricon"):
        Model(library, broken)
    gc.collect()


def test_wrong_kinds_are_refused_before_the_library_sees_them(model_path: Path):
    """A network for the simulator never reaches a device, device code never the simulator; each with its remedy."""
    from mlu_agent.model.offline_model import read_offline_model

    ours = read_offline_model(model_path)
    with pytest.raises(DataError, match="holds a network for the simulator and no device code"):
        refuse_wrong_kind("device", ours, "small.cambricon")
    refuse_wrong_kind("simulator", ours, "small.cambricon")


@pytest.mark.shared
def test_a_vendors_file_is_refused_on_the_simulator(library: Library, shared_data: Path):
    """The sentence names the file, its target and what to do."""
    path = shared_data / "vendor" / "headpose" / "headpose_mlu220.cambricon"
    with pytest.raises(DataError, match=r"headpose_mlu220.cambricon: this file holds MLU220 device code only"):
        Model(library, path)
