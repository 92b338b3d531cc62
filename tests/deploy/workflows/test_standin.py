"""mlu-export standin: models that compute for device files, held to what those describe."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.containers import device_file
from tests.deploy.commands.test_commands import build

from mlu_agent.config.toml import parse_toml
from mlu_agent.errors import DataError
from mlu_agent.model.offline_model import read_offline_model
from mlu_export.formats.container_reader import load_network
from mlu_export.lowering import random_weights
from mlu_export.lowering.fit import fit
from mlu_export.runners.simulator import Runner

PICTURE, ROW = ((1, 32, 32, 4), "uint8"), ((1, 3), "float16")


def put(folder, inputs, outputs, **more):
    """A device file with these descriptors, and where its stand-in belongs."""
    data = device_file(inputs, outputs, **more)
    path = folder / "vendor.cambricon"
    path.write_bytes(data)
    return path, folder / "standins" / f"{hashlib.sha256(data).hexdigest()}.cambricon"


def described(path):
    """What a container says of its tensors, without names."""
    model = read_offline_model(path)
    return [(one.shape, one.dtype, one.order) for one in (*model.inputs, *model.outputs)], model.parallelism


def run(model, picture):
    """What a model file computes."""
    runner = Runner(load_network(model))
    outputs = runner.run([picture])
    runner.close()
    return outputs


@pytest.fixture
def standin(export, tmp_path):
    """Runs the command for a device file; exit code and what was said."""

    def make(path, *options):
        code, out, err = export("standin", path, "--output", tmp_path / "standins", *options)
        return code, out + err

    return make


def test_random_weights_of_one_output_are_bounded():
    """2^24 of them: 2^20 numbers, each of sixteen features."""
    rng = np.random.default_rng(1)
    conv = random_weights._output("out", (32, 32), (1024, 1024, 1), rng)[1]
    assert conv.weight.shape == (1 << 20, 16, 1, 1)
    for shape in [(1024, 1025, 1), (1, 1, (1 << 20) + 1)]:
        with pytest.raises(DataError, match="too large for random weights"):
            random_weights._output("out", (32, 32), shape, rng)


@pytest.mark.parametrize(
    "inputs, outputs",
    [
        ([((4, 16, 24, 4), "uint8")], [((4, 3, 5, 7), "float16"), ((4, 1, 1, 9), "float32")]),
        ([((1, 8, 8, 3), "float32")], [((1, 8, 8, 3), "float32"), ((1, 1000), "float16")]),
        ([((2, 8, 8, 5), "float16")], [((2, 20, 1, 84), "float16")]),
        ([((1, 8, 8, 3), "uint8")], [((1, 16, 4, 2), "float16")]),
    ],
)
def test_random_weights_give_every_shape(tmp_path, standin, inputs, outputs):
    """Sides that divide nothing, rows, maps finer than the picture, batches, four cores: as the device file has."""
    path, made = put(tmp_path, inputs, outputs, parallelism=4)
    code, told = standin(path, "--random-weights", "7")
    assert code == 0, told
    assert "the numbers mean nothing" in told
    assert described(made) == described(path)
    assert read_offline_model(made).name == "random weights of seed 7"
    record = parse_toml(made.with_suffix(".standin.toml").read_bytes(), "record", DataError)
    assert (record["device_sha256"], record["weights"]) == (made.stem, "random weights of seed 7")
    first = made.read_bytes()
    code, told = standin(path, "--random-weights", "7")
    assert (code, "replaced" in told) == (0, False)
    assert made.read_bytes() == first
    code, told = standin(path, "--random-weights", "8")
    assert code == 0
    assert f"note: replaced the stand-in {made.name}" in told
    assert made.read_bytes() != first


def test_weights_make_the_model_that_build_makes(tiny, tiny_recipe, standin, export, tmp_path):
    """With the outputs in the device file's order, types and names: the same numbers, by running both."""
    assert export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a"))[0] == 0
    ours = read_offline_model(tiny / "a" / "tiny.cambricon")
    shapes = [one.shape for one in ours.outputs]
    assert len(shapes) == 2
    path, made = put(
        tmp_path, [(ours.inputs[0].shape, "uint8")], [(shapes[1], "float32"), (shapes[0], "float16")], names=("b", "a"),
        parallelism=4,
    )  # fmt: skip
    code, told = standin(path, *build(tiny, "--recipe", tiny_recipe)[1:])
    assert code == 0, told
    assert "the outputs are in the device file's order, the network's 1, 0" in told
    assert "output 0: computed in float16, handed out in float32" in told
    assert "cannot be read: that it computes the same is not known" in told
    assert described(made) == described(path)
    assert [one.name for one in read_offline_model(made).outputs] == ["b", "a"]
    picture = np.random.default_rng(1).integers(0, 256, ours.inputs[0].shape, np.uint8)
    wanted, found = (run(model, picture) for model in (tiny / "a" / "tiny.cambricon", made))
    np.testing.assert_array_equal(found[0], wanted[1].astype(np.float32))
    np.testing.assert_array_equal(found[1], wanted[0])
    code, told = standin(path, "--model", tiny / "a" / "tiny.cambricon", "--json")
    assert code == 0
    assert json.loads(told[: told.index("\n")])["files"][0]["path"] == str(made)


@pytest.mark.parametrize(
    "inputs, outputs, options, sentence",
    [
        ([((1, 64, 64, 4), "uint8")], [((1, 3, 3, 7), "float16")], ["--model"], "the network's inputs are "),
        (None, [((1, 3, 3, 7), "float16")], ["--model"], "the network's outputs are "),
        ([PICTURE], [((1, 3, 3, 7), "float16")], [], "give one of them"),
        ([PICTURE], [((1, 3, 3, 7), "int32")], ["--random-weights", "1"], "hands out int32"),
        ([PICTURE], [((1, 3, 7), "float16")], ["--random-weights", "1"], "output 0 is 1x3x7"),
        ([((1, 32, 32, 1), "uint8")], [((1, 3), "float16")], ["--random-weights", "1"], "input is 1x32x32x1 uint8"),
        ([PICTURE], [((1, 4000, 4000, 9), "float16")], ["--random-weights", "1"], "too large for random weights"),
        ([PICTURE], [ROW, ((1, 1, 1, 3), "float16")], ["--random-weights", "1"], "no model does"),
        ([PICTURE], [ROW], ["--random-weights", "1", "--input-tensor", "1x2x2x3:uint8"], "describes its"),
        ([PICTURE], [ROW], ["--random-weights", "1", "--input-tensor", "1x2x0x3:uint8"], "has an axis of 0; "),
        ([PICTURE], [ROW], ["--random-weights", "1", "--input-tensor", "1x2x2x3:uint4"], "is not NxHxWxC:TYPE"),
        ([PICTURE], [ROW], ["--random-weights", "1", "--input-tensor", "1x99999x99999x3:uint8"], "has at most"),
        ([PICTURE], [ROW], ["--random-weights", "9" * 23], "is not a whole number from 0 to 2147483648"),
    ],
)  # fmt: skip
def test_what_is_no_stand_in_is_refused(tiny_model, tmp_path, standin, inputs, outputs, options, sentence):
    """In a sentence with what differs; nothing is written."""
    ours = read_offline_model(tiny_model).inputs[0]
    path, made = put(tmp_path, inputs or [(ours.shape, ours.dtype)], outputs)
    said = [*options, tiny_model] if options == ["--model"] else options
    code, told = standin(path, *said)
    assert code == 2
    assert sentence in told
    assert not made.exists()
    assert standin(tiny_model, "--random-weights", "1")[0] == 2


@pytest.mark.parametrize(
    "source, options, named",
    [
        ("--random-weights", ["--bits", "16", "--keep-int16", "auto"], "--bits, --keep-int16"),
        ("--random-weights", ["--calibration", "gone", "--name", "a", "--labels", "gone"], "--name, --labels, --cali"),
        ("--random-weights", ["--decode", "none", "--max-boxes", "7", "--iou", "0.5"], "--max-boxes, --decode, --iou"),
        ("--random-weights", ["--workers", "2"], "--workers"),
        ("--random-weights", ["--per-tensor", "--learn"], "--per-tensor, --learn"),
        ("--model", ["--channels", "bgr", "--mean", "1", "--recipe", "gone"], "--channels, --mean, --recipe"),
    ],
)
def test_options_of_another_source_are_refused(tiny_model, tmp_path, standin, source, options, named):
    """What is for weights means nothing to another source: the sentence names both, and nothing is written."""
    ours = read_offline_model(tiny_model)
    path, made = put(tmp_path, [(one.shape, one.dtype) for one in ours.inputs],
                     [(one.shape, one.dtype) for one in ours.outputs])  # fmt: skip
    said = (source, tiny_model if source == "--model" else "1")
    code, told = standin(path, *said, *options)
    assert code == 2
    assert f"{source} takes no weights, which {named}" in told
    assert not made.exists()
    assert standin(path, *said)[0] == 0


@pytest.mark.torch
def test_a_checkpoints_stand_in_takes_its_own_scales(tiny, tmp_path, export, standin):
    """Options of quantization beside it are refused by name; without them it is made, of the model's form."""
    network = ("--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--labels", tiny / "names.txt", "--weights")
    words = ("--calibration", tiny / "pictures", "--observer", "minmax", "--name", "net", "--output", tiny / "q")
    assert export("quantize", *network, tiny / "tiny.weights", *words)[0] == 0
    network = (*network, tiny / "q" / "net_int8.pth")
    assert export("compile", *network, "--name", "net", "--output", tiny / "c")[0] == 0
    ours = read_offline_model(tiny / "c" / "net.cambricon")
    path, made = put(tmp_path, [(one.shape, one.dtype) for one in ours.inputs],
                     [(one.shape, one.dtype) for one in ours.outputs])  # fmt: skip
    code, told = standin(path, *network, "--bits", "16", "--per-tensor", "--calibration", tiny / "pictures", "--learn")
    assert code == 2
    assert "--weights net_int8.pth is quantized, and its stand-in takes its scales" in told
    assert "leave --calibration, --bits, --per-tensor, --learn out" in told
    assert not made.exists()
    assert standin(path, *network)[0] == 0


@pytest.mark.parametrize("boxes, fits", [(32768, True), (32769, False), (0, False)])
def test_a_detection_output_has_as_many_boxes_as_the_row(tiny, tiny_recipe, tmp_path, standin, boxes, fits):
    """Up to what a model can hold; a row that has room for more or none is a sentence."""
    path, made = put(tmp_path, [((1, 32, 64, 4), "uint8")], [((1, 1, 1, 64 + 7 * boxes), "float16")])
    code, told = standin(path, *build(tiny, "--recipe", tiny_recipe)[1:], "--detection-output")
    assert (code, made.exists()) == ((0, True) if fits else (2, False)), told
    assert fits or f"has room for {boxes} boxes; a detection output has 1 to 32768" in told


def test_an_output_without_a_name_leaves_the_others_theirs(tiny_model):
    """Names are matched first: an output that the file gives no name takes what is left, wherever it stands."""
    network = load_network(tiny_model)
    picture, head = network.tensors[network.inputs[0]].dims, network.tensors[network.outputs[0]].dims
    twins = replace(network, outputs=(network.outputs[0],) * 2, output_names=("a", "b"))
    device = device_file([(picture, "uint8")], [(head, "float16")] * 2, names=("", "a"))
    fitted, notes = fit(twins, read_offline_model(device))
    assert fitted.output_names == ("b", "a")
    assert notes[0] == "the outputs are in the device file's order, the network's 1, 0"


@pytest.mark.parametrize("command", ["standin", "verify"])
def test_what_has_no_end_is_not_read(tmp_path, export, command):
    """A device, and a pipe that nobody writes to: told at once, exit code 2, nothing is written."""
    os.mkfifo(tmp_path / "pipe")
    options = ("--random-weights", "1", "-o", tmp_path / "made") if command == "standin" else ()
    for path in ("/dev/zero", "/dev/urandom", tmp_path / "pipe"):
        code, _, err = export(command, path, *options)
        assert code == 2
        assert f"{path}: not a regular file" in err
    assert not (tmp_path / "made").exists()


VENDOR = {  # the file: its place, its device, how it is adopted
    "headpose_mlu220": ("headpose/headpose_mlu220.cambricon", "MLU220"),
    "headpose": ("headpose/headpose.cambricon.cambricon", "MLU270"),
    "test_model": ("test_model.cambricon", "MLU270"),
    "normalize": ("normalize.cambricon", "MLU270"),
}
RUN = """
import sys
from mlu_agent.cli import main
model, picture, runtime = sys.argv[1:]
if main(["adopt", model, "--as", "tensors", "--try", picture, "--runtime", runtime, "--json"]) == 0:
    sys.exit(main(["infer", model, picture, "--runtime", runtime, "--json"]))
sys.exit("it was not tried")
"""


@pytest.mark.shared
@pytest.mark.cc
@pytest.mark.parametrize("name", VENDOR)
def test_every_vendors_file_is_adopted_and_run(name, root, shared, tmp_path, standin, simulator_path):
    """With its own weights where there are some, with random ones where they are lost; by the agent and by a program
    in C, on the device that it was compiled for."""
    from tests.deploy.quantizer import headpose

    place, device = VENDOR[name]
    path = tmp_path / place.rpartition("/")[2]
    path.write_bytes((shared / "data" / "vendor" / place).read_bytes())
    options = ["--random-weights", "7"]
    if name == "normalize":
        options += ["--input-tensor", "1x64x64x3:float32", "--output-tensor", "1x64x64x3:float32"]
    if name.startswith("headpose"):
        net = tmp_path / "net.py"
        net.write_text("from tests.deploy.quantizer.headpose import Headpose\ndef net():\n    return Headpose()\n")
        options = ["--arch", "module", "--module", f"{net}:net", "--mean", "104,117,124", "--std", "128"]
        options += ["--colours", "bgr", "--resize", "stretch"]
        options += ["--weights", headpose.folder(shared) / "headpose_quantize.pth"]
    code, told = standin(path, *options)
    assert code == 0, told
    picture = min((headpose.folder(shared) / "calibration").iterdir())
    environment = {
        **os.environ, "CNRT_SIMULATOR_DEVICE": device, "CNRT_SIMULATOR_STANDINS": str(tmp_path / "standins"),
    }  # fmt: skip
    words = [sys.executable, "-c", RUN, str(path), str(picture), str(simulator_path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    adopted, found = map(json.loads, done.stdout.splitlines())
    count = 2 if name.startswith("headpose") else 1
    assert len(adopted["try"]["tensors"]) == len(found["tensors"]) == count
    assert "computes for the device file" in adopted["try"]["reason"]
    library = simulator_path.parent
    program = [
        "cc",
        "-I",
        str(library / "include"),
        str(root / "tests" / "native" / "any_model.c"),
        str(simulator_path),
    ]
    subprocess.run([*program, f"-Wl,-rpath,{library}", "-o", str(tmp_path / "any_model")], check=True, timeout=60)
    environment.update(CNRT_SIMULATOR_STRICT="1", CNRT_SIMULATOR_LOG="1")
    words = [str(tmp_path / "any_model"), str(path)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "cnrt strict: nothing found\n")
    assert int(done.stdout) == {"test_model": 13440, "normalize": 49152}.get(name, 52)
