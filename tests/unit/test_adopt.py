"""``mlu-agent adopt``: a manifest from what a file tells and what a family assumes; what contradicts the file."""

from __future__ import annotations

import contextlib
import json
import shutil

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.containers import device_file

from mlu_agent.adopt.labels import MAX_FILE, read_labels
from mlu_agent.cli import main
from mlu_agent.errors import MluAgentError
from mlu_agent.model.bundle import load_bundle
from mlu_agent.model.label_sets import COCO, VOC

UINT8 = [((1, 416, 416, 4), "uint8")]
HALF = "float16"


def heads(*sides: int, channels: int = 255, batch: int = 1, dtype: str = "float32"):
    return [((batch, side, side, channels), dtype) for side in sides]


@pytest.fixture
def adopt(tmp_path, capsys):
    """Writes a container, adopts it with such options and gives (exit code, the bundle or None, what was said)."""

    def run(inputs, outputs, *options, labels=(), **more):
        model = tmp_path / "net.cambricon"
        model.write_bytes(device_file(inputs, outputs, **more))
        model.with_suffix(".toml").unlink(missing_ok=True)
        words = [str(option) for option in options]
        if labels:
            (tmp_path / "labels.txt").write_text("\n".join(labels))
            words += ["--labels", str(tmp_path / "labels.txt")]
        with contextlib.suppress(SystemExit):
            code = main(["adopt", str(model), *words])
            told = capsys.readouterr()
            return code, (load_bundle(model) if code == 0 else None), told.out + told.err
        return 2, None, capsys.readouterr().err

    return run


def anchors(spec):
    return [(head.stride, head.anchors.tolist()) for head in spec.output.heads]


def test_heads_come_in_any_order_and_are_known_by_their_size(adopt):
    """The published anchors are those of each head's stride, wherever it stands."""
    code, spec, told = adopt(UINT8, heads(52, 13, 26), "--as", "yolov3")
    assert code == 0
    assert anchors(spec) == [
        (8, [[10, 13], [16, 30], [33, 23]]),
        (32, [[116, 90], [156, 198], [373, 326]]),
        (16, [[30, 61], [62, 45], [59, 119]]),
    ]
    picture = spec.input
    assert (spec.labels, picture.channels, picture.resize, picture.pad_value) == (COCO, "rgba", "letterbox", 128)
    assert "assumed  the anchors are the published ones of yolov3 (--anchors)" in told
    assert "assumed  the 80 classes are those of coco" in told
    assert "known    output 1 (13x13x255): stride 32, 3 anchors x (5 + 80 classes)" in told


@pytest.mark.parametrize(
    "family, sides, decode, scales, resize",
    [
        ("yolov3", (13, 26), "yolov3", [1, 1], "letterbox"),
        ("yolov4", (52, 26, 13), "yolov3", [1.2, 1.1, 1.05], "stretch"),
        ("yolov4", (13, 26), "yolov3", [1.05, 1.05], "stretch"),
        ("yolov5", (52, 26, 13), "yolov5", [1, 1, 1], "letterbox"),
    ],
)
def test_families_bring_their_own_rule(adopt, family, sides, decode, scales, resize):
    """v4 is v3 with scale_x_y; sizes choose between a network and its tiny one."""
    _, spec, _ = adopt(UINT8, heads(*sides), "--as", family)
    assert (spec.output.decode, spec.input.resize) == (decode, resize)
    assert [head.scale_x_y for head in spec.output.heads] == pytest.approx(scales)


def test_what_is_said_goes_before_what_is_assumed(adopt):
    """Every option, and none of its assumptions is told."""
    floats = [((4, 416, 416, 3), HALF)]
    code, spec, told = adopt(
        floats, heads(26, 13, channels=2 * 7, batch=4, dtype=HALF), "--as", "yolov4", "--anchors", "1,2,3,4/5,6,7.5,8",
        "--scale-x-y", "1.5,1.25", "--channels", "bgr", "--mean", "1,2,3", "--std", "4", "--resize", "corner",
        "--pad", "7",
        "--confidence", ".3", "--iou", ".5", "--max-detections", "9", labels=("cat", "dog"), parallelism=4,
    )  # fmt: skip
    assert code == 0
    assert "assumed" not in told
    assert anchors(spec) == [(16, [[1, 2], [3, 4]]), (32, [[5, 6], [7.5, 8]])]
    assert [head.scale_x_y for head in spec.output.heads] == [1.5, 1.25]
    assert (spec.input.channels, spec.input.mean, spec.input.std) == ("bgr", (1, 2, 3), (4, 4, 4))
    assert (spec.input.resize, spec.input.pad_value, spec.input.dtype, spec.batch) == ("corner", 7, HALF, 4)
    assert (spec.labels, spec.thresholds.confidence) == (("cat", "dog"), 0.3)
    assert (spec.thresholds.iou, spec.thresholds.max_detections, spec.name) == (0.5, 9, "net")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(
    "family, coordinates, background",
    [("yolov3", "normalized", False), ("yolov5", "pixels", False), ("ssd", "normalized", True)],
)
def test_a_detection_output_is_known_by_its_length(adopt, family, coordinates, background, dtype):
    """64 + 7 numbers for each box; whose operator it is says what the coordinates are and where labels begin."""
    row = [((2, 1, 1, 64 + 7 * 100), dtype)]
    code, spec, told = adopt([((2, 300, 300, 3), HALF)], row, "--as", family, "--labels", "voc")
    assert code == 0
    output = spec.output
    assert (output.kind, output.max_boxes, output.coordinates) == ("detection_output", 100, coordinates)
    assert (output.background, spec.labels) == (background, VOC)
    assert "up to 100 boxes" in told


def test_a_row_of_another_length_is_no_detection_output(adopt):
    """One number more, and it is looked at as heads."""
    code, _, told = adopt(UINT8, [((1, 1, 1, 64 + 7 * 100 + 1), HALF)], "--as", "yolov3", "--labels", "voc")
    assert code == 2
    assert "output 0 (1x1x765): neither heads, which have a cell for each stride of the input, nor a detection" in told


YOLOV8 = {
    "whole": ([((1, 8, 8, 67), HALF), ((1, 4, 4, 67), HALF)], (("box", "classes"),), (), False),
    "split": ([((1, 8, 8, 64), HALF), ((1, 8, 8, 3), HALF), ((1, 4, 4, 64), HALF), ((1, 4, 4, 3), HALF)],
              (("box",), ("classes",)), (), False),
    "scores first": ([((1, 8, 8, 3), HALF), ((1, 8, 8, 64), HALF), ((1, 4, 4, 3), HALF), ((1, 4, 4, 64), HALF)],
                     (("classes",), ("box",)), (), False),
    "field by field": ([((1, 8, 8, 64), HALF), ((1, 4, 4, 64), HALF), ((1, 8, 8, 3), HALF), ((1, 4, 4, 3), HALF)],
                       (("box",), ("classes",)), (0, 2, 1, 3), False),
    "crossed": ([((1, 4, 4, 3), HALF), ((1, 8, 8, 64), HALF), ((1, 4, 4, 64), HALF), ((1, 8, 8, 3), HALF)],
                (("classes",), ("box",)), (0, 2, 3, 1), False),
    "distances": ([((1, 8, 8, 7), HALF), ((1, 4, 4, 7), HALF)], (("box", "classes"),), (), False),
    "joined": ([((1, 84, 1, 67), HALF)], (("box", "classes"),), (), True),
    "in columns": ([((1, 64, 1, 84), HALF), ((1, 3, 1, 84), HALF)], (("box",), ("classes",)), (), True),
}  # fmt: skip


@pytest.mark.parametrize("case", YOLOV8)
def test_fields_of_heads_without_anchors_are_known_by_their_channels(adopt, case):
    """However an exporter split them, and whatever order the outputs have."""
    outputs, tensors, order, joined = YOLOV8[case]
    code, spec, told = adopt([((1, 64, 64, 3), HALF)], outputs, "--as", "yolov8", labels=("a", "b", "c"))
    assert code == 0, told
    assert (spec.output.layout, spec.output.order, spec.output.joined) == (tensors, order, joined)
    assert spec.output.reg_max == {"distances": 1}.get(case, 16)
    assert "classes are logits (--activated classes where the network ends in a sigmoid)" in told


@pytest.mark.parametrize(
    "depths, tensors",
    [
        ((8,), (("box", "objectness", "classes"),)),
        ((4, 1, 3), (("box",), ("objectness",), ("classes",))),
        ((3, 4, 1), (("classes",), ("box",), ("objectness",))),
        ((5, 3), (("box", "objectness"), ("classes",))),
    ],
)
def test_yolox_is_known_by_its_objectness(adopt, depths, tensors):
    """One channel of it, in a tensor of its own or not; pictures as its authors have them."""
    outputs = [((1, side, side, depth), "float32") for side in (8, 4, 2) for depth in depths]
    code, spec, _ = adopt(
        [((1, 64, 64, 3), "float32")], outputs, "--as", "yolox", "--activated", "objectness", labels=("a", "b", "c")
    )
    assert code == 0
    assert (spec.output.layout, spec.output.activated) == (tensors, ("objectness",))
    assert (spec.input.channels, spec.input.resize, spec.input.std) == ("bgr", "corner", (1, 1, 1))


FACES = [((1, 4, 1, 16800), "float32"), ((1, 2, 1, 16800), "float32"), ((1, 10, 1, 16800), "float32")]


def test_retinaface_as_the_vendors_compiler_leaves_it(adopt):
    """Boxes, scores and landmarks of all priors in columns; the landmarks are not read."""
    code, spec, told = adopt([((1, 640, 640, 3), "float32")], FACES, "--as", "retinaface")
    assert code == 0
    priors = spec.output.priors
    assert (priors.joined, priors.softmaxed, priors.tensors) == (True, True, (("box",), ("classes",)))
    assert (spec.output.order, spec.labels, spec.input.mean) == ((0, 1), ("face",), (104, 117, 123))
    assert [level.anchors.tolist()[0] for level in priors.levels] == [[16, 16], [64, 64], [256, 256]]
    assert "output 2 (10x1x16800): landmarks, which are not read" in told


@pytest.mark.parametrize("channels, mean", [("bgr", (104, 117, 123)), ("rgb", (123, 117, 104))])
def test_a_familys_mean_follows_the_order_of_the_channels(adopt, channels, mean):
    """It belongs to colours, not to places."""
    _, spec, _ = adopt([((1, 640, 640, 3), "float32")], FACES, "--as", "retinaface", "--channels", channels)
    assert spec.input.mean == mean


SSD300 = [(38, 4), (19, 6), (10, 6), (5, 6), (3, 4), (1, 4)]


@pytest.mark.parametrize("how", ["levels", "flat", "columns"])
def test_ssd_is_known_by_the_number_of_its_priors(adopt, how):
    """8,732 of them make ssd300, level by level as its convolutions leave them, or joined."""
    if how == "levels":
        outputs = [((1, side, side, count * each), HALF) for side, count in SSD300 for each in (4, 21)]
    elif how == "flat":
        outputs = [((1, 1, 1, 8732 * 21), HALF), ((1, 1, 1, 8732 * 4), HALF)]
    else:
        outputs = [((1, 4, 1, 8732), HALF), ((1, 21, 1, 8732), HALF)]
    code, spec, told = adopt([((1, 300, 300, 3), HALF)], outputs, "--as", "ssd")
    assert code == 0, told
    priors = spec.output.priors
    assert (spec.labels, priors.joined, spec.input.channels) == (VOC, how != "levels", "bgr")
    assert priors.tensors == ((("classes",), ("box",)) if how == "flat" else (("box",), ("classes",)))
    assert [len(level.anchors) for level in priors.levels] == [count for _, count in SSD300]
    assert priors.levels[0].anchors.tolist()[1] == pytest.approx([42.4264, 42.4264])
    assert "the priors are the published ones of ssd300" in told


def test_priors_of_ones_own_are_given_level_by_level(adopt):
    """Sides and strides; the levels of mobilenet-ssd divide the input evenly instead."""
    outputs = [((1, side, side, 2 * each), HALF) for side in (4, 2) for each in (4, 3)]
    code, spec, _ = adopt(
        [((1, 64, 64, 3), HALF)], outputs, "--as", "ssd", "--anchors", "8,8,16,9/20,20,30,30", "--strides", "16,32",
        "--variances", ".2,.3", "--activated", "classes", labels=("a", "b"),
    )  # fmt: skip
    assert code == 0
    assert spec.output.priors.variances == (0.2, 0.3)
    assert [level.stride for level in spec.output.priors.levels] == [16, 32]
    mobile = [((1, side, side, count * each), HALF)
              for side, count in ((19, 3), (10, 6), (5, 6), (3, 6), (2, 6), (1, 6)) for each in (4, 21)]  # fmt: skip
    _, spec, told = adopt([((1, 300, 300, 3), HALF)], mobile, "--as", "ssd")
    assert [level.cells for level in spec.output.priors.levels] == [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
    assert "mobilenet-ssd" in told


def test_plain_tensors_are_handed_on_by_name(adopt):
    """A name that is missing or there twice becomes the output's number."""
    outputs = [((2, 1, 1, 10), "float32"), ((2, 5), HALF), ((2, 3, 4, 5), HALF), ((2, 4, 5), HALF)]
    outputs += [((2, 3, 4, 5, 6), HALF)]
    names = ["pose", "pose", "", "", ""]
    code, spec, _ = adopt([((2, 48, 48, 3), "float32")], outputs, "--as", "tensors", names=names)
    assert code == 0
    assert [(one.name, one.shape) for one in spec.output.plain] == [
        ("pose", (1, 10)), ("output1", (1, 5)), ("output2", (1, 5, 3, 4)), ("output3", (1, 20)),
        ("output4", (1, 3, 4, 5, 6)),
    ]  # fmt: skip
    assert spec.labels == ()


def test_a_classifier_has_one_number_for_each_label(adopt):
    """Which output that is may be said; what is still to be applied to the numbers is assumed."""
    outputs = [((2, 1, 1, 4), HALF), ((2, 3, 1, 1), HALF)]
    code, spec, told = adopt(
        [((2, 32, 32, 3), HALF)], outputs, "--as", "classify", "--outputs", "1", labels=("a", "b", "c")
    )
    assert code == 0, told
    output = spec.output
    assert (output.kind, output.order, output.activation, output.top) == ("classes", (1,), "softmax", 3)
    assert "logits of a softmax (--activation none" in told
    assert spec.input.mean == pytest.approx((123.675, 116.28, 103.53))


@pytest.mark.parametrize(
    "name, channels",
    [("yolov3_b4c4_argb_mlu220", "argb"), ("net.bgra", "bgra"), ("rgb_net", "rgba"), ("argbus", "rgba")],
)
def test_a_files_name_may_say_how_its_channels_lie(adopt, tmp_path, name, channels):
    """As the vendor's own files do; an order for another number of channels says nothing."""
    adopt(UINT8, heads(52, 26, 13), "--as", "yolov3")
    model = (tmp_path / "net.cambricon").rename(tmp_path / f"{name}.cambricon")
    assert main(["adopt", str(model), "--as", "yolov3"]) == 0
    assert load_bundle(model).input.channels == channels


VENDOR = {
    "test_model.cambricon": ("input: 40x160, 4 channels, uint8", [("prob", (1, 84, 20, 1))], 4),
    "headpose/headpose.cambricon.cambricon": (
        "48x48, 3 channels, float32", [("output0", (1, 10)), ("output1", (1, 3))], 1,
    ),
}  # fmt: skip


@pytest.mark.shared
@pytest.mark.parametrize("name", VENDOR)
def test_a_file_of_the_vendors_compiler_is_adopted(shared_data, tmp_path, capsys, name):
    """A network of landmarks and one that reads plates: neither detects anything, and the other families say so."""
    known, plain, batch = VENDOR[name]
    model = tmp_path / (shared_data / "vendor" / name).name
    shutil.copyfile(shared_data / "vendor" / name, model)
    assert main(["adopt", str(model)]) == 2
    assert "tensors would fit" in capsys.readouterr().err
    assert main(["adopt", str(model), "--as", "tensors", "--channels", "bgr" if batch == 1 else "bgra"]) == 0
    assert known in capsys.readouterr().out
    spec = load_bundle(model)
    assert (spec.batch, spec.offline.kind, [(one.name, one.shape) for one in spec.output.plain]) == (
        batch,
        "device",
        plain,
    )
    for family in ("yolov3", "yolov5", "yolov8", "yolox", "ssd", "retinaface", "classify"):
        assert main(["adopt", str(model), "--as", family, "--labels", "voc", "--force"]) == 2
    assert load_bundle(model).output == spec.output


@pytest.mark.shared
def test_a_file_that_describes_nothing_is_refused_with_what_to_give(shared_data, capsys):
    """Those of 2019 hold no descriptors."""
    assert main(["adopt", str(shared_data / "vendor" / "normalize.cambricon"), "--as", "tensors"]) == 2
    said = capsys.readouterr().err
    assert "normalize.cambricon: a format before 2020, which describes neither inputs nor outputs" in said
    assert "compile the network again with the vendor's tools of CNRT 4.x" in said


REFUSED = {
    "labels": (UINT8, heads(52, 26, 13), ("--as", "yolov3", "--labels", "voc"), "80 labels would fit"),
    "anchors": (UINT8, heads(52, 26, channels=50), ("--as", "yolov3", "--labels", "voc", "--anchors", "1,1/2,2"),
                "1 anchors x (5 + 20 labels) are 25 channels, not 50; 45 labels or 2 anchors for each head would fit"),
    "number of heads": (UINT8, heads(52, 26, 13), ("--as", "yolov3", "--anchors", "1,1/2,2"),
                        "--anchors name 2 heads, but"),
    "no set": (UINT8, heads(104, 52), ("--as", "yolov5"), "the outputs have strides 4,8, but yolov5 has 8,16,32"),
    "strides": (UINT8, heads(52, 26, 13), ("--as", "yolov3", "--strides", "4,8,16"), "--strides 8,16,32 would fit"),
    "no head": (UINT8, heads(52, 26, 500), ("--as", "yolov3"), "output 2 (500x500x255): no stride makes that"),
    "twice": (UINT8, heads(52, 52, 13), ("--as", "yolov3"), "two heads of one size; name those"),
    "channels": (UINT8, heads(52, 26, 13), ("--as", "yolov3", "--channels", "bgr"),
                 "--channels bgr are 3, but the file's input has 4; rgba or bgra or argb or abgr would fit"),
    "mean": (UINT8, heads(52, 26, 13), ("--as", "yolov3", "--mean", "0"),
             "the file's input is uint8, which the network"),
    "pad": (UINT8, heads(52, 26, 13), ("--as", "yolov4", "--pad", "3"), "stretch leaves none"),
    "foreign option": (UINT8, heads(52, 26, 13), ("--as", "yolov5", "--reg-max", "16"),
                       "--reg-max 16 means nothing --as"),
    "no labels": (UINT8, heads(52, 26, 13, channels=18), ("--as", "yolov3"),
                  "hold and do not name: 1; give --labels FILE with so many names"),
    "channels of no family": (UINT8, heads(52, 26, 13, channels=16), ("--as", "yolov3"),
                              "are not 3 anchors x (5 + classes)"),
    "detection output of no family": (UINT8, [((1, 1, 1, 7232), HALF)], ("--as", "yolov8"),
                                      "--as yolov3, yolov4, yolov5"),
    "labels of a detection output": (UINT8, [((1, 1, 1, 7232), HALF)], ("--as", "yolov3"),
                                     "does not tell how many classes"),
    "anchors of a detection output": (UINT8, [((1, 1, 1, 7232), HALF)], ("--as", "yolov3", "--anchors", "yolov3"),
                                      "--anchors 'yolov3' means nothing"),
    "batch": (UINT8, heads(52, 26, 13, batch=2), ("--as", "yolov3"), "but the input's batch is 1"),
    "rank": (UINT8, [((1, 3, 13, 13, 85), HALF)], ("--as", "yolov5"), "end the network at the convolutions"),
    "output type": (UINT8, [((1, 13, 13, 255), "int32")], ("--as", "yolov3"), "float16 and float32 can be read"),
    "outputs": (UINT8, heads(52, 26, 13), ("--as", "yolov3", "--outputs", "0,3"), "has 3 outputs, counted from 0"),
    "yolov8": (UINT8, heads(52, 26, 13, channels=144), ("--as", "yolov8", "--labels", "voc"),
               "are 144 channels with 80 labels, not with 20; --reg-max 31 would fit 20 labels"),
    "ssd": ([((1, 300, 300, 3), HALF)], [((1, 4, 1, 100), HALF), ((1, 21, 1, 100), HALF)], ("--as", "ssd"),
            "ssd300 makes 8732, ssd300-coco makes 8732, ssd512 makes 8766"),
    "labels of priors": ([((1, 300, 300, 3), HALF)], [((1, 4, 1, 8732), HALF), ((1, 21, 1, 8732), HALF)],
                         ("--as", "ssd", "--labels", "face"), "20 classes beside the background; --labels names 1"),
    "a bundle": (UINT8, heads(13), ("--as", "yolov3", "--output", "net.bundle"), "a manifest is a .toml file"),
    "classes": (UINT8, [((1, 1, 1, 10), HALF)], ("--as", "classify", "--labels", "voc"), "10 labels would fit"),
    "two outputs": (UINT8, heads(1, 1, channels=10), ("--as", "classify", "--labels", "voc"),
                    "name the one with a number for each label by --outputs"),
    "inputs": (UINT8 * 2, heads(13), ("--as", "yolov3"), "net.cambricon: has 2 inputs"),
    "grey": ([((1, 32, 32, 1), "uint8")], heads(13), ("--as", "tensors"), "pictures fill N x H x W x 3 or 4"),
    "input type": ([((1, 32, 32, 3), "int32")], heads(13), ("--as", "tensors"), "inputs of uint8, float16, float32"),
    "unknown anchors": (UINT8, heads(13), ("--as", "yolov3", "--anchors", "yolov99"), "nor pairs W,H,W,H of sides"),
    "a share": (UINT8, heads(13), ("--as", "yolov3", "--confidence", "25"), "write a number from 0 to 1"),
    "three": (UINT8, heads(13), ("--as", "yolov3", "--std", "0"), "write numbers from 1e-06"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_contradicts_the_file_is_refused_with_what_would_fit(adopt, tmp_path, case):
    """In a sentence, before anything is written."""
    inputs, outputs, options, sentence = REFUSED[case]
    code, _, told = adopt(inputs, outputs, *options)
    assert (code, (tmp_path / "net.toml").exists()) == (2, False)
    assert sentence in told
    assert "Traceback" not in told


def test_an_option_of_another_family_is_shown_as_it_was_written(adopt):
    """A list with its commas, and no notation of a programming language."""
    _, _, told = adopt(UINT8, heads(52, 26, 13), "--as", "yolov5", "--activated", "classes")
    assert "--activated 'classes' means nothing --as yolov5" in told


def test_classes_of_one_name_are_remarked(adopt, tmp_path):
    """A slip in the file of labels is seen by nobody else: all of them look alike from then on."""
    names = tmp_path / "names.txt"
    names.write_text("car\n" * 80)
    code, _, told = adopt(UINT8, heads(52, 26, 13), "--as", "yolov5", "--labels", str(names))
    assert code == 0
    assert "classes of one name are meant: 'car' 80 times among 80 labels" in told
    _, _, told = adopt(UINT8, heads(52, 26, 13), "--as", "yolov5", "--force")
    assert "of one name" not in told


def shaped(third, order=(0, 1, 2), classes=2, prototypes=0):
    """Levels of 416 x 416, each of three tensors, and the prototypes first, as a compiler may leave them."""
    depths = (64, classes, third)
    levels = [((1, side, side, depths[at]), HALF) for side in (52, 26, 13) for at in order]
    return [((1, 104, 104, prototypes), HALF), *levels] if prototypes else levels


SHAPED = {  # outputs, options, and what the manifest says
    "yolov8-seg": (shaped(32, prototypes=32), (), [*range(1, 10), 0], {"coefficients": 32, "prototype_stride": 4}),
    "yolov8-seg turned": (shaped(16, (2, 0, 1), prototypes=16), (), [*range(1, 10), 0], {"coefficients": 16}),
    "yolov8-pose": (shaped(51), (), [], {"keypoints": (17, 3)}),
    "yolov8-pose of two": (shaped(42), ("--keypoints", "21,2"), [], {"keypoints": (21, 2)}),
    "yolov8-obb": (shaped(1), (), [], {}),
    "yolov8-obb activated": (shaped(1), ("--activated", "angle"), [], {"activated": ("angle",)}),
}


@pytest.mark.parametrize("case", SHAPED)
def test_heads_that_tell_more_than_boxes_are_found_by_their_sizes(adopt, case):
    """The third tensor of each level, and the prototypes wherever they stand; the agent reads what is written."""
    outputs, options, order, told = SHAPED[case]
    family = case.split()[0]
    code, spec, said = adopt(UINT8, outputs, "--as", family, *options, labels=("a", "b"))
    assert code == 0, said
    assert (spec.output.decode, list(spec.output.order)) == (family, order)
    assert [head.stride for head in spec.output.heads] == [8, 16, 32]
    assert {key: getattr(spec.output, key) for key in told} == told
    assert ("a pose has 17 keypoints of 3 numbers (--keypoints)" in said) == (case == "yolov8-pose")


@pytest.mark.parametrize(
    "outputs, options, sentence",
    [
        (shaped(32), ("--as", "yolov8-seg"), "are no levels of yolov8-seg (box 64, coefficients 64, classes"),
        (shaped(32)[:1], ("--as", "yolov8-seg"), "no output: of a segmentation the finest output holds the prototypes"),
        (shaped(50), ("--as", "yolov8-pose"), "are no levels of yolov8-pose (box 64, keypoints 51, classes one per"),
        (shaped(51), ("--as", "yolov8-pose", "--keypoints", "17"), "--keypoints 17: write how many, and 2"),
        (shaped(51), ("--as", "yolov8-obb", "--keypoints", "17,3"), "--keypoints '17,3' means nothing --as"),
        (shaped(1), ("--as", "yolov8-obb"), "hold and do not name: 2; give --labels"),
    ],
)
def test_heads_that_do_not_tell_what_a_family_does_are_refused(adopt, outputs, options, sentence):
    """With what it needs."""
    code, _, said = adopt(UINT8, outputs, *options)
    assert (code, sentence in said) == (2, True), said


def test_without_a_family_those_that_fit_are_named(adopt):
    """Nothing is guessed: two families may have the same tensors."""
    code, _, told = adopt(UINT8, heads(52, 26, 13))
    assert code == 2
    assert "yolov3, yolov4, yolov5, yolox (with 250 labels), yolov8 (with 191 labels), tensors would fit" in told
    _, _, told = adopt(UINT8, [((1, 1, 1, 64 + 7 * 1024), HALF)])
    operators = "yolov3 (with its labels), yolov4 (with its labels), yolov5 (with its labels), ssd (with its labels)"
    assert f"{operators}, retinaface, classify (with 7232 labels), tensors would fit" in told


def test_a_manifest_is_not_replaced_unasked(adopt, tmp_path):
    """The same one is left as it is; another one needs --force; the model's name leads to it by default."""
    model, manifest = tmp_path / "net.cambricon", tmp_path / "net.toml"
    code, _, told = adopt(UINT8, heads(52, 26, 13), "--as", "yolov3")
    assert (code, "net.toml: written" in told) == (0, True)
    before = manifest.read_bytes()
    assert main(["adopt", str(model), "--as", "yolov3"]) == 0
    assert main(["adopt", str(model), "--as", "yolov3", "--channels", "bgra"]) == 2
    assert manifest.read_bytes() == before
    assert main(["adopt", str(model), "--as", "yolov3", "--channels", "bgra", "--force"]) == 0
    assert load_bundle(model).input.channels == "bgra"
    assert main(["adopt", str(model), "--as", "yolov5", "--output", str(tmp_path / "other.toml")]) == 0
    assert load_bundle(tmp_path / "other.toml").output.decode == "yolov5"
    (tmp_path / "deeper").mkdir()
    assert main(["adopt", str(model), "--as", "yolov5", "--output", str(tmp_path / "deeper" / "net.toml")]) == 2


def test_a_manifest_that_cannot_be_written_is_a_sentence(adopt, tmp_path, capsys):
    """Here for a folder of its name."""
    adopt(UINT8, heads(13, 26), "--as", "yolov3")
    (tmp_path / "net.toml").unlink()
    (tmp_path / "net.toml").mkdir()
    assert main(["adopt", str(tmp_path / "net.cambricon"), "--as", "yolov3"]) == 2
    assert "net.toml: is there already" in capsys.readouterr().err
    assert main(["adopt", str(tmp_path / "net.cambricon"), "--as", "yolov3", "--force"]) == 2
    assert "net.toml: cannot be written (Is a directory)" in capsys.readouterr().err


def test_inspect_names_the_way_to_a_manifest(adopt, tmp_path, capsys):
    """Where none lies beside the file."""
    adopt(UINT8, heads(13, 26), "--as", "yolov3")
    model = tmp_path / "net.cambricon"
    assert main(["inspect", str(model)]) == 0
    assert "adopt" not in capsys.readouterr().out
    model.with_suffix(".toml").unlink()
    assert main(["inspect", str(model)]) == 0
    assert "none beside it; write one by: mlu-agent adopt net.cambricon --as FAMILY" in capsys.readouterr().out


def test_json_tells_what_was_known_and_what_was_assumed(adopt, tmp_path, capsys):
    """For programs."""
    adopt(UINT8, heads(52, 26, 13), "--as", "yolov3")
    assert main(["adopt", str(tmp_path / "net.cambricon"), "--as", "yolov3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["result"], told["kind"], told["labels"], told["model"]) == (
        "unchanged",
        "yolo_heads",
        80,
        "net.cambricon",
    )
    assert told["manifest"] == str(tmp_path / "net.toml")
    assert any("(--channels)" in sentence for sentence in told["assumed"])


def test_a_device_file_is_not_tried_on_the_simulator(adopt, tmp_path, capsys):
    """A sentence says so; the manifest is there all the same."""
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.zeros((20, 30, 3), np.uint8))
    adopt(UINT8, heads(52, 26, 13), "--as", "yolov3")
    code = main(
        ["adopt", str(tmp_path / "net.cambricon"), "--as", "yolov3", "--runtime", "simulator", "--try", str(picture)]
    )
    told = capsys.readouterr()
    assert code in (2, 3)
    assert "net.toml is there, but the model was not tried: " in told.err
    assert "simulator" in told.err
    assert load_bundle(tmp_path / "net.cambricon").output.decode == "yolov3"


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"cat\ndog\n", ("cat", "dog")),
        (b"\xef\xbb\xbfcat\r\ndog\r\n\r\n", ("cat", "dog")),
        ("\ufeffcat\ndog".encode("utf-16-le"), ("cat", "dog")),
        ("\ufeff猫\n狗".encode("utf-16-be"), ("猫", "狗")),
        ("猫\n狗\n".encode(), ("猫", "狗")),
        ("猫\n狗\n".encode("utf-16-le"), ("猫", "狗")),
        (b" n01440764 tench, Tinca \n", ("n01440764 tench, Tinca",)),
    ],
)
def test_labels_are_read_in_what_they_say_to_be_written_in(tmp_path, data, expected):
    """UTF-8, or what the byte order mark says; ends of lines of any system."""
    (tmp_path / "names").write_bytes(data)
    assert read_labels(str(tmp_path / "names")) == expected


@pytest.mark.parametrize(
    "data, sentence",
    [
        (
            "cat\n狗\n".encode("gbk"),
            r"line 2 is not UTF-8 text \(byte 4\); it looks like GBK: save the file as UTF-8, for example by iconv -f",
        ),
        (b"cat\0dog\n", "line 1 holds NUL bytes: it is no text"),
        (b"cat\n\ndog", "line 2 is empty"),
        (b"", "holds 0 labels"),
        (b"a\n" * 4097, "holds 4097 labels, one a line; 1 to 4096"),
        (b"x" * 129, "is 129 bytes long; a label has at most 128"),
        (b"cat\tdog", "holds control characters"),
        (b"x" * (MAX_FILE + 1), f"larger than {MAX_FILE} bytes"),
    ],
)
def test_wrong_labels_are_blamed_by_line(tmp_path, data, sentence):
    """With what to do."""
    (tmp_path / "names").write_bytes(data)
    with pytest.raises(MluAgentError, match=sentence):
        read_labels(str(tmp_path / "names"))


@given(data=st.binary(max_size=64) | st.text(max_size=32).map(lambda text: text.encode("utf-16")))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_labels_or_a_sentence(tmp_path, data):
    """Nothing else comes out."""
    (tmp_path / "names").write_bytes(data)
    with contextlib.suppress(MluAgentError):
        labels = read_labels(str(tmp_path / "names"))
        assert all(label.isprintable() and 1 <= len(label.encode()) <= 128 for label in labels)


WHOLE = device_file(UINT8, heads(52, 26, 13))


@given(
    data=st.data(),
    family=st.sampled_from(["yolov3", "yolov8", "yolox", "ssd", "retinaface", "tensors"]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_spoiled_file_gives_a_manifest_or_a_sentence(tmp_path, data, family):
    """Whatever its descriptors claim: no other exception, and no manifest that its own reader refuses."""
    model = tmp_path / "net.cambricon"
    spoiled = bytearray(WHOLE)
    start = WHOLE.index(b"atiR\x0e") if data.draw(st.booleans()) else 0
    for _ in range(data.draw(st.integers(1, 3))):
        spoiled[data.draw(st.integers(start, len(WHOLE) - 1))] = data.draw(st.integers(0, 255))
    model.write_bytes(spoiled)
    if main(["adopt", str(model), "--as", family, "--force"]) == 0:
        load_bundle(model)


@st.composite
def shapes(draw):
    """Descriptors that agree with each other, whatever they describe."""
    dtype = st.sampled_from(["uint8", "float16", "float32", "int32"])
    side = st.sampled_from([1, 2, 3, 4, 13, 26, 52, 84, 416])
    dims = st.lists(side, min_size=1, max_size=5).map(tuple)
    channels = st.sampled_from([1, 3, 4, 21, 64, 84, 85, 255, 7232])
    picture = st.builds(lambda n, h, w, c: (n, h, w, c), st.integers(1, 4), side, side, st.sampled_from([3, 4]))
    head = st.builds(lambda n, h, w, c: (n, h, w, c), st.integers(1, 4), side, side, channels)
    inputs = draw(st.lists(st.tuples(picture | dims, dtype), min_size=1, max_size=2))
    return inputs, draw(st.lists(st.tuples(head | dims, dtype), min_size=1, max_size=6))


@given(described=shapes(), labels=st.sampled_from(["", "voc", "coco", "face"]))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_inputs_and_outputs_give_a_manifest_or_a_sentence(tmp_path, described, labels):
    """For every family."""
    model = tmp_path / "net.cambricon"
    model.write_bytes(device_file(*described))
    for family in ("yolov3", "yolov4", "yolov5", "yolox", "yolov8", "ssd", "retinaface", "tensors"):
        options = ["--labels", labels] if labels else []
        if main(["adopt", str(model), "--as", family, "--force", *options]) == 0:
            load_bundle(model)
