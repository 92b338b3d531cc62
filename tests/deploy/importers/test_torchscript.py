"""TorchScript files: their graph is followed operator by operator, and nothing of their code is run."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile

import numpy as np
import pytest

from mlu_agent.errors import DataError, UserError
from mlu_export.recording.values import UnsupportedError

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def tails():
    from tests.deploy.importers import tails as made

    return made


def saved(net, size=64, *, script=False):
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        net = net.eval()
        made = torch.jit.script(net) if script else torch.jit.trace(net, torch.zeros(1, 3, size, size))
        torch.jit.save(made, buffer)
    return buffer.getvalue()


def stateful():
    """A file of a class that makes itself from a state by code of its own."""
    import torch

    class Stateful(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 1)

        @torch.jit.export
        def __getstate__(self):
            return self.training

        @torch.jit.export
        def __setstate__(self, state: bool):
            raise RuntimeError("it was run")

        def forward(self, x):
            return self.conv(x)

    return saved(Stateful(), script=True)


def with_entries(data, change):
    """The archive anew with what ``change`` makes of its entries, {name: content}."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {one.filename: archive.read(one) for one in archive.infolist()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in change(entries).items():
            archive.writestr(name, content)
    return made.getvalue()


def torch_loads(data):
    """What torch alone makes of a file."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(io.BytesIO(data))


def directory(data):
    """Where the directory of an archive begins, how long it is, and how many entries it has."""
    count, size, start = struct.unpack("<HII", data[-12:-2])
    return start, size, count


def two_directories(shown, hidden):
    """A zip whose end record states where one directory lies, and has another one of the same size beside it."""
    hidden = with_entries(hidden, lambda made: {**made, "archive/extra/" + "a" * 900: bytes(len(shown))})
    start, size, count = directory(hidden)
    for length in range(1, 2000):  # until both directories are of one size
        candidate = with_entries(shown, lambda made, length=length: {**made, "archive/extra/" + "a" * length: b""})
        if directory(candidate)[1] == size:
            break
    own, _, _ = directory(candidate)
    table, place = bytearray(candidate[own : own + size]), 0
    while place < size:  # zipfile adds to each offset what lies between the stated place of the directory and its own
        lengths = struct.unpack_from("<3H", table, place + 28)
        offset = struct.unpack_from("<I", table, place + 42)[0]
        struct.pack_into("<I", table, place + 42, start + offset - own)
        place += 46 + sum(lengths)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, start, 0)
    return hidden[: start + size] + candidate[:own] + bytes(table) + end


def read(data, **asked):
    from mlu_export.importers.torchscript.importer import import_torchscript
    from mlu_export.values.heads import HeadRequest

    return import_torchscript(data, (64, 64), HeadRequest(**asked))


@pytest.mark.parametrize("kind", ["yolov8", "yolov5"])
def test_a_traced_detector_is_cut_at_its_heads_which_are_called_as_its_modules(tails, kind):
    """The heads compute what the module's own compute; a rule, anchors and strides are found as in ONNX files."""
    import torch

    from mlu_export.runners.float_graph import FloatRunner

    net = tails.Free() if kind == "yolov8" else tails.Anchored()
    made = read(saved(net))
    assert (made.decode, made.classes, [head.stride for head in made.heads]) == (kind, tails.CLASSES, [8, 16, 32])
    assert made.request.outputs[0] == "heads.0.0"
    if kind == "yolov5":
        np.testing.assert_allclose([head.anchors for head in made.heads], net.anchors.numpy(), rtol=1e-5)
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        wanted = [one.numpy().transpose(0, 2, 3, 1) for level in net.levels(picture) for one in level]
    for got, expected in zip(FloatRunner(made.graph).run(picture.numpy().transpose(0, 2, 3, 1).copy()), wanted):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_outputs_of_a_traced_network(tails):
    """Plain outputs stay as they are; others are named by the modules of their convolutions."""
    import torch

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 8, 8), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1))
    data = saved(net)
    assert [one.shape for one in read(data).tensors] == [(1, 4, 8, 8)]
    assert [one.name for one in read(data, outputs=("0",)).tensors] == ["0"]
    with pytest.raises(UserError, match=r"--outputs 7: the network has no convolution .* its last are 0, 2"):
        read(data, outputs=("7",))


@pytest.mark.parametrize("draw", ["rand", "randn", "randint", "bernoulli", "normal", "rand_like"])
def test_numbers_drawn_at_random_are_refused(draw):
    """They would be frozen into the model, and each build would have others."""
    import torch

    made = {
        "rand": lambda _: torch.rand([1]),
        "randn": lambda _: torch.randn([1]),
        "randint": lambda _: torch.randint(0, 9, [1]).float(),
        "bernoulli": lambda _: torch.bernoulli(torch.full([1], 0.5)),
        "normal": lambda _: torch.normal(0.0, 1.0, [1]),
        "rand_like": torch.rand_like,
    }[draw]

    class Drawing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x):
            x = self.conv(x)
            return x + made(x)

    operator = "rand" if draw == "bernoulli" else draw
    with pytest.raises(UnsupportedError, match=rf"operator aten\.{operator}\.\w+ draws numbers at random"):
        read(saved(Drawing()))


def test_code_that_loading_would_run_is_refused_before_it_is_loaded():
    """A class that makes itself from a state, branches in the code, and operators that touch files."""
    import torch

    with pytest.raises(DataError, match="its code has __setstate__, which loading it would run"):
        read(stateful())

    class Branching(torch.nn.Module):
        def forward(self, x):
            if x.sum() > 0:
                return x * 2
            return x

    with pytest.raises(DataError, match="its network has ifs in its code"):
        read(saved(Branching(), script=True))

    class Writing(torch.nn.Module):
        def forward(self, x):
            torch.save([x], "never")
            return x

    with pytest.raises(DataError, match="its code has aten::save"):
        read(saved(Writing(), script=True))


def test_torch_loads_the_entries_that_were_looked_at():
    """Where a zip shows torch's reader another directory than Python's, what Python's reader saw is loaded."""
    import torch

    data = two_directories(saved(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, 8))), stateful())
    with pytest.raises(torch.jit.Error, match="it was run"):
        torch_loads(data)
    assert [one.shape for one in read(data).tensors] == [(1, 4, 8, 8)]


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("archive/DATA.pkl", b"\x80\x02).", "two entries of its archive have the same name"),
        ("other/version", b"3\n", "lie in more than one folder"),
        ("archive/constants.pkl", b"\x80\x02cos\nsystem\n(X\x01\0\0\0xtR.", r"it asks to run os\.system"),
        ("archive/data.pkl", b"\x80\x02cos\nsystem\n(X\x01\0\0\0xtR.", r"it asks to run os\.system"),
        ("archive/data.pkl", b"\x80\x02c__torch__.torch.classes.a\nB\n.", "it holds objects of torch.classes"),
        ("archive/code/__torch__.py", b"a : __torch__.torch.classes.b", "it holds objects of torch.classes"),
    ],
)
def test_entries_that_a_reader_may_take_for_others_or_run_are_refused(name, content, sentence):
    """One name in two spellings, two folders, pickles that name functions, objects of libraries."""
    import torch

    data = saved(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, 8)))
    with pytest.raises(DataError, match=sentence):
        read(with_entries(data, lambda entries: {**entries, name: content}))


def test_what_loading_does_not_need_is_not_given_to_torch():
    """Code under a name that torch alone takes for code, debugging's pickles, extra files, ways out of the folder."""
    import torch

    def hidden(entries):
        code = next(name for name in entries if name.endswith(".py"))
        return {name.replace(code, code[:-3] + ".PY") if name == code else name: made for name, made in entries.items()}

    data = saved(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, 8)))
    assert torch_loads(with_entries(data, hidden))
    with pytest.raises(DataError, match="it is no TorchScript file that torch reads"):
        read(with_entries(data, hidden))
    more = {
        "archive/../up.py": b"__setstate__",
        "archive/code/a.py.debug_pkl": b"cos\nsystem\n.",
        "archive/extra/a": b"(",
    }
    assert len(read(with_entries(data, lambda entries: {**entries, **more})).tensors) == 1


@pytest.mark.parametrize("kind", ["sizes", "weights", "numbers", "lists"])
def test_results_are_bounded_before_their_numbers_are_made(kind):
    """Of sizes that stand in the code, of weights alone (torch's freezing computes those), of numbers and lists."""
    import torch

    class Sizes(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 8, 8)
            self.one = torch.nn.Parameter(torch.ones(1, 1))

        def forward(self, x):
            return self.conv(x) + torch.ones([1 << 20, 1 << 20]).mean()

    class Weights(Sizes):
        def forward(self, x):
            return self.conv(x) + (self.one.expand([1 << 20, 1 << 20]) * 2).mean()

    class Numbers(Sizes):
        def forward(self, x):
            side = x.size(2) * x.size(2) * x.size(2) * x.size(2)
            return self.conv(x) * (side * side * side)

    class Lists(Sizes):
        def forward(self, x):
            return self.conv(x).reshape([1] * (1 << 40))

    nets = {"sizes": Sizes, "weights": Weights, "numbers": Numbers, "lists": Lists}
    sentence = {"numbers": "gives a number beyond 64 bits", "lists": "its code repeats a list"}
    with pytest.raises(DataError, match=sentence.get(kind, r"operator aten::\w+ gives 1099511627776 values")):
        read(saved(nets[kind](), script=True))


@pytest.mark.parametrize(
    "damage, sentence",
    [
        ("cut", "it is no TorchScript file: File is not a zip file"),
        ("no model", "it is no TorchScript file that torch reads: "),
        ("bomb", r"the archive of \d+ bytes claims 1 entries of 67108864 bytes"),
        ("long code", "its code has more than 67108864 bytes; no network needs so much"),
    ],
)
def test_damaged_files_are_one_sentence(tails, damage, sentence):
    """Truncated, emptied, unpacking to far more than they are, and with more code than is read."""
    contents = {"no model": b"#", "bomb": b"\0" * (64 << 20), "long code": b"#" * ((64 << 20) + 1)}
    if damage == "cut":
        data = saved(tails.Yolox(decoded=True))
        data = data[: len(data) // 2]
    else:
        made = io.BytesIO()
        stored = zipfile.ZIP_STORED if damage == "long code" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(made, "w", stored) as archive:
            archive.writestr("x/code/a.py", contents[damage])
        data = made.getvalue()
    with pytest.raises(DataError, match=f"^{sentence}"):
        read(data)


def test_the_architecture_is_told_by_the_file(tails, tmp_path):
    """A TorchScript file under another --arch, and another file under this one, are told which it is."""
    from mlu_export.importers.darknet.archs import find_arch
    from mlu_export.importers.source import import_model, read_source

    path = tmp_path / "net.torchscript"
    path.write_bytes(saved(tails.Yolox(decoded=True)))
    with pytest.raises(DataError, match=r"net\.torchscript: it is a TorchScript file .* say --arch torchscript"):
        read_source(find_arch("yolov5n"), path, None)
    source = read_source(find_arch("torchscript"), path, None)
    with pytest.raises(UserError, match="give --size"):
        import_model(find_arch("torchscript"), source, None)
    assert import_model(find_arch("torchscript"), source, (64, 64)).decode == "yolox"
    path.write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="it is no TorchScript file"):
        read_source(find_arch("torchscript"), path, None)
