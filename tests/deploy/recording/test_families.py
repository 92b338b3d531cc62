"""Networks of the usual families, as torch modules and as ONNX files: the float graph is the module, to float's
rounding; the simulator computes the same; int8 stays near."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine
from mlu_agent.errors import DataError, UserError
from mlu_agent.model.bundle import load_bundle
from mlu_export.calibration.mixed import keep_layers
from mlu_export.calibration.observe import LayerObserver
from mlu_export.importers.module.file import load_module
from mlu_export.lowering.lower import LowerOptions, lower
from mlu_export.recording.layout import unstore
from mlu_export.runners.float_graph import FloatRunner
from mlu_export.runners.simulator import Runner
from mlu_export.values.graph import Conv

pytestmark = pytest.mark.torch
NAMES = ("resnet", "mobilenet", "ssd", "retinaface", "unet", "shuffle", "pixels", "vit", "written")
ATTENTION = ("vit", "written")  # torch writes its operator from opset 14 on
OPSETS = (11, 13, 17)


def size_of(name):
    return (32, 32) if name == "ssd" else (40, 48)


def pictures_for(name, count=2):
    return np.random.default_rng(3).normal(0, 1, (count, *size_of(name), 3)).astype(np.float32)


def truth(net, pictures):
    """What torch says of the module itself, as a list of arrays in torch's order."""
    import torch

    with torch.no_grad():
        result = net(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()))
    return [one.numpy() for one in (result if isinstance(result, tuple) else (result,))]


def in_torch_order(model, outputs):
    return [
        unstore(array, (len(array), *tensor.shape[1:])) if len(tensor.shape) > 1 else array
        for tensor, array in zip(model.tensors, outputs)
    ]


def exported(net, size, opset):
    """The module as an ONNX file of that opset, its batch left open."""
    import torch

    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter for these opsets is an old one, and says so
        torch.onnx.export(
            net, (torch.zeros(1, 3, *size),), stream, opset_version=opset, dynamo=False,
            input_names=["picture"], dynamic_axes={"picture": {0: "batch"}},
        )  # fmt: skip
    return stream.getvalue()


def imported(name):
    from tests.deploy.recording import nets_torch

    from mlu_export.importers.module.importer import import_module

    net = nets_torch.make(name)
    return net, import_module(net, size_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_traced_module_is_the_module(name):
    """The graph of a module computes what the module computes, for a batch too."""
    net, model = imported(name)
    pictures = pictures_for(name)
    for got, want in zip(in_torch_order(model, FloatRunner(model.graph).run(pictures)), truth(net, pictures)):
        np.testing.assert_allclose(got, want, atol=2e-6, rtol=1e-5)


@pytest.mark.onnx
@pytest.mark.parametrize(
    "name, opset", [(name, opset) for name in NAMES for opset in ((14, 17) if name in ATTENTION else OPSETS)]
)
def test_an_onnx_file_is_the_module(name, opset):
    """The same network through ONNX of the oldest, a middle and the newest opset gives the same."""
    from tests.deploy.recording import nets_torch

    from mlu_export.importers.onnx.graph import import_onnx

    net = nets_torch.make(name)
    model = import_onnx(exported(net, size_of(name), opset), {}, None)
    pictures = pictures_for(name)
    for got, want in zip(in_torch_order(model, FloatRunner(model.graph).run(pictures)), truth(net, pictures)):
        np.testing.assert_allclose(got, want, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_simulator_computes_the_module(name):
    """With float weights everywhere the lowered network, two pictures at a time, is the module up to float32 sums."""
    net, model = imported(name)
    pictures = pictures_for(name)
    graph = keep_layers(
        model.graph, (), tuple(conv.name for conv in model.graph.convolutions() if not conv.is_depthwise)
    )
    runner = Runner(lower(graph, {}, LowerOptions("float", "rgb", batch=2)))
    try:
        outputs = in_torch_order(model, runner.run([pictures]))
    finally:
        runner.close()
    for got, want in zip(outputs, truth(net, pictures)):
        np.testing.assert_allclose(got, want, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("bits, least", [(8, 18.0), (16, 45.0)])
@pytest.mark.parametrize("name", NAMES)
def test_quantization_stays_near(name, bits, least):
    """Quantized with ranges of other pictures, every output keeps a signal-to-noise ratio."""
    net, model = imported(name)
    layers = {conv.name: LayerObserver() for conv in model.graph.quantized()}
    pictures = pictures_for(name, 4)
    for index in (2, 3):
        FloatRunner(model.graph).run(pictures[index : index + 1], lambda layer, values: layers[layer].see(values))
    ranges = {layer: seen.finish("minmax", bits) for layer, seen in layers.items()}
    runner = Runner(lower(model.graph, ranges, LowerOptions("float", "rgb", bits=bits)))
    try:
        outputs = in_torch_order(model, runner.run([pictures[:1]]))
    finally:
        runner.close()
    for got, want in zip(outputs, truth(net, pictures[:1])):
        noise = float(((got - want) ** 2).sum()) / float((want**2).sum())
        assert -10 * np.log10(noise) > least


def test_convolutions_keep_their_place_and_their_norm():
    """Layers are called by the path of their module, and a batch-norm is part of its convolution."""
    _, model = imported("resnet")
    convolutions = {node.name: node for node in model.graph.nodes if isinstance(node, Conv)}
    assert {"stem.0", "stages.1.conv1", "stages.1.short.0"} <= set(convolutions)
    assert convolutions["stem.0"].norm is not None
    assert not [node for node in model.graph.nodes if "bn" in node.name]


MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.SiLU())
        self.head = nn.Conv2d(8, 6, 1)

    def forward(self, x):
        return self.head(self.body(x)).mean((2, 3))

def net():
    torch.manual_seed(0)
    return Net()

def sorting():
    class Sorting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            return self.inner(x)

    class Inner(nn.Module):
        def forward(self, x):
            return torch.sort(x, 1)[0]

    return Sorting()

def branching():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    return Branching()

def number():
    return 3

def failing():
    raise KeyError("nothing")

def exiting():
    import sys
    sys.exit(3)

class Drawing(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.conv, self.draw = nn.Conv2d(3, 8, 3), draw

    def forward(self, x):
        return self.draw(self.conv(x))

def drawing():
    return Drawing(lambda x: x + torch.rand([1]))

def dropping():
    return Drawing(lambda x: nn.functional.dropout(x, 0.5, True))
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MODULE)
    return path


def test_build_of_a_module(module, tiny, export):
    """A module of the user's own file becomes a model; state, mean, deviation and labels are taken; a recipe gives the
    same bytes; the network sees (pixel - mean) / std."""
    import torch

    net = load_module(f"{module}:net", None).module
    with torch.no_grad():
        net.head.bias.fill_(0.5)
    torch.save({"state_dict": {f"module.{key}": value for key, value in net.state_dict().items()}}, tiny / "state.pth")
    common = ("--arch", "module", "--module", f"{module}:net", "--weights", tiny / "state.pth", "--size", "40x24")
    pixels = ("--mean", "10,20,30", "--std", "50,60,70", "--colours", "bgr", "--resize", "stretch", "--input", "float")
    code, out, err = export("build", *common, *pixels, "--calibration", tiny / "pictures", "--keep-float", "*",
                            "--output", tiny / "a")  # fmt: skip
    assert (code, err) == (0, ""), err
    assert out.splitlines()[0] == str(tiny / "a" / "net.cambricon")
    again = export("build", *common, "--recipe", tiny / "a" / "net.recipe.toml", "--output", tiny / "b")
    assert again[0] == 0
    for path in (tiny / "a").iterdir():
        assert path.read_bytes() == (tiny / "b" / path.name).read_bytes()
    spec = load_bundle(tiny / "a" / "net.cambricon")
    assert (spec.output.kind, spec.input.channels, spec.input.mean, spec.input.std) == (
        "tensors", "bgr", (10.0, 20.0, 30.0), (50.0, 60.0, 70.0),
    )  # fmt: skip
    picture = np.random.default_rng(0).normal(0, 1, (1, 24, 40, 3)).astype(np.float32)
    np.testing.assert_allclose(_run(spec.path, picture)[0].reshape(1, 6), truth(net.eval(), picture)[0], atol=1e-5)


def _run(path, picture):
    engine = Engine(open_library("simulator"), path, cores=1, slots=1)
    try:
        slot = engine.acquire()
        slot.inputs[0][...] = picture
        engine.submit(slot)
        return [np.array(output, np.float32) for output in engine.collect().outputs]
    finally:
        engine.close()


def test_bytes_are_normalised_as_the_module_wants_them(module, tiny, export):
    """With a u8 input the device does what --mean, --std and --colours say: as the float input, to half's rounding."""
    common = ("build", "--arch", "module", "--module", f"{module}:net", "--size", "32", "--keep-float", "*")
    pixels = ("--mean", "10,20,30", "--std", "50,60,70", "--colours", "bgr")
    for kind in ("u8", "float"):
        done = export(*common, *pixels, "--input", kind, "--name", kind, "--calibration", tiny / "pictures",
                      "--output", tiny / "a")  # fmt: skip
        assert done[0] == 0, done[2]
    rgba = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 4), np.uint8)
    bgr = (rgba[..., 2::-1] - np.array([10, 20, 30], np.float32)) / np.array([50, 60, 70], np.float32)
    got, want = _run(tiny / "a" / "u8.cambricon", rgba)[0], _run(tiny / "a" / "float.cambricon", bgr)[0]
    np.testing.assert_allclose(got, want, atol=5e-3, rtol=5e-3)


def test_a_module_ends_where_it_is_told(module, tiny, export):
    """--outputs names parts of the module by their paths."""
    done = export("build", "--arch", "module", "--module", f"{module}:net", "--size", "32", "--outputs", "body.1,head",
                  "--calibration", tiny / "pictures", "--output", tiny / "a")  # fmt: skip
    assert done[0] == 0, done[2]
    spec = load_bundle(tiny / "a" / "net.toml")
    assert [(one.name, one.shape) for one in spec.output.plain] == [
        ("body.1", (1, 8, 16, 16)),
        ("head", (1, 6, 16, 16)),
    ]


REFUSED = {
    "sorting": ("inner: operator aten.sort.default has no counterpart", "--outputs"),
    "branching": ("mine.py, line 36: ", "(data-dependent control flow)", "independent of values"),
    "exiting": ("mine.py, line 48: ", "it ends the program (sys.exit(3))", "let both return"),
    "number": ("returns int", "torch.nn.Module"),
    "failing": ("line 44: KeyError", "nothing"),
    "drawing": ("rand: operator aten.rand.default draws numbers at random", "make its numbers a buffer"),
    "dropping": ("operator aten.native_dropout.default draws numbers at random",),
    "missing": ("has no function missing", "returns the torch module"),
}


@pytest.mark.parametrize("function", REFUSED)
def test_refusals_name_operator_place_and_remedy(function, module, tiny, export):
    """What cannot be built is one sentence, exit 2, and nothing is written."""
    code, out, err = export("build", "--arch", "module", "--module", f"{module}:{function}", "--size", "32",
                            "--calibration", tiny / "pictures", "--output", tiny / "a")  # fmt: skip
    assert (code, out) == (2, "")
    assert all(part in err for part in REFUSED[function]), err
    assert len(err.splitlines()) == 1
    assert not (tiny / "a").exists()


def test_a_module_file_that_ends_the_program_is_refused(tmp_path):
    """As it is run, before its function is called: a script without a guard for __main__, for example."""
    (tmp_path / "script.py").write_text("raise SystemExit\ndef net():\n    return None\n")
    with pytest.raises(UserError, match=r"script\.py, line 1: it ends the program"):
        load_module(f"{tmp_path / 'script.py'}:net", None)


def test_states_that_do_not_belong_are_refused(module, tmp_path):
    """A state of another network, and files that are none, are one sentence."""
    import torch

    stream = io.BytesIO()
    torch.save({"other": torch.zeros(3)}, stream)
    with pytest.raises(DataError, match="do not belong to the module"):
        load_module(f"{module}:net", stream.getvalue())
    for wrong in (b"", b"nothing", stream.getvalue()[:-40]):
        with pytest.raises(DataError, match="state dict"):
            load_module(f"{module}:net", wrong)
    with pytest.raises(UserError, match=r"FILE\.py:FUNCTION"):
        load_module(str(tmp_path / "mine.txt"), None)
