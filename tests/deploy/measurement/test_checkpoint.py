"""``mlu-export eval`` and ``bench`` of a quantized checkpoint, and of models that detect nothing."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from tests.deploy import nets

from mlu_agent.model.offline_model import read_offline_model

ARCH = ("--arch", "darknet")


@pytest.fixture
def checkpoint(tiny, tiny_annotations, export):
    """The small network's checkpoint, as ``quantize`` writes it; a function of further options."""

    def make(*more):
        code, _, err = export(
            "quantize", *ARCH, "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--labels",
            tiny / "names.txt", "--calibration", tiny / "pictures", "--observer", "minmax", "--name", "net",
            "--output", tiny / "q", *more,
        )  # fmt: skip
        assert code == 0, err
        return tiny / "q" / "net_int8.pth"

    return make


@pytest.fixture
def run(tiny, tiny_annotations, export):
    """Runs eval of a checkpoint over the annotated pictures."""

    def call(model, *more):
        return export(
            "eval", model, *ARCH, "--cfg", tiny / "tiny.cfg", "--labels", tiny / "names.txt", "--images",
            tiny / "pictures", "--annotations", tiny_annotations, *more,
        )  # fmt: skip

    return call


@pytest.mark.eval
@pytest.mark.torch
@pytest.mark.parametrize("options", [(), ("--first-conv",)], ids=["plain", "first convolution"])
def test_a_checkpoint_is_measured_online_and_beside_its_own_float_network(checkpoint, run, options):
    """Without more it runs layer by layer; its float weights are the network's, also where it normalises itself."""
    path = checkpoint(*options)
    code, out, err = run(path, "--json")
    assert code == 0, err
    assert (json.loads(out)["mode"], "note" in err) == ("online", False)
    code, out, err = run(path, "--compare", "float,online,offline", "--gate", "1", "--json")
    assert code == 0, err
    exact, online, offline = json.loads(out)["comparison"]
    assert online["map50_95"] == offline["map50_95"] == json.loads(run(path, "--json")[1])["map50_95"]
    assert abs(offline["map50"] - exact["map50"]) < 0.2
    assert exact["map50"] > 0.5


@pytest.mark.eval
@pytest.mark.torch
def test_other_float_weights_than_the_checkpoint_are_told(checkpoint, run, tiny):
    """Another file with the same float network is taken, and said; same figures."""
    path = checkpoint()
    own = json.loads(run(path, "--compare", "float", "--json")[1])
    code, out, err = run(path, "--compare", "float", "--weights", tiny / "tiny.weights", "--json")
    assert code == 0
    assert re.search(
        r"note: darknet.cambricon was made from net_int8.pth; tiny.weights is another file, and \d+ layers", err
    )
    assert json.loads(out)["map50_95"] == pytest.approx(own["map50_95"])


@pytest.mark.eval
@pytest.mark.torch
@pytest.mark.parametrize("made_from", ["checkpoint", "weights"])
def test_what_counts_of_float_weights_is_the_network_and_not_the_file(
    checkpoint, run, export, tiny, tiny_model, tiny_annotations, made_from
):
    """Of a model built from weights as of a checkpoint: a converted file is taken, that of another training is not."""
    if made_from == "checkpoint":
        path, call = checkpoint(), run
    else:
        path = tiny_model

        def call(model, *more):
            cfg = ("--cfg", tiny / "tiny.cfg")
            return export("eval", model, *cfg, "--images", tiny / "pictures", "--annotations", tiny_annotations, *more)

    converted = ("convert", *ARCH, "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights")
    assert export(*converted, "--output", tiny / "tiny.pth")[0] == 0
    code, _, err = call(path, "--compare", "float", "--weights", tiny / "tiny.pth")
    assert code == 0, err
    assert "have the same weights" in err
    (tiny / "other.weights").write_bytes(nets.tiny_weights(seed=99))
    code, out, err = call(path, "--compare", "float", "--weights", tiny / "other.weights")
    assert (code, out) == (2, "")
    assert "other.weights holds another float network than" in err
    assert "`mlu-export convert`" in err


@pytest.mark.torch
def test_a_checkpoint_is_timed_in_the_batch_that_is_asked_for(checkpoint, export, tiny):
    """It is compiled for --batch; nothing of the compiled model stays."""
    path = checkpoint()
    before = sorted(tiny.rglob("*"))
    code, out, err = export(
        "bench", path, *ARCH, "--cfg", tiny / "tiny.cfg", "--labels", tiny / "names.txt", "--batch", 4, "--count", 8,
        "--json",
    )  # fmt: skip
    assert code == 0, err
    assert (json.loads(out)["batch"], json.loads(out)["images"]) == (4, 8)
    assert sorted(tiny.rglob("*")) == before


@pytest.mark.eval
def test_a_model_file_needs_no_arch(tiny_model, run, export):
    """What belongs to a checkpoint is refused beside a model file."""
    code, out, err = run(tiny_model)
    assert (code, out) == (2, "")
    assert "--arch is for a checkpoint" in err
    code, _, err = export("bench", tiny_model, "--size", "64")
    assert code == 2
    assert "--size is for a checkpoint" in err


@pytest.mark.eval
def test_a_file_that_is_no_checkpoint_is_one_sentence(run, tiny):
    """An empty file, and a pickle of something else."""
    for content in (b"", b"\x80\x02}q\x00."):
        (tiny / "no.pth").write_bytes(content)
        code, out, err = run(tiny / "no.pth")
        assert (code, out) == (2, "")
        assert err.count("\n") == 1


@pytest.mark.eval
def test_a_model_without_heads_is_timed_but_not_evaluated(tiny, tiny_model, tiny_annotations, export, simulator_path):
    """Its outputs are tensors: eval refuses in a sentence, bench runs it without postprocessing."""
    manifest = tiny_model.with_suffix(".toml")
    text = manifest.read_text().replace('task = "detect"', 'task = "infer"')
    outputs = read_offline_model(tiny_model).outputs
    names = [f"out{number}" for number in range(len(outputs))]
    shapes = [list(np.array(output.shape)[[0, 3, 1, 2]].tolist()) for output in outputs]
    plain = f'[output]\nkind = "tensors"\nnames = {json.dumps(names)}\nshapes = {json.dumps(shapes)}\n\n[thresholds]'
    manifest.write_text(re.sub(r"\[output\].*?\[thresholds\]", plain, text, flags=re.DOTALL))
    code, out, err = export("bench", tiny_model, "--count", 2, "--runtime", simulator_path, "--json")
    assert code == 0, err
    assert json.loads(out)["images"] == 2
    code, out, err = export("eval", tiny_model, "--images", tiny / "pictures", "--annotations", tiny_annotations)
    assert (code, out) == (2, "")
    assert "no detection heads" in err
