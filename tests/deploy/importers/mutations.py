"""Small valid weight files of every kind, and ways to damage them."""

from __future__ import annotations

import io
import struct
import zipfile
from functools import lru_cache

import numpy as np
from tests.deploy import nets

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF)
# Opcodes and pieces of pickles, cfgs and zips that are worth putting where they do not belong.
PIECES = (
    b"(", b"t", b"R", b"b", b"\x81", b"Q", b".", b"}", b"]", b"u", b"s", b"0", b"2", b"h\x00", b"j\x00\x00\x00\x00",
    b"r\xff\xff\xff\xff", b"K\x00", b"J\xff\xff\xff\x7f", b"\x8a\x08" + b"\xff" * 8, b"N", b"\x88",
    b"G\x7f\xf0" + bytes(6), b"cposix\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nFloatStorage\n",
    b"ccollections\nOrderedDict\n", b"\x96\xff\xff\xff\xff\xff\xff\xff\x0f", b"\n[yolo]\n", b"=-1\n",
    b"=99999999999\n", b",", b"\nfrom=-1,-2\n", b"PK\x05\x06",
)  # fmt: skip
# What an attribute of a pickled object may be instead of what it should be.
ODD_VALUES = (
    None, True, -1, 0, 1 << 70, 10**5000, 1.5, float("nan"), float("inf"), "", "x" * 1000, b"x", [], [[]], {},
    (1, 2, 3), [1, [2, [3]]], {"a": 1}, {0: None}, np.zeros((), "<f4"), np.zeros(0, "<f4"), np.zeros((2, 2), "<f4"),
    np.ones((1, 1, 1, 1), "<f4"), np.full(8, np.nan, "<f4"), np.full(8, 1e38, "<f4"), np.zeros(3, "<i8"),
)  # fmt: skip


def places_of(content) -> list[tuple]:
    """Every (container, key) inside a checkpoint's content whose value may be another one."""
    found, waiting = [], [content]
    while waiting:
        one = waiting.pop()
        holder = getattr(one, "state", one)
        keys = range(len(holder)) if isinstance(holder, list) else holder if isinstance(holder, dict) else ()
        for key in list(keys):
            found.append((holder, key))
            waiting.append(holder[key])
    return found


def state_of_yolov5() -> dict:
    """The keys of a YOLOv5 of release 6 that is one or two channels wide."""
    rng = np.random.default_rng(4)
    state: dict[str, np.ndarray] = {}

    def conv(name, inputs, outputs, kernel=1):
        state[f"{name}.conv.weight"] = rng.normal(0, 1, (outputs, inputs, kernel, kernel)).astype("<f4")
        state[f"{name}.conv.bias"] = rng.normal(0, 1, outputs).astype("<f4")

    def c3(index, inputs, outputs):
        half = outputs // 2
        for child, sizes in (("cv1", (inputs, half)), ("cv2", (inputs, half)), ("cv3", (2 * half, outputs))):
            conv(f"model.{index}.{child}", *sizes)
        conv(f"model.{index}.m.0.cv1", half, half)
        conv(f"model.{index}.m.0.cv2", half, half, 3)

    conv("model.0", 3, 2, 6)
    for index in (1, 3, 5, 7, 18, 21):
        conv(f"model.{index}", 2, 2, 3)
    for index in (2, 4, 6, 8):
        c3(index, 2, 2)
    conv("model.9.cv1", 2, 1)
    conv("model.9.cv2", 4, 2)
    for index in (10, 14):
        conv(f"model.{index}", 2, 2)
    for index in (13, 17, 20, 23):
        c3(index, 4, 2)
    state["model.24.anchors"] = np.ones((3, 3, 2), "<f4")
    for level in range(3):
        state[f"model.24.m.{level}.weight"] = rng.normal(0, 1, (18, 2, 1, 1)).astype("<f4")
        state[f"model.24.m.{level}.bias"] = rng.normal(0, 1, 18).astype("<f4")
    return state


def quantized_darknet() -> dict:
    state = nets.darknet_state()
    for key in [key for key in state if key.endswith("Conv2d.weight")]:
        stem = key[: -len(".weight")]
        state[f"{stem}.scale"] = np.array([2.5, 3.5], "<f4")
        state[f"{stem}.quantized_mode"] = np.array([1], "<i4")
    return state


@lru_cache(maxsize=1)
def files() -> dict[str, tuple[str, bytes]]:
    """What importer reads it (darknet, yolov5 or cfg), and the bytes, by kind of file."""
    pickled = nets.YoloBuilder().checkpoint()
    return {
        "weights": ("darknet", nets.tiny_weights()),
        "cfg": ("cfg", nets.TINY_CFG.encode()),
        "pth-legacy": ("darknet", nets.save_legacy(nets.darknet_state())),
        "pth-zip": ("darknet", nets.save_pt({"state_dict": nets.darknet_state("upstream")})),
        "pth-int8": ("darknet", nets.save_legacy(quantized_darknet())),
        "pt-zip": ("yolov5", nets.save_pt(pickled)),
        "pt-legacy": ("yolov5", nets.save_legacy(pickled)),
        "yolov5-pth": ("yolov5", nets.save_legacy(state_of_yolov5())),
    }


def interesting_part(data: bytes) -> int:
    """How many bytes from the start on describe the file: weights are most of it and the least interesting."""
    if data[:2] == b"PK":
        return max(data.find(b"PK\x03\x04", 4), 0) + 200
    return max(data.rfind(b"cpu"), 2000) + 2000


def damage(data: bytes, kind: int, place: float, choice: int, inside: bool = True) -> bytes:
    """One damage: ``kind`` 0 to 6, at ``place`` (0 to 1 of the interesting part), with the ``choice``-th way."""
    end = min(len(data), interesting_part(data)) if inside else len(data)
    at = int(place * max(0, end - 1))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes([data[at] ^ (1 << choice % 8)]) + data[at + 1 :] if at < len(data) else data
    if kind == 2:
        return data[:at] + PIECES[choice % len(PIECES)] + data[at:]
    if kind == 3:
        piece = PIECES[choice % len(PIECES)]
        return data[:at] + piece + data[at + len(piece) :]
    if kind == 4:
        number, width = INTERESTING[choice % len(INTERESTING)], (1, 2, 4, 8)[choice // 16 % 4]
        value = struct.pack("<Q", number)[:width]
        return data[:at] + value + data[at + width :]
    if kind == 5:
        return data[:at] + data[at + 1 + choice % 64 :]
    length = 1 + choice % 64
    return data[:at] + data[at : at + length] + data[at:]


def rezip(data: bytes, change) -> bytes:
    """The archive again, with right checksums, after ``change`` of its pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name.endswith("data.pkl") else content)
    return out.getvalue()
