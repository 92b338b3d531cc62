"""``mlu-export verify``: the file that ships against its checkpoint, what it holds and what it computes."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest

from mlu_export.formats.container import CRC_OFFSET, NETWORK, write_model
from mlu_export.formats.container_reader import read_network
from mlu_export.values import network as net

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _simulator(simulator_path, monkeypatch):
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))


@pytest.fixture
def made(tiny, export):
    """A checkpoint and its recipe in q/, the model compiled from it in c/."""
    files = ("--cfg", tiny / "tiny.cfg", "--labels", tiny / "names.txt", "--name", "net")
    more = (
        "--calibration",
        tiny / "pictures",
        "--observer",
        "minmax",
        "--keep-int16",
        "5_conv",
        "--output",
        tiny / "q",
    )
    assert export("quantize", "--arch", "darknet", "--weights", tiny / "tiny.weights", *files, *more)[0] == 0
    checkpoint = tiny / "q" / "net_int8.pth"
    assert export("compile", "--arch", "darknet", "--weights", checkpoint, *files, "--output", tiny / "c")[0] == 0
    return tiny


def verify(tiny, *more, weights=None, folder="c"):
    weights = weights or tiny / "q" / "net_int8.pth"
    return ("verify", tiny / folder / "net.cambricon", "--weights", weights, "--cfg", tiny / "tiny.cfg", *more)


def test_every_layer_of_a_compiled_model_is_equal(made, export):
    """Codes and sums of quantized layers, outputs of all: a table, and how many values were compared."""
    code, out, err = export(*verify(made))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["layer", "operator", "stored", "codes", "sums", "output", "elements"]
    rows = {line.split()[0]: line.split() for line in lines[1:-1]}
    assert rows["5_conv"][1:] == ["conv", "equal", "equal", "equal", "equal", str(2 * 12 * 4 * 8 * 2 * 2)]
    assert rows["1_conv"][1:6] == ["conv", "equal", "-", "-", "equal"]  # depthwise: float
    assert lines[-1].endswith("values are equal, on 2 random inputs (seed 0)")
    assert len(rows) == len(read_network((made / "c" / "net.cambricon").read_bytes()).operators)


@pytest.mark.parametrize("kind", ["u8", "half", "float"])
def test_a_built_model_is_verified_with_its_weights_and_recipe(made, export, kind):
    """The recipe beside the model is taken where none is named; its input may be of another type, size and batch."""
    weights = made / "tiny.weights"
    channels = ("--channels", "argb") if kind == "u8" else ()
    code, _, err = export(
        "build", "--cfg", made / "tiny.cfg", "--weights", weights, "--recipe", made / "q" / "net.recipe.toml",
        "--input", kind, "--batch", "3", "--size", "96x64", *channels, "--output", made / "b",
    )  # fmt: skip
    assert code == 0, err
    beside = export(*verify(made, "--json", "--images", made / "pictures", weights=weights, folder="b"))
    assert beside[0] == 0, beside[2]
    document = json.loads(beside[1])
    assert document["equal"] is True
    assert document["difference"] is None
    assert document["inputs"] == "2 pictures of pictures"
    assert {layer["output"] for layer in document["layers"]} == {True}
    named = ("--recipe", made / "q" / "net.recipe.toml", "--count", "1", "--seed", "7")
    assert export(*verify(made, *named, weights=weights, folder="b"))[0] == 0


def _with_checksum(data):
    struct.pack_into("<I", data, CRC_OFFSET, 0)
    struct.pack_into("<I", data, CRC_OFFSET, zlib.crc32(data))
    return bytes(data)


def _tampered(path, name, constant):
    """One byte of a layer's constant is another one, and the checksum is right."""
    data = bytearray(path.read_bytes())
    network = read_network(bytes(data))
    operator = next(operator for operator in network.operators if operator.name == name)
    values = network.constants[operator.constants[constant]].tobytes()
    place = bytes(data).index(values, NETWORK)
    assert bytes(data).find(values, place + 1) == -1
    data[place + len(values) // 8 * 4] ^= 1
    path.write_bytes(_with_checksum(data))


@pytest.mark.parametrize(
    "layer, constant, word",
    [
        ("5_conv", 0, "weights"),
        ("5_conv", 1, "scale"),
        ("2_conv", 2, "bias"),
        ("0_conv", 3, "alpha"),
        ("1_conv", 0, "weights"),
    ],
)
def test_one_changed_byte_is_caught_though_the_checksum_is_right(made, export, layer, constant, word):
    """Exit code 2, and the first layer that differs is named with what differs in it."""
    _tampered(made / "c" / "net.cambricon", layer, constant)
    code, out, err = export(*verify(made))
    assert code == 2
    assert err.startswith(f"mlu-export: net.cambricon is not what its weights say: layer {layer}: {word}: 1 of ")
    assert err.count("\n") == 1
    assert [line.split()[0] for line in out.splitlines() if "DIFFERS" in line] == [layer]


def _rewritten(path, change):
    """The file with its network changed, written anew."""
    network = read_network(path.read_bytes())
    operators = [change(network, operator) for operator in network.operators]
    altered = type(network)(
        network.tensors, network.constants, tuple(operators), network.inputs, network.outputs, network.input_names,
        network.output_names,
    )  # fmt: skip
    path.write_bytes(write_model(altered, "net", "MLU220", 1))


def _attribute(name, position, value):
    def change(_, operator):
        if operator.name != name:
            return operator
        words = list(operator.attributes)
        words[position] = value
        return type(operator)(
            operator.opcode, operator.inputs, operator.constants, tuple(words), operator.output, operator.name
        )

    return change


@pytest.mark.parametrize(
    "layer, position, value, sentence",
    [
        ("0_conv", 9, net.float_word(77.0), "the scale of its input is 77 in the file"),
        ("0_leaky_relu", 1, net.float_word(0.2), "attribute 1"),
        ("normalize", 0, 2, "--channels|attribute 0|not that of a network"),
    ],
)
def test_a_changed_attribute_is_caught(made, export, layer, position, value, sentence):
    """A single number of the file that the weights do not give is named with its layer."""
    import re

    _rewritten(made / "c" / "net.cambricon", _attribute(layer, position, value))
    code, _, err = export(*verify(made))
    assert code == 2
    assert re.search(sentence, err), err


def test_another_checkpoint_is_not_what_the_file_holds(made, export):
    """One activation scale that differs: told as the input's scale of that layer."""
    from mlu_export.formats.checkpoint import read_checkpoint, write_checkpoint

    path = made / "q" / "net_int8.pth"
    state = read_checkpoint(path).state_dict()
    state["module_list.11.Conv2d.scale"][0] *= 1.01
    write_checkpoint(path, state)
    code, _, err = export(*verify(made))
    assert code == 2
    assert "layer 11_conv: scale: 14 of 14 values differ" in err


@pytest.mark.parametrize(
    "module, name, change, layer, what",
    [
        ("functions", "sigmoid", lambda x: x * 0 + 0.5, "5_silu", "output"),
        ("network", "quantize_input", None, "0_conv", "codes"),
        ("network", "integer_sums", None, "0_conv", "sums"),
    ],
)
def test_a_layer_that_computes_something_else_is_named(made, export, monkeypatch, module, name, change, layer, what):
    """With an arithmetic that is not the document's on one side: the first layer, what differs, where, both values."""
    import importlib

    home = importlib.import_module(f"mlu_export.runners.exact.{module}")
    functions = importlib.import_module("mlu_export.runners.exact.functions")
    monkeypatch.setattr(functions, "_table", functions._table.__wrapped__)  # no tables of before
    original = getattr(home, name)
    monkeypatch.setattr(home, name, change or (lambda *given: original(*given) + 1))
    code, out, err = export(*verify(made))
    assert code == 2
    assert f"layer {layer}: its {what} differ" in err
    assert "simulator" in err
    row = next(line.split() for line in out.splitlines() if line.startswith(layer))
    assert row[["layer", "operator", "stored", "codes", "sums", "output"].index(what)] == "DIFFERS"


@pytest.mark.parametrize(
    "more, change, sentence",
    [
        (("--arch", "yolov5n"), None, "--cfg"),
        ((), lambda t: (t / "c" / "net.cambricon").unlink(), "cannot be read"),
        ((), lambda t: (t / "c" / "net.cambricon").write_bytes(b"\x7fMEF" * 400), ""),
        ((), lambda t: (t / "c" / "net.toml").unlink(), "--arch"),
        ((), lambda t: (t / "q" / "net_int8.pth").write_bytes(b"no"), ""),
        (("--images", "nowhere"), None, "not a folder"),
        (("--recipe", "nowhere.toml"), None, "no recipe"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(made, export, more, change, sentence):
    """A file that is damaged, missing or no model is told in one line."""
    if change is not None:
        change(made)
    code, out, err = export(*verify(made, *more))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert sentence in err


def test_float_weights_without_a_recipe_are_not_enough(made, export):
    """Their ranges stand in the recipe, so the option is named."""
    code, _, err = export(*verify(made, weights=made / "tiny.weights"))
    assert code == 2
    assert "--recipe" in err


def test_a_network_of_many_layers_is_shown_in_parts():
    """No part has more ends than a model file holds, and together they show every operator once."""
    from mlu_export.workflows.verification.probes import MOST_ENDS, is_quantized, parts

    operators, tensors, constants = [], [net.Tensor((1, 2, 2, 1), net.FLOAT16)], [np.ones((1, 1, 1, 1), np.int8)]
    constants.append(np.ones(1, np.float32))
    for number in range(100):
        tensors.append(net.Tensor((1, 2, 2, 1), net.FLOAT16))
        kept = (0, 1, net.ABSENT, net.ABSENT, net.ABSENT)
        attributes = (1, 1, 1, 1, 0, 0, 1, 1, 1, net.float_word(1.0))
        operators.append(net.Operator(net.CONV, (number,), kept, attributes, number + 1, f"c{number}"))
    network = net.Network(tuple(tensors), tuple(constants), tuple(operators), (0,), (100,), ("x",), ("y",))
    assert all(is_quantized(network, operator) for operator in operators)
    seen = []
    for part in parts(network):
        assert len(part.network.inputs) + len(part.network.outputs) <= MOST_ENDS
        seen += part.shown
    assert seen == [(number, what) for number in range(100) for what in ("output", "codes", "sums")]
