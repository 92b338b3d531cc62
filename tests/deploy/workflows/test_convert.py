"""``mlu-export convert``: weights in, a float state dict out, and back to the same network."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tests.deploy import nets

from mlu_export.cli import main
from mlu_export.formats.checkpoint import read_checkpoint
from mlu_export.importers.darknet.archs import find_arch
from mlu_export.importers.source import import_model, read_source
from mlu_export.workflows.convert import same_network

pytestmark = pytest.mark.torch


def load(arch, weights, cfg=None):
    return import_model(find_arch(arch), read_source(find_arch(arch), Path(weights), cfg and Path(cfg)), None)


def test_the_help_names_the_networks_that_it_converts(capsys):
    """Neither onnx nor module, which are no networks of known keys."""
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    words = capsys.readouterr().out.partition("the network:")[2].partition("--weights")[0]
    assert "yolov5x" in words
    assert not {"onnx", "module"} & set(words.replace(",", " ").split())


@pytest.mark.parametrize("layout", ["vendor", "upstream"])
def test_darknet_weights_come_back_as_the_same_network(tiny, export, layout):
    """Converted and imported again: the same graph to the bit; torch of 1.3 reads no zip, so the file is none."""
    output = tiny / "tiny.pth"
    arguments = ("--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--layout", layout)
    code, out, err = export("convert", *arguments, "--weights", tiny / "tiny.weights", "--output", output)
    assert (code, out, err) == (0, f"{output}\n", "")
    assert output.read_bytes()[:2] == b"\x80\x02"
    before, after = (load("darknet", tiny / name, tiny / "tiny.cfg") for name in ("tiny.weights", "tiny.pth"))
    assert same_network(before.graph, after.graph)
    assert (before.heads, before.keys, after.warnings) == (after.heads, after.keys, ())
    again = tiny / "again.pth"
    assert export("convert", *arguments, "--weights", output, "--output", again)[0] == 0
    assert again.read_bytes() == output.read_bytes()


def test_the_keys_are_those_of_the_vendors_port_in_its_order(tiny, export):
    """Convolution, batch-norm, and in the yolo layers the grids and anchors that the port keeps as parameters."""
    output = tiny / "tiny.pth"
    arguments = ("--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights")
    assert export("convert", *arguments, "--output", output)[0] == 0
    tensors = read_checkpoint(output).tensors
    expected = nets.darknet_state()
    assert [key for key in tensors if "yolo" not in key] == list(expected)
    assert all((tensors[key] == expected[key]).all() for key in expected)
    assert list(tensors)[:6] == [
        "module_list.0.Conv2d.weight",
        "module_list.0.BatchNorm2d.weight",
        "module_list.0.BatchNorm2d.bias",
        "module_list.0.BatchNorm2d.running_mean",
        "module_list.0.BatchNorm2d.running_var",
        "module_list.0.BatchNorm2d.num_batches_tracked",
    ]
    grid = {key.rpartition(".")[2]: value for key, value in tensors.items() if ".yolo_15." in key}
    assert {key: value.shape for key, value in grid.items()} == {
        "grid_x": (1, 1, 32, 1),
        "grid_y": (1, 1, 32, 1),
        "scaled_anchors": (2, 2),
        "anchor_w": (1, 2, 1, 1),
        "anchor_h": (1, 2, 1, 1),
    }
    assert grid["grid_x"].ravel().tolist() == [float(cell % 8) for cell in range(32)]
    assert grid["grid_y"].ravel().tolist() == [float(cell // 8) for cell in range(32)]
    assert grid["scaled_anchors"].tolist() == [[0.5, 0.625], [1.0, 1.125]]


def test_the_public_port_has_its_anchors_in_pixels(tiny, export):
    """Its keys carry the section's number twice, and it keeps no grids."""
    output = tiny / "tiny.pth"
    arguments = ("--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights")
    assert export("convert", *arguments, "--layout", "upstream", "--output", output)[0] == 0
    tensors = read_checkpoint(output).tensors
    assert [key for key in tensors if "yolo" not in key] == list(nets.darknet_state("upstream"))
    heads = {key: value.tolist() for key, value in tensors.items() if "yolo_15" in key}
    assert heads == {
        "module_list.15.yolo_15.anchors": [[4.0, 5.0], [8.0, 9.0]],
        "module_list.15.yolo_15.anchor_grid": [[[[[4.0, 5.0]]], [[[8.0, 9.0]]]]],
    }


@pytest.mark.parametrize("release, act", [(3, "leaky_relu"), (3, "hardswish"), (4, "silu"), (6, "silu")])
def test_a_pickled_yolov5_becomes_its_state_dict(tmp_path, export, release, act):
    """The keys that the model's own state_dict() has; a release is named where the file cannot tell it."""
    from tests.deploy.importers import yolo_modules

    network = yolo_modules.network(release, act, classes=10).half()
    (tmp_path / "a.pt").write_bytes(yolo_modules.save({"model": network, "ema": None}))
    code, out, err = export(
        "convert", "--arch", "yolov5s", "--weights", tmp_path / "a.pt", "--output", tmp_path / "a.pth", "--json"
    )
    assert code == 0
    written = read_checkpoint(tmp_path / "a.pth").tensors
    state = network.state_dict()
    assert list(written) == list(state)
    assert all(np.array_equal(value, state[key].float().numpy()) for key, value in written.items())
    report = json.loads(out)
    assert report["tensors"] == len(state)
    assert report["values"] == sum(value.numel() for value in state.values())
    assert ("yolov5s@v3.0" in err) == (act == "leaky_relu")
    before, after = (
        load("yolov5s", tmp_path / "a.pt"),
        load("yolov5s@v3.0" if act == "leaky_relu" else "yolov5s", tmp_path / "a.pth"),
    )
    assert same_network(before.graph, after.graph)
    assert before.heads == after.heads


def test_a_model_built_from_the_converted_file_is_the_same(tiny, export):
    """The .cambricon has the same bytes; only the recipe and the manifest name other weights."""
    common = ("--arch", "darknet", "--cfg", tiny / "tiny.cfg")
    assert export("convert", *common, "--weights", tiny / "tiny.weights", "--output", tiny / "tiny.pth")[0] == 0
    calibration = ("--calibration", tiny / "pictures", "--labels", tiny / "names.txt", "--observer", "minmax")
    for kind in ("weights", "pth"):
        code, _, err = export(
            "build", *common, "--weights", tiny / f"tiny.{kind}", *calibration, "--output", tiny / kind
        )
        assert code == 0, err
    assert (tiny / "pth" / "darknet.cambricon").read_bytes() == (tiny / "weights" / "darknet.cambricon").read_bytes()


def test_a_network_that_its_state_dict_does_not_describe_is_told(tiny, export):
    """Wiring of its own: the state dict is written, and the note says what it is not good for."""
    code, _, err = export("convert", "--arch", "yolov5s", "--weights", tiny / "tiny.pt", "--output", tiny / "tiny.pth")
    assert code == 0
    assert "build from the .pt instead" in err


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--weights", "{}/tiny.weights", "--output", "{}/tiny.weights"), "is the file that is read"),
        (("--weights", "{}/tiny.weights", "--output", "{}/pictures"), "is a folder"),
        (("--weights", "{}/pictures", "--output", "{}/a.pth"), "cannot read the weights"),
        (("--weights", "{}/none", "--output", "{}/a.pth"), "cannot read the weights"),
        (("--weights", "{}/tiny.pt", "--output", "{}/a.pth"), "--arch yolov5s"),
        (("--weights", "{}/tiny.cfg", "--output", "{}/a.pth"), "not Darknet weights"),
        (("--weights", "{}/tiny.weights", "--output", "{}/tiny.cfg/a.pth"), "cannot create the output folder"),
    ],
)
def test_mistakes_are_a_sentence_and_nothing_is_written(tiny, export, arguments, sentence):
    """Exit code 2, one line, and the folder is as it was."""
    before = {path: path.read_bytes() for path in tiny.rglob("*") if path.is_file()}
    code, out, err = export(
        "convert", "--arch", "darknet", "--cfg", tiny / "tiny.cfg", *(text.format(tiny) for text in arguments)
    )
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in tiny.rglob("*") if path.is_file()} == before


def test_a_quantized_checkpoint_is_not_converted(tiny, export):
    """Its scales would be lost."""
    state = nets.darknet_state()
    state["module_list.0.Conv2d.scale"] = np.ones(2, "<f4")
    state["module_list.0.Conv2d.quantized_mode"] = np.ones(1, "<i4")
    (tiny / "int8.pth").write_bytes(nets.save_legacy(state))
    code, _, err = export(
        "convert", "--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "int8.pth",
        "--output", tiny / "a.pth",
    )  # fmt: skip
    assert code == 2
    assert "quantized checkpoint already" in err
    assert not (tiny / "a.pth").exists()


def test_a_full_or_forbidden_folder_leaves_nothing_behind(tiny, export, monkeypatch):
    """Written under a temporary name and renamed; a failure removes it."""

    def refuse(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    code, _, err = export(
        "convert", "--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights",
        "--output", tiny / "out" / "a.pth",
    )  # fmt: skip
    assert code == 2
    assert "No space left" in err
    assert list((tiny / "out").iterdir()) == []


@pytest.mark.shared
@pytest.mark.parametrize("arch, name", [("yolov3-tiny", "yolov3-tiny.weights"), ("yolov5n", "yolov5n.pt")])
def test_real_weights_come_back_as_the_same_network(shared_data, tmp_path, export, arch, name):
    """Every weight and every head of a real network survives the state dict."""
    weights = shared_data / "weights" / name
    assert export("convert", "--arch", arch, "--weights", weights, "--output", tmp_path / "a.pth")[0] == 0
    before, after = load(arch, weights), load(arch, tmp_path / "a.pth")
    assert same_network(before.graph, after.graph)
    assert before.heads == after.heads
