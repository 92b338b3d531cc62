"""Heads of segmentation, poses and turned boxes in ONNX files."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.deploy.importers.test_onnx import detector, floats

from mlu_agent.config.fields import Fields
from mlu_agent.errors import UserError
from mlu_agent.model.bundle import Thresholds, load_bundle
from mlu_export.importers.onnx.graph import import_onnx
from mlu_export.values.heads import HeadRequest, read_request, request_of

pytestmark = pytest.mark.onnx


def with_prototypes(proto, count, name="prototypes"):
    """One output more, of a quarter of the input's sides, the last one."""
    proto.graph.node.append(helper.make_node("Conv", ["r", f"w{name}"], [name]))
    proto.graph.initializer.append(numpy_helper.from_array(floats(count, 8, 1, 1), f"w{name}"))
    proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return proto


SHAPED = {  # decode rule, network, what is asked beside, the tensors' fields, and what is told of masks and keypoints
    "outlines": ("yolov8-seg", with_prototypes(detector([64, 5, 6]), 6), (), "box classes coefficients", (6, 4)),
    "outlines, turned": (
        "yolov8-seg", with_prototypes(detector([6, 64, 5]), 6), (), "coefficients box classes", (6, 4)),
    "outlines together": ("yolov8-seg", with_prototypes(detector([75]), 6), (), "box+classes+coefficients", (6, 4)),
    "as many classes as distances": (
        "yolov8-seg", with_prototypes(detector([64, 64, 6]), 6), (), "box classes coefficients", (6, 4)),
    "pose": ("yolov8-pose", detector([64, 5, 12]), (), "box classes keypoints", (4, 3)),
    "pose of two numbers": ("yolov8-pose", detector([64, 5, 8]), (), "box classes keypoints", (4, 2)),
    "pose as it is asked for": ("yolov8-pose", detector([64, 5, 12]), (6, 2), "box classes keypoints", (6, 2)),
    "pose together": ("yolov8-pose", detector([64 + 5 + 51]), (), "box+classes+keypoints", (17, 3)),
    "turned boxes": ("yolov8-obb", detector([64, 5, 1]), (), "box classes angle", ()),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPED)
def test_heads_that_tell_more_than_boxes(case):
    """Which tensor holds what is told by its channels, or by the order of box, classes and the third where two fit."""
    decode, proto, keypoints, tensors, told = SHAPED[case]
    request = HeadRequest((), decode, (), (4, 8), keypoints=keypoints)
    made = import_onnx(proto.SerializeToString(), {}, None, request)
    layout = made.layout
    assert (made.classes, [head.stride for head in made.heads]) == (64 if "as many" in case else 5, [4, 8])
    assert layout.tensors == tuple(tuple(names.split("+")) for names in tensors.split())
    if told:
        assert told == ((layout.coefficients, layout.prototype_stride) if decode == "yolov8-seg" else layout.keypoints)
    root = Fields({"heads": request.table()}, "", [])
    assert (read_request(root.table("heads")), root.problems) == (request, [])


@pytest.mark.torch
@pytest.mark.parametrize("case", ["outlines", "outlines, turned", "pose as it is asked for", "turned boxes"])
def test_built_heads_tell_more_than_boxes(case, tiny, export, tmp_path):
    """The manifest says what the importer found, the agent reads it, and what it detects has shapes."""
    import cv2

    from mlu_agent.detector import Detector

    decode, proto, keypoints, *_ = SHAPED[case]
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "five.txt").write_text("a\nb\nc\nd\ne\n")
    asked = ["--decode", decode, "--strides", "4,8", "--labels", tmp_path / "five.txt", "--observer", "minmax"]
    asked += ["--keypoints", ",".join(map(str, keypoints))] if keypoints else []
    done = export("build", "--arch", "onnx", "--weights", tmp_path / "net.onnx", *asked,
                  "--calibration", tiny / "pictures", "--output", tmp_path)  # fmt: skip
    assert done[0] == 0, done[2]
    spec = load_bundle(tmp_path / "net.toml")
    names = tuple(one.name for one in spec.offline.outputs)
    wanted = (spec.output.keypoints,) if decode == "yolov8-pose" else ((),)
    assert request_of(spec) == HeadRequest(names, decode, (), (4, 8), "", *wanted)
    with Detector(tmp_path / "net.cambricon", thresholds=Thresholds(0.01)) as detector:
        found = detector.detect(cv2.imread(str(tiny / "pictures" / "0.png")))
    assert len(found) > 0
    assert found.shaped


@pytest.fixture
def eight(tmp_path):
    """A folder of as many pictures as it takes to judge some by others."""
    import cv2

    folder = tmp_path / "eight"
    folder.mkdir()
    rng = np.random.default_rng(4)
    for number in range(8):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (32, 32, 3), np.uint8))
    return folder


@pytest.mark.torch
@pytest.mark.parametrize("case", ["outlines", "pose", "turned boxes"])
def test_the_default_of_calibration_and_learning_judge_shaped_heads_by_all_tensors(case, eight, export, tmp_path):
    """Masks, keypoints and angles have no confidences to be compared by: every output has its say."""
    decode, proto, *_ = SHAPED[case]
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "five.txt").write_text("a\nb\nc\nd\ne\n")
    done = export("build", "--arch", "onnx", "--weights", tmp_path / "net.onnx", "--decode", decode, "--strides", "4,8",
                  "--labels", tmp_path / "five.txt", "--calibration", eight, "--learn", "4", "--workers", "1",
                  "--output", tmp_path)  # fmt: skip
    assert done[0] == 0, done[2]
    recipe = (tmp_path / "net.recipe.toml").read_text()
    assert "chosen of 5 rules; 6 pictures calibrate, 2 judge" in recipe
    assert "learned from 4 views, distance to float on 2 " in done[2]


WRONG = {
    "keypoints alone": (HeadRequest((), "yolov8", (), (4, 8), keypoints=(17, 3)), "belong to --decode yolov8-pose"),
    "strange keypoints": (HeadRequest((), "yolov8-pose", (), (4, 8), keypoints=(17, 4)), "--keypoints 17,4: give how"),
    "no prototypes": (HeadRequest(("small",), "yolov8-seg", (), (4, 8)), "the prototypes last"),
    "no angle": (HeadRequest((), "yolov8-obb", (), (4, 8)), "64 distances, the classes and 1 angle"),
}


@pytest.mark.parametrize("case", WRONG)
def test_heads_that_are_none_are_told(case):
    """One sentence with the option that is wrong."""
    request, text = WRONG[case]
    with pytest.raises(UserError, match=text):
        import_onnx(detector([16]).SerializeToString(), {}, None, request)


@pytest.mark.parametrize("decode, channels", [("yolov8-pose", [64, 5, 12]), ("yolov8-obb", [64, 5, 1])])
def test_what_the_agent_decodes_itself_must_come_from_the_convolution(decode, channels):
    """A head that the export decoded already would be decoded twice: it is refused by its name."""
    proto = detector(channels)
    for level in ("small", "large"):
        proto.graph.node.append(helper.make_node("Sigmoid", [f"{level}2"], [f"{level}done"]))
        next(one for one in proto.graph.output if one.name == f"{level}2").name = f"{level}done"
    with pytest.raises(UserError, match=r"output smalldone was computed with after the head's convolution; name the"):
        import_onnx(proto.SerializeToString(), {}, None, HeadRequest((), decode, (), (4, 8)))


def test_scores_cut_out_of_activated_ones_are_activated():
    """A slice only moves elements: what was a sigmoid before it is one behind it, and is not taken for logits."""
    proto = detector([64, 10])
    for name, values in (("from", [0]), ("to", [5]), ("axis", [1])):
        proto.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    for level in ("small", "large"):
        proto.graph.node.append(helper.make_node("Sigmoid", [f"{level}1"], [f"{level}s"]))
        proto.graph.node.append(helper.make_node("Slice", [f"{level}s", "from", "to", "axis"], [f"{level}cut"]))
        next(one for one in proto.graph.output if one.name == f"{level}1").name = f"{level}cut"
    made = import_onnx(proto.SerializeToString(), {}, None, HeadRequest((), "yolov8", (), (4, 8)))
    assert (made.classes, made.layout.activated) == (5, ("classes",))
