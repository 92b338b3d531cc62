"""``mlu-export compile --backend vendor`` against a double that records the calls of the vendor's documented interface.

The SDK itself is not here: that it takes these calls as documented is what these tests cannot show.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.deploy import nets

from mlu_agent.errors import DataError
from mlu_agent.model.bundle import load_bundle
from mlu_export.support.files import sha256_hex

pytestmark = pytest.mark.torch
DOUBLE = Path(__file__).parent / "vendor_double"


@pytest.fixture
def sdk(tmp_path, monkeypatch):
    """The double is where an SDK would be; gives the folder of its records."""
    folder = tmp_path / "records"
    folder.mkdir()
    monkeypatch.setenv("VENDOR_DOUBLE", str(folder))
    monkeypatch.setenv("PYTHONPATH", ":".join([str(DOUBLE), *filter(None, sys.path)]))
    return folder


@pytest.fixture
def checkpoint(tiny, export):
    """Makes a checkpoint of the tiny network with more options of quantize."""

    def make(*more):
        code, _, err = export(
            "quantize", "--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--labels",
            tiny / "names.txt", "--calibration", tiny / "pictures", "--observer", "minmax", "--name", "net", "--output",
            tiny / "q", *more,
        )  # fmt: skip
        assert code == 0, err
        return tiny / "q" / "net_int8.pth"

    return make


def compiled(tiny, weights, *more):
    return (
        "compile", "--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", weights, "--labels",
        tiny / "names.txt", "--name", "net", "--output", tiny / "c", "--backend", "vendor", *more,
    )  # fmt: skip


def _calls(folder):
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


def test_the_documented_calls_are_made_in_their_order(tiny, sdk, checkpoint, export):
    """Fake device, cores, version, input format; quantize, load; trace without gradients, saved at the first call."""
    options = ("--channels", "bgra", "--target", "MLU270", "--core-number", "16", "--batch", "2")
    code, out, err = export(*compiled(tiny, checkpoint("--first-conv"), *options))
    assert code == 0, err
    assert _calls(sdk) == [
        ["set_device", -1],
        ["set_core_number", 16],
        ["set_core_version", "MLU270"],
        ["set_input_format", 2],
        ["quantize_dynamic_mlu", "Network", False],
        ["mlu_device"],
        ["mlu_device"],
        ["save_as_cambricon", "made"],
        ["trace", "torch.float16", [2, 3, 32, 64], False, False],
        ["call", [2, 3, 32, 64]],
        ["save_as_cambricon", ""],
    ]
    assert {Path(line).name for line in out.splitlines()} == {path.name for path in (tiny / "c").iterdir()}


def test_the_driver_runs_where_the_sdk_does():
    """Its syntax is that of Python 3.7, and it imports nothing but the standard library, torch and the SDK."""
    import ast

    import mlu_export.quantizer.backend as backend

    tree = ast.parse(Path(backend.__file__).with_name("driver.py").read_text(), feature_version=(3, 7))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    allowed = {"__future__", "json", "sys", "pathlib", "typing", "torch"}
    assert names <= {*allowed, "torch_mlu.core", "torch_mlu.core.mlu_model"}


def test_both_files_lie_in_one_bundle_and_each_runtime_takes_its_own(tiny, sdk, checkpoint, export):
    """The manifest names both with their digests; ours is the very one that is made without the SDK."""
    weights = checkpoint("--first-conv")
    assert export(*compiled(tiny, weights))[0] == 0
    spec = load_bundle(tiny / "c" / "net.cambricon")
    assert spec.on("simulator") is spec
    device = spec.on("device")
    assert device.path == tiny / "c" / "net.device.cambricon"
    assert (device.offline.kind, spec.offline.kind) == ("device", "simulator")
    assert device.sha256 == sha256_hex(device.path.read_bytes())
    assert (device.input, device.output, device.labels) == (spec.input, spec.output, spec.labels)
    assert (tiny / "c" / "net.device.cambricon_twins").read_text().startswith("This is the Twins File")
    assert export("bundle", tiny / "c" / "net.cambricon")[0] == 0
    packed = load_bundle(tiny / "c" / "net.bundle")
    assert packed.packed.index.hardware == (device.offline.target, "simulator")
    assert (packed.sha256, packed.on("device").sha256) == (spec.sha256, device.sha256)
    assert export(*[part for part in compiled(tiny, weights) if part not in ("--backend", "vendor")])[0] == 0
    alone = load_bundle(tiny / "c" / "net.toml")
    assert alone.device is None
    assert alone.on("device") is alone
    assert alone.sha256 == spec.sha256


@pytest.mark.parametrize("kind", ["half", "float"])
def test_the_sdk_is_given_the_network_that_was_calibrated(tiny, sdk, checkpoint, export, kind):
    """What the double computes in float on the traced input is what the float network computes."""
    from mlu_export.importers.darknet.cfg import parse_cfg
    from mlu_export.importers.darknet.importer import import_darknet
    from mlu_export.runners.float_graph import FloatRunner

    code, _, err = export(*compiled(tiny, checkpoint(), "--input", kind))
    assert code == 0, err
    given, *outputs = np.load(sdk / "computed.npz").values()
    assert given.dtype == {"half": np.float16, "float": np.float32}[kind]
    graph = import_darknet(parse_cfg(nets.TINY_CFG.encode(), "tiny.cfg"), nets.tiny_weights(), "").graph
    expected = FloatRunner(graph).run(given.astype(np.float32).transpose(0, 2, 3, 1))
    for output, wanted in zip(outputs, expected):
        assert np.allclose(output.transpose(0, 2, 3, 1), wanted, rtol=1e-5, atol=1e-5)


def test_yolov5_is_given_too(tiny, sdk, export):
    """The layout of its own modules, uneven layers and all."""
    from mlu_export.formats.recipe import Settings
    from mlu_export.formats.torch_file import read_torch
    from mlu_export.importers.yolov5.importer import import_yolov5, model_of
    from mlu_export.quantizer.backend import compile_for_device
    from mlu_export.quantizer.calibration import checkpoint_of
    from mlu_export.quantizer.scheme import Scheme
    from mlu_export.workflows.convert import module_state

    pickled = nets.save_pt(nets.YoloBuilder().checkpoint())
    model = import_yolov5(pickled, (64, 96))
    data, unseen = checkpoint_of(model, module_state(model_of(read_torch(pickled))), {}, 8, Scheme(firstconv=False))
    assert unseen
    settings = Settings("net", "yolov5n", ("a", "b"), 96, 64, "half", "rgb")
    made, _ = compile_for_device(model, settings, data, None)
    assert made[:4] == b"\x7fMEF"
    assert _calls(sdk)[-2] == ["call", [1, 3, 64, 96]]


@pytest.mark.parametrize(
    "quantize, options, environment, exit_code, sentence",
    [
        ((), (), {"PYTHONPATH": ":".join(filter(None, sys.path))}, 2, "torch_mlu is not installed"),
        ((), ("--vendor-python", "/nowhere/python"), {}, 2, "/nowhere/python"),
        ((), ("--input", "u8"), {}, 2, "--first-conv"),
        (("--first-conv",), ("--input", "half"), {}, 2, "without --first-conv"),
        (("--first-conv",), ("--channels", "rgb"), {}, 2, "--channels rgb"),
        ((), (), {"VENDOR_DOUBLE_FAILS": "1"}, 3, "CNML error: no such core version"),
        ((), (), {"VENDOR_DOUBLE_WIDTH": "60"}, 2, "was asked for"),
        ((), (), {"VENDOR_DOUBLE_IS_NONE": "1"}, 2, "no device code"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_nothing_is_written(
    tiny, sdk, checkpoint, export, monkeypatch, quantize, options, environment, exit_code, sentence
):
    """A user's mistake ends with code 2, one of the vendor's compiler with 3."""
    weights = checkpoint(*quantize)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    usual = () if "--input" in options or "--first-conv" in quantize else ("--input", "half")
    code, out, err = export(*compiled(tiny, weights, *usual, *options))
    assert (code, out) == (exit_code, "")
    assert sentence in err.splitlines()[-1]
    assert not (tiny / "c").exists()


WRONG_ENTRIES = (
    ("net.device.cambricon", "net.cambricon", "is not the digest"),
    ("net.device.cambricon", "../net.device.cambricon", "device.model"),
    ("[device]\nmodel", "[device]\nmodell", "device.modell"),
    ("[device]", "[divice]", "divice"),
)


def test_a_wrong_entry_of_the_manifest_is_told(tiny, sdk, checkpoint, export):
    """The device's file is checked as the simulator's is: its digest, its name and every key."""
    export(*compiled(tiny, checkpoint("--first-conv")))
    manifest = tiny / "c" / "net.toml"
    right = manifest.read_text()
    for old, new, sentence in WRONG_ENTRIES:
        assert old in right
        manifest.write_text(right.replace(old, new))
        with pytest.raises(DataError, match=sentence):
            load_bundle(manifest)


def test_a_file_for_the_simulator_is_no_file_for_a_device(tiny, sdk, checkpoint, export):
    """What stands in the place of device code is looked at."""
    export(*compiled(tiny, checkpoint("--first-conv")))
    manifest, ours = tiny / "c" / "net.toml", tiny / "c" / "net.cambricon"
    device = tiny / "c" / "net.device.cambricon"
    text = manifest.read_text().replace(sha256_hex(device.read_bytes()), sha256_hex(ours.read_bytes()))
    manifest.write_text(text)
    device.write_bytes(ours.read_bytes())
    with pytest.raises(DataError, match="holds a network for the simulator"):
        load_bundle(manifest)


def test_the_driver_also_runs_with_our_torch_mlu_and_its_model_computes_the_same(
    tiny, checkpoint, export, simulator_path, monkeypatch
):
    """``mlu-export run driver.py``: the same to the bit as compile (but for silu, two layers there)."""
    import shutil
    import subprocess

    import mlu_export.quantizer.backend as backend
    from mlu_agent.cnrt import open_library
    from mlu_agent.engine import Engine
    from mlu_export.formats.checkpoint import read_checkpoint
    from mlu_export.workflows.compile import prepare_checkpoint
    from mlu_export.workflows.request import Files, Form, Wanted

    (tiny / "tiny.cfg").write_text(nets.TINY_CFG.replace("swish", "leaky"))
    weights = checkpoint()
    assert export(*[part for part in compiled(tiny, weights, "--input", "half") if part not in ("--backend", "vendor")])
    files = Files("darknet", weights, tiny / "tiny.cfg")
    prepared = prepare_checkpoint(Wanted(files, Form(input="half", labels=tiny / "names.txt")))
    model, recipe = prepared.model, prepared.recipe
    plan = backend.make_plan(model, recipe.settings, read_checkpoint(weights))
    (tiny / "plan.json").write_text(json.dumps(plan))
    shutil.copy(weights, tiny / plan["checkpoint"])
    shutil.copy(Path(backend.__file__).with_name("driver.py"), tiny)
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    command = [sys.executable, "-m", "mlu_export.cli", "run", "driver.py", "plan.json"]
    done = subprocess.run(command, cwd=tiny, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs = []
    pixels = np.random.default_rng(1).random((1, 32, 64, 3)).astype(np.float16)
    for path in (tiny / "c" / "net.cambricon", tiny / "made.cambricon"):
        engine = Engine(open_library(str(simulator_path)), path, slots=1)
        try:
            slot = engine.acquire()
            slot.inputs[0][...] = pixels
            engine.submit(slot)
            slot = engine.collect()
            outputs.append([output.tobytes() for output in slot.outputs])
            engine.release(slot)
        finally:
            engine.close()
    assert outputs[0] == outputs[1]
