"""What Darknet's rarer sections compute, against the same written down in numpy."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from mlu_agent.errors import DataError
from mlu_export.importers.darknet.cfg import parse_cfg
from mlu_export.importers.darknet.importer import import_darknet
from mlu_export.values.graph import infer_shapes

NET = "[net]\nwidth=64\nheight=32\n"
FIRST = "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n"
SECOND = "[convolutional]\nfilters=4\nsize=1\nactivation=linear\n"
HEAD = "[convolutional]\nfilters=7\nsize=1\nactivation=linear\n[yolo]\nanchors=4,5\nclasses=2\n"


def build(body, convolutions, tail=HEAD):
    """The model of a cfg whose convolutions are 1x1: (filters, inputs) each, and then the head's."""
    rng = np.random.default_rng(2)
    parts, weights = [struct.pack("<iiiq", 0, 2, 5, 0)], []
    for filters, inputs in convolutions:
        bias, weight = rng.normal(0, 1, filters).astype("<f4"), rng.normal(0, 1, (filters, inputs)).astype("<f4")
        parts += [bias.tobytes(), weight.tobytes()]
        weights.append((weight, bias))
    model = import_darknet(parse_cfg((NET + body + tail).encode(), "x.cfg"), b"".join(parts), "")
    return model, weights


def run(model):
    from mlu_export.runners.float_graph import FloatRunner

    picture = np.random.default_rng(3).random((1, 32, 64, 3), dtype=np.float32)
    return picture, FloatRunner(model.graph).run(picture)[0]


def apply(values, layer):
    return values @ layer[0].T + layer[1]


def assert_equal(got, wanted):
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.torch
def test_a_shortcut_may_name_several_layers():
    """All of them are added to the last one, then comes the activation."""
    body = FIRST + FIRST + FIRST + "[shortcut]\nfrom=-2,0\nactivation=leaky\n"
    model, (first, second, third, head) = build(body, [(6, 3), (6, 6), (6, 6), (7, 6)])
    x, got = run(model)
    a = apply(x, first)
    b = apply(a, second)
    total = apply(b, third) + b + a
    assert_equal(got, apply(np.where(total > 0, total, 0.1 * total), head))


@pytest.mark.torch
@pytest.mark.parametrize("own, other", [(6, 4), (4, 6)])
def test_a_shortcut_of_other_channels_adds_what_both_have(own, other):
    """Darknet adds as many channels as the shorter one has; the result has those of the layer before."""
    sizes = {6: FIRST, 4: SECOND}
    body = sizes[other] + sizes[own] + "[shortcut]\nfrom=-2\n"
    model, (first, second, head) = build(body, [(other, 3), (own, other), (7, own)])
    x, got = run(model)
    a = apply(x, first)
    b = apply(a, second)
    b[..., : min(own, other)] += a[..., : min(own, other)]
    assert_equal(got, apply(b, head))


@pytest.mark.torch
def test_sam_multiplies_and_scale_channels_weighs():
    """Squeeze and excitation: the mean of the picture, a convolution, its sigmoid as a factor per channel."""
    squeeze = "[avgpool]\n[convolutional]\nfilters=6\nsize=1\nactivation=logistic\n[scale_channels]\nfrom=0\n"
    attend = "[convolutional]\nfilters=6\nsize=1\nactivation=logistic\n[sam]\nfrom=-2\n"
    model, (first, weigh, point, head) = build(FIRST + squeeze + attend, [(6, 3), (6, 6), (6, 6), (7, 6)])
    x, got = run(model)
    a = apply(x, first)
    scaled = a / (1 + np.exp(-apply(a.mean((1, 2), keepdims=True), weigh)))
    assert_equal(got, apply(scaled / (1 + np.exp(-apply(scaled, point))), head))


@pytest.mark.torch
def test_local_averages_count_only_what_lies_inside():
    """A pool of 3x3 pads one pixel all around, which is not part of the mean."""
    model, (first, head) = build(FIRST + "[local_avgpool]\nsize=3\nstride=1\n", [(6, 3), (7, 6)])
    x, got = run(model)
    a = apply(x, first)[0]
    mean = np.zeros_like(a)
    for y in range(32):
        for z in range(64):
            mean[y, z] = a[max(y - 1, 0) : y + 2, max(z - 1, 0) : z + 2].mean((0, 1))
    assert_equal(got, apply(mean[None], head))


@pytest.mark.torch
def test_reorg3d_moves_squares_of_pixels_into_channels():
    """Channel k of the result is pixel (k / C / 2, k / C % 2) of each 2x2 square, channel k % C."""
    model, (first, head) = build(FIRST + "[reorg3d]\nstride=2\n", [(6, 3), (7, 24)])
    x, got = run(model)
    a = apply(x, first)
    parts = [a[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    assert_equal(got, apply(np.concatenate(parts, 3), head))
    assert model.heads[0].stride == 2


def test_rows_and_columns_may_have_strides_of_their_own():
    """Of convolutions and pools; padding is scaled with the dilation."""
    body = FIRST + "[maxpool]\nsize=2\nstride=2\nstride_x=1\nstride_y=4\n"
    with pytest.raises(DataError, match="does not divide"):
        build(body, [(6, 3), (7, 6)])
    wide = "[convolutional]\nfilters=6\nsize=3\npadding=1\ndilation=2\nactivation=linear\n"
    with pytest.raises(DataError, match="ends in layer"):
        build(wide, [])
    model, _ = build(FIRST, [(6, 3), (7, 6)])
    assert infer_shapes(model.graph)["1_conv"] == (32, 64, 7)


def test_heads_with_new_coords_are_decoded_as_yolov5_decodes():
    """The sigmoid before the head is left to the decoding, which sees logits then."""
    tail = "[convolutional]\nfilters=7\nsize=1\nactivation=logistic\n[yolo]\nanchors=4,5\nclasses=2\n"
    model, _ = build(FIRST, [(6, 3), (7, 6)], tail + "scale_x_y=2.0\nnew_coords=1\n")
    assert model.decode == "yolov5"
    assert (model.heads[0].tensor, model.heads[0].scale_x_y) == ("1_conv", 1.0)
    assert [node.name for node in model.graph.nodes] == ["0_conv", "1_conv"]
    old, _ = build(FIRST, [(6, 3), (7, 6)], tail + "scale_x_y=1.1\n")
    assert (old.decode, old.heads[0].tensor, old.heads[0].scale_x_y) == ("yolov3", "1_sigmoid", 1.1)
    for wrong, sentence in (
        (tail + "scale_x_y=1.1\nnew_coords=1\n", r"scale_x_y = 2\.0"),
        (HEAD + "scale_x_y=2.0\nnew_coords=1\n", "activation = logistic"),
        (tail + "scale_x_y=2\nnew_coords=1\n[route]\nlayers=0\n" + HEAD, "same in all heads"),
    ):
        with pytest.raises(DataError, match=sentence):
            build(FIRST, [(6, 3), (7, 6), (7, 6)], wrong)


@pytest.mark.parametrize(
    "body, sentence",
    [
        (FIRST + "[shortcut]\nfrom=\n", "from is missing"),
        (FIRST + FIRST + "[shortcut]\nfrom=-2\nweights_type=per_feature\n", "weighted shortcuts"),
        (FIRST + FIRST + "[sam]\nfrom=-2,-1\n", "one layer"),
        (FIRST + "[maxpool]\nsize=2\nstride=2\n[sam]\nfrom=-2\n", "cannot be multiplied"),
        (FIRST + "[maxpool]\nsize=2\nstride=2\n[shortcut]\nfrom=-2\n", "cannot be added"),
        (FIRST + "[reorg3d]\nstride=3\n", "does not divide"),
        (FIRST + "[reorg3d]\nstride=2\nreverse=1\n", "reverse = 1 is not supported"),
        (FIRST.replace("size=1", "size=1\nxnor=1"), "xnor = 1 is not supported"),
        (FIRST + FIRST.replace("size=1", "size=1\nshare_index=0"), "share"),
        (FIRST + "[maxpool]\nmaxpool_depth=1\n", "maxpool_depth"),
        (FIRST + "[avgpool]\n[scale_channels]\nfrom=0\nscale_wh=1\n", "scale_wh"),
        (FIRST + "[region]\nclasses=2\n", "head of YOLOv2"),
        (FIRST + "[Gaussian_yolo]\nclasses=2\n", "Gaussian YOLOv3"),
        (FIRST + "[crnn]\n", "recurrent"),
        (FIRST + "[upsample]\nstride=64\n" * 3, "impossible output shape"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(body, sentence):
    """Options that change what a layer computes are not passed over in silence."""
    with pytest.raises(DataError, match=sentence):
        build(body, [(6, 3), (6, 6), (7, 6), (7, 6)])


@pytest.mark.torch
def test_products_and_averages_run_in_the_model_file_as_in_float(ranges_of):
    """Lowered with float weights, the reference of the file gives what the float network gives."""
    from mlu_export.calibration.mixed import keep_layers
    from mlu_export.lowering.lower import LowerOptions, lower
    from mlu_export.runners.reference.network import run_network

    squeeze = "[avgpool]\n[convolutional]\nfilters=6\nsize=1\nactivation=logistic\n[scale_channels]\nfrom=0\n"
    pool = "[local_avgpool]\nsize=3\nstride=1\n[sam]\nfrom=-2\n"
    model, _ = build(FIRST + squeeze + pool, [(6, 3), (6, 6), (7, 6)])
    graph = keep_layers(model.graph, (), [conv.name for conv in model.graph.convolutions()])
    picture, wanted = run(model)
    network = lower(graph, {}, LowerOptions(input="float", channels="rgb"))
    assert_equal(run_network(network, [picture])[0], wanted)
