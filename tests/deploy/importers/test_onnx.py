"""ONNX files, made here node by node: every operator as ONNX's own reference computes it, and hostile files refused."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from mlu_agent.config.fields import Fields
from mlu_agent.errors import DataError, MluAgentError, UserError
from mlu_agent.model.bundle import load_bundle
from mlu_export.calibration.mixed import keep_layers
from mlu_export.importers.onnx.file import read_companions
from mlu_export.importers.onnx.graph import import_onnx
from mlu_export.lowering.lower import LowerOptions, lower
from mlu_export.measurement.evaluate import FloatModel
from mlu_export.recording.layout import unstore
from mlu_export.recording.values import UnsupportedError
from mlu_export.runners.reference.network import run_network
from mlu_export.values.heads import HeadRequest, parse_anchors, read_request, request_of

pytestmark = pytest.mark.onnx

SHAPE = (1, 3, 8, 10)


def floats(*shape, seed=0, low=-1.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def model(nodes, constants=None, opset=17, shape=SHAPE, outputs=("out",), inputs=("x",), kind=TensorProto.FLOAT):
    """A ModelProto of nodes (operator, inputs, outputs, attributes)."""
    made = [helper.make_node(op, list(ins), list(outs), **attributes) for op, ins, outs, attributes in nodes]
    graph = helper.make_graph(
        made,
        "test",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def single(operator, constants=(), opset=17, shape=SHAPE, outputs=1, **attributes):
    """One operator on the picture and constants; None leaves an input out."""
    names = ["" if one is None else f"c{index}" for index, one in enumerate(constants)]
    stored = {f"c{index}": one for index, one in enumerate(constants) if one is not None}
    outs = ["out", *(f"out{index}" for index in range(1, outputs))]
    return model([(operator, ["x", *names], outs, attributes)], stored, opset, shape, outs)


def compare(proto, size=None, request=None, tolerance=1e-5):
    """Import, lower without quantization, compute as the simulator must, and ask ONNX's reference."""
    made = import_onnx(proto.SerializeToString(), {}, size, request)
    height, width, _ = made.graph.input_shape
    names = tuple(conv.name for conv in made.graph.convolutions() if not conv.is_depthwise)
    picture = floats(1, 3, height, width, seed=5)
    network = lower(keep_layers(made.graph, (), names), {}, LowerOptions("float", "rgb"))
    outputs = run_network(network, [np.ascontiguousarray(picture.transpose(0, 2, 3, 1))])
    want = ReferenceEvaluator(proto).run(None, {proto.graph.input[0].name: picture})
    for tensor, got, expected in zip(made.tensors, outputs, want):
        assert tensor.shape == expected.shape
        np.testing.assert_allclose(unstore(got, tensor.shape), expected, atol=tolerance, rtol=tolerance)
    return made


W = floats(6, 3, 3, 2, seed=1)
SINGLE = {
    "conv": single("Conv", [W, floats(6)], strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]),
    "conv same upper": single("Conv", [W], auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv same lower": single("Conv", [W], auto_pad="SAME_LOWER", strides=[1, 3]),
    "conv grouped": single("Conv", [floats(6, 1, 3, 3)], group=3, pads=[1, 1, 1, 1]),
    "transposed conv": single("ConvTranspose", [floats(3, 4, 3, 2), floats(4)], strides=[2, 3], pads=[1, 0, 0, 1],
                              output_padding=[1, 1]),
    "batch norm": single("BatchNormalization", [floats(3), floats(3), floats(3), floats(3, low=0.5)], epsilon=1e-3),
    "instance norm": single("InstanceNormalization", [floats(3), floats(3)]),
    "layer norm": single("LayerNormalization", [floats(10), floats(10)], axis=-1),
    "layer norm of all": single("LayerNormalization", [floats(3, 8, 10)], axis=1),
    "relu": single("Relu"), "leaky": single("LeakyRelu", alpha=0.2), "sigmoid": single("Sigmoid"),
    "tanh": single("Tanh"), "elu": single("Elu", alpha=0.7), "softplus": single("Softplus"),
    "hard sigmoid": single("HardSigmoid"), "hard sigmoid of torch": single("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hard swish": single("HardSwish"), "mish": single("Mish", opset=18), "exp": single("Exp"), "abs": single("Abs"),
    "prelu": single("PRelu", [floats(3, 1, 1)]), "prelu of one": single("PRelu", [floats(1)]),
    "clip": single("Clip", [np.float32(-0.3), np.float32(0.4)]), "clip below": single("Clip", [np.float32(0.1)]),
    "clip above": single("Clip", [None, np.float32(0.1)]), "neg": single("Neg"),
    "add a number": single("Add", [np.float32(2)]), "add per channel": single("Add", [floats(3, 1, 1)]),
    "mul everywhere": single("Mul", [floats(1, 3, 8, 10)]), "add a row": single("Add", [floats(10)]),
    "sub a plane": single("Sub", [floats(8, 10)]), "div": single("Div", [floats(1, low=0.5)]),
    "add with more axes": single("Add", [floats(1, 2, 3, 1, 1)]), "pow": single("Pow", [np.float32(2)]),
    "max": single("Max", [np.float32(0.2)]), "min": single("Min", [np.float32(0.2)]),
    "max pool": single("MaxPool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]),
    "max pool ceil": single("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "average pool": single("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "average pool counting": single("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "global average": single("GlobalAveragePool"), "global max": single("GlobalMaxPool"),
    "mean": single("ReduceMean", axes=[2, 3]), "mean of 18": single("ReduceMean", [ints(1)], opset=18, keepdims=0),
    "sum": single("ReduceSum", [ints(-1)]), "max of channels": single("ReduceMax", axes=[1]),
    "length": single("ReduceL2", axes=[1]), "mean of all": single("ReduceMean", keepdims=0),
    "flatten": single("Flatten"), "flatten all": single("Flatten", axis=0),
    "flatten behind": single("Flatten", axis=-1),
    "reshape": single("Reshape", [ints(0, -1, 5)]), "transpose": single("Transpose", perm=[0, 2, 1, 3]),
    "transpose all": single("Transpose"), "squeeze": single("Squeeze", [ints(0)]),
    "unsqueeze": single("Unsqueeze", [ints(1, -1)]), "unsqueeze of 11": single("Unsqueeze", opset=11, axes=[0, 2]),
    "split": single("Split", outputs=3, axis=1), "split sizes": single("Split", [ints(3, 5)], outputs=2, axis=2),
    "split of 11": single("Split", opset=11, outputs=2, axis=3, split=[4, 6]),
    "split of 18": single("Split", opset=18, outputs=3, axis=3, num_outputs=3),
    "slice": single("Slice", [ints(1, -7), ints(100, -1), ints(2, 3), ints(3, 2)]),
    "gather": single("Gather", [np.array(1)], axis=1), "gather many": single("Gather", [ints(2, 0, 1)], axis=1),
    "pad": single("Pad", [ints(0, 0, 1, 2, 0, 0, 0, 1), np.float32(0.5)]),
    "pad of 18": single("Pad", [ints(1, 2), np.float32(0.5), ints(3)], opset=18),
    "softmax": single("Softmax", axis=1), "softmax last": single("Softmax"),
    "expand": single("Expand", [ints(2, 1, 3, 8, 10)]),
    "lp": single("LpNormalization", axis=1), "depth to space": single("DepthToSpace", shape=(1, 3, 4, 4), blocksize=1),
    "space to depth": single("SpaceToDepth", blocksize=2),
    "resize double": single("Resize", [None, np.array([1, 1, 2, 3], np.float32)], mode="nearest",
                            coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "resize double as usual": single("Resize", [None, np.array([1, 1, 2, 2], np.float32)]),
    "resize half": single("Resize", [None, np.array([1, 1, 0.5, 0.5], np.float32)], nearest_mode="floor"),
    "resize to sizes": single("Resize", [None, None, ints(1, 3, 16, 30)], mode="linear"),
    "resize aligned": single("Resize", [None, None, ints(1, 3, 5, 21)], mode="linear",
                             coordinate_transformation_mode="align_corners"),
    "einsum": model([("Einsum", ["x", "x"], ["out"], {"equation": "nchw,ncvw->nvch"})]),
    "einsum with weights": model(
        [("Einsum", ["x", "c"], ["out"], {"equation": "nchw,cd->ndhw"})], {"c": floats(3, 5)}),
    "product": model([("Transpose", ["x"], ["t"], {"perm": [0, 1, 3, 2]}), ("MatMul", ["x", "t"], ["out"], {})]),
    "gelu": single("Gelu", opset=20), "gelu by tanh": single("Gelu", opset=20, approximate="tanh"),
    "erf": single("Erf"),
    "matmul": single("MatMul", [floats(10, 4)]), "matmul from the left": model(
        [("MatMul", ["c", "x"], ["out"], {})], {"c": floats(5, 8)}),
    "concat with a constant": single("Concat", [floats(1, 2, 8, 10)], axis=1),
    "identity": single("Identity"), "cast": single("Cast", to=TensorProto.FLOAT), "dropout": single("Dropout"),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_operators_compute_as_onnx_says(name):
    """Each operator, with the attributes that networks have, in the arithmetic of the simulator."""
    compare(SINGLE[name])


@pytest.mark.parametrize("opset", [10, 21, 99])
def test_opsets_that_were_not_tried_are_refused(opset):
    """Operators of another opset may compute otherwise; 20 is the last that is read."""
    assert import_onnx(single("Relu", opset=20).SerializeToString(), {}, None).warnings == ()
    proto = single("Relu")
    proto.opset_import[0].version = opset
    with pytest.raises(DataError, match=f"opset {opset}; 11 to 20 are read: export it with opset_version=17"):
        import_onnx(proto.SerializeToString(), {}, None)


def test_a_kernel_shape_that_is_not_that_of_the_weights_is_refused():
    """The node and its weights contradict each other: which is right only the exporter knows."""
    weights = (floats(4, SHAPE[1], 3, 3),)
    import_onnx(single("Conv", weights, kernel_shape=[3, 3]).SerializeToString(), {}, None)
    with pytest.raises(DataError, match=r"kernel_shape = \[5, 5\], but its weights have \[3, 3\]"):
        import_onnx(single("Conv", weights, kernel_shape=[5, 5]).SerializeToString(), {}, None)


def test_gemm_behind_flatten():
    """A classifier: alpha, beta, a turned weight and a bias of one number."""
    nodes = [
        ("Flatten", ["x"], ["f"], {}),
        ("Gemm", ["f", "w", "b"], ["out"], {"alpha": 0.5, "beta": 2.0, "transB": 1}),
    ]
    compare(model(nodes, {"w": floats(7, 240), "b": floats(1)}))


def test_shapes_are_computed_while_reading():
    """The arithmetic on shapes that exporters leave in a file with an open size is gone afterwards."""
    nodes = [
        ("Conv", ["x", "w"], ["y"], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("Shape", ["x"], ["s"], {}),
        ("Gather", ["s", "two"], ["h"], {"axis": 0}),
        ("Slice", ["s", "three", "end"], ["w2"], {}),
        ("Unsqueeze", ["h", "zero"], ["h1"], {}),
        ("Concat", ["first", "h1", "w2"], ["sizes"], {"axis": 0}),
        ("Cast", ["sizes"], ["sizes64"], {"to": TensorProto.INT64}),
        ("Resize", ["y", "", "", "sizes64"], ["out"], {"mode": "nearest", "nearest_mode": "floor",
                                                       "coordinate_transformation_mode": "asymmetric"}),
    ]  # fmt: skip
    constants = {"w": floats(4, 3, 3, 3), "two": np.array(2), "three": ints(3), "end": ints(9), "zero": ints(0),
                 "first": ints(1, 4)}  # fmt: skip
    proto = model(nodes, constants, shape=("n", 3, "h", "w"))
    made = compare(proto, size=(8, 12))
    assert len(made.graph.nodes) == 2
    with pytest.raises(UserError, match="--size"):
        import_onnx(proto.SerializeToString(), {}, None)


def test_activations_written_out_become_one():
    """x * sigmoid(x) is SiLU; hardswish, mish and an L2 normalisation are found too, as exporters write them."""
    forms = {
        "silu": [("Sigmoid", ["x"], ["s"], {}), ("Mul", ["s", "x"], ["out"], {})],
        "hardswish": [("Add", ["x", "three"], ["a"], {}), ("Clip", ["a", "zero", "six"], ["b"], {}),
                      ("Mul", ["x", "b"], ["c"], {}), ("Div", ["c", "six"], ["out"], {})],
        "mish": [("Softplus", ["x"], ["a"], {}), ("Tanh", ["a"], ["b"], {}), ("Mul", ["x", "b"], ["out"], {})],
    }  # fmt: skip
    constants = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
    for function, nodes in forms.items():
        made = compare(model(nodes, constants))
        assert len(made.graph.nodes) == 1, function
    nodes = [("ReduceL2", ["x"], ["a"], {"axes": [1]}), ("Clip", ["a", "eps"], ["b"], {}), ("Shape", ["x"], ["s"], {}),
             ("Expand", ["b", "s"], ["c"], {}), ("Div", ["x", "c"], ["out"], {})]  # fmt: skip
    assert len(compare(model(nodes, {"eps": np.float32(1e-6)})).graph.nodes) == 1


def test_factors_behind_a_convolution_become_part_of_it():
    """Conv, BatchNormalization, Mul, Add: one layer of the graph, as the device rounds once."""
    nodes = [
        ("Conv", ["x", "w"], ["a"], {}),
        ("BatchNormalization", ["a", "g", "g", "g", "v"], ["b"], {}),
        ("Mul", ["b", "m"], ["c"], {}),
        ("Add", ["m1", "c"], ["out"], {}),
    ]
    constants = {"w": floats(4, 3, 1, 1), "g": floats(4), "v": floats(4, low=0.5), "m": floats(1, 4, 1, 1),
                 "m1": np.float32(2)}  # fmt: skip
    assert len(compare(model(nodes, constants)).graph.nodes) == 1


def test_colours_last():
    """A network exported from a framework with channels last: the turn at its entry vanishes."""
    nodes = [("Transpose", ["x"], ["t"], {"perm": [0, 3, 1, 2]}), ("Conv", ["t", "w"], ["out"], {})]
    made = import_onnx(model(nodes, {"w": W}, shape=(1, 8, 10, 3)).SerializeToString(), {}, None)
    assert made.graph.input_shape == (8, 10, 3)
    assert [node.name for node in made.graph.nodes] == ["out"]


def test_weights_beside_the_file(tmp_path):
    """External data is read from the file's own folder, and nowhere else."""
    proto = single("Conv", [W])
    onnx.save_model(proto, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    data = (tmp_path / "net.onnx").read_bytes()
    companions = read_companions(data, tmp_path / "net.onnx")
    conv = import_onnx(data, companions, None).graph.convolutions()[0]
    np.testing.assert_array_equal(conv.weight, W)
    with pytest.raises(DataError, match="damaged"):
        import_onnx(data, {"net.data": companions["net.data"][:-4]}, None)
    (tmp_path / "net.data").unlink()
    with pytest.raises(DataError, match="no plain file beside it"):
        read_companions(data, tmp_path / "net.onnx")
    for place in ("../net.data", "/etc/passwd", "..", ""):
        wrong = onnx.load_model(tmp_path / "net.onnx", load_external_data=False)
        wrong.graph.initializer[0].external_data[0].value = place
        with pytest.raises(DataError, match="own folder"):
            read_companions(wrong.SerializeToString(), tmp_path / "net.onnx")


def test_channels_of_tensors_with_three_axes():
    """Batch-norm and PReLU of (N, C, L) work on the channels, as for pictures."""
    nodes = [
        ("Reshape", ["x", "s"], ["a"], {}),
        ("BatchNormalization", ["a", "g", "g", "g", "v"], ["b"], {}),
        ("PRelu", ["b", "p"], ["out"], {}),
    ]
    constants = {"s": ints(1, 3, 80), "g": floats(3), "v": floats(3, low=0.5), "p": floats(3, 1)}
    compare(model(nodes, constants))


def test_a_batch_is_not_mixed():
    """A network that moves the first axis works picture by picture, and says so for more."""
    made = compare(single("Transpose", perm=[1, 0, 2, 3]))
    with pytest.raises(DataError, match="--batch 1"):
        lower(made.graph, {}, LowerOptions("float", "rgb", batch=2))


def test_softmax_of_older_opsets():
    """Before opset 13 all axes from ``axis`` on were one."""
    made = import_onnx(single("Softmax", opset=11, axis=2).SerializeToString(), {}, None)
    picture = floats(1, 8, 10, 3)
    got = run_network(lower(made.graph, {}, LowerOptions("float", "rgb")), [picture])[0]
    flat = picture.transpose(0, 3, 1, 2).reshape(3, 80)
    want = np.exp(flat) / np.exp(flat).sum(1, keepdims=True)
    np.testing.assert_allclose(unstore(got, SHAPE), want.reshape(SHAPE), atol=1e-6)


@pytest.mark.torch
@pytest.mark.parametrize("groups, margins", [(1, {}), (3, {"output_padding": [1, 0]}), (3, {"output_shape": [16, 20]})])
def test_transposed_convolutions(groups, margins):
    """Groups, output padding and a given output's size, as torch computes them."""
    import torch

    weight = floats(3, 2, 3, 3)
    proto = single("ConvTranspose", [weight], strides=[2, 2], pads=None, group=groups, **margins)
    made = import_onnx(proto.SerializeToString(), {}, None)
    picture = floats(1, 3, 8, 10)
    got = run_network(lower(made.graph, {}, LowerOptions("float", "rgb")), [picture.transpose(0, 2, 3, 1).copy()])[0]
    tensors = [torch.from_numpy(one) for one in (picture, weight)]
    extra = margins.get("output_padding", (0, 0))
    want = torch.nn.functional.conv_transpose2d(*tensors, None, 2, 0, extra, groups).numpy()
    if "output_shape" in margins:
        want = want[:, :, :16, :20]  # one row and column are left over, and go at the end
    np.testing.assert_allclose(unstore(got, made.tensors[0].shape), want, atol=1e-5)


# ---- heads ----


def detector(channels, last=None, names=("small", "large"), spatial=32):
    """Two levels of strides 4 and 8; ``last`` gives the nodes behind each head convolution."""
    nodes = [("Conv", ["x", "w0"], ["a"], {"strides": [4, 4]}), ("Relu", ["a"], ["r"], {}),
             ("Conv", ["r", "w1"], ["b"], {"strides": [2, 2]})]  # fmt: skip
    constants = {"w0": floats(8, 3, 4, 4), "w1": floats(8, 8, 2, 2)}
    outputs = []
    for source, level in (("r", names[0]), ("b", names[1])):
        for part, count in enumerate(channels):
            name = f"{level}{part}" if len(channels) > 1 else level
            nodes.append(("Conv", [source, f"w{name}"], [name], {}))
            constants[f"w{name}"] = floats(count, 8, 1, 1, seed=count)
            outputs.append(name)
    nodes += last or []
    return model(nodes, constants, shape=(1, 3, spatial, spatial), outputs=[last[-1][2][0]] if last else outputs)


def test_heads_with_anchors():
    """--decode and --anchors make heads: strides by size, classes by channels."""
    request = HeadRequest((), "yolov5", parse_anchors("4,5,6,7/10,11,12,13"))
    made = import_onnx(detector([2 * 8]).SerializeToString(), {}, None, request)
    assert (made.decode, made.classes, [head.stride for head in made.heads]) == ("yolov5", 3, [4, 8])
    assert made.heads[1].anchors == ((10.0, 11.0), (12.0, 13.0))


FREE = {
    "yolov8 together": ("yolov8", detector([64 + 5]), (("box", "classes"),), False, ()),
    "yolov8 apart": ("yolov8", detector([32, 5]), (("box",), ("classes",)), False, ()),
    "yolov8 turned": ("yolov8", detector([5, 64]), (("classes",), ("box",)), False, ()),
    "yolox apart": ("yolox", detector([5, 4, 1]), (("classes",), ("box",), ("objectness",)), False, ()),
    "yolox together": ("yolox", detector([10]), (("box", "objectness", "classes"),), False, ()),
    "yolox joined": (
        "yolox",
        detector([4, 1, 5], [
            *(("Sigmoid", [f"{level}{part}"], [f"{level}{part}s"], {})
              for level in ("small", "large") for part in (1, 2)),
            *(("Concat", [f"{level}0", f"{level}1s", f"{level}2s"], [f"{level}c"], {"axis": 1})
              for level in ("small", "large")),
            ("Reshape", ["smallc", "shape"], ["smallf"], {}), ("Reshape", ["largec", "shape"], ["largef"], {}),
            ("Concat", ["smallf", "largef"], ["joined"], {"axis": 2}),
            ("Transpose", ["joined"], ["out"], {"perm": [0, 2, 1]}),
        ]),
        (("box", "objectness", "classes"),), True, ("objectness", "classes"),
    ),
}  # fmt: skip
FREE["yolox joined"][1].graph.initializer.append(numpy_helper.from_array(ints(1, 10, -1), "shape"))


@pytest.mark.parametrize("case", FREE)
def test_heads_without_anchors(case):
    """--decode and --strides make levels: fields by the tensors' channels, probabilities by sigmoids before them."""
    decode, proto, tensors, joined, activated = FREE[case]
    made = import_onnx(proto.SerializeToString(), {}, None, HeadRequest((), decode, (), (4, 8)))
    assert (made.classes, [head.stride for head in made.heads]) == (5, [4, 8])
    assert (made.layout.tensors, made.layout.joined, made.layout.activated) == (tensors, joined, activated)


@pytest.mark.torch
@pytest.mark.parametrize("case", ["yolov8 apart", "yolox joined"])
def test_built_heads_detect(case, tiny, export, tmp_path):
    """A file with heads becomes a model that the agent loads and decodes; a recipe remembers what was asked."""
    import cv2

    from mlu_agent.detector import Detector

    decode, proto, *_ = FREE[case]
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "five.txt").write_text("a\nb\nc\nd\ne\n")
    asked = ("--decode", decode, "--strides", "4,8", "--labels", tmp_path / "five.txt")
    done = export("build", "--arch", "onnx", "--weights", tmp_path / "net.onnx", *asked,
                  "--calibration", tiny / "pictures", "--output", tmp_path / "a")  # fmt: skip
    assert done[0] == 0, done[2]
    again = export("build", "--weights", tmp_path / "net.onnx", "--recipe", tmp_path / "a" / "net.recipe.toml",
                   "--output", tmp_path / "b")  # fmt: skip
    assert again[0] == 0, again[2]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    spec = load_bundle(tmp_path / "a" / "net.toml")
    assert request_of(spec) == HeadRequest(tuple(one.name for one in spec.offline.outputs), decode, (), (4, 8))
    float_model = FloatModel(spec, tmp_path / "net.onnx", None)
    assert float_model.detect(cv2.imread(str(tiny / "pictures" / "0.png")), spec.thresholds) is not None
    assert (spec.output.decode, spec.labels) == (decode, tuple("abcde"))
    with Detector(tmp_path / "a" / "net.cambricon") as found:
        assert found.detect(cv2.imread(str(tiny / "pictures" / "0.png"))) is not None


WRONG_HEADS = {
    "no anchors": (HeadRequest((), "yolov5"), "needs --anchors"),
    "no strides": (HeadRequest((), "yolov8"), "needs --strides"),
    "strange rule": (HeadRequest((), "yolov99"), "not known"),
    "anchors alone": (HeadRequest((), "", (((1, 1),),)), "belong to --decode"),
    "strides alone": (HeadRequest((), "", (), (8,)), "belong to --decode"),
    "too few anchors": (HeadRequest((), "yolov5", (((1, 1),),)), "as many groups"),
    "anchors that do not divide": (HeadRequest((), "yolov5", (((1, 1),) * 5,) * 2), "a head is"),
    "strides that do not fit": (HeadRequest((), "yolox", (), (4, 16)), "strides 4,16"),
    "three levels": (HeadRequest((), "yolox", (), (4, 8, 16)), "--outputs"),
    "no classes": (HeadRequest((), "yolov8", (), (4, 8)), "64 distances"),
    "unknown output": (HeadRequest(("smal",)), "close to it are small"),
}


@pytest.mark.parametrize("case", WRONG_HEADS)
def test_wrong_heads_are_told(case):
    """What does not fit is one sentence with the option that is wrong."""
    request, text = WRONG_HEADS[case]
    with pytest.raises(UserError, match=text):
        import_onnx(detector([16]).SerializeToString(), {}, None, request)


@pytest.mark.parametrize("table, problem", [
    ({"outputs": "a"}, "heads.outputs: 'a' is not accepted; write a list of names"),
    ({"outputs": ["a", 1]}, "heads.outputs: ['a', 1] is not accepted; write a list of names"),
    ({"decode": 3}, "heads.decode: 3 is not accepted; write one of"),
    ({"decode": "yolov5", "anchors": [[[1]]]}, "heads.anchors: [[[1]]] is not accepted; write for each head a list"),
    ({"decode": "yolov5", "anchors": [[]]}, "heads.anchors: [[]] is not accepted"),
    ({"decode": "yolov5", "anchors": [[[1, float("nan")]]]}, "heads.anchors: [[[1, nan]]] is not accepted"),
    ({"anchors": 3}, "heads.anchors: 3 is not accepted"),
    ({"strides": [0]}, "heads.strides: [0] is not accepted; write a list of whole numbers from 1 to 1024"),
    ({"decode": "yolov8", "strides": [8.5]}, "heads.strides: [8.5] is not accepted"),
    ({"decode": "yolov8"}, "heads.decode: --decode yolov8 needs --strides"),
    ({"decode": "yolov99"}, "heads.decode: --decode 'yolov99' is not known"),
    ({"stride": [8]}, 'heads.stride: is not an option; did you mean "strides"?'),
    ([], "heads: [] is not a table"),
])  # fmt: skip
def test_a_damaged_table_of_heads_is_told(table, problem):
    """What a recipe keeps of the request: the field, its value and the remedy, and nothing is asked of the network."""
    root = Fields({"heads": table}, "", [])
    assert read_request(root.table("heads")) == HeadRequest()
    (said,) = root.problems
    assert said.startswith(problem)


def test_a_request_comes_back_from_its_table():
    """As a recipe keeps it: nothing of what was not asked."""
    request = HeadRequest(("a", "b"), "yolov5", (((10.0, 13.0), (16.5, 30.0)), ((30.0, 61.0), (62.0, 45.0))))
    for one in (request, HeadRequest(), HeadRequest(("a",), "yolov8", (), (8, 16))):
        root = Fields({"heads": one.table()}, "", [])
        assert (read_request(root.table("heads")), root.problems) == (one, [])


# ---- hostile files ----

REFUSALS = {
    "loop": (single("TopK", [ints(3)], outputs=2), "TopK", "--outputs"),
    "no product": (
        model([("MatMul", ["x", "x"], ["out"], {})]),
        "a product of tensors",
        "matrices that fit",
        "node out",
    ),
    "no einsum": (
        model([("Einsum", ["x"], ["out"], {"equation": "nchw->nhcw"})]),
        "products of two tensors have",
        "nchw",
    ),
    "unknown": (single("Det"), "node out (Det)", "no counterpart"),
    "reflect": (single("Pad", [ints(0, 0, 1, 1, 0, 0, 1, 1)], mode="reflect"), "reflect", "constant has"),
    "cubic": (single("Resize", [None, np.array([1, 1, 2, 2], np.float32)], mode="cubic"), "cubic", "nearest have"),
    "odd factor": (single("Resize", [None, np.array([1, 1, 1.5, 1.5], np.float32)]), "nearest", "whole factors"),
    "integers": (single("Cast", to=TensorProto.INT64), "whole numbers", "node out"),
    "weights computed": (model([("Conv", ["x", "x"], ["out"], {})]), "constant", "node out (Conv)"),
    "backwards": (single("Slice", [ints(-1), ints(-9), ints(2), ints(-1)]), "backwards", "node out"),
    "domain": (model([("Relu", ["x"], ["out"], {"domain": "com.microsoft"})]), "com.microsoft", "not known"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_unsupported_operators_are_named_with_place_and_remedy(case):
    """The operator, its node, and what has an operator or what to do instead."""
    proto, *texts = REFUSALS[case]
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(proto.SerializeToString(), {}, None)
    assert all(text in str(caught.value) for text in texts), caught.value


def _edited(proto, edit):
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    edit(copy)
    return copy


CONV = single("Conv", [W])
DAMAGED = {
    "empty": (b"", "no operators"),
    "text": (b"this is not a network", "ONNX file"),
    "opset 9": (single("Relu", opset=9), "opset_version=17"),
    "no opset": (_edited(CONV, lambda m: m.ClearField("opset_import")), "opset"),
    "huge weights": (_edited(CONV, lambda m: m.graph.initializer[0].dims.__setitem__(0, 1 << 40)), "impossible shape"),
    "short weights": (_edited(CONV, lambda m: m.graph.initializer[0].dims.__setitem__(0, 7)), "damaged"),
    "negative weights": (_edited(CONV, lambda m: m.graph.initializer[0].dims.__setitem__(0, -1)), "impossible shape"),
    "text as weights": (_edited(CONV, lambda m: setattr(m.graph.initializer[0], "data_type", 8)), "damaged"),
    "unknown type": (_edited(CONV, lambda m: setattr(m.graph.initializer[0], "data_type", 999)), "damaged"),
    "cycle": (model([("Add", ["x", "b"], ["a"], {}), ("Relu", ["a"], ["b"], {}), ("Relu", ["b"], ["out"], {})]), "own"),
    "own input": (model([("Add", ["x", "out"], ["out"], {})]), "own output"),
    "missing input": (model([("Add", ["x", "ghost"], ["out"], {})]), "neither computed nor stored"),
    "written twice": (model([("Relu", ["x"], ["out"], {}), ("Relu", ["x"], ["out"], {})]), "two nodes"),
    "two inputs": (model([("Add", ["x", "y"], ["out"], {})], inputs=("x", "y")), "2 inputs"),
    "bytes": (_edited(CONV, lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 2)), "--mean"),
    "rank 3": (single("Relu", shape=(3, 8, 8)), "a picture is"),
    "four channels": (single("Relu", shape=(1, 4, 8, 8)), "a picture is"),
    "batch 8": (single("Relu", shape=(8, 3, 8, 8)), "--batch"),
    "huge picture": (single("Relu", shape=(1, 3, 1 << 40, 8)), "16384"),
    "stride 0": (single("Conv", [W], strides=[0, 1]), "strides"),
    "huge stride": (single("Conv", [W], strides=[1 << 40, 1]), "strides"),
    "huge pads": (single("Conv", [W], pads=[1 << 40, 0, 0, 0]), "pads"),
    "wrong bias": (single("Conv", [W, floats(5)]), "bias of 5"),
    "wrong groups": (single("Conv", [W], group=2), "does not fit"),
    "no kernel": (single("MaxPool"), "kernel_shape"),
    "large kernel": (single("MaxPool", kernel_shape=[30, 30]), "does not fit"),
    "wrong statistics": (single("BatchNormalization", [floats(2)] * 4), "one number for each of 3"),
    "text as axis": (single("Softmax", axis="one"), "axis"),
    "NaN weights": (single("Conv", [np.full((2, 3, 1, 1), np.nan, np.float32)]), "not finite"),
    "huge constant": (model([("ConstantOfShape", ["s"], ["c"], {}), ("Add", ["x", "c"], ["out"], {})],
                            {"s": ints(1 << 20, 1 << 20)}), "no network"),
    "huge range": (model([("Range", ["a", "b", "c"], ["r"], {}), ("Add", ["x", "r"], ["out"], {})],
                         {"a": np.float32(0), "b": np.float32(1e30), "c": np.float32(1)}), "no network"),
    "huge sum": (model([("ConstantOfShape", ["s"], ["c"], {}), ("Add", ["x", "c"], ["out"], {})],
                       {"s": ints(1, 1 << 22, 1, 1, 1)}), "more than a device holds"),
    "huge resize": (single("Resize", [None, np.array([1, 1, 60000, 60000], np.float32)]), "impossible"),
    "huge expand": (single("Expand", [ints(1 << 20, 1 << 20, 1, 3, 8, 10)]), "impossible"),
    "constant output": (model([("Relu", ["c"], ["out"], {})], {"c": floats(3)}), "does not depend"),
    "shape output": (model([("Shape", ["x"], ["out"], {})]), "does not depend"),
    "power of itself": (model([("Pow", ["x", "x"], ["out"], {})]), "powers 0.5, 1 and 2"),
    "concat that does not fit": (model([("Relu", ["x"], ["r"], {}), ("MaxPool", ["x"], ["p"], {"kernel_shape": [2, 2]}),
                                        ("Concat", ["r", "p"], ["out"], {"axis": 1})]), "do not fit each other"),
    "reshape that does not fit": (single("Reshape", [ints(7, 7)]), "cannot be viewed"),
    "one operand": (model([("Pow", ["x"], ["out"], {})]), "an input is missing"),
}  # fmt: skip


def zeros(*shape):
    return ("ConstantOfShape", ints(*shape), {})


def places(*shape):
    return ("ConstantOfShape", ints(*shape), {"value": numpy_helper.from_array(ints(0))})


WIDE, MANY = 1 << 25, 1 << 21
LARGER_THAN_ITS_INPUTS = {  # operators on constants that hold little, or nothing
    "Conv": ((zeros(1, 0, WIDE, WIDE), zeros(1, 0, 1, 1)), {}),
    "MatMul": ((zeros(WIDE, 0), zeros(0, WIDE)), {}),
    "GatherND": ((zeros(1, MANY), places(MANY, 1)), {}),
    "GatherElements": ((zeros(MANY, 1), places(1, MANY)), {"axis": 1}),
    "ScatterND": ((zeros(1, MANY), places(MANY, 1), zeros(1)), {}),
    "NonZero": ((zeros(*[1] * 30, WIDE),), {}),
    "ReduceProd": ((zeros(WIDE, 0, WIDE),), {"axes": [1]}),
}


@pytest.mark.parametrize("operator", LARGER_THAN_ITS_INPUTS)
def test_a_constant_is_bounded_before_it_is_made(operator):
    """Where axes of no numbers, or numbers used again, would make far more than the file holds."""
    inputs, attributes = LARGER_THAN_ITS_INPUTS[operator]
    nodes = [(kind, [f"s{at}"], [f"c{at}"], more) for at, (kind, _, more) in enumerate(inputs)]
    nodes += [(operator, [node[2][0] for node in nodes], ["c"], attributes), ("Add", ["x", "c"], ["out"], {})]
    proto = model(nodes, {f"s{at}": shape for at, (_, shape, _) in enumerate(inputs)})
    with pytest.raises(DataError, match="no network for this device holds such a one"):
        import_onnx(proto.SerializeToString(), {}, None)


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_one_sentence(case):
    """Truncated, contradictory, huge and cyclic files: a sentence, without the memory or the time they ask for."""
    proto, text = DAMAGED[case]
    data = proto if isinstance(proto, bytes) else proto.SerializeToString()
    with pytest.raises(MluAgentError, match=text):
        import_onnx(data, read_companions(data, __file__) if case not in ("empty", "text") else {}, None)


def test_mutated_files_never_do_anything_else(tmp_path):
    """Bytes changed at random, cut and repeated: a network or one sentence."""
    originals = [CONV, detector([16]), FREE["yolox joined"][1], SINGLE["resize to sizes"], SINGLE["slice"]]
    files = [proto.SerializeToString() for proto in originals]
    rng = random.Random(11)
    refused = []
    for _ in range(600):
        data = bytearray(rng.choice(files))
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            data = data[: rng.randrange(len(data))]
        try:
            import_onnx(bytes(data), read_companions(bytes(data), tmp_path / "net.onnx"), None)
        except MluAgentError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all(0 < len(sentence) < 900 for sentence in refused)


@pytest.mark.torch
def test_the_other_commands_take_onnx(tmp_path, tiny, export):
    """quantize measures an ONNX network layer by layer, verify proves that its file computes what the recipe says."""
    nodes = [("Conv", ["x", "w"], ["a"], {"strides": [2, 2]}), ("Relu", ["a"], ["r"], {}),
             ("GlobalAveragePool", ["r"], ["p"], {}), ("Conv", ["p", "v"], ["out"], {})]  # fmt: skip
    proto = model(nodes, {"w": floats(8, 3, 3, 3), "v": floats(6, 8, 1, 1)}, shape=(1, 3, 32, 32))
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    weights = ("--weights", tmp_path / "net.onnx")
    done = export("quantize", "--arch", "onnx", *weights, "--calibration", tiny / "pictures",
                  "--output", tmp_path / "a", "--report", tmp_path / "a" / "noise.json", "--propose", "30")  # fmt: skip
    assert done[0] == 0, done[2]
    recipe = tmp_path / "a" / "net.recipe.toml"
    assert export("build", *weights, "--recipe", recipe, "--output", tmp_path / "b")[0] == 0
    code, out, err = export("verify", tmp_path / "b" / "net.cambricon", *weights, "--recipe", recipe)
    assert (code, err) == (0, ""), err
    assert "are equal" in out


def test_the_command_refuses_in_one_sentence(tmp_path, tiny, export):
    """Exit 2, one line, nothing written."""
    (tmp_path / "net.onnx").write_bytes(SINGLE["relu"].SerializeToString()[:-20])
    code, out, err = export("build", "--arch", "onnx", "--weights", tmp_path / "net.onnx", "--calibration",
                            tiny / "pictures", "--output", tmp_path / "a")  # fmt: skip
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "net.onnx" in err
    assert not (tmp_path / "a").exists()
