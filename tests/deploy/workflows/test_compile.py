"""``mlu-export quantize`` writes the vendor's checkpoint, and ``mlu-export compile`` makes a model of it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.deploy import nets

from mlu_agent.model.bundle import load_bundle
from mlu_export.formats.container_reader import read_network
from mlu_export.formats.pictures import other_kinds

pytestmark = pytest.mark.torch

KNOBS = {
    "plain": (),
    "int16": ("--bits", "16"),
    "per tensor": ("--per-tensor",),
    "averages": ("--use-avg",),
    "fewer pictures": ("--iterations", "2"),
    "a factor": ("--data-scale", "0.9"),
    "a factor per tensor": ("--data-scale", "1.25", "--per-tensor"),
    "a first convolution": ("--first-conv",),
    "everything": ("--use-avg", "--data-scale", "0.75", "--bits", "16", "--iterations", "2", "--first-conv"),
}


def quantize(tiny, *more, arch=("--arch", "darknet"), output="q"):
    return (
        "quantize", *arch, "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--labels",
        tiny / "names.txt", "--calibration", tiny / "pictures", "--name", "net", "--output", tiny / output, *more,
    )  # fmt: skip


def compiled(tiny, weights, *more):
    return (
        "compile", "--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", weights, "--labels",
        tiny / "names.txt", "--name", "net", "--output", tiny / "c", *more,
    )  # fmt: skip


def rebuilt(tiny, *more):
    return (
        "build", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--recipe",
        tiny / "q" / "net.recipe.toml", "--output", tiny / "b", *more,
    )  # fmt: skip


def checkpoint_in(folder):
    return next(folder.glob("net_int*.pth"))


class Fork:
    """The network of TINY_CFG as a port would write it for torch, with the key layout of the vendor's fork."""

    @staticmethod
    def make():
        import torch

        from mlu_export.importers.darknet.cfg import parse_cfg
        from mlu_export.importers.darknet.importer import import_darknet

        convolutions = {
            int(conv.name.split("_")[0]): conv
            for conv in import_darknet(
                parse_cfg(nets.TINY_CFG.encode(), "tiny.cfg"), nets.tiny_weights(), ""
            ).graph.convolutions()
        }

        class Network(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.module_list = torch.nn.ModuleList([torch.nn.Sequential() for _ in range(16)])
                for index, conv in convolutions.items():
                    out, inputs, kernel, _ = conv.weight.shape
                    layer = torch.nn.Conv2d(
                        inputs * conv.groups, out, kernel, conv.stride, conv.pad[:2], conv.dilation, conv.groups,
                        bias=conv.bias is not None,
                    )  # fmt: skip
                    state = {"weight": conv.weight, **({} if conv.bias is None else {"bias": conv.bias})}
                    layer.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
                    self.module_list[index].add_module("Conv2d", layer)
                    if conv.norm is not None:
                        norm = torch.nn.BatchNorm2d(out, eps=1e-5)
                        values = (conv.norm.gamma, conv.norm.beta, conv.norm.mean, conv.norm.variance)
                        keys = ("weight", "bias", "running_mean", "running_var")
                        state = {key: torch.from_numpy(value) for key, value in zip(keys, values)}
                        norm.load_state_dict({**state, "num_batches_tracked": torch.tensor(0)})
                        self.module_list[index].add_module("BatchNorm2d", norm)

            def forward(self, x):
                functional, part = torch.nn.functional, self.module_list
                first = functional.leaky_relu(part[0](x), 0.1)
                deep = functional.leaky_relu(part[1](first), 0.1)
                added = torch.relu(part[2](deep)) + deep
                x = functional.silu(
                    part[5](functional.max_pool2d(functional.pad(added, (0, 1, 0, 1), value=-9e9), 2, 2))
                )
                x = functional.max_pool2d(x, 3, 1, 1)[:, 6:]
                route = torch.cat([functional.interpolate(x, scale_factor=2), added], 1)
                return part[11](route), part[14](route)

        return Network().eval()


@pytest.mark.parametrize("knobs", KNOBS)
def test_the_checkpoint_is_what_the_vendors_quantizer_writes(tiny, export, knobs):
    """Key by key, in order, bit for bit: a port of the network through quantize_dynamic_mlu on the same pictures."""
    import torch

    from mlu_export.formats.checkpoint import read_checkpoint
    from mlu_export.formats.pictures import float_input, float_picture, list_pictures, read_picture
    from mlu_export.quantizer.dynamic import MLUConv2d, quantize_dynamic_mlu
    from mlu_export.values.graph import Graph
    from mlu_export.values.pixels import Preprocessing

    options = KNOBS[knobs]
    code, out, err = export(*quantize(tiny, "--observer", "minmax", *options))
    assert (code, err) == (0, "")
    assert out.splitlines() == [str(tiny / "q" / "net.recipe.toml"), str(checkpoint_in(tiny / "q"))]
    spec = {
        "iteration": 2 if "--iterations" in options else 3,
        "use_avg": "--use-avg" in options,
        "data_scale": float(options[options.index("--data-scale") + 1]) if "--data-scale" in options else 1.0,
        "per_channel": "--per-tensor" not in options,
        "firstconv": "--first-conv" in options,
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
    }
    bits = 16 if "--bits" in options else 8
    MLUConv2d.is_first_layer = True
    try:
        with pytest.warns(UserWarning, match="default mean") if spec["firstconv"] else torch.no_grad():
            module = quantize_dynamic_mlu(Fork.make(), spec, dtype=f"int{bits}", gen_quant=True)
    finally:
        MLUConv2d.is_first_layer = True
    entry = float_input(Graph((32, 64, 3), (), ()), Preprocessing())
    with torch.inference_mode():
        for path in list_pictures(tiny / "pictures"):
            picture = float_picture(read_picture(path), entry)[0]
            module(torch.from_numpy(np.ascontiguousarray(picture.transpose(0, 3, 1, 2))))
    wanted = module.state_dict()
    got = read_checkpoint(checkpoint_in(tiny / "q")).state_dict()
    assert checkpoint_in(tiny / "q").name == f"net_int{bits}.pth"
    assert [key for key in got if ".yolo_" not in key] == list(wanted)
    for key, value in wanted.items():
        assert got[key].dtype == value.dtype, key
        assert torch.equal(got[key], value.detach()), key
    observers = [key for key in got._metadata if key.endswith(".observer")]
    assert observers == [key for key in wanted._metadata if key.endswith(".observer")]


def test_the_yolo_layers_hold_what_the_fork_keeps_there(tiny, export):
    """Positions of the cells and anchors in units of the stride, under the section's number."""
    from mlu_export.formats.checkpoint import read_checkpoint

    export(*quantize(tiny, "--observer", "minmax"))
    held = read_checkpoint(checkpoint_in(tiny / "q")).tensors
    assert held["module_list.12.yolo_12.grid_x"].shape == (1, 1, 8 * 16, 1)
    assert held["module_list.12.yolo_12.grid_x"].ravel()[:18].tolist() == [*range(16), 0, 1]
    assert held["module_list.12.yolo_12.grid_y"].ravel()[:18].tolist() == [0] * 16 + [1, 1]
    assert held["module_list.12.yolo_12.scaled_anchors"].tolist() == [[2, 2.25], [4, 3]]  # 8,9 and 16,12 over 4
    assert held["module_list.15.yolo_15.anchor_h"].shape == (1, 2, 1, 1)


@pytest.mark.parametrize(
    "options",
    [
        *KNOBS.values(),
        ("--observer", "mse"),
        ("--keep-int16", "5_conv"),
        ("--keep-float", "11_conv", "--keep-int16", "0_conv"),
        ("--bits", "16", "--keep-float", "2_conv"),
        ("--keep-int16", "5_conv", "--data-scale", "0.9"),
    ],
    ids=" ".join,
)
def test_what_is_compiled_is_what_is_built(tiny, export, options):
    """From the checkpoint, and from the recipe that was written beside it: the same model, byte for byte."""
    observer = () if "--observer" in options else ("--observer", "minmax")
    assert export(*quantize(tiny, *observer, *options))[0] == 0
    code, out, err = export(*compiled(tiny, checkpoint_in(tiny / "q")))
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == [
        str(tiny / "c" / f"net.{end}") for end in ("cambricon", "cambricon_twins", "golden", "toml")
    ]
    assert sorted(path.name for path in (tiny / "c").iterdir()) == [
        "net.cambricon", "net.cambricon_twins", "net.golden", "net.toml",
    ]  # fmt: skip
    assert export(*rebuilt(tiny))[0] == 0
    for name in ("net.cambricon", "net.cambricon_twins"):
        assert (tiny / "c" / name).read_bytes() == (tiny / "b" / name).read_bytes()
    first, second = (load_bundle(tiny / folder / "net.cambricon") for folder in "cb")
    assert first.provenance["quantization"] == second.provenance["quantization"]
    assert first.provenance["weights"] == checkpoint_in(tiny / "q").name


def test_what_was_written_is_told_as_json_too(tiny, export):
    """By build and by compile: paths and digests."""
    import json
    from pathlib import Path

    from mlu_export.support.files import sha256_hex

    export(*quantize(tiny, "--observer", "minmax"))
    for words in (compiled(tiny, checkpoint_in(tiny / "q"), "--json"), rebuilt(tiny, "--json")):
        code, out, _ = export(*words)
        assert code == 0
        for entry in json.loads(out)["files"]:
            assert sha256_hex(Path(entry["path"]).read_bytes()) == entry["sha256"]


def test_files_of_other_kinds_among_the_pictures_are_counted_once(tiny, export):
    """Half a folder of AVIF would else be calibrated without, and nobody told."""
    code, _, err = export(*quantize(tiny, "--observer", "minmax"))
    assert (code, "other kinds" in err) == (0, False)
    for name in ("a.avif", "b.AVIF", "c.heic", ".DS_Store"):
        (tiny / "pictures" / name).write_bytes(b"x")
    (tiny / "pictures" / "folder.d").mkdir()
    code, _, err = export(*quantize(tiny, "--observer", "minmax", "--report", tiny / "r.html", output="again"))
    assert code == 0
    assert err.count("other kinds") == 1
    assert f"mlu-export: note: 3 files of other kinds in {tiny / 'pictures'} are left out: .avif, .heic\n" in err
    for number in range(6):
        (tiny / "pictures" / f"x.\x1b{number}").write_bytes(b"x")
    (tiny / "pictures" / "x").write_bytes(b"x")
    said = other_kinds(tiny / "pictures")
    assert said.startswith("10 files")
    assert said.endswith(" and 4 more")
    assert said.isprintable()


def test_a_checkpoint_without_pictures_is_for_compile(tiny, export):
    """build says so."""
    export(*quantize(tiny, "--observer", "minmax"))
    words = (
        "build",
        "--arch",
        "darknet",
        "--cfg",
        tiny / "tiny.cfg",
        "--weights",
        checkpoint_in(tiny / "q"),
        "--labels",
    )
    code, _, err = export(*words, tiny / "names.txt", "--output", tiny / "b")
    assert code == 2
    assert "mlu-export compile" in err


def test_options_of_compile_reach_the_model(tiny, export):
    """Input type, batch, target and cores are compile's to choose; precision is not."""
    export(*quantize(tiny, "--observer", "minmax"))
    options = ("--target", "MLU270", "--core-number", "16", "--batch", "2", "--input", "half", "--size", "96x64")
    assert export(*compiled(tiny, checkpoint_in(tiny / "q"), *options))[0] == 0
    spec = load_bundle(tiny / "c" / "net.cambricon")
    assert (spec.offline.target, spec.offline.parallelism, spec.batch, spec.input.dtype) == ("MLU270", 16, 2, "float16")
    assert (spec.input.width, spec.input.height) == (96, 64)
    assert export(*compiled(tiny, checkpoint_in(tiny / "q"), "--bits", "8"))[0] == 2


def test_a_checkpoint_can_be_quantized_anew(tiny, export):
    """Its weights are float: with other bits, from the same pictures, it is what the weights themselves give."""
    assert export(*quantize(tiny, "--observer", "minmax"))[0] == 0
    more = ("--observer", "minmax", "--bits", "16")
    assert export(*quantize(tiny, *more, output="from_weights"))[0] == 0
    words = quantize(tiny, *more, output="again")
    again = [tiny / "q" / "net_int8.pth" if word == tiny / "tiny.weights" else word for word in words]
    code, _, err = export(*again)
    assert (code, err) == (0, "")
    names = [tiny / folder / "net_int16.pth" for folder in ("from_weights", "again")]
    assert names[0].read_bytes() == names[1].read_bytes()


def _altered(path, change):
    """The checkpoint with its tensors changed."""
    import torch

    from mlu_export.formats.checkpoint import read_checkpoint, write_checkpoint

    state = read_checkpoint(path).state_dict()
    change(state, torch)
    write_checkpoint(path, state)


def _fill(key, value):
    return lambda state, torch: state[key].fill_(value)


WRONG = {
    "scale of zero": (_fill("module_list.5.Conv2d.scale", 0.0), "5_conv.*not a positive number"),
    "negative scale": (_fill("module_list.5.Conv2d.scale", -1.0), "not a positive number"),
    "scale of NaN": (_fill("module_list.5.Conv2d.scale", float("nan")), "NaN"),
    "weight scale of zero": (_fill("module_list.5.Conv2d.scale_weight_per_channel", 0.0), "not a positive number"),
    "tiny scale": (_fill("module_list.5.Conv2d.scale", 1e-44), "float32"),
    "NaN weights": (_fill("module_list.5.Conv2d.weight", float("nan")), "NaN"),
    "unknown mode": (_fill("module_list.5.Conv2d.quantized_mode", 7), "quantized_mode"),
    "missing weights": (lambda state, torch: state.pop("module_list.5.Conv2d.weight"), "module_list.5.Conv2d.weight"),
    "another network": (
        lambda state, torch: state.update({"module_list.5.Conv2d.weight": torch.ones(13, 4, 3, 3)}),
        "another|belong|layer",
    ),
    "scales of too few channels": (
        lambda state, torch: state.update({"module_list.5.Conv2d.scale_weight_per_channel": torch.ones(3)}),
        "3 weight scales",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_checkpoint_is_a_sentence_and_nothing_is_written(tiny, export, case):
    """Keys, shapes and values are checked before anything is built."""
    change, sentence = WRONG[case]
    export(*quantize(tiny, "--observer", "minmax"))
    path = checkpoint_in(tiny / "q")
    _altered(path, change)
    code, out, err = export(*compiled(tiny, path))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    import re

    assert re.search(sentence, err), err
    assert not (tiny / "c").exists()


def test_float_weights_are_sent_to_quantize_or_build(tiny, export):
    """Weights without scales are no checkpoint; the sentence names both ways on."""
    code, _, err = export(*compiled(tiny, tiny / "tiny.weights"))
    assert code == 2
    assert "no scales" in err
    assert "mlu-export quantize" in err
    assert "mlu-export build" in err


@pytest.mark.parametrize(
    "options, sentence",
    [
        (("--use-avg", "--observer", "mse"), "--use-avg"),
        (("--iterations", "0"), "whole number"),
        (("--data-scale", "0"), "above 0"),
    ],
)
def test_knobs_that_cannot_be_are_sentences(tiny, export, options, sentence):
    """A value out of its bounds is named, and nothing is written."""
    code, _, err = export(*quantize(tiny, *options))
    assert code == 2
    assert sentence in err
    assert not (tiny / "q").exists()


def test_a_checkpoint_of_yolov5_has_the_keys_of_its_own_modules(tiny, export):
    """In the order in which they are registered there, which is not that of execution."""
    from mlu_export.formats.checkpoint import read_checkpoint

    yolo = ("quantize", "--arch", "yolov5n", "--weights", tiny / "tiny.pt", "--size", "64", "--calibration",
            tiny / "pictures", "--observer", "minmax", "--name", "net", "--output", tiny / "q")  # fmt: skip
    assert export(*yolo)[0] == 0
    keys = list(read_checkpoint(checkpoint_in(tiny / "q")).tensors)
    assert keys[:6] == [
        "model.0.conv.weight", "model.0.conv.quantized_by_channel", "model.0.conv.scale_weight_per_channel",
        "model.0.conv.scale", "model.0.conv.quantized_mode", "model.0.bn.weight",
    ]  # fmt: skip
    modules = list(dict.fromkeys(".".join(key.split(".")[2:-2]) for key in keys if key.startswith("model.2.")))
    assert modules == ["cv1", "cv2", "cv3", "m.0.cv1", "m.0.cv2"]
    assert "model.9.m.0.bias" in keys


def test_a_recipe_remembers_the_factor_of_the_weights(tiny, export):
    """--data-scale per channel changes integer weights; per tensor it changes the inputs' scales alone."""
    weights = {}
    for name, options in {"none": (), "factor": ("--data-scale", "0.5")}.items():
        export(*quantize(tiny, "--observer", "minmax", *options, output="q"))
        export(*rebuilt(tiny, "--name", name))
        weights[name] = read_network((tiny / "b" / f"{name}.cambricon").read_bytes()).constants
    changed = [
        i for i, (a, b) in enumerate(zip(weights["none"], weights["factor"])) if a.dtype == np.int8 and (a != b).any()
    ]
    assert changed
    assert "data_scale = 0.5" in (tiny / "q" / "net.recipe.toml").read_text()
