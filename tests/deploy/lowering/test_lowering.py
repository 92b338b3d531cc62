"""Lowering, the container's bytes, and the integer reference."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from tests.deploy import nets

from mlu_agent.errors import DataError, UserError
from mlu_agent.model.offline_model import read_offline_model
from mlu_export.formats.container import write_model
from mlu_export.formats.container_reader import read_network
from mlu_export.formats.twins import twins_text
from mlu_export.importers.darknet.cfg import parse_cfg
from mlu_export.importers.darknet.importer import import_darknet
from mlu_export.lowering.lower import LowerOptions, lower
from mlu_export.runners.reference.network import exponential, run_network
from mlu_export.values import network as net
from mlu_export.values.network import Network, Operator, Tensor
from mlu_export.values.ranges import LayerRange, Range, quantize_weights


@pytest.fixture
def graph():
    return import_darknet(parse_cfg(nets.TINY_CFG.encode(), "tiny.cfg"), nets.tiny_weights(), "").graph


@pytest.fixture
def lowered(graph, ranges_of):
    return lower(graph, ranges_of(graph), LowerOptions())


def test_weights_are_quantized_per_channel_as_the_vendor_does():
    """q = round(w * 127 / absmax) per output channel, ties to even; scale = absmax_x * absmax_w / 127^2."""
    weight = np.zeros((3, 1, 1, 4), np.float32)
    weight[0, 0, 0] = [1.0, -0.5, 0.25, 0.0]
    weight[1, 0, 0] = [254.0, 1.0, 3.0, -5.0]  # steps of two: halves go to the even neighbour
    done = quantize_weights(weight, Range(-3.0, 2.0), 8, True, "x")
    assert done.weight[:, 0, :, 0].tolist() == [[127, -64, 32, 0], [127, 0, 2, -2], [0, 0, 0, 0]]
    expected = np.array([3 * 1.0, 3 * 254.0, 3 * 127.0]) / (127 * 127)
    assert (done.scale == expected.astype(np.float32)).all()
    assert done.quant_scale == np.float32(127 / 3.0)


def test_per_tensor_weights_share_the_largest_magnitude():
    """All channels are scaled by the largest weight of the tensor."""
    weight = np.array([[[[2.0]]], [[[1.0]]]], np.float32)
    done = quantize_weights(weight, Range(0.0, 1.0), 16, False, "x")
    assert done.weight.dtype == np.dtype("<i2")
    assert done.weight.ravel().tolist() == [32767, 16384]
    assert done.scale[0] == done.scale[1]


def test_a_range_of_nothing_means_a_scale_of_one():
    """A layer that only ever saw zero can be quantized too."""
    done = quantize_weights(np.ones((1, 1, 1, 1), np.float32), Range(0.0, 0.0), 8, True, "x")
    assert done.quant_scale == 1.0
    assert np.isclose(done.scale[0], 1 / 127)


def test_sums_that_could_overflow_are_refused():
    """A layer whose sum of products could leave 32 bits is refused, never wrong."""
    with pytest.raises(DataError, match="overflow"):
        quantize_weights(np.ones((1, 133_144, 1, 1), np.float32), Range(0, 1), 8, True, "x")


def test_weights_beyond_a_given_magnitude_are_clipped_alike_on_both_sides():
    """A checkpoint may say a smaller magnitude than its weights have: the codes end at -127 and 127."""
    weight = np.array([-3.0, -1.0, 1.0, 3.0], np.float32).reshape(1, 4, 1, 1)
    told = LayerRange(0.0, 1.0, weight_absmax=(1.0,))
    assert quantize_weights(weight, told, 8, True, "x").weight.ravel().tolist() == [-127, -127, 127, 127]


def test_what_stays_float_and_what_becomes_integer(lowered):
    """Depthwise weights stay float32; the rest is int8 with a scale per channel; heads and activations are float16."""
    convolutions = [operator for operator in lowered.operators if operator.opcode == net.CONV]
    weights = {operator.name: lowered.constants[operator.constants[0]] for operator in convolutions}
    assert weights["1_conv"].dtype == np.float32
    assert weights["1_conv"].shape == (8, 3, 3, 1)
    assert weights["5_conv"].dtype == np.int8
    assert weights["5_conv"].shape == (12, 3, 3, 4)
    depthwise = next(operator for operator in convolutions if operator.name == "1_conv")
    assert depthwise.constants[1] == net.ABSENT
    assert depthwise.attributes[9] == 0
    assert [lowered.tensors[number].dtype for number in lowered.outputs] == [net.FLOAT16] * 2
    assert lowered.operators[0].opcode == net.NORMALIZE


@pytest.mark.parametrize(
    "kind, channels, dtype, first",
    [
        ("u8", "bgra", net.UINT8, net.NORMALIZE),
        ("half", "rgb", net.FLOAT16, net.CONV),
        ("float", "rgb", net.FLOAT32, net.CONV),
    ],
)
def test_input_kinds(graph, ranges_of, kind, channels, dtype, first):
    """u8 normalises on the device and reorders channels; the output type follows the input's."""
    lowered = lower(graph, ranges_of(graph), LowerOptions(input=kind, channels=channels, batch=3))
    assert lowered.tensors[lowered.inputs[0]] == Tensor((3, 32, 64, len(channels)), dtype)
    assert lowered.operators[0].opcode == first
    if kind == "u8":
        assert lowered.operators[0].attributes == (2, 1, 0)
    assert lowered.tensors[lowered.outputs[0]].dtype == (net.FLOAT32 if kind == "float" else net.FLOAT16)


def test_ranges_of_another_network_are_refused(graph, ranges_of):
    """Each quantized layer has a range, and each range a layer."""
    ranges = ranges_of(graph)
    ranges["other"] = ranges.pop("0_conv")
    with pytest.raises(DataError, match="do not belong"):
        lower(graph, ranges, LowerOptions())


def test_the_file_is_a_container_that_the_agent_reads(lowered):
    """Names, shapes, types, target and cores as written; sizes add up; the checksum holds."""
    data = write_model(lowered, "tiny", "MLU270", 4)
    model = read_offline_model(data)
    assert (model.kind, model.name, model.target, model.parallelism, model.functions) == (
        "simulator", "tiny", "MLU270", 4, ["subnet0"],
    )  # fmt: skip
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in (*model.inputs, *model.outputs)] == [
        ("input", (1, 32, 64, 4), "uint8"),
        ("11_conv", (1, 8, 16, 14), "float16"),
        ("14_conv", (1, 4, 8, 14), "float16"),
    ]
    assert struct.unpack_from("<QQ", data, 0x424) == (0x434, len(data) - 0x434)
    assert data.endswith(b"subnet0\0CDHB")
    blank = bytearray(data)
    blank[0x4C0:0x4C4] = bytes(4)
    assert struct.unpack_from("<I", data, 0x4C0)[0] == zlib.crc32(blank)


def test_equal_inputs_give_equal_bytes(graph, ranges_of, lowered):
    """Nothing of the time, the place or an order of hashing is in a model file."""
    again = lower(graph, ranges_of(graph), LowerOptions())
    assert write_model(lowered, "tiny", "MLU220", 1) == write_model(again, "tiny", "MLU220", 1)


def test_reading_back_gives_the_same_network(lowered):
    """Tensors, operators and constants are those that were written."""
    read = read_network(write_model(lowered, "tiny", "MLU220", 1))
    assert (read.tensors, read.operators, read.inputs, read.outputs) == (
        lowered.tensors, lowered.operators, lowered.inputs, lowered.outputs,
    )  # fmt: skip
    for first, second in zip(read.constants, lowered.constants):
        assert first.dtype == second.dtype
        assert (first == second.ravel()).all()


def test_a_damaged_file_is_refused_when_read_back(lowered):
    """A single changed bit does not pass the checksum."""
    data = bytearray(write_model(lowered, "tiny", "MLU220", 1))
    data[0x2000] ^= 1
    with pytest.raises(DataError, match="checksum"):
        read_network(bytes(data))


@pytest.mark.parametrize("name", ["", "x" * 128, "ü" * 64])
def test_names_are_bounded(lowered, name):
    """A model's name has 1 to 127 bytes of UTF-8."""
    with pytest.raises(UserError, match="--name"):
        write_model(lowered, name, "MLU220", 1)


def test_twins_say_what_the_container_says(lowered):
    """The text beside the model has its shapes, types, names and cores."""
    text = twins_text(lowered, "tiny.cambricon", 4)
    assert text.startswith('This is the Twins File of "tiny.cambricon".\nFunction number: 1\n')
    assert "Shape(dim): 1 32 64 4 \n        Name: input\n" in text
    assert "Data type: CNRT_UINT8        Dim Order: CNRT_NHWC" in text
    assert "Output number: 2" in text
    assert "    Model Parallelism: 4\n" in text


def test_the_fixed_exponential_is_close_to_the_real_one():
    """Two units in the last place over its range, and flat beyond."""
    x = np.linspace(-86, 88, 20001, dtype=np.float32)
    assert np.abs(exponential(x) / np.exp(x.astype(np.float64)) - 1).max() < 2.5e-7
    ends = exponential(np.array([-1000, np.nan, 1000], np.float32))
    assert ends.tolist() == exponential(np.array([-86, -86, 88], np.float32)).tolist()


def test_the_reference_counts_taps_and_rounds_once():
    """A convolution by hand: int8 sums, scale, bias, alpha, beta, one rounding to float16; taps outside are zero."""
    weight = np.array([[[[10], [20]], [[30], [-40]]]], np.int8)  # [1][2][2][1]
    constants = (weight, *(np.array([value], np.float32) for value in (0.01, 0.5, 2.0, -1.0)))
    attributes = (2, 2, 1, 1, 1, 1, 1, 1, 1, net.float_word(2.0))
    tensors = (Tensor((1, 2, 2, 1), net.FLOAT16), Tensor((1, 2, 2, 1), net.FLOAT16))
    operator = Operator(net.CONV, (0,), (0, 1, 2, 3, 4), attributes, 1, "c")
    network = Network(tensors, constants, (operator,), (0,), (1,), ("x",), ("c",))
    x = np.array([[1.0, 2.25], [100.0, -3.0]], np.float16).reshape(1, 2, 2, 1)
    q = np.array([[2, 4], [127, -6]])  # 4.5 to even; 200 saturates
    sums = [-40 * q[0, 0], 30 * q[0, 0] - 40 * q[0, 1], 20 * q[0, 0] - 40 * q[1, 0],
            10 * q[0, 0] + 20 * q[0, 1] + 30 * q[1, 0] - 40 * q[1, 1]]  # fmt: skip
    f = np.float32
    expected = [np.float16((f(total) * f(0.01) + f(0.5)) * f(2) + f(-1)) for total in sums]
    assert run_network(network, [x])[0].ravel().tolist() == expected


@pytest.mark.torch
@pytest.mark.parametrize(
    "kind, function",
    [("u8", "swish"), ("float", "swish"), ("float", "mish"), ("float", "relu6"), ("float", "tanh"), ("float", "elu")],
)
def test_the_lowered_network_stays_near_the_float_one(kind, function):
    """With 16 bits and ranges that fit, float and integer outputs agree to a thousandth of the range."""
    from mlu_export.calibration.observe import LayerObserver
    from mlu_export.runners.float_graph import FloatRunner

    cfg = nets.TINY_CFG.replace("swish", function)
    graph = import_darknet(parse_cfg(cfg.encode(), "tiny.cfg"), nets.tiny_weights(), "").graph
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (1, 32, 64, 4), np.uint8)
    picture = pixels[..., :3].astype(np.float32) / np.float32(255)
    layers = {conv.name: LayerObserver() for conv in graph.quantized()}
    outputs = FloatRunner(graph).run(picture, lambda name, values: layers[name].see(values))
    ranges = {name: layer.finish("minmax", 16) for name, layer in layers.items()}
    lowered = lower(graph, ranges, LowerOptions(input=kind, channels="rgba" if kind == "u8" else "rgb", bits=16))
    for integer, exact in zip(run_network(lowered, [pixels if kind == "u8" else picture]), outputs):
        tolerance = 5e-3 if kind == "u8" else 1e-3
        assert np.abs(integer.astype(np.float32) - exact).max() < tolerance * np.abs(exact).max()


@pytest.mark.parametrize("kind", ["u8", "half", "float"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("network", ["swish", "mish", "relu6", "tanh", "elu", "yolov5"])
def test_the_simulator_computes_the_reference_to_the_bit(tmp_path, ranges_of, simulator_path, network, bits, kind):
    """The very file, through the runtime library, against the reference run on what was read back from the file."""
    from mlu_agent.cnrt import open_library
    from mlu_agent.engine import Engine
    from mlu_export.importers.yolov5.importer import import_yolov5

    graph = (
        import_yolov5(nets.save_pt(nets.YoloBuilder().checkpoint()), (64, 96)).graph
        if network == "yolov5"
        else import_darknet(
            parse_cfg(nets.TINY_CFG.replace("swish", network).encode(), "tiny.cfg"), nets.tiny_weights(), ""
        ).graph
    )
    options = LowerOptions(input=kind, channels="argb" if kind == "u8" else "rgb", batch=2, bits=bits)
    path = tmp_path / "tiny.cambricon"
    path.write_bytes(write_model(lower(graph, ranges_of(graph), options), "tiny", "MLU220", 1))
    written = read_network(path.read_bytes())
    entry = written.tensors[written.inputs[0]]
    pixels = np.random.default_rng(9).integers(0, 256, entry.dims)
    x = (pixels if kind == "u8" else pixels / 255).astype(net.DTYPES[entry.dtype])
    engine = Engine(open_library(str(simulator_path)), path, cores=1, slots=1)
    try:
        slot = engine.acquire()
        slot.inputs[0][...] = x
        engine.submit(slot)
        slot = engine.collect()
        outputs = [output.copy() for output in slot.outputs]
        engine.release(slot)
    finally:
        engine.close()
    for got, expected in zip(outputs, run_network(written, [x])):
        assert got.dtype == expected.dtype
        assert got.tobytes() == expected.tobytes()
