"""Learned weights as values and as a file: what rounds to the integers, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from mlu_agent.errors import DataError, UserError
from mlu_export.formats.learned import learned_bytes, parse_learned, read_learned
from mlu_export.support.files import sha256_hex
from mlu_export.values.graph import INPUT, BatchNorm, Conv, Graph
from mlu_export.values.learned import LearnedLayer, weight_tops, with_learned
from mlu_export.values.quantizer_parameters import QuantParameters
from mlu_export.values.ranges import Range, qmax_of, quantize_weights

SHAPE = (3, 2, 3, 3)


def graph(norm=True, bias=False, kept=None):
    weight = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    ones = np.ones(3, np.float32)
    conv = Conv(
        "a",
        (INPUT,),
        weight,
        ones if bias else None,
        BatchNorm(ones, ones, ones, ones, 1e-5) if norm else None,
        bits=kept,
    )
    return Graph((8, 8, 2), (conv,), ("a",))


def entered(layer, bits=8, per_channel=True, **kind):
    return with_learned(graph(**kind), {"a": layer}, bits, per_channel).nodes[0]


def full(codes, qmax, count):
    """Codes whose largest one of each scale is qmax."""
    rows = codes.reshape(count, -1).copy()
    rows[:, 0] = qmax
    return rows.reshape(SHAPE)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([8, 16]),
    st.booleans(),
    st.floats(2.0**-80, 2.0**80, width=32),
)
@settings(max_examples=200, deadline=None)
def test_float_weights_round_to_the_integers_that_were_learned_and_keep_their_scale(seed, bits, per_channel, top):
    """Under the vendor's formula: q = rint(w * qmax / absmax), absmax the weights' own, to the bit of float32."""
    rng, qmax = np.random.default_rng(seed), qmax_of(bits)
    count = 3 if per_channel else 1
    tops = (rng.uniform(0.5, 1, count) * top).astype(np.float32)
    codes = full(rng.integers(-qmax, qmax + 1, SHAPE).astype(np.int8 if bits == 8 else np.int16), qmax, count)
    weight = entered(LearnedLayer(codes, tops), bits, per_channel).weight
    assert np.array_equal(weight_tops(weight, qmax, per_channel), tops)
    unit = Range(-1.0, 1.0)
    found = quantize_weights(weight, unit, bits, per_channel, "a")
    assert np.array_equal(found.weight.transpose(0, 3, 1, 2), codes)
    scales = tuple((qmax / tops.astype(np.float64)).astype(np.float32).tolist())
    kept = QuantParameters(float(np.float32(qmax)), scales, (3 if per_channel else 1) + (bits == 16)).layer_range(
        weight
    )
    stored = quantize_weights(weight, kept, bits, per_channel, "a")  # as from a checkpoint, which has scales of float32
    assert np.array_equal(stored.weight, found.weight)
    assert np.array_equal(stored.scale, found.scale)


def test_norms_and_biases_are_replaced_and_the_rest_stays():
    """A gain and an offset are the batch norm's; without one the offset is the bias."""
    numbers = np.array([1, 2, 3], np.float32)
    conv = entered(LearnedLayer(gain=numbers, offset=2 * numbers))
    assert np.array_equal(conv.norm.gamma, numbers)
    assert np.array_equal(conv.norm.beta, 2 * numbers)
    assert np.array_equal(conv.norm.mean, np.ones(3))
    assert np.array_equal(conv.weight, graph().nodes[0].weight)
    assert np.array_equal(entered(LearnedLayer(offset=numbers), norm=False, bias=True).bias, numbers)


CODES = full(np.zeros(SHAPE, np.int8), 127, 3)
TOPS = np.ones(3, np.float32)


@pytest.mark.parametrize(
    "layer, kind, told",
    [
        (LearnedLayer(CODES), {}, "belong together"),
        (LearnedLayer(CODES[:2], TOPS), {}, "shape"),
        (LearnedLayer(CODES.astype(np.int16), TOPS), {}, "8 bits"),
        (LearnedLayer(CODES, TOPS), {"bits": 16}, "16 bits"),
        (LearnedLayer(CODES, TOPS), {"kept": 0}, "stay in float"),
        (LearnedLayer(CODES, TOPS[:1]), {}, "3 magnitudes"),
        (LearnedLayer(CODES, -TOPS), {}, "above 0"),
        (LearnedLayer(CODES, TOPS * np.inf), {}, "above 0"),
        (LearnedLayer(CODES - 1, TOPS), {}, "must be 127"),
        (LearnedLayer(np.full(SHAPE, -128, np.int8), TOPS), {}, "must be 127"),
        (LearnedLayer(np.zeros(SHAPE, np.int8), TOPS), {}, "the magnitude is 127"),
        (LearnedLayer(full(np.ones(SHAPE, np.int8), 127, 3), np.full(3, 1e-44, np.float32)), {}, "leave float32"),
        (LearnedLayer(gain=TOPS[:2]), {}, "3 finite numbers"),
        (LearnedLayer(offset=TOPS * np.nan), {}, "3 finite numbers"),
        (LearnedLayer(gain=TOPS), {"norm": False, "bias": True}, "no batch norm or no bias"),
        (LearnedLayer(offset=TOPS), {"norm": False}, "no batch norm or no bias"),
    ],
)
def test_what_does_not_fit_the_layer_is_refused_in_a_sentence_that_names_it(layer, kind, told):
    """A file of another network, of other bits, or damaged, never gives weights with another scale."""
    with pytest.raises(DataError, match=f"layer a .*{told}"):
        entered(layer, **kind)


def test_layers_of_another_network_are_refused():
    """A layer that the network has not."""
    with pytest.raises(DataError, match="another network: there is no layer 'b'"):
        with_learned(graph(), {"b": LearnedLayer()}, 8, True)


LAYERS = {
    "model.0.conv": LearnedLayer(CODES, TOPS, TOPS, TOPS),
    "1_conv": LearnedLayer(full(np.zeros(SHAPE, np.int16), 32767, 3), TOPS, None, TOPS),
    "2": LearnedLayer(None, None, None, TOPS),
}


@pytest.mark.torch
def test_the_file_gives_back_what_was_learned_and_has_the_same_bytes_each_time():
    """Values, types and the order of layers; names with dots, too."""
    data = learned_bytes(LAYERS)
    found = parse_learned(data)
    assert list(found) == list(LAYERS)
    for name, layer in LAYERS.items():
        for part, values in vars(layer).items():
            got = getattr(found[name], part)
            assert (got is None) if values is None else (got.dtype == values.dtype and np.array_equal(got, values))
    assert learned_bytes(found) == data


@pytest.mark.torch
@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_file_is_refused_or_still_fits(data):
    """Any bytes: values that are checked as they are entered, or DataError; nothing else is raised."""
    good = bytearray(_good())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    for hostile in (bytes(good), bytes(good[:cut])):
        with suppress(DataError):
            layers = parse_learned(hostile)
            named = {name.replace("model.0.conv", "a"): layer for name, layer in layers.items()}
            with_learned(graph(), named, 8, True)


_made = []


def _good():
    if not _made:
        _made.append(learned_bytes({"model.0.conv": LAYERS["model.0.conv"]}))
    return _made[0]


@pytest.mark.torch
def test_the_file_of_a_recipe_must_be_there_and_be_the_one_it_was_made_with(tmp_path):
    """Missing and changed files are told apart."""
    data = learned_bytes(LAYERS)
    (tmp_path / "net.learned").write_bytes(data)
    recipe = tmp_path / "net.recipe.toml"
    assert read_learned(recipe, "net.learned", sha256_hex(data)) == data
    with pytest.raises(DataError, match=r"is not the file that net\.recipe\.toml was made with"):
        read_learned(recipe, "net.learned", "0" * 64)
    with pytest.raises(UserError, match=r"other\.learned is missing"):
        read_learned(recipe, "other.learned", "0" * 64)


@pytest.mark.torch
def test_a_state_dict_of_something_else_is_refused():
    """Weights are no learned weights."""
    from mlu_export.formats.checkpoint import Checkpoint, checkpoint_bytes

    data = checkpoint_bytes(Checkpoint({"a.weight": np.ones(3, np.float32)}).state_dict())
    with pytest.raises(DataError, match=r"'a.weight' is none of learned weights"):
        parse_learned(data)


def test_codes_of_other_layers_are_not_touched():
    """What was learned of one layer changes that one alone."""
    both = replace(graph(), nodes=(*graph().nodes, replace(graph().nodes[0], name="b", groups=1)))
    found = with_learned(both, {"b": LearnedLayer(CODES, TOPS)}, 8, True)
    assert found.nodes[0] is both.nodes[0]
