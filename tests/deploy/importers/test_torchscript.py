"""TorchScript files: their graph is followed operator by operator, and nothing of their code is run."""

from __future__ import annotations

import io
import warnings
import zipfile

import numpy as np
import pytest

from mlu_agent.errors import DataError, MluAgentError, UserError
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

    with pytest.raises(DataError, match="its code has __setstate__, which loading it would run"):
        read(saved(Stateful(), script=True))

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


@pytest.mark.parametrize("damage", ["cut", "no model", "bomb"])
def test_damaged_files_are_one_sentence(tails, damage):
    """Truncated, emptied and unpacking to far more than they are."""
    data = saved(tails.Yolox(decoded=True))
    if damage == "cut":
        data = data[: len(data) // 2]
    else:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x/code/a.py", "#" if damage == "no model" else b"\0" * (64 << 20))
        data = made.getvalue()
    with pytest.raises(MluAgentError):
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
