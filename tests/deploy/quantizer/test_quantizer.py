"""The vendor's quantizer: ranges, modes, the first convolution, state dicts and the arithmetic of its layers."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.torch


@pytest.fixture
def torch():
    import torch

    torch.manual_seed(5)
    with torch.no_grad():
        yield torch


@pytest.fixture
def quantize(torch):
    """quantize_dynamic_mlu, in a process whose first convolution is still to come."""
    from mlu_export.quantizer.dynamic import MLUConv2d, quantize_dynamic_mlu

    MLUConv2d.is_first_layer = True
    yield quantize_dynamic_mlu
    MLUConv2d.is_first_layer = True


@pytest.fixture
def model(torch):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU(4), nn.Flatten(), nn.Linear(4 * 4 * 4, 5)
    ).eval()


def _observed(quantize, model, inputs, dtype="int8", **options):
    observing = quantize(model, {"firstconv": False, "iteration": 100, **options}, dtype=dtype, gen_quant=True)
    for values in inputs:
        observing(values)
    return observing


def _inputs(torch, *tops):
    """Tensors (1, 3, 6, 6) whose largest value is each ``top`` and whose smallest is -.25."""
    made = []
    for top in tops:
        values = torch.zeros(1, 3, 6, 6)
        values[0, 0, 0, :2] = torch.tensor([top, -0.25])
        made.append(values)
    return made


def test_the_range_is_the_largest_of_all_forward_calls(torch, quantize, model):
    """scale = 127 / max(high, -low) over the calls that were observed."""
    state = _observed(quantize, model, _inputs(torch, 1.0, 4.0, 2.0)).state_dict()
    assert state["0.scale"].tolist() == [np.float32(127 / 4), np.float32(127 / model[0].weight.abs().max().item())]


def test_iteration_counts_forward_calls_and_later_ones_are_ignored_and_said(torch, quantize, model, capsys):
    """With iteration 2 the third call changes nothing; the vendor's warning is printed."""
    observing = _observed(quantize, model, _inputs(torch, 1.0, 2.0, 8.0), iteration=2)
    assert observing.state_dict()["0.scale"][0] == np.float32(127 / 2)
    assert "reaches maxium img_num or iteration is in network" in capsys.readouterr().out


def test_averages_count_the_first_call_twice(torch, quantize, model):
    """use_avg: (2 x1 + x2 + x3) / 4 after three calls."""
    state = _observed(quantize, model, _inputs(torch, 1.0, 4.0, 2.0), use_avg=True).state_dict()
    assert state["0.scale"][0] == np.float32(127 / 2.0)


def test_data_scale_multiplies_inputs_and_per_channel_weights_only(torch, quantize, model):
    """A quirk of the vendor's: whole weight tensors are not multiplied, channels are."""
    inputs = _inputs(torch, 4.0)
    whole = _observed(quantize, model, inputs, data_scale=0.5).state_dict()["0.scale"].tolist()
    assert whole == [np.float32(127 / 2), np.float32(127 / model[0].weight.abs().max().item())]
    split = _observed(quantize, model, inputs, data_scale=0.5, per_channel=True).state_dict()
    tops = model[0].weight.abs().flatten(1).max(1)[0] * 0.5
    assert split["0.scale_weight_per_channel"].tolist() == pytest.approx((127 / tops).tolist(), rel=1e-6)


@pytest.mark.parametrize(
    "dtype, per_channel, in_file, loaded",
    [("int8", False, 1, 1), ("int16", False, 2, 2), ("int8", True, 1, 3), ("int16", True, 2, 4)],
)
def test_modes_are_written_as_one_or_two_and_read_as_one_to_four(
    torch, quantize, model, dtype, per_channel, in_file, loaded
):
    """Per-channel files say quantized_by_channel and hold the scales apart; the order differs in linear layers."""
    observing = _observed(quantize, model, _inputs(torch, 1.0), dtype, per_channel=per_channel)
    state = observing.state_dict()
    split = ["quantized_by_channel", "scale_weight_per_channel"] if per_channel else []
    assert [key[2:] for key in state if key.startswith("0.")] == ["weight", *split, "scale", "quantized_mode"]
    assert [key[2:] for key in state if key.startswith("4.")] == ["weight", "bias", "quantized_mode", *split, "scale"]
    assert state["0.quantized_mode"].tolist() == [in_file]
    assert state["0.quantized_mode"].dtype == torch.int32
    assert state["0.scale"].shape == (2,)
    assert (state["0.scale"][1].item() == 0.0) is per_channel
    running = quantize(model)
    running.load_state_dict(state)
    parameters = running[0].quant_parameters()
    assert parameters.mode == loaded
    assert parameters == observing[0].quant_parameters()
    assert len(parameters.weight_scale) == (4 if per_channel else 1)


def test_what_was_never_observed_has_scale_one_and_a_warning(quantize, model):
    """The vendor's text, with the layer's name in front."""
    observing = quantize(model, {"firstconv": False}, dtype="int8", gen_quant=True)
    with pytest.warns(UserWarning, match="Must run observer"):
        assert observing.state_dict()["0.scale"][0] == 1.0


def test_zeros_have_scale_one_and_nan_too_with_a_warning(torch, quantize, model):
    """A range of nothing is no range; a NaN that came first does not get lost behind later numbers."""
    zeros = _observed(quantize, model, [torch.zeros(1, 3, 6, 6)]).state_dict()
    assert zeros["0.scale"][0] == 1.0
    damaged = torch.full((1, 3, 6, 6), float("nan"))
    with pytest.warns(UserWarning, match="nan value"):
        assert _observed(quantize, model, [damaged, *_inputs(torch, 1.0)]).state_dict()["0.scale"][0] == 1.0


def test_the_first_convolution_of_a_process_folds_the_normalisation(torch, quantize, model):
    """input_mean and input_std are 255 times mean and std, [1, C, 1, 1]; the second model of the process gets none."""
    options = {"firstconv": True, "mean": [0.5, 0.25, 0], "std": [0.5, 1, 0.25]}
    first = _observed(quantize, model, _inputs(torch, 1.0), **options).state_dict()
    assert first["0.input_mean"].flatten().tolist() == [127.5, 63.75, 0.0]
    assert first["0.input_std"].shape == (1, 3, 1, 1)
    with pytest.warns(UserWarning, match="first convolution quantized in a process"):
        assert "0.input_mean" not in _observed(quantize, model, _inputs(torch, 1.0), **options).state_dict()


def test_a_folded_convolution_computes_on_pixels_what_the_float_one_computes_on_parts_of_one(torch, quantize, model):
    """Mean 0 and std 1 move the division by 255 into the layer; the vendor warns of these defaults."""
    pixels = torch.randint(0, 256, (1, 3, 6, 6)).float()
    with pytest.warns(UserWarning, match="default mean"):
        state = _observed(quantize, model, [pixels / 255], firstconv=True).state_dict()
    running = quantize(model)
    running.load_state_dict(state)
    assert running[0].quant_parameters().std == (255.0, 255.0, 255.0)
    assert torch.allclose(running[0].simulate(pixels), model[0](pixels / 255), atol=0.02)
    assert torch.equal(running[0].simulate(pixels.to(torch.uint8)), running[0].simulate(pixels.half()))


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"iteration": 0}, "number of forward calls"),
        ({"method": "kl"}, "one of minmax"),
        ({"data_scale": 0}, "above 0"),
        ({"firstconv": True, "mean": [104, 117, 124]}, "0 to 1"),
        ({"firstconv": True, "mean": None}, "needs mean and std"),
        ({"firstconv": True, "std": [0, 1, 1]}, "std above 0"),
    ],
)
def test_wrong_options_are_one_sentence(quantize, model, options, sentence):
    """A UserError of ours that is a ValueError as well."""
    from mlu_agent.errors import UserError

    with pytest.raises(ValueError, match=sentence) as caught:
        quantize(model, {"firstconv": False, **options}, dtype="int8", gen_quant=True)
    assert isinstance(caught.value, UserError)


def test_a_dtype_that_does_not_exist_is_refused_and_an_unknown_option_is_a_warning(quantize, model):
    """As the vendor's tool: "Unknow dtype for quantization"; misspelled options in the wild do not stop a script."""
    with pytest.raises(ValueError, match="Unknow dtype"):
        quantize(model, {}, dtype="int4", gen_quant=True)
    with pytest.raises(ValueError, match="Unknown qconfig_spec"):
        quantize(model, [], dtype="int8", gen_quant=True)
    with pytest.warns(UserWarning, match="perchannel"):
        quantize(model, {"perchannel": True, "firstconv": False}, dtype="int8", gen_quant=True)


def test_calibration_computes_the_float_network(torch, quantize, model):
    """On the CPU a quantized model gives the float outputs, to the bit, and the original is left alone."""
    values = torch.randn(2, 3, 6, 6)
    assert torch.equal(_observed(quantize, model, [values])(values), model(values))
    assert [type(layer).__name__ for layer in model] == ["Conv2d", "BatchNorm2d", "PReLU", "Flatten", "Linear"]


def test_layers_are_swapped_by_type_at_any_depth_and_by_name(torch, quantize):
    """Class names are the vendor's; the root is never swapped, which is said."""
    nn = torch.nn
    named = type("Conv2d", (nn.Conv2d,), {})
    inner = nn.ModuleDict({"a.b".replace(".", "_"): nn.Conv1d(2, 2, 1), "c": nn.Conv3d(2, 2, 1), "d": named(2, 2, 1)})
    swapped = quantize(nn.Sequential(inner, nn.Linear(2, 2), nn.ConvTranspose2d(2, 2, 2)))
    assert [type(layer).__name__ for layer in [*swapped[0].values(), *swapped[1:]]] == [
        "MLUConv1d", "MLUConv3d", "MLUConv2d", "MLULinear", "ConvTranspose2d",
    ]  # fmt: skip
    with pytest.warns(UserWarning, match="nothing was quantized"):
        assert type(quantize(nn.Linear(2, 2))) is nn.Linear


def test_a_bias_that_the_checkpoint_lacks_is_zero_and_missing_scales_are_missing_keys(torch, quantize, model):
    """Strict loading of a float file into a model that runs names the scales; a model that observes takes it."""
    running = quantize(model)
    running.load_state_dict(_observed(quantize, model, _inputs(torch, 1.0)).state_dict())
    assert running[0].bias.tolist() == [0.0] * 4
    with pytest.raises(RuntimeError, match=r"0\.scale"):
        quantize(model).load_state_dict(model.state_dict())
    assert "0.scale" in quantize(model).load_state_dict(model.state_dict(), strict=False).missing_keys
    quantize(model, {"firstconv": False}, dtype="int8", gen_quant=True).load_state_dict(model.state_dict())


def test_a_checkpoint_of_another_network_is_refused_by_name(torch, quantize, model):
    """Unknown keys, wrong shapes and scales that cannot be are told with the key."""
    from mlu_agent.errors import DataError

    state = _observed(quantize, model, _inputs(torch, 1.0)).state_dict()
    with pytest.raises(RuntimeError, match=r"0\.surplus"):
        quantize(model).load_state_dict({**state, "0.surplus": torch.zeros(1)})
    with pytest.raises(RuntimeError, match=r"size mismatch for 4\.weight"):
        quantize(model).load_state_dict({**state, "4.weight": torch.zeros(5, 5)})
    with pytest.raises(RuntimeError, match="cannot be"):
        quantize(model).load_state_dict({**state, "4.scale": torch.zeros(7)})
    running = quantize(model)
    running.load_state_dict({**state, "0.scale": torch.tensor([float("nan"), 1.0])})
    with pytest.raises(DataError, match="not a positive number"):
        running[0].quant_parameters()


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_the_other_observers_clip_what_is_rare(torch, quantize, model, method):
    """One value in many thousands is far outside: the range is nearer to the others than to it."""
    values = torch.rand(2000, 3, 6, 6) * 2 - 1
    values[0, 0, 0, 0] = 5.0
    options = {"method": method, "percentile": 99.9}
    scale = _observed(quantize, model, [values], **options).state_dict()["0.scale"][0].item()
    assert 127 / 4 < scale < 127 / 0.9


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("groups, per_channel", [(1, False), (2, True), (4, True)])
def test_a_layer_computes_what_the_integer_reference_computes(torch, quantize, dtype, half, groups, per_channel):
    """torch and the reference of native/ARITHMETIC.md give equal numbers, bit for bit: plain, grouped, depthwise."""
    from mlu_export.lowering.lower import LowerOptions, lower
    from mlu_export.runners.reference.network import run_network
    from mlu_export.values.graph import INPUT, Conv, Graph

    layer = torch.nn.Conv2d(4, 8, 3, stride=2, padding=(1, 2), dilation=(1, 2), groups=groups)
    values = torch.randn(2, 4, 9, 11)
    values = values.half() if half else values
    observing = _observed(
        quantize, torch.nn.Sequential(layer), [values.float()], dtype, per_channel=per_channel, data_scale=0.75
    )
    weight, bias = (tensor.numpy() for tensor in (layer.weight, layer.bias))
    node = Conv("conv", (INPUT,), weight, bias, None, (2, 2), (1, 2, 1, 2), (1, 2), groups)
    graph = Graph((9, 11, 4), (node,), ("conv",))
    ranges = {"conv": observing[0].quant_parameters().layer_range(weight)} if graph.quantized() else {}
    network = lower(graph, ranges, LowerOptions("half" if half else "float", "rgba", 2))
    expected = run_network(network, [values.permute(0, 2, 3, 1).numpy()])[0]
    got = observing[0].simulate(values)
    assert got.dtype == values.dtype
    assert np.array_equal(got.permute(0, 2, 3, 1).numpy(), expected)


def test_a_linear_layer_computes_over_the_last_axis(torch, quantize):
    """Integer-exact: the sum of products of rounded values, times the scale, plus bias."""
    layer = torch.nn.Linear(6, 3)
    values = torch.randn(2, 4, 6)
    observing = _observed(quantize, torch.nn.Sequential(layer), [values])
    parameters = observing[0].quant_parameters()
    x = np.clip(np.rint(values.numpy() * np.float32(parameters.input_scale)), -127, 127)
    top = np.abs(layer.weight.numpy().astype(np.float64)).max()
    w = np.rint(layer.weight.numpy().astype(np.float64) * (127 / top))
    scale = np.float32(127 / parameters.input_scale * top / 127**2)
    expected = (x.astype(np.float64) @ w.T).astype(np.float32) * scale + layer.bias.numpy()
    assert np.array_equal(observing[0].simulate(values).numpy(), expected)


def test_layers_named_in_mixed_layer_have_their_own_width(torch, quantize, model):
    """Keys are paths with commas between them; such a layer has one scale for all its weights, float16 has none."""
    spec = {"firstconv": False, "per_channel": True}
    observing = quantize(model, spec, "int8", gen_quant=True, mixed_layer={" 0 ,": "int16"})
    observing(*_inputs(torch, 2.0))
    state = observing.state_dict()
    top = model[0].weight.abs().max().item()
    assert state["0.scale"].tolist() == [np.float32(32767 / 2), np.float32(32767 / top)]
    assert (int(state["0.quantized_mode"]), "0.quantized_by_channel" in state) == (2, False)
    assert (int(state["4.quantized_mode"]), "4.quantized_by_channel" in state) == (1, True)
    loaded = quantize(model)
    wide = quantize(model, spec, "int16", gen_quant=True, mixed_layer={"4": "float16"})
    wide(*_inputs(torch, 2.0))
    loaded.load_state_dict(wide.state_dict())
    assert (loaded[4].quant_parameters(), loaded[4].quantized_mode.tolist()) == (None, [0])
    assert loaded[0].quant_parameters().bits == 16


@pytest.mark.parametrize(
    "mixed, said",
    [
        (["0"], "type.mixed_layer. must be dict, now is list"),
        ({0: "int16"}, "has the key 0; give the layers' paths"),
        ({"0": "int4"}, "mixed_layer.'0'. is 'int4'; give one of int8, int16, float16"),
        ({"0": 16}, "is 16; give one of int8, int16, float16"),
    ],
)
def test_a_mixed_layer_that_cannot_be_is_refused(quantize, model, mixed, said):
    """By what is wrong with it; also as a ValueError, like the vendor's."""
    with pytest.raises(ValueError, match=said):
        quantize(model, {"firstconv": False}, "int8", gen_quant=True, mixed_layer=mixed)


def test_a_path_of_mixed_layer_that_is_no_layer_is_a_warning(quantize, model):
    """It has no effect, as with the vendor's; the layers are named."""
    with pytest.warns(UserWarning, match=r"names '1', '9', which is no layer .*; the layers are 0, 4$"):
        quantize(model, {"firstconv": False}, "int8", gen_quant=True, mixed_layer={"1,9,0": "int16"})
    for key in ("", "0,,4"):
        with pytest.warns(UserWarning, match="names '', which is no layer"):
            quantize(model, {"firstconv": False}, "int8", gen_quant=True, mixed_layer={key: "int16"})
