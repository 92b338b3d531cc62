"""The vendor's checkpoint files: what is written is read back, and hostile files are a sentence."""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from mlu_agent.errors import DataError
from mlu_export.formats.checkpoint import MAGIC, PROTOCOL, SYSTEM, checkpoint_bytes, parse_checkpoint, read_checkpoint

pytestmark = pytest.mark.torch


@pytest.fixture
def state():
    """Every dtype that the checkpoint uses, a Parameter, a view and an empty tensor."""
    import torch

    made = OrderedDict()
    made["a.weight"] = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    made["a.scale"] = torch.tensor([2.0, 3.0])
    made["a.quantized_mode"] = torch.tensor([1], dtype=torch.int32)
    made["a.quantized_by_channel"] = torch.tensor([1])
    made["b.weight"] = torch.arange(12.0).reshape(3, 4).t()
    made["b.empty"] = torch.zeros(0, 3)
    made._metadata = OrderedDict([("", {"version": 1}), ("a", {"version": 1})])
    return made


def _legacy(body: bytes, keys=(), storages=b"") -> bytes:
    parts = [pickle.dumps(part, protocol=2) for part in (MAGIC, PROTOCOL, SYSTEM)]
    return b"".join([*parts, body, pickle.dumps(list(keys), protocol=2), storages])


def test_torch_and_our_reader_agree_on_what_was_written(state):
    """torch.load with weights_only, the restricted reader, and torch's own writer in both its formats."""
    import torch

    data = checkpoint_bytes(state)
    loaded = torch.load(io.BytesIO(data), weights_only=True)
    assert list(loaded) == list(state)
    assert isinstance(loaded["a.weight"], torch.nn.Parameter)
    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save(state, zipped)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    for given in (data, zipped.getvalue(), legacy.getvalue()):
        checkpoint = parse_checkpoint(given)
        assert list(checkpoint.tensors) == list(state)
        assert checkpoint.metadata == state._metadata
        for name, value in checkpoint.state_dict().items():
            assert value.dtype == state[name].dtype
            assert torch.equal(value, state[name].detach())


def test_equal_states_give_equal_bytes_and_shared_storages_are_written_once(state):
    """torch names storages by address; here they are numbered."""
    import torch

    again = OrderedDict((name, value.detach().clone()) for name, value in state.items())
    again["a.weight"] = torch.nn.Parameter(again["a.weight"])
    again["b.weight"] = torch.arange(12.0).reshape(3, 4).t()
    again._metadata = state._metadata
    assert checkpoint_bytes(again) == checkpoint_bytes(state)
    whole = torch.zeros(1000)
    assert len(checkpoint_bytes(OrderedDict(a=whole, b=whole))) < 2 * whole.nbytes


def test_every_truncation_is_refused(state):
    """No prefix of a checkpoint is a checkpoint."""
    data = checkpoint_bytes(state)
    for length in range(len(data)):
        with pytest.raises(DataError):
            parse_checkpoint(data[:length])


class _Hostile:
    def __reduce__(self):
        import os

        return os.system, ("false",)


def test_a_pickle_that_would_run_something_is_refused_in_each_part():
    """Named in the sentence; nothing of it is run."""
    evil = pickle.dumps(_Hostile(), protocol=2)
    for data in (evil, pickle.dumps(MAGIC, protocol=2) + evil, _legacy(evil), _legacy(b"\x80\x02}.") + evil):
        with pytest.raises(DataError, match=r"asks to run .*system|damaged|empty"):
            parse_checkpoint(data)
    with pytest.raises(DataError, match=r"asks to run posix\.system"):
        parse_checkpoint(_legacy(evil))


def test_sizes_that_the_file_does_not_have_are_refused(state):
    """A storage that claims more numbers than there are bytes costs no memory."""
    data = checkpoint_bytes(state)
    claim = data.index(struct.pack("<q", 6) + np.arange(6, dtype="<f4").tobytes())
    with pytest.raises(DataError, match="truncated"):
        parse_checkpoint(data[:claim] + struct.pack("<q", 1 << 40) + data[claim + 8 :])
    big = io.BytesIO()
    writer = pickle.Pickler(big, protocol=2)
    writer.persistent_id = lambda item: ("storage", _FloatStorage, "0", "cpu", 1 << 40, None) if item == "s" else None
    writer.dump({"a": "s"})
    with pytest.raises(DataError, match="cannot be"):
        parse_checkpoint(_legacy(big.getvalue(), ["0"], b"\0" * 12))


@pytest.mark.parametrize(
    "content, sentence",
    [
        ([1, 2], "holds a list"),
        ({}, "empty"),
        ({"a": "text"}, "no tensor"),
        ({1: 2}, "no tensor"),
    ],
)
def test_other_pickles_are_no_state_dict(content, sentence):
    """Lists, texts and numbers are told as what they are."""
    with pytest.raises(DataError, match=sentence):
        parse_checkpoint(_legacy(pickle.dumps(content, protocol=2)))


def test_nan_weights_and_foreign_files_are_refused(state, tmp_path):
    """The name of the file and of the tensor are told."""
    import torch

    state["a.weight"] = torch.tensor([float("nan")])
    path = tmp_path / "bad.pth"
    path.write_bytes(checkpoint_bytes(state))
    with pytest.raises(DataError, match=r"bad\.pth: a\.weight holds NaN"):
        read_checkpoint(path)
    for data in (b"", b"\x00" * 100, b"PK\x03\x04 no zip", b"\x80\x02K\x01."):
        with pytest.raises(DataError):
            parse_checkpoint(data)


try:
    from torch import FloatStorage as _FloatStorage
except ImportError:  # the marker skips the tests
    _FloatStorage = None
