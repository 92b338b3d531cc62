"""Porting scripts through ``mlu-export run``: online, fused and offline results, files, sentences."""

from __future__ import annotations

import os

import numpy as np
import pytest
from tests.deploy.torch_mlu import scripts

from mlu_agent.model.bundle import load_bundle

pytestmark = pytest.mark.torch


def _expected(tmp_path):
    import torch

    return [one.numpy() for one in torch.load(tmp_path / "expected.pt")]


def _described(path):
    from mlu_agent.model.offline_model import read_offline_model

    return read_offline_model(path)


def test_quantise_save_load_trace_export_and_online_fused_offline_agree_to_the_bit(run, tmp_path, offline):
    """What the script asserts holds (online equals fused), and the MLU270 file gives the same bits."""
    done = run(scripts.HEADPOSE)
    assert done.returncode == 0, done.stderr
    assert "wrote net.cambricon" in done.stdout
    described = _described(tmp_path / "net.cambricon")
    assert (described.target, described.parallelism) == ("MLU270", 1)
    assert described.inputs[0].shape == (4, 14, 14, 3)
    assert [one.shape for one in described.outputs] == [(4, 1, 1, 10), (4, 1, 1, 3), (4, 4, 4, 16)]
    assert "Name: subnet0" in (tmp_path / "net.cambricon_twins").read_text()
    x, first, second, third = _expected(tmp_path)
    results = offline(tmp_path / "net.cambricon", x.transpose(0, 2, 3, 1))
    for result, wanted in zip(results, (first, second, third.transpose(0, 2, 3, 1))):
        np.testing.assert_array_equal(result.reshape(wanted.shape), wanted)


def test_detection_output_in_half_with_both_orders_of_arming_rearming_and_disarming(run, tmp_path, offline):
    """Armed after the trace, twice with different batches, disarmed, forgotten; 16 cores become an MLU220's 4."""
    done = run(scripts.YOLOV5)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*.cambricon")) == ["first.cambricon", "second.b1.cambricon"]
    first, second = _described(tmp_path / "first.cambricon"), _described(tmp_path / "folder" / "second.b1.cambricon")
    assert (first.target, first.parallelism, first.inputs[0].dtype) == ("MLU220", 4, "float16")
    assert (first.inputs[0].shape, second.inputs[0].shape) == ((2, 64, 64, 3), (1, 64, 64, 3))
    assert first.outputs[0].shape == (2, 1, 1, 764)
    assert "an MLU220 has 4 cores: the model is compiled for 4, not 16" in done.stderr
    assert "save_as_cambricon('forgotten') was called, but no traced model was called afterwards" in done.stderr
    x, boxes = _expected(tmp_path)
    (result,) = offline(tmp_path / "first.cambricon", x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(result.reshape(2, -1), boxes.reshape(2, -1))


def test_a_first_convolution_that_normalises_makes_a_file_of_bytes_in_the_chosen_order(run, tmp_path, offline):
    """Input format 2 is bgra: the file takes bytes, and gives what the fused call gave."""
    done = run(scripts.FIRSTCONV)
    assert done.returncode == 0, done.stderr
    described = _described(tmp_path / "pixels.cambricon")
    assert (described.inputs[0].shape, described.inputs[0].dtype) == ((2, 16, 16, 4), "uint8")
    spec = load_bundle(tmp_path / "pixels.cambricon")
    assert (spec.output.kind, spec.output.plain[0].shape, spec.input.channels) == ("tensors", (1, 8, 1, 1), "bgra")
    pixels, fused = _expected(tmp_path)
    stored = np.zeros((2, 16, 16, 4), np.uint8)
    stored[..., :3] = pixels.transpose(0, 2, 3, 1)[..., ::-1]
    (result,) = offline(tmp_path / "pixels.cambricon", stored)
    np.testing.assert_array_equal(result.reshape(fused.shape), fused)


def test_operators_of_other_networks_compute_what_torch_computes(run):
    """Grouped and transposed convolution, lone batch-norm, shuffles, pools, resizing, padding, reductions, softmax."""
    done = run(scripts.OPERATORS)
    assert done.returncode == 0, done.stderr


def test_operators_that_move_elements_and_tensors_made_on_the_device(run):
    """Online and fused, they give exactly what torch gives."""
    done = run(scripts.SHAPES)
    assert done.returncode == 0, done.stderr


def test_vectors_and_pictures_are_normalised(run):
    """With one scale for all channels, as a tracker's network has it, or one each."""
    done = run(scripts.NORMALIZE)
    assert (done.returncode, done.stderr) == (0, "")


def test_comparisons_and_choices_are_exact_online_and_fused(run):
    """>, <, >=, <=, ==, !=, where, masked_fill and logic, in both formats; none of them runs on the CPU."""
    done = run(scripts.COMPARISONS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "compared 60\n"


def test_constants_of_any_shape_take_part_in_a_network(run):
    """Added, multiplied, concatenated: near torch, and fused equal to online though traced with one picture."""
    done = run(scripts.CONSTANTS)
    assert done.returncode == 0, done.stderr


def test_attention_computes_what_torch_computes(run):
    """torch's own encoder layer, heads, and products written out: online equals fused, and nothing runs on the CPU."""
    done = run(scripts.ATTENTION)
    assert done.returncode == 0, done.stderr
    assert "runs on the CPU" not in done.stderr


def test_transposed_convolutions_stay_float_among_quantized_layers(run, tmp_path, offline):
    """Online, fused and offline agree to the bit; 16 bits elsewhere keep it within .001 of float."""
    done = run(scripts.UPSAMPLING)
    assert done.returncode == 0, done.stderr
    x, fused = _expected(tmp_path)
    (result,) = offline(tmp_path / "up.cambricon", x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(result.transpose(0, 3, 1, 2), fused)


@pytest.mark.parametrize(
    "call, said",
    [
        ("torch_mlu.core.mlu_quantize.adaptive_quantize(None, 10)", "quantize_dynamic_mlu"),
        ("ct.memory_allocated()", "torch_mlu.core.mlu_model.memory_allocated is not part of"),
        ("torch.ops.torch_mlu.roialign(1)", "torch.ops.torch_mlu.roialign is not among the operators here"),
        ("import torch_mlu.core.dumptool", "torch_mlu.core.dumptool is not part of"),
        ("ct.set_core_number(3)", "set_core_number(3): give 1, 4 or 16"),
        ("ct.save_as_cambricon('no/net')", "save_as_cambricon('no/net'): there is no folder no; create it first"),
        ("ct.save_as_cambricon('/nosuchdir/net')", "there is no folder /nosuchdir; create it first"),
        ("ct.set_core_version('MLU290')", "give one of MLU220, MLU270"),
        (
            "torch.jit.trace(lambda x: torch.cumsum(x, 1), torch.ones(1, 3).to('mlu'))(torch.ones(1, 3).to('mlu'))",
            "aten::cumsum, which the compiled network has no operator for",
        ),
        ("torch.nn.LSTM(2, 2).to('mlu')(torch.ones(1, 1, 2).to('mlu'))", "torch.lstm has no operator on the device"),
        ("torch.nn.Conv3d(1, 1, 1).to('mlu')(torch.ones(1, 1, 1, 1, 1).to('mlu'))", "torch.conv3d has no operator"),
        ("torch.ops.torch_mlu.conv3d()", "three-dimensional convolutions have no operator here"),
        ("torch.ones(2).to('mlu').numpy()", "bring the tensor to the CPU first"),
        (
            "torch.save({}, 'a.pth')\nfrom torch_mlu.core.utils import dump_utils\ndump_utils.save_data('.', 'cpu')",
            "save_data: no layer has given anything yet: call register_dump_hook(model), then the model",
        ),
        (
            "from torch_mlu.core.utils import dump_utils as d\nd.register_dump_hook(torch.nn.DataParallel(None), '7')",
            "register_dump_hook: the model has no layer '7'; it has",
        ),
        (scripts.WORKER, "uses the device, which is the script's own: let workers give CPU tensors"),
        ("torch.ones(4).to('mlu')[1:3].fill_(2)", "part of a tensor of the device is not supported"),
    ],
)
def test_what_is_not_there_is_one_sentence_that_names_it(run, call, said):
    """Exit code 2, no traceback."""
    done = run(scripts.missing(call))
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("mlu-export: ")
    assert said in last
    assert "Traceback" not in done.stderr


def test_a_refusal_within_an_operator_of_the_vendor_ends_the_script_with_its_sentence(run):
    """The commonest slip, own classes and a script that still says 80: one line, exit code 2."""
    call = "torch.ops.torch_mlu.yolov5_detection_output(*x, [10.0] * 18, 80, 18, 64, 64, 0.25, 0.45, 100)"
    done = run(scripts.missing(f"{scripts.HEADS}\n{call}"))
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line == (
        "mlu-export: yolov5_detection_output: a head has 45 channels; 3 anchors of 80 classes need 255: give "
        "num_classes 10, which these heads are for"
    )


def test_what_does_not_fit_an_operator_of_the_vendor_is_said_by_what_it_is(run):
    """Classes, anchors, heads, ranks, dtypes, devices, numbers: the reason is the refusal."""
    done = run(scripts.REFUSALS)
    assert done.returncode == 0, done.stderr


def test_detection_outputs_take_one_to_seven_heads(run):
    """As separate arguments, as the vendor declares three of them, or in a list: the boxes are the same."""
    done = run(scripts.ANY_HEADS)
    assert done.returncode == 0, done.stderr


def test_layers_of_several_widths_go_from_mixed_layer_to_the_file(run, tmp_path, offline):
    """Modes 2, 2, 0 and 1 in the checkpoint; online, fused and offline agree to the bit."""
    done = run(scripts.MIXED)
    assert done.returncode == 0, done.stderr
    x, fused = _expected(tmp_path)
    (result,) = offline(tmp_path / "net.cambricon", x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(result.reshape(fused.shape), fused)


@pytest.mark.parametrize(
    "call, asked",
    [
        ("torch.ones(2).to('mlu:99')", "mlu:99"),
        ("torch.ones(2).to(torch.device('mlu', 99))", "mlu:99"),
        ("torch.nn.Linear(2, 2).to(device='mlu:99')", "mlu:99"),
        ("torch.ones(2).mlu(99)", "mlu:99"),
        ("torch.arange(3, device='mlu:99')", "mlu:99"),
        ("torch.zeros(3, device='mlu:99')", "mlu:99"),
        ("ct.mlu_device(7)", "mlu_device(7)"),
        ("ct.set_device(7)", "set_device(7)"),
    ],
)
def test_another_number_of_device_is_the_only_one_and_that_is_said(run, call, asked):
    """As it is of set_device; number 0 goes without a word."""
    done = run(scripts.missing(call))
    assert done.returncode == 0, done.stderr
    assert f"mlu-export: warning: {asked}: there is one simulated device, and it is used" in done.stderr
    zero = run(scripts.missing(call.replace("99", "0").replace("7", "0")))
    assert (zero.returncode, zero.stderr) == (0, "")


def test_scripts_parallelise_load_with_workers_dump_layers_and_keep_traced_models_in_files(run, tmp_path):
    """nn.DataParallel calls its module, torch.jit.load gives a model that compiles for the device, and exports."""
    done = run(scripts.SURROUNDINGS)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("*.cambricon")} == {"device.pt.cambricon", "plain.pt.cambricon"}


def test_an_armed_export_whose_traced_model_failed_is_not_told_as_one_that_was_never_called(run):
    """What failed is the last line; before it stands that no file was written."""
    call = "ct.save_as_cambricon('net')\nx = torch.ones(1, 3).to('mlu')\n"
    done = run(scripts.missing(call + "torch.jit.trace(lambda x: torch.cumsum(x, 1), x)(x)"))
    assert done.returncode == 2
    assert "save_as_cambricon('net') wrote no file: the traced model that was to be it failed" in done.stderr
    assert "no traced model was called" not in done.stderr


def test_a_script_gets_its_arguments_and_its_exit_code_comes_back(run):
    """sys.argv, __name__ and sys.exit are as under python."""
    done = run(
        "import sys\nassert __name__ == '__main__'\nprint(sys.argv[1:])\nsys.exit(7)", "--mlu", "true", "-x", alone=True
    )
    assert (done.returncode, done.stdout.strip()) == (7, "['--mlu', 'true', '-x']")


def test_a_real_torch_mlu_is_never_shadowed(run, tmp_path, monkeypatch):
    """With one on the path, the script gets that one."""
    (tmp_path / "torch_mlu.py").write_text("REAL = True\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    done = run("import torch_mlu\nassert torch_mlu.REAL")
    assert done.returncode == 0, done.stderr
    assert "the vendor's torch_mlu is installed" in done.stderr
