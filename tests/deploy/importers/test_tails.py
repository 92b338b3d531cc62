"""Exports that decode their own heads: recognised by what they compute, and cut at their head convolutions."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mlu_agent.errors import UserError
from mlu_agent.model.bundle import InputSpec, load_bundle
from mlu_agent.model.output_spec import HeadSpec, OutputSpec
from mlu_agent.postprocess.decode import HeadDecoder
from mlu_export.importers.onnx.graph import import_onnx
from mlu_export.recording.values import UnsupportedError
from mlu_export.values.heads import HeadRequest

pytestmark = [pytest.mark.onnx, pytest.mark.torch]


@pytest.fixture(scope="module")
def tails():
    from tests.deploy.importers import tails as made

    return made


_exports = {}


def exported(tails, case):
    """The file of a case, made once."""
    if case not in _exports:
        _exports[case] = tails.export(CASES[case][0](tails))
    return _exports[case]


def read(data, **asked):
    return import_onnx(data, {}, None, HeadRequest(**asked))


CASES = {
    "yolov8": (lambda t: t.Free(), "yolov8", (8, 16, 32)),
    "yolov8 of one distance": (lambda t: t.Free(reg_max=1), "yolov8", (8, 16, 32)),
    "of seventeen distances": (lambda t: t.Free(reg_max=17), "yolov8", (8, 16, 32)),
    "boxes and scores apart, of 1": (lambda t: t.Free(end="apart"), "yolov8", (8, 16, 32)),
    "the best chosen inside": (lambda t: t.Free(end="chosen"), "yolov8", (8, 16, 32)),
    "two levels": (lambda t: t.Free(strides=(8, 16)), "yolov8", (8, 16)),
    "yolov5": (lambda t: t.Anchored(), "yolov5", (8, 16, 32)),
    "yolov5 with its raw heads": (lambda t: t.Anchored(raw=True), "yolov5", (8, 16, 32)),
    "two levels of two anchors": (lambda t: t.Anchored(anchors=((5, 6, 7, 8.5), (20, 30, 40, 50))), "yolov5", (16, 32)),
    "yolov3": (lambda t: t.Anchored("yolov3"), "yolov3", (8, 16, 32)),
    "yolox": (lambda t: t.Yolox(decoded=True), "yolox", (8, 16, 32)),
    "yolox as its authors export it": (lambda t: t.Yolox(decoded=False), "yolox", (8, 16, 32)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_tail_is_cut_where_the_heads_begin(tails, case):
    """Rule, strides, anchors, distances and classes are the network's own, and one sentence says them."""
    make, rule, strides = CASES[case]
    net = make(tails)
    made = read(exported(tails, case))
    assert (made.decode, made.classes, tuple(head.stride for head in made.heads)) == (rule, tails.CLASSES, strides)
    assert made.layout.activated == ()
    if rule in ("yolov5", "yolov3"):
        np.testing.assert_allclose([head.anchors for head in made.heads], net.anchors.numpy(), rtol=1e-5)
    if rule == "yolov8":
        assert made.layout.reg_max == net.reg_max
    (note,) = made.notes
    assert f"--decode {rule} --outputs {','.join(made.request.outputs)}" in note
    assert "--decode none keeps" in note


@pytest.mark.parametrize("case", ["yolov8", "yolov5", "yolov3", "yolox"])
def test_the_agent_gives_the_boxes_that_the_export_gives(tails, case):
    """Of one picture, through the heads that were found: box for box, as ONNX's own reference computes them."""
    from onnx.reference import ReferenceEvaluator

    data = exported(tails, case)
    made = read(data)
    proto = onnx.load_from_string(data)
    picture = np.random.default_rng(0).uniform(0, 1, (1, 3, tails.SIZE, tails.SIZE)).astype(np.float32)
    (own,) = ReferenceEvaluator(proto).run(None, {"images": picture})
    own = own[0].T if case == "yolov8" else own[0]
    found = decode(made, heads_of(proto, made.request.outputs, picture), tails.SIZE)
    assert len(found.confidence) == len(own)
    centres = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2
    boxes = np.concatenate((centres, found.xyxy[:, 2:] - found.xyxy[:, :2]), axis=1)
    for row in own:
        assert np.abs(boxes - row[:4]).max(axis=1).min() < 0.01


def heads_of(proto, names, picture):
    """What ONNX's reference computes for tensors inside the network, as (height, width, channels)."""
    from onnx.reference import ReferenceEvaluator

    del proto.graph.output[:]
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    return [one[0].transpose(1, 2, 0) for one in ReferenceEvaluator(proto).run(None, {"images": picture})]


def decode(made, arrays, size):
    heads = tuple(HeadSpec(head.stride, np.array(head.anchors, np.float32).reshape(-1, 2)) for head in made.heads)
    spec = OutputSpec("yolo_heads", made.decode, heads, reg_max=made.layout.reg_max, tensors=made.layout.tensors)
    return HeadDecoder(spec, InputSpec(size, size), made.classes)(arrays, 1e-6)


def test_free_axes(tails):
    """A network of any size shows its tail for the size that is asked for, or that its exporter notes beside it."""
    data = tails.export(tails.Free(), free=True)
    with pytest.raises(UserError, match="say which with --size"):
        read(data)
    assert [head.stride for head in import_onnx(data, {}, (96, 64)).heads] == [8, 16, 32]
    proto = onnx.load_from_string(data)
    proto.metadata_props.add(key="imgsz", value="[32, 96]")
    assert import_onnx(proto.SerializeToString(), {}, None).graph.input_shape == (32, 96, 3)


def with_choice(data, operator, domain=""):
    """The same network with a choice of boxes of its own behind boxes and scores."""
    proto = onnx.load_from_string(data)
    boxes, scores = (one.name for one in proto.graph.output)
    own = proto.graph.node
    if operator == "NonMaxSuppression":
        own.append(helper.make_node("Transpose", [scores], ["turned"], perm=[0, 2, 1]))
        for name, value in (("most", np.array([20], np.int64)), ("overlap", np.array([0.9], np.float32))):
            proto.graph.initializer.append(numpy_helper.from_array(value, name))
        own.append(helper.make_node(operator, [boxes, "turned", "most", "overlap"], ["chosen"]))
    else:
        own.append(helper.make_node(operator, [boxes, scores], ["chosen"], domain=domain))
        proto.opset_import.add(domain=domain, version=1)
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_empty_tensor_value_info("chosen"))
    return proto.SerializeToString()


@pytest.mark.parametrize("operator, domain", [("NonMaxSuppression", ""), ("EfficientNMS_TRT", "TRT")])
def test_suppression_inside(tails, operator, domain):
    """Boxes and scores that enter a network's own suppression show what its heads are; the agent suppresses then."""
    made = read(with_choice(exported(tails, "boxes and scores apart, of 1"), operator, domain))
    assert (made.decode, made.classes, len(made.heads)) == ("yolov8", tails.CLASSES, 3)


def test_a_choice_of_too_many_is_not_tried(tails):
    """Boxes times classes times how many are chosen of each are bounded: what enters the choice shows the heads."""
    from mlu_export.importers.onnx.call import Call
    from mlu_export.importers.onnx.fold_tails import MOST_COMPARED, suppression

    def call(classes, most):
        scores = np.zeros((1, classes, 100), np.float32)
        boxes = np.array([[[0, 0, 1, 1]] * 100], np.float32)  # of which one is left
        inputs = (boxes, scores, np.array(most), np.array(0.5, np.float32))
        return Call("NonMaxSuppression", "choice", inputs, {}, 17, 1, {})

    assert len(suppression(call(2, 99))) == 2
    with pytest.raises(UnsupportedError, match=r"among boxes \(1, 100, 4\) of 26844 classes, 1000 each"):
        suppression(call(MOST_COMPARED // 10_000 + 1, 1000))


def test_another_rule_than_the_networks_own_is_refused(tails):
    """--decode, --strides and --anchors are checked against what the network computes."""
    data, old = exported(tails, "yolov8"), exported(tails, "yolov5")
    assert read(data, decode="yolov8", strides=(8, 16, 32)).classes == tails.CLASSES
    assert read(data, decode="yolov8").request.strides == (8, 16, 32)
    assert read(old, decode="yolov5").request.anchors == read(old).request.anchors
    for said, asked, text in (
        (data, {"decode": "yolox", "strides": (8, 16, 32)}, "computes its boxes as --decode yolov8 does"),
        (data, {"decode": "yolov8", "strides": (4, 8, 16)}, r"--strides: those of the network are \(8, 16, 32\)"),
        (old, {"decode": "yolov5", "anchors": (((1.0, 1.0),),) * 3}, "--anchors: those of the network"),
        (old, {"decode": "yolov3", "anchors": (((1.0, 1.0),) * 3,) * 3}, "as --decode yolov5 does"),
        (data, {"decode": "auto", "strides": (8,)}, "--strides belong to a rule, not to --decode auto"),
    ):
        with pytest.raises(UserError, match=text):
            read(said, **asked)


def test_outputs_as_they_are(tails):
    """--decode none keeps the network's own outputs."""
    made = read(exported(tails, "yolov5"), decode="none")
    assert (made.decode, made.heads, made.notes) == ("tensors", (), ())
    assert made.request == HeadRequest()


@pytest.mark.parametrize("kind", ["the decoded output", "its heads"])
def test_outputs_that_are_named_without_a_rule_are_told_to_be_plain(tails, kind):
    """With the heads to end at where others were named; --decode none and a classifier's outputs say it themselves."""
    data = exported(tails, "yolov8")
    heads, last = read(data).request.outputs, onnx.load_from_string(data).graph.output[0].name
    made = read(data, outputs=(last,) if kind == "the decoded output" else heads)
    assert made.decode == "tensors"
    (note,) = made.notes
    assert note.startswith("its outputs are taken as plain tensors; if they are detections, say --decode")
    assert (heads[0] in note) == (kind == "the decoded output")
    assert read(data, outputs=(last,), decode="none").notes == ()
    with pytest.raises(UserError, match=r"is \[1, .*\], which is no classifier's"):
        read(data, classify="softmax")
    with pytest.raises(UserError, match=r"--strides belong to .*; say which, or leave --strides out"):
        read(data, strides=(8, 16, 32))


ODD = {"shifted": lambda t: t.Free(offset=0.75), "of another power": lambda t: t.Anchored(power=0.5)}


@pytest.mark.parametrize("kind", ODD)
def test_what_no_rule_computes_is_not_believed(tails, kind):
    """Cells' centres or sides that differ from the rule's: plain outputs with a hint, or with auto a refusal that names
    the convolutions."""
    data = tails.export(ODD[kind](tails))
    made = read(data)
    assert made.decode == "tensors"
    (note,) = made.notes
    assert "its outputs are taken as plain tensors; if they are detections, say --decode" in note
    with pytest.raises(UserError, match=r"the convolutions before them are \S*heads.0.0/Conv_output_0 \[1, "):
        read(data, decode="auto")


@pytest.mark.parametrize("kind, fields", [
    ("yolov8-seg", "coefficients"), ("yolov8-pose", "keypoints"), ("yolov8-obb", "angle"),
])  # fmt: skip
def test_masks_key_points_and_angles_are_recognised(tails, kind, fields):
    """The third tensor of each level and, of masks, the prototypes as the network gives them; boxes alone by
    --decode yolov8."""
    data = tails.export(tails.Shaped(kind))
    made = read(data)
    assert (made.decode, made.classes, made.layout.reg_max) == (kind, tails.CLASSES, 1)
    assert made.layout.tensors == (("box",), ("classes",), (fields,))
    assert len(made.request.outputs) == 9 + (kind == "yolov8-seg")
    if kind != "yolov8-obb":
        boxes = read(data, decode="yolov8")
        assert (boxes.decode, len(boxes.request.outputs)) == ("yolov8", 6)
        assert "are left out" in boxes.notes[0]


@pytest.mark.parametrize("asked", [{}, {"decode": "auto"}, {"decode": "yolov8-pose"}])
def test_keypoints_are_those_that_the_tail_computes(tails, asked):
    """Twelve channels are four keypoints of three numbers or six of two: the tail tells, the note says it, --keypoints
    may say it and must not say otherwise, and metadata that does is told."""
    data = tails.export(tails.Shaped("yolov8-pose", (6, 2)))
    made = read(data, **asked)
    assert (made.decode, made.layout.keypoints, made.request.keypoints) == ("yolov8-pose", (6, 2), (6, 2))
    assert "--strides 8,16,32 --keypoints 6,2" in made.notes[0]
    proto = onnx.load_from_string(data)
    proto.metadata_props.add(key="kpt_shape", value="[4, 3]")
    said = read(proto.SerializeToString(), **asked)
    assert said.layout.keypoints == (6, 2)
    assert "its keypoints are 4,3, it is built with 6,2" in said.warnings[-1]
    if asked:
        assert read(data, keypoints=(6, 2), **asked).layout.keypoints == (6, 2)
        with pytest.raises(UserError, match=r"--keypoints: those of the network are \(6, 2\), not \(4, 3\)"):
            read(data, keypoints=(4, 3), **asked)


def test_keypoints_of_heads_that_no_tail_decodes_are_those_that_are_said(tails):
    """By --keypoints, else by the metadata."""
    data = tails.export(tails.Shaped("yolov8-pose", (6, 2)))
    heads = {"decode": "yolov8-pose", "outputs": read(data).request.outputs, "strides": (8, 16, 32)}
    proto = onnx.load_from_string(data)
    proto.metadata_props.add(key="kpt_shape", value="[6, 2]")
    assert read(data, keypoints=(6, 2), **heads).layout.keypoints == (6, 2)
    assert read(proto.SerializeToString(), **heads).layout.keypoints == (6, 2)
    assert read(data, **heads).layout.keypoints == (4, 3)


@pytest.mark.parametrize("kind", ["yolov8-seg", "yolov8-pose"])
def test_what_is_beside_boxes_is_believed_only_as_the_agent_computes_it(tails, kind):
    """Key points or coefficients that go through a softmax are none of the rule's: boxes alone, where that is said."""
    data = tails.export(tails.Shaped(kind, spoilt=True))
    with pytest.raises(UserError, match="such as masks or key points, which --decode yolov8 leaves out: say so"):
        read(data)
    with pytest.raises(UserError, match="computes its boxes as --decode yolov8 does"):
        read(data, decode=kind)
    assert len(read(data, decode="yolov8").heads) == 3


@pytest.mark.parametrize("case, rule, text", [
    ("yolov8", "yolov8", "a grid of cells"), ("yolov5", "yolov5", "a sigmoid"), ("yolox", "yolox", "a grid of cells"),
])  # fmt: skip
def test_a_decoded_output_is_not_taken_for_heads(tails, case, rule, text):
    """Also where the output is named: a second decoding would make nonsense of it."""
    data = exported(tails, case)
    name = onnx.load_from_string(data).graph.output[0].name
    more = {"anchors": (((1.0, 1.0),),)} if rule == "yolov5" else {"strides": (8, 16, 32)}
    with pytest.raises(UserError, match=f"output {name} is decoded in the network already .{text}"):
        read(data, decode=rule, outputs=(name,), **more)


def test_a_tail_that_cannot_be_compiled_is_refused_with_the_tensors_before_it(tails):
    """An operator of an unknown tail is named, and the head convolutions to end at."""
    with pytest.raises(UnsupportedError, match=r"a power of 3.*; its outputs are .* --outputs: \S*heads.0.0/Conv"):
        read(tails.export(tails.Anchored(power=3)))


def test_a_classifier_has_no_heads(tails):
    """Without anything like heads nothing is said; with auto it is refused."""
    import torch

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 8, 8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    data = tails.export(net)
    assert (read(data).decode, read(data).notes) == ("tensors", ())
    with pytest.raises(UserError, match="--decode auto: its outputs are none"):
        read(data, decode="auto")


def test_a_built_tail(tails, tiny, export, tmp_path):
    """The command says what was found; recipe, manifest and verification speak of the heads; a recipe of plain outputs
    stays one of plain outputs."""
    (tmp_path / "net.onnx").write_bytes(exported(tails, "two levels of two anchors"))
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    common = ("build", "--arch", "onnx", "--weights", tmp_path / "net.onnx")
    pictures = ("--calibration", tiny / "pictures", "--observer", "minmax")
    done = export(*common, "--labels", tmp_path / "names.txt", *pictures, "--output", tmp_path / "a")
    assert done[0] == 0, done[2]
    assert (
        "note: net.onnx: its outputs are boxes decoded from heads of yolov5 with 3 classes at strides 16,32" in done[2]
    )
    spec = load_bundle(tmp_path / "a" / "net.toml")
    np.testing.assert_allclose(spec.output.heads[0].anchors, [[5, 6], [7, 8.5]], rtol=1e-5)
    verified = export("verify", tmp_path / "a" / "net.cambricon", "--weights", tmp_path / "net.onnx")
    assert verified[0] == 0, verified[2]
    assert export(*common, *pictures, "--decode", "none", "--output", tmp_path / "plain")[0] == 0
    named = ("--outputs", ",".join(one.name for one in spec.offline.outputs))
    assert "taken as plain tensors" in export(*common, *pictures, *named, "--output", tmp_path / "named")[2]
    for made in ("a", "plain", "named"):
        again = export(*common, "--recipe", tmp_path / made / "net.recipe.toml", "--output", tmp_path / "again")
        assert (again[0], "note:" in again[2]) == (0, False), again[2]
        assert (tmp_path / "again" / "net.toml").read_bytes() == (tmp_path / made / "net.toml").read_bytes()
    refused = export(*common, *pictures, "--decode", "yolov3", "--anchors", "1,1/1,1", "--output", tmp_path / "b")
    assert (refused[0], "as --decode yolov5 does" in refused[2]) == (2, True), refused[2]


def test_the_pixels_of_yolox_are_a_warning_of_their_own(tails, tiny, export, tmp_path):
    """On a line that says what becomes of wrong ones, unless they are given."""
    (tmp_path / "net.onnx").write_bytes(exported(tails, "yolox"))
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    common = ("build", "--arch", "onnx", "--weights", tmp_path / "net.onnx", "--labels", tmp_path / "names.txt",
              "--calibration", tiny / "pictures", "--observer", "minmax", "--output", tmp_path / "a")  # fmt: skip
    for more, wanted in (((), 1), (("--std", "1"), 0), (("--colours", "bgr"), 0)):
        code, _, err = export(*common, *more)
        told = [line for line in err.splitlines() if "bgr" in line]
        assert (code, len(told)) == (0, wanted), err
        assert all("warning: built for pixels 0..1 in rgb; YOLOX" in line for line in told)
