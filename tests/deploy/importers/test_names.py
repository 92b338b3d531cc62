"""What networks of each kind are taken to call their classes: by the pickle, metadata, an attribute, a file beside."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tomllib
from hypothesis import given, settings, strategies as st
from tests.deploy import nets

from mlu_export.importers.yolov5.importer import import_yolov5

PAIR = ("no, helmet", "it's 安全帽")


@pytest.mark.parametrize("names, labels", [(list(PAIR), PAIR), ({"0": PAIR[0], "1": PAIR[1]}, PAIR), (None, None),
                                           (["one"], None), ({"names": list(PAIR)}, None)])  # fmt: skip
def test_a_pickled_model_calls_its_classes_what_it_says(names, labels):
    """Whatever form its trainer wrote; what does not fit is a problem to tell."""
    checkpoint = nets.YoloBuilder().checkpoint()
    checkpoint["model"].state["names"] = names
    model = import_yolov5(nets.save_pt(checkpoint), (64, 64))
    assert model.labels == labels
    assert bool(model.names_problem) == (labels is None and names is not None)


def test_a_build_refuses_names_that_do_not_fit(tiny, export):
    """With the file's own name and the option that helps."""
    checkpoint = nets.YoloBuilder().checkpoint()
    checkpoint["model"].state["names"] = ["cat", "dog", "cow"]
    (tiny / "own.pt").write_bytes(nets.save_pt(checkpoint))
    code, _, err = export("build", "--arch", "yolov5n", "--weights", tiny / "own.pt", "--calibration",
                          tiny / "pictures", "--size", "64", "--output", tiny / "a")  # fmt: skip
    assert (code, "3 names for 2 classes: give --labels FILE, one a line" in err) == (2, True)


@pytest.mark.torch
def test_names_beside_a_cfg_are_taken_and_said(tiny, export):
    """And --labels counts before them."""
    build = ("build", "--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights",
             "--calibration", tiny / "pictures", "--observer", "minmax", "--output", tiny / "a")  # fmt: skip
    (tiny / "obj.names").write_bytes("猫\n狗\n".encode("utf-16"))
    code, _, err = export(*build)
    assert (code, "note: classes are called as obj.names says" in err) == (0, True), err
    assert tomllib.loads((tiny / "a" / "darknet.toml").read_text())["labels"] == ["猫", "狗"]
    code, _, err = export(*build, "--labels", tiny / "names.txt")
    assert (code, "obj.names" in err) == (0, False)
    assert tomllib.loads((tiny / "a" / "darknet.toml").read_text())["labels"] == ["cat", "dog"]
    (tiny / "obj.names").write_text("one\n")
    code, _, err = export(*build)
    assert (code, "obj.names: 1 name for 2 classes: give --labels" in err) == (2, True)


@pytest.mark.torch
def test_a_module_is_asked_for_an_attribute(tiny):
    """Lists and tables; a property of the user's is no attribute, and nothing of it runs."""
    import torch

    from mlu_export.importers.module.names import names_of_module

    class Named(torch.nn.Module):
        CLASSES = ("a", "b")

        @property
        def names(self):
            raise AssertionError

    module = Named()
    assert names_of_module(module, 2) == (("a", "b"), 2, "the module's CLASSES")
    assert names_of_module(module, 0)[0] is None
    module.class_names = {0: "x", 1: "y"}
    assert names_of_module(module, 2)[0] == {0: "x", 1: "y"}
    plain = torch.nn.Identity()
    assert names_of_module(plain, 2)[0] is None
    plain.dataset_meta = {"classes": ["p", "q"]}
    assert names_of_module(plain, 2) == (["p", "q"], 2, "the module's dataset_meta")


# ---- ONNX ----


def onnx_detector(classes=2, size=("height", "width"), **metadata):
    """A network of one head without anchors and some metadata, every side a multiple of 8."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(1).normal(size=(64 + classes, 3, 8, 8)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["out"], strides=[8, 8])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *size])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    return model


def imported(decode="yolov8", size=(32, 32), **options):
    from mlu_export.importers.onnx.graph import import_onnx
    from mlu_export.values.heads import HeadRequest

    model = onnx_detector(**options)
    return import_onnx(model.SerializeToString(), {}, size, HeadRequest(decode=decode, strides=(8,)))


@pytest.mark.onnx
@pytest.mark.parametrize(
    "text",
    [
        str(dict(enumerate(PAIR))),
        str(list(PAIR)),
        str(PAIR),
        str({str(number): name for number, name in enumerate(PAIR)}),
        json.dumps(PAIR),
        json.dumps(PAIR, ensure_ascii=False),
        json.dumps(dict(enumerate(PAIR)), indent=1),
        "{0: 'no, helmet', 1: \"it's \\u5b89\\u5168\\u5e3d\",}",
    ],
)
def test_names_in_metadata_are_read_as_python_and_json_print_them(text):
    """Lists, tuples and tables by number."""
    model = imported(names=text)
    assert (model.labels, model.names_problem) == (PAIR, "")


@pytest.mark.onnx
@pytest.mark.parametrize(
    "text, problem",
    [
        ("{0: 'a'}", "its metadata (names): 1 name for 2 classes"),
        ("{0: 'a', 0: 'b'}", "its metadata (names) has a str where"),
        ("{0: ['a'], 1: 'b'}", "its metadata (names) has a str where"),
        ("[a, b]", "its metadata (names) has a str where"),
        ("__import__('os').system('touch proof')", "its metadata (names) has a str where"),
        ("[" * 100_000 + "]" * 100_000, "its metadata (names) has a str where"),
        ("{0: 'a', 1: 'b'", "its metadata (names) has a str where"),
        ("['a' 'b']", "its metadata (names) has a str where"),
        ("", "its metadata (names) has a str where"),
        ("x" * ((1 << 20) + 1), "its metadata (names)"),
        ("9" * 5000, "its metadata (names) has a"),
        ("," * ((1 << 20) - 1) + "'", "its metadata (names) has a str where"),
    ],
)
def test_names_in_metadata_that_are_none_are_told(text, problem):
    """Nothing of it is evaluated, and depth costs nothing."""
    model = imported(names=text)
    assert model.labels is None
    assert model.names_problem.startswith(problem)


@pytest.mark.onnx
def test_metadata_says_a_size_that_the_file_leaves_open():
    """Where nobody gives another, and where it fits what is fixed."""
    from mlu_agent.errors import DataError, UserError

    model = imported(size=None, imgsz="[32, 64]")
    assert model.graph.input_shape == (32, 64, 3)
    assert "64x32, as its metadata says" in model.notes[0]
    assert imported(size=None, imgsz="32").graph.input_shape == (32, 32, 3)
    assert imported(imgsz="[64, 64]").graph.input_shape == (32, 32, 3)
    for text in ("[32, 64, 3]", "[-32, 64]", "[0, 0]", "many", "[1e9, 3]", "['32', '64']"):
        with pytest.raises(UserError, match="any size: say which with --size"):
            imported(size=None, imgsz=text)
    with pytest.raises(DataError, match="its metadata says that pictures are 64x16640; up to 16384 a side enter"):
        imported(size=None, imgsz="[16640, 64]")


@pytest.mark.onnx
def test_metadata_that_says_otherwise_than_the_network_is_told():
    """Another stride, or a task whose objects are more than boxes."""
    assert imported(stride="8", task="detect", names=str(list(PAIR))).warnings == ()
    said = imported(stride="32", task="pose").warnings
    assert "its stride is 32, its heads have 8 at most" in said[0]
    assert "--decode yolov8-pose" in said[1]
    assert imported(stride="x" * 9).warnings == ()


@pytest.mark.onnx
@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="[](){}'\",:\\ 0a安\n", max_size=24))
def test_any_text_of_metadata_gives_names_or_a_problem(text):
    """Quotes, brackets and backslashes in any order."""
    from mlu_export.formats.labels import fitting_names
    from mlu_export.importers.onnx.metadata import _names

    labels, problem = fitting_names(_names(text), 2, "x")
    assert bool(labels) != bool(problem)


@pytest.mark.onnx
def test_keypoints_are_those_of_the_metadata():
    """A pose's channels tell not how many numbers each keypoint has."""
    from mlu_export.importers.onnx.metadata import read_metadata
    from mlu_export.values.heads import HeadRequest

    asked = HeadRequest(decode="yolov8-pose", strides=(8,))
    assert read_metadata(onnx_detector(kpt_shape="[5, 2]")).over(asked).keypoints == (5, 2)
    assert read_metadata(onnx_detector(kpt_shape="[5, 2")).over(asked).keypoints == ()
    given_by_hand = HeadRequest(decode="yolov8-pose", strides=(8,), keypoints=(3, 3))
    assert read_metadata(onnx_detector(kpt_shape="[5, 2]")).over(given_by_hand) == given_by_hand
