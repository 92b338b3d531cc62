"""Mixed precision by rule, and the report that says where it pays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.deploy import nets

from mlu_agent.errors import UserError
from mlu_export.calibration.mixed import choose_layers, keep_layers
from mlu_export.importers.darknet.cfg import parse_cfg
from mlu_export.importers.darknet.importer import import_darknet
from mlu_export.lowering.lower import LowerOptions, lower
from mlu_export.runners.reference.network import run_network
from mlu_export.values import network as net
from mlu_export.values.ranges import LayerRange, Range, quantize_weights


@pytest.fixture
def graph():
    return import_darknet(parse_cfg(nets.TINY_CFG.encode(), "tiny.cfg"), nets.tiny_weights(), "").graph


def _weight_dtypes(network):
    return {
        operator.name: network.constants[operator.constants[0]].dtype
        for operator in network.operators
        if operator.opcode == net.CONV
    }


def test_kept_layers_have_wider_weights_and_the_others_stay(graph, ranges_of):
    """int16 and float32 where the rules say so, int8 elsewhere, float in depthwise layers as ever."""
    names = [conv.name for conv in graph.quantized()]
    ruled = keep_layers(graph, names[:2], names[1:3])
    assert names[1] not in {conv.name for conv in ruled.quantized()}
    dtypes = _weight_dtypes(lower(ruled, ranges_of(ruled), LowerOptions()))
    assert [dtypes[name] for name in names[:4]] == [np.int16, np.float32, np.float32, np.int8]
    assert all(dtypes[conv.name] == np.float32 for conv in graph.convolutions() if conv.is_depthwise)


def test_more_bits_come_nearer_to_the_float_network(graph):
    """Over the whole network: all float < all int16 < all int8, in distance from all float."""
    names = [conv.name for conv in graph.quantized()]
    pixels = np.random.default_rng(3).random((1, *graph.input_shape)).astype(np.float32)
    options = LowerOptions(input="float", channels="rgb")

    def run(rules):
        ruled = keep_layers(graph, *rules)
        return run_network(
            lower(ruled, {conv.name: Range(-60.0, 60.0) for conv in ruled.quantized()}, options), [pixels]
        )[0]

    exact = run(((), names))
    errors = [np.abs(run(rules) - exact).max() for rules in (((), ()), (names, ()), ((), names))]
    assert errors[0] > errors[1] > errors[2] == 0


def test_a_layer_range_has_rules_of_its_own():
    """Bits, granularity and the weights' magnitudes of a LayerRange come before those of the network."""
    weight = np.array([1.0, -2.0], np.float32).reshape(2, 1, 1, 1)
    done = quantize_weights(weight, LayerRange(-1.0, 1.0, 16, per_channel=False, weight_absmax=(4.0,)), 8, True, "x")
    assert done.weight.ravel().tolist() == [8192, -16384]
    assert done.scale.tolist() == [np.float32(4.0 / 32767**2)] * 2


def test_patterns_choose_layers_and_a_wrong_one_is_told(graph):
    """Shell patterns in execution order; the sentence names layers that exist."""
    assert choose_layers(graph, ["5_*", "0_conv"], "--keep-float") == ("0_conv", "5_conv")
    with pytest.raises(UserError, match=r"--keep-int16 '55_conv' matches no quantized layer; there are .*5_conv"):
        choose_layers(graph, ["55_conv"], "--keep-int16")
    with pytest.raises(UserError, match="does not exist in this network"):
        keep_layers(graph, ["gone"], ())


def test_build_keeps_layers_and_its_recipe_remembers(tiny, tiny_recipe, export):
    """--keep-int16 and --keep-float beside a recipe; the new recipe gives the same files without the options."""
    common = ("build", "--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg")
    first = export(
        *common, "--recipe", tiny_recipe, "--keep-int16", "5_conv", "--keep-float", "0_conv", "--output", tiny / "a"
    )
    assert first[0] == 0, first[2]
    assert 'quantization = "int8, per channel; int16: 5_conv; float: 0_conv"' in (tiny / "a" / "tiny.toml").read_text()
    assert export(*common, "--recipe", tiny / "a" / "tiny.recipe.toml", "--output", tiny / "b")[0] == 0
    for path in (tiny / "a").iterdir():
        assert path.read_bytes() == (tiny / "b" / path.name).read_bytes()
    code, _, err = export(
        *common, "--recipe", tiny / "a" / "tiny.recipe.toml", "--keep-float", "5_conv", "--output", tiny / "c"
    )
    assert code == 2
    assert "no range for" in err
    assert not (tiny / "c").exists()


@pytest.mark.torch
def test_the_report_tells_each_layers_noise_and_names_the_worst(tiny, export):
    """More bits, less noise; a layer in float is not in the report; the recipe builds without torch afterwards."""
    common = (
        "--arch", "darknet", "--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg", "--labels",
        tiny / "names.txt", "--calibration", tiny / "pictures", "--observer", "minmax",
    )  # fmt: skip
    reports = {}
    for name, more in (("int8", ()), ("mixed", ("--keep-int16", "5_*", "--keep-float", "0_conv"))):
        path = tiny / f"{name}.json"
        code, out, err = export(
            "quantize", *common, *more, "--name", name, "--output", tiny / "out", "--report", path
        )  # fmt: skip
        assert code == 0, err
        assert "signal to noise in dB" in out
        assert (tiny / "out" / f"{name}.recipe.toml").is_file()
        document = json.loads(path.read_text())
        reports[name] = {layer["name"]: layer for layer in document["layers"]}
        worst = min(document["layers"], key=lambda layer: layer["own"])
        assert document["worst"][0] == worst["name"]
        assert document["pictures"] == 3
    assert "0_conv" not in reports["mixed"]
    assert reports["mixed"]["5_conv"]["bits"] == 16
    assert reports["mixed"]["5_conv"]["own"] > reports["int8"]["5_conv"]["own"] + 40  # 8 bits are 48 dB
    assert 10 < reports["int8"]["0_conv"]["own"] < 60
    assert reports["int8"]["0_conv"]["own"] == pytest.approx(reports["int8"]["0_conv"]["network"])
    assert all(layer["clipped"] == 0 for layer in reports["int8"].values())  # minmax never clips what it saw


@pytest.mark.torch
def test_a_report_without_pictures_is_the_users_mistake(tiny, tiny_recipe, export):
    """One sentence, exit 2, nothing written."""
    code, _, err = export(
        "quantize", "--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg", "--recipe", tiny_recipe,
        "--output", tiny / "out", "--report", tiny / "r.json",
    )  # fmt: skip
    assert (code, (tiny / "out").exists()) == (2, False)
    assert "--calibration DIR" in err


@pytest.mark.torch
def test_the_search_proposes_layers_that_reach_the_target(tiny, export):
    """Quantizing again with what was proposed gives the promised ratio; an easy target needs no layer."""
    common = (
        "quantize", "--arch", "darknet", "--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg", "--labels",
        tiny / "names.txt", "--calibration", tiny / "pictures", "--observer", "minmax", "--output", tiny / "out",
        "--json",
    )  # fmt: skip
    easy = json.loads(export(*common, "--propose", "1")[1])["proposal"]
    assert easy["layers"] == []
    found = json.loads(export(*common, "--propose", easy["before"] + 3)[1])["proposal"]
    assert found["before"] == easy["before"]
    assert found["after"] >= found["target"] > found["before"]
    assert 0 < len(found["layers"]) < 8
    options = [part for name in found["layers"] for part in ("--keep-int16", name)]
    again = json.loads(export(*common, *options, "--propose", found["target"])[1])["proposal"]
    assert again["layers"] == []
    assert again["before"] == pytest.approx(found["after"])
