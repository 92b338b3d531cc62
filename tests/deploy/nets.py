"""Small networks and weight files that the tests make themselves."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np

TINY_CFG = """
[net]
width=64
height=32
channels=3

[convolutional]   # 0
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]   # 1: depthwise
batch_normalize=1
groups=8
filters=8
size=3
stride=1
pad=1
activation=leaky

[convolutional]   # 2
filters=8
size=1
activation=relu

[shortcut]        # 3
from=-2
activation=linear

[maxpool]         # 4
size=2
stride=2

[convolutional]   # 5: two groups, dilated
batch_normalize=1
groups=2
filters=12
size=3
pad=1
dilation=2
activation=swish

[maxpool]         # 6: keeps the size
size=3
stride=1

[route]           # 7: the second half of the channels
layers=-1
groups=2
group_id=1

[upsample]        # 8
stride=2

[route]           # 9
layers=-1,3

[dropout]         # 10
probability=.2

[convolutional]   # 11
filters=14
size=1
stride=2
activation=linear

[yolo]            # 12
mask=1,2
anchors=4,5, 8,9, 16,12
classes=2

[route]           # 13
layers=9

[convolutional]   # 14
filters=14
size=3
stride=4
pad=1
activation=linear

[yolo]            # 15
mask=0,1
anchors=4,5, 8,9, 16,12
classes=2
"""
# filters, input channels per group, kernel, batch-norm, of each convolution in order
TINY_CONVOLUTIONS = (
    (8, 3, 3, True),
    (8, 1, 3, True),
    (8, 8, 1, False),
    (12, 4, 3, True),
    (14, 14, 1, False),
    (14, 14, 3, False),
)


def tiny_weights(seed: int = 1) -> bytes:
    """A Darknet weight file for TINY_CFG."""
    rng = np.random.default_rng(seed)
    parts = [struct.pack("<iiiq", 0, 2, 5, 1234)]
    for filters, channels, kernel, norm in TINY_CONVOLUTIONS:
        bias = rng.normal(0, 0.3, filters)
        vectors = [bias, rng.uniform(0.5, 1.5, filters), rng.normal(0, 0.2, filters), rng.uniform(0.3, 2, filters)]
        parts.extend(values.astype("<f4").tobytes() for values in (vectors if norm else vectors[:1]))
        weight = rng.normal(0, 1 / np.sqrt(channels * kernel**2), (filters, channels, kernel, kernel))
        parts.append(weight.astype("<f4").tobytes())
    return b"".join(parts)


def darknet_state(layout: str = "vendor", seed: int = 1, fused: bool = False) -> OrderedDict:
    """The values of tiny_weights() as the state dict of a PyTorch port: numpy arrays by key."""
    names = {
        "vendor": ("module_list.{0}.Conv2d", "module_list.{0}.BatchNorm2d"),
        "upstream": ("module_list.{0}.conv_{0}", "module_list.{0}.batch_norm_{0}"),
    }[layout]
    values = np.frombuffer(tiny_weights(seed), "<f4", offset=20)
    state: OrderedDict = OrderedDict()
    sections = (0, 1, 2, 5, 11, 14)
    for index, (filters, channels, kernel, norm) in zip(sections, TINY_CONVOLUTIONS):
        conv, batch = (name.format(index) for name in names)
        vectors, values = (
            values[: filters * (4 if norm else 1)].reshape(-1, filters),
            values[filters * (4 if norm else 1) :],
        )
        count = filters * channels * kernel**2
        state[f"{conv}.weight"], values = values[:count].reshape(filters, channels, kernel, kernel), values[count:]
        if not norm or fused:
            state[f"{conv}.bias"] = vectors[0]
            continue
        for key, vector in zip(("weight", "bias", "running_mean", "running_var"), vectors[[1, 0, 2, 3]]):
            state[f"{batch}.{key}"] = vector
        state[f"{batch}.num_batches_tracked"] = np.zeros(1, "<i8").reshape(())
    return state


def save_legacy(content) -> bytes:
    """A file like torch.save's before 1.6, without torch."""
    out = io.BytesIO()
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    for part in (0x1950A86A20F9469CFC6C, 1001, system):
        out.write(pickle.dumps(part, protocol=2))
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    pickler.legacy = True
    pickler.dump(content)
    out.write(stream.getvalue())
    out.write(pickle.dumps([storage.key for storage in pickler.storages], protocol=2))
    for storage in pickler.storages:
        out.write(struct.pack("<q", storage.array.size) + storage.array.tobytes())
    return out.getvalue()


class _Class:
    """Pickles as the name of a class of another package, which need not exist here."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Object:
    """Pickles as torch pickles a module: class, no arguments, a dict of attributes."""

    def __init__(self, module: str, name: str, **state) -> None:
        self.cls, self.state = _Class(module, name), state


class _Storage:
    def __init__(self, key: str, array: np.ndarray) -> None:
        self.key, self.array = key, array


class _Pickler(pickle._Pickler):
    """Writes names and tensors as torch.save does; only for test files."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=2)
        self.storages: list[_Storage] = []
        self.legacy = False

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, _Class):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, _Object):
            self.save(obj.cls)
            self.write(b")\x81")  # EMPTY_TUPLE NEWOBJ
            self.save(obj.state)
            self.write(b"b")  # BUILD
        elif isinstance(obj, np.ndarray):
            self._tensor(obj)
        else:
            super().save(obj, save_persistent_id)

    def _tensor(self, array: np.ndarray) -> None:
        storage = _Storage(str(len(self.storages)), np.require(array, requirements="C"))
        self.storages.append(storage)
        kinds = {"f2": "HalfStorage", "f4": "FloatStorage", "i8": "LongStorage", "i4": "IntStorage"}
        strides = tuple(step // array.itemsize for step in storage.array.strides)
        self.save(_Class("torch._utils", "_rebuild_tensor_v2"))
        self.write(b"(")
        self.write(b"(")
        self.save("storage")
        self.save(_Class("torch", kinds[array.dtype.str[1:]]))
        for value in (storage.key, "cpu", array.size, *([None] * self.legacy)):
            self.save(value)
        self.write(b"tQ")  # TUPLE BINPERSID
        for value in (0, array.shape, strides, False):
            self.save(value)
        self.save(OrderedDict())
        self.write(b"tR")  # TUPLE REDUCE


def save_pt(content) -> bytes:
    """A .pt archive like torch.save's, without torch."""
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    pickler.dump(content)
    return pt_archive(stream.getvalue(), {storage.key: storage.array.tobytes() for storage in pickler.storages})


def pt_archive(pickled: bytes, storages: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")
    return out.getvalue()


def module(
    kind: str, children: dict | None = None, parameters: dict | None = None, buffers: dict | None = None, **more
):
    """A pickled torch.nn.Module; ``kind`` is "nn.Conv2d", "common.C3" and so on."""
    home = {"nn": "torch.nn.modules.some", "common": "models.common", "yolo": "models.yolo"}
    package, name = kind.split(".")
    return _Object(
        home[package],
        name,
        training=False,
        _parameters=OrderedDict(parameters or {}),
        _buffers=OrderedDict(buffers or {}),
        _modules=OrderedDict(children or {}),
        **more,
    )


class YoloBuilder:
    """Makes a very small YOLOv5 6.x checkpoint with random weights."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)

    def conv2d(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = False):
        weight = self.rng.normal(0, 1 / np.sqrt(inputs * kernel**2), (outputs, inputs, kernel, kernel)).astype("<f2")
        parameters = {"weight": weight}
        if bias:
            parameters["bias"] = self.rng.normal(0, 0.1, outputs).astype("<f2")
        pad = (kernel // 2 if kernel != 6 else 2,) * 2
        pairs = {"kernel_size": (kernel,) * 2, "stride": (stride,) * 2, "padding": pad, "dilation": (1, 1)}
        return module("nn.Conv2d", parameters=parameters, in_channels=inputs, out_channels=outputs, groups=1, **pairs)

    def conv(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, **place):
        vectors = {"weight": self.rng.uniform(0.5, 1.5, outputs), "bias": self.rng.normal(0, 0.1, outputs)}
        statistics = {
            "running_mean": self.rng.normal(0, 0.1, outputs),
            "running_var": self.rng.uniform(0.5, 2, outputs),
        }
        half = {key: value.astype("<f2") for key, value in vectors.items()}
        buffers = {key: value.astype("<f2") for key, value in statistics.items()}
        buffers["num_batches_tracked"] = np.zeros(1, "<i8").reshape(())
        norm = module("nn.BatchNorm2d", parameters=half, buffers=buffers, eps=0.001, momentum=0.03)
        parts = {
            "conv": self.conv2d(inputs, outputs, kernel, stride),
            "bn": norm,
            "act": module("nn.SiLU", inplace=True),
        }
        return module("common.Conv", parts, **place)

    def c3(self, channels: int, **place):
        half = channels // 2
        inner = module("common.Bottleneck", {"cv1": self.conv(half, half), "cv2": self.conv(half, half, 3)}, add=True)
        parts = {
            "cv1": self.conv(channels, half),
            "cv2": self.conv(channels, half),
            "cv3": self.conv(channels, channels),
            "m": module("nn.Sequential", {"0": inner}),
        }
        return module("common.C3", parts, **place)

    def sppf(self, channels: int, **place):
        pool = module("nn.MaxPool2d", kernel_size=5, stride=1, padding=2, dilation=1, ceil_mode=False)
        parts = {"cv1": self.conv(channels, channels // 2), "cv2": self.conv(channels * 2, channels), "m": pool}
        return module("common.SPPF", parts, **place)

    def checkpoint(self, classes: int = 2):
        """The content of a .pt: strides 8 and 16, three anchors each."""
        outputs = 3 * (5 + classes)
        layers = [
            self.conv(3, 8, 6, 2, f=-1, i=0),
            self.conv(8, 8, 3, 2, f=-1, i=1),
            self.c3(8, f=-1, i=2),
            self.conv(8, 16, 3, 2, f=-1, i=3),
            self.conv(16, 16, 3, 2, f=-1, i=4),
            self.sppf(16, f=-1, i=5),
            module("nn.Upsample", size=None, scale_factor=2.0, mode="nearest", f=-1, i=6),
            module("common.Concat", d=1, f=[-1, 3], i=7),
            self.conv(32, 8, f=-1, i=8),
        ]
        heads = module(
            "nn.ModuleList", {"0": self.conv2d(8, outputs, 1, 1, True), "1": self.conv2d(16, outputs, 1, 1, True)}
        )
        anchors = np.array(
            [[[1.25, 1.625], [2, 3.75], [4.125, 2.875]], [[1.875, 3.8125], [3.875, 2.8125], [3.6875, 7.4375]]]
        )
        layers.append(
            module("yolo.Detect", {"m": heads}, buffers={"anchors": anchors.astype("<f2")}, nc=classes, f=[8, 5], i=9)
        )
        sequence = module("nn.Sequential", {str(index): layer for index, layer in enumerate(layers)})
        model = module("yolo.Model", {"model": sequence}, names=["cat", "dog"], yaml={"nc": classes})
        return {"epoch": -1, "model": model, "ema": None, "optimizer": None}
