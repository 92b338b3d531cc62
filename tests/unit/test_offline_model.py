"""The container's reader: the vendor's files, ours, and hostile ones."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from tests.native.make_model import make

from mlu_agent.errors import DataError
from mlu_agent.model.offline_model import OfflineModel, read_offline_model

SMALL = make("small", parallelism=4)
VENDOR = {
    "test_model.cambricon": {
        "name": "offline",
        "target": "MLU270",
        "parallelism": 4,
        "cnrt": "4.10.1",
        "compiler": "7.10.2",
        "inputs": [("data", (4, 160, 40, 4), "uint8", 102400)],
        "outputs": [("prob", (4, 20, 1, 84), "float16", 13440)],
    },
    "normalize.cambricon": {
        "name": "normalize.cambricon",
        "target": "MLU270",
        "parallelism": 1,
        "cnrt": "3.12.0",
        "compiler": "6.6.0",
        "inputs": [],
        "outputs": [],
    },
    "headpose/headpose.cambricon.cambricon": {
        "name": "forward_model",
        "target": "MLU270",
        "parallelism": 1,
        "cnrt": "4.7.8",
        "compiler": "7.9.112",
        "inputs": [("", (1, 48, 48, 3), "float32", 27648)],
        "outputs": [("", (1, 1, 1, 10), "float32", 40), ("", (1, 1, 1, 3), "float32", 12)],
    },
}
VENDOR["headpose/headpose_mlu220.cambricon"] = {**VENDOR["headpose/headpose.cambricon.cambricon"], "target": "MLU220"}


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(VENDOR))
def test_a_vendor_file_is_described_as_its_twins_file_does(name, shared_data):
    """Names, shapes, types, target, parallelism and versions of every file of the vendor's tools."""
    model = read_offline_model(shared_data / "vendor" / name)
    assert (model.kind, model.functions) == ("device", ["subnet0"])
    tensors = [[(t.name, t.shape, t.dtype, t.bytes) for t in group] for group in (model.inputs, model.outputs)]
    found = {key: getattr(model, key) for key in ("name", "target", "parallelism")}
    found.update(
        cnrt=model.versions["cnrt"], compiler=model.versions["compiler"], inputs=tensors[0], outputs=tensors[1]
    )
    assert found == VENDOR[name]


def test_one_of_ours_is_described():
    """A file with a network section is for the simulator, and says its cores."""
    model = read_offline_model(SMALL)
    assert (model.kind, model.target, model.parallelism, model.functions) == ("simulator", "MLU220", 4, ["subnet0"])
    assert [(t.shape, t.dtype, t.order) for t in model.inputs] == [((1, 32, 32, 4), "uint8", "NHWC")]
    assert model.size == len(SMALL)
    assert set(model.describe()) >= {"kind", "target", "parallelism", "functions", "versions", "inputs", "outputs"}


def test_any_changed_byte_of_ours_is_noticed():
    """The checksum covers the whole file: each byte that can be changed makes it refuse."""
    for position in range(0, len(SMALL), 7):
        data = bytearray(SMALL)
        data[position] ^= 0x10
        if bytes(data[0x4B0:0x4B4]) != b"MLUS":
            continue  # without its tag it is taken for a device file, which has no checksum
        with pytest.raises(DataError):
            read_offline_model(bytes(data))


def patched(offset: int, *words: int) -> bytes:
    """SMALL with words replaced and its checksum put right again."""
    data = bytearray(SMALL)
    data[offset : offset + 4 * len(words)] = struct.pack(f"<{len(words)}I", *words)
    data[0x4C0:0x4C4] = bytes(4)
    data[0x4C0:0x4C4] = struct.pack("<I", zlib.crc32(data))
    return bytes(data)


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "does not begin with"),
        (b"\x7fELF" + bytes(2000), "does not begin with"),
        (SMALL[:100], "ends early"),
        (SMALL[:-1], "truncated or damaged"),
        (SMALL + b"\0", "truncated or damaged"),
        (patched(0x8, 2), "holds 2 functions"),
        (patched(0xC, 0x7FFFFFFF), "name of 2147483647 bytes"),
        (patched(0x424, 0xFFFFFFFF, 0xFFFFFFFF), "header of 18446744073709551615 bytes"),
        (patched(0x42C, 0xFFFFFFFF, 0xFFFFFFFF), "truncated or damaged"),
        (patched(0x458, 0xFFFFFFFF, 0x7FFFFFFF), "'hdxf' section"),
        (patched(0x474, 0), "takes 0 cores"),
        (patched(0x4B4, 2), "network section of version 2"),
        (patched(0x4B8, 0xFFFFFFF0, 0xFFFFFFFF), "network section has"),
        (patched(0x4C4, 0xFFFFFFFF), "claims 4294967295 tensors"),
        (patched(0x4D0, 0xFFFFFFFF, 0xFFFFFFFF), "counts do not fit"),
    ],
)
def test_a_wrong_size_gives_one_sentence(data, sentence):
    """Whatever a size says, it is bounded before it is used, and the sentence tells which one it was."""
    with pytest.raises(DataError, match=sentence) as failure:
        read_offline_model(data)
    assert "\n" not in str(failure.value)
    assert failure.value.exit_code == 2


def test_the_footer_must_agree_with_the_named_descriptors():
    """The same tensor described in two ways is refused, in files of both kinds."""
    footer = SMALL.rindex(b"ZLYF")
    position = footer + 4 + 4 + 8 + 8  # count, two words, mask and rank: the first dimension
    with pytest.raises(DataError, match="two ways that differ"):
        read_offline_model(patched(position, 2))


def attempt(data: bytes) -> None:
    """Either a description or a DataError."""
    with contextlib.suppress(DataError):
        model = read_offline_model(data)
        assert isinstance(model, OfflineModel)
        assert len(model.inputs) + len(model.outputs) <= 64


@given(st.binary(max_size=3000))
@example(b"\x7fMEF" + bytes(0x430))
def test_random_bytes_give_a_sentence(data):
    """Nothing but DataError comes out, whatever goes in."""
    attempt(data)
    attempt(b"\x7fMEF" + data)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, len(SMALL) // 4 - 1), st.sampled_from([0, 1, 5, 63, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])),
        min_size=1,
        max_size=4,
    )
)
def test_words_of_the_structure_replaced_give_a_sentence(changes):
    """With a right checksum, so that the checks behind it are reached too."""
    data = bytearray(SMALL)
    for position, value in changes:
        data[4 * position : 4 * position + 4] = struct.pack("<I", value)
    data[0x4C0:0x4C4] = bytes(4)
    data[0x4C0:0x4C4] = struct.pack("<I", zlib.crc32(data))
    attempt(bytes(data))


@pytest.mark.shared
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damaged_vendor_files_give_a_sentence(shared_data, data):
    """Cut anywhere, or bits flipped in the header or the last kilobyte, where all that is read lies."""
    raw = bytearray((shared_data / "vendor" / "headpose" / "headpose_mlu220.cambricon").read_bytes())
    if data.draw(st.booleans()):
        attempt(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
        return
    for _ in range(data.draw(st.integers(1, 3))):
        near = data.draw(st.one_of(st.integers(0, 0x4FF), st.integers(len(raw) - 1024, len(raw) - 1)))
        raw[near] ^= 1 << data.draw(st.integers(0, 7))
    attempt(bytes(raw))


def test_what_is_no_regular_file_is_refused(tmp_path):
    """A missing file, a folder and a pipe (which would block for ever) give a sentence each."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path / "missing", tmp_path, pipe):
        with pytest.raises(DataError, match=r"cannot be read|not a regular file"):
            read_offline_model(path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    """3 GiB that take no room on disk are not loaded into memory."""
    path = tmp_path / "huge.cambricon"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(DataError, match="larger than"):
        read_offline_model(path)
