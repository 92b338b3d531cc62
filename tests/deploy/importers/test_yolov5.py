"""Reading YOLOv5 checkpoints without running anything of them."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from tests.deploy import nets

from mlu_agent.errors import DataError
from mlu_export.formats.torch_file import read_pt
from mlu_export.importers.source import _check_width
from mlu_export.importers.yolov5.importer import import_yolov5
from mlu_export.values.graph import Conv, infer_shapes


@pytest.fixture
def checkpoint():
    return nets.YoloBuilder().checkpoint()


def test_a_checkpoint_becomes_a_graph(checkpoint):
    """Layers, sources, strides, anchors in pixels, eps and names come from the file."""
    model = import_yolov5(nets.save_pt(checkpoint), (64, 96))
    shapes = infer_shapes(model.graph)
    assert [(head.stride, shapes[head.tensor]) for head in model.heads] == [(8, (8, 12, 21)), (16, (4, 6, 21))]
    assert model.heads[0].anchors == ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0))
    assert model.labels == ("cat", "dog")
    first = model.graph.nodes[0]
    assert isinstance(first, Conv)
    assert first.pad == (2, 2, 2, 2)
    assert first.norm.eps == 0.001
    nodes = {node.name: node for node in model.graph.nodes}
    assert nodes["2.m.0.add"].inputs == ("2.cv1.silu", "2.m.0.cv2.silu")
    assert nodes["5.concat"].inputs == ("5.cv1.silu", "5.m0", "5.m1", "5.m2")
    assert nodes["7_concat"].inputs == ("6_upsample", "3.silu")


def test_tensors_keep_their_values_and_strides():
    """float16 values arrive exactly; a transposed view is followed by its strides."""
    array = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    assert (read_pt(nets.save_pt({"x": array}))["x"] == array).all()


class _Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("call", [(os.system, "touch {}"), (eval, "open('{}', 'w')"), (exec, "open('{}', 'w')")])
def test_a_malicious_pickle_runs_nothing(tmp_path, call, protocol):
    """The name is refused before anything is called."""
    proof = tmp_path / "proof"
    data = nets.pt_archive(pickle.dumps({"model": _Runs(call[0], call[1].format(proof))}, protocol), {})
    with pytest.raises(DataError, match="refused"):
        read_pt(data)
    assert not proof.exists()


def test_names_of_harmless_modules_lead_nowhere_else():
    """A dotted name does not reach through a permitted module: torch.os.system is an inert record."""
    hostile = b"\x80\x04\x8c\x05torch\x94\x8c\x09os.system\x94\x93\x8c\x04true\x85R."
    read = read_pt(nets.pt_archive(hostile, {}))
    assert type(read).__mro__[1].__name__ == "Record"
    assert read.arguments == ("true",)


@pytest.mark.parametrize(
    "size, stride, offset",
    [((10**9, 10**9), (0, 0), 0), ((2, 2), (100, 1), 0), ((4,), (1,), 2), ((-1,), (1,), 0), ((2,), (-1,), 1)],
)
def test_a_tensor_may_not_reach_beyond_its_storage(size, stride, offset):
    """Sizes, strides and offsets are checked against the storage before memory is touched or taken."""

    def build(pickler):
        pickler.save(nets._Class("torch._utils", "_rebuild_tensor_v2"))
        pickler.write(b"((")
        for value in ("storage", nets._Class("torch", "FloatStorage"), "0", "cpu", 4):
            pickler.save(value)
        pickler.write(b"tQ")
        for value in (offset, size, stride, False, None):
            pickler.save(value)
        pickler.write(b"tR")

    import io

    stream = io.BytesIO()
    pickler = nets._Pickler(stream)
    pickler.write(b"\x80\x02")
    build(pickler)
    pickler.write(b".")
    with pytest.raises(DataError, match=r"cannot be|beyond"):
        read_pt(nets.pt_archive(stream.getvalue(), {"0": np.zeros(4, "<f4").tobytes()}))


@pytest.mark.parametrize("keep", [0, 10, 1000, -100])
def test_a_truncated_archive_is_refused(checkpoint, keep):
    """However much of it is left."""
    with pytest.raises(DataError):
        import_yolov5(nets.save_pt(checkpoint)[:keep], (64, 64))


def test_a_storage_of_the_wrong_size_is_refused(checkpoint):
    """Weights that end too early are truncated, not padded."""
    data = nets.save_pt(checkpoint)
    import io

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    storages = {name.split("/")[-1]: value for name, value in content.items() if "/data/" in name}
    storages["0"] = storages["0"][:-2]
    with pytest.raises(DataError, match="truncated"):
        import_yolov5(nets.pt_archive(content["archive/data.pkl"], storages), (64, 64))


def test_bit_flips_never_end_in_another_exception(checkpoint):
    """Whatever the pickle has become, DataError is all that comes out."""
    data = bytearray(nets.save_pt(checkpoint))
    start = data.index(b"archive/data.pkl") + 20
    rng = np.random.default_rng(5)
    for _ in range(300):
        copy = bytearray(data)
        for position in rng.integers(start, start + 3000, 3):
            copy[position] ^= 1 << int(rng.integers(8))
        # The zip's own CRC would catch it first: hand the pickle over in an archive of its own.
        end = copy.index(b"PK\x03\x04", start)
        try:
            import_yolov5(nets.pt_archive(bytes(copy[start:end]), {}), (64, 64))
        except DataError:
            continue


def test_other_contents_are_refused_with_a_sentence():
    """A plain state dict, a classifier, a torch archive of something else."""
    for content in ({"model": {"a": 1}}, [1, 2], {"epoch": 1}):
        with pytest.raises(DataError, match="no pickled YOLOv5 model"):
            import_yolov5(nets.save_pt(content), (64, 64))
    layers = nets.module("nn.Sequential", {"0": nets.YoloBuilder().conv(3, 8, f=-1, i=0)})
    with pytest.raises(DataError, match="no Detect"):
        import_yolov5(nets.save_pt({"model": nets.module("yolo.Model", {"model": layers})}), (64, 64))


def test_the_name_of_another_size_is_refused(checkpoint):
    """A published width under another size's name is told; a width that no size has passes under any name."""
    model = import_yolov5(nets.save_pt(checkpoint), (64, 64))
    _check_width("yolov5x", model)
    first = model.graph.nodes[0]
    assert isinstance(first, Conv)
    wide = replace(first, weight=np.zeros((16, *first.weight.shape[1:]), np.float32))
    small = replace(model, graph=replace(model.graph, nodes=(wide, *model.graph.nodes[1:])))
    _check_width("yolov5n", small)
    with pytest.raises(DataError, match="give --arch yolov5n"):
        _check_width("yolov5s", small)


def test_weights_that_are_not_finite_are_refused(checkpoint):
    """A NaN among the weights is told, not computed with."""
    sequence = checkpoint["model"].state["_modules"]["model"].state["_modules"]
    convolution = sequence["0"].state["_modules"]["conv"].state["_parameters"]
    convolution["weight"][0, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        import_yolov5(nets.save_pt(checkpoint), (64, 64))


def test_a_model_that_contains_itself_is_refused(checkpoint):
    """A pickle may be a circle."""
    builder = nets.YoloBuilder()
    ring = nets.module("nn.Sequential")
    ring.state["_modules"]["0"] = ring
    assert builder
    read = b"\x80\x02ctorch.nn.modules.container\nSequential\n)\x81q\x00}X\x08\x00\x00\x00_modules"
    read += b"}X\x01\x00\x00\x000h\x00ssb."
    looped = read_pt(nets.pt_archive(read, {}))
    from mlu_export.importers.yolov5.importer import _Builder

    with pytest.raises(DataError, match="not supported"):
        _Builder((64, 64, 3))._block(looped, "0", "input")


def test_a_zip_that_claims_too_much_is_refused_before_it_is_read():
    """Sizes in the zip's directory are added up first."""
    data = bytearray(nets.pt_archive(b"\x80\x02N.", {"0": bytes(64)}))
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 24, 0xFFFFFFF0)
    with pytest.raises(DataError, match="claims"):
        read_pt(bytes(data))


def last_layer(checkpoint):
    """The Detect of a checkpoint, as its pickle holds it."""
    layers = checkpoint["model"].state["_modules"]["model"].state["_modules"]
    return layers[list(layers)[-1]]


def test_a_segmentation_gives_its_boxes_and_says_so():
    """The mask coefficients behind each anchor's classes are left out of the heads' convolutions, with a warning."""
    plain = import_yolov5(nets.save_pt(nets.YoloBuilder().checkpoint()), (64, 96))
    builder = nets.YoloBuilder()
    checkpoint = builder.checkpoint()
    layer = last_layer(checkpoint)
    for convolution in layer.state["_modules"]["m"].state["_modules"].values():
        held = convolution.state["_parameters"]
        for key, array in held.items():
            apart = array.reshape(3, -1, *array.shape[1:])
            masks = np.full((3, 4, *array.shape[1:]), 9, array.dtype)
            held[key] = np.concatenate((apart, masks), axis=1).reshape(-1, *array.shape[1:])
    layer.state.update(nm=4, detect=getattr)
    layer.cls = type(layer.cls)("models.yolo", "Segment")
    made = import_yolov5(nets.save_pt(checkpoint), (64, 96))
    assert made.warnings == ("it is a segmentation network: its boxes are taken, its masks are left out",)
    assert made.classes == 2
    for one, other in zip(made.graph.convolutions(), plain.graph.convolutions()):
        np.testing.assert_array_equal(one.weight, other.weight)
    layer.state["nm"] = 400
    with pytest.raises(DataError, match="400 mask coefficients of a box cannot be"):
        import_yolov5(nets.save_pt(checkpoint), (64, 96))


@pytest.mark.parametrize("size", [(64, 96), (80, 96)])
def test_levels_that_do_not_divide_the_picture_are_told_with_a_size_that_fits(size):
    """A fourth level halves the picture once more: sizes that 64 does not divide are refused by that."""
    builder = nets.YoloBuilder()
    checkpoint = builder.checkpoint()
    with_four_levels(builder, checkpoint)
    data = nets.save_pt(checkpoint)
    if size[0] % 64 == 0:
        assert [head.stride for head in import_yolov5(data, (64, 128)).heads] == [8, 16, 32, 64]
    with pytest.raises(DataError, match=r"its 4 levels halve the picture down to 1/64, .* give --size 128x64"):
        import_yolov5(data, size)


def with_four_levels(builder, checkpoint):
    """Two more levels of stride 32 and 64, before Detect."""
    layers = checkpoint["model"].state["_modules"]["model"].state["_modules"]
    detect = layers.popitem()[1]
    for index, source in ((9, 5), (10, 9)):
        layers[str(index)] = builder.conv(16, 16, 3, 2, f=source, i=index)
    for number in ("2", "3"):
        detect.state["_modules"]["m"].state["_modules"][number] = builder.conv2d(16, 21, 1, 1, True)
    anchors = detect.state["_buffers"]["anchors"]
    detect.state["_buffers"]["anchors"] = np.concatenate((anchors, anchors))
    detect.state["f"] = [8, 5, 9, 10]
    layers["11"] = detect
