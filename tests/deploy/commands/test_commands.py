"""``mlu-export build`` and recipes, as a person types them."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from mlu_agent.errors import DataError
from mlu_agent.model.bundle import load_bundle
from mlu_export.formats.recipe import built_in_names, read_recipe, recipe_text

SUFFIXES = (".cambricon", ".cambricon_twins", ".golden", ".recipe.toml", ".toml")


def build(tiny, *more):
    return ("build", "--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", *more)


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_a_recipe_rebuilds_every_file_byte_for_byte(tiny, tiny_recipe, export):
    """From the given recipe, and once more from the recipe that the first build wrote."""
    code, out, err = export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a"))
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == sorted(str(tiny / "a" / f"tiny{suffix}") for suffix in SUFFIXES)
    assert export(*build(tiny, "--recipe", tiny / "a" / "tiny.recipe.toml", "--output", tiny / "b"))[0] == 0
    assert files_in(tiny / "a") == files_in(tiny / "b")
    assert files_in(tiny / "a")["tiny.recipe.toml"] == tiny_recipe.read_bytes()


@pytest.mark.torch
@pytest.mark.parametrize(
    "arch, weights, more",
    [
        ("darknet", "tiny.weights", ("--cfg", "tiny.cfg", "--labels", "names.txt")),
        ("yolov5n", "tiny.pt", ("--size", "64")),
    ],
)
@pytest.mark.parametrize("observer", ["minmax", "mse"])
def test_a_recipe_needs_neither_torch_nor_pictures(tiny, export, arch, weights, more, observer):
    """A calibrated build and its rebuild in an interpreter where torch cannot be imported give the same bytes."""
    more = [str(tiny / part) if (tiny / part).is_file() else part for part in more]
    first = export(
        "build", "--arch", arch, "--weights", tiny / weights, *more, "--calibration", tiny / "pictures",
        "--observer", observer, "--output", tiny / "a", "--name", "net",
    )  # fmt: skip
    assert first[0] == 0, first[2]
    script = textwrap.dedent("""
        import sys
        sys.modules["torch"] = None
        from mlu_export.cli import main
        sys.exit(main(sys.argv[1:]))
    """)
    command = ["build", "--arch", arch, "--weights", tiny / weights, "--recipe", tiny / "a" / "net.recipe.toml"]
    cfg = more[:2] if arch == "darknet" else []
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, command), *cfg, "--output", str(tiny / "b")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert files_in(tiny / "a") == files_in(tiny / "b")


@pytest.mark.torch
def test_calibration_sees_the_pixels_that_the_box_will_see(tiny, export):
    """The first layer's range is that of the letterboxed pictures over 255, to what a float32 scale can tell."""
    import cv2

    from mlu_agent.model.bundle import InputSpec
    from mlu_agent.preprocess import preprocess

    export(*build(tiny, "--calibration", tiny / "pictures", "--observer", "minmax", "--output", tiny / "a",
                  "--labels", tiny / "names.txt"))  # fmt: skip
    seen = read_recipe(tiny / "a" / "darknet.recipe.toml").ranges["0_conv"]
    spec = InputSpec(width=64, height=32, resize="letterbox", pad_value=128, channels="rgba", dtype="uint8")
    pixels = []
    for path in sorted((tiny / "pictures").iterdir()):
        out = np.zeros((32, 64, 4), np.uint8)
        preprocess(cv2.imread(str(path)), spec, out)
        pixels.append(out[..., :3])
    assert seen.low == float(np.float32(np.min(pixels)) / np.float32(255))
    assert seen.high == 127 / float(np.float32(127 / float(np.float32(np.max(pixels)) / np.float32(255))))


def test_what_a_recipe_leaves_unused_is_said(tiny, tiny_recipe, export):
    """Calibration options beside a recipe: one note each."""
    more = ("--calibration", tiny / "pictures", "--observer", "mse")
    code, _, err = export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a", *more))
    assert code == 0
    assert err.splitlines() == [
        f"mlu-export: note: --{option} is not used, the ranges come from the recipe"
        for option in ("calibration", "observer")
    ]


@pytest.mark.parametrize(
    "table, said",
    [
        ("[build]", 'build.per_chanel: is not an option; did you mean "per_channel"?'),
        ("[thresholds]", "thresholds.per_chanel: is not an option; known here: confidence, iou, max_detections"),
        ("[weights]", "weights.per_chanel: is not an option; known here: cfg_sha256, name, sha256"),
        ("[preprocessing]", "preprocessing.per_chanel: is not an option; known here: colours, mean, pad_value"),
        ("[calibration]", "calibration.per_chanel: is not an option; known here: description"),
        ("schema = 1", "per_chanel: is not an option; known here: "),
    ],
)
def test_an_unknown_key_of_a_recipe_is_refused(tiny, tiny_recipe, export, table, said):
    """A misspelled setting would otherwise be the default in silence."""
    text = tiny_recipe.read_text()
    assert table in text
    tiny_recipe.write_text(text.replace(table, f"{table}\nper_chanel = false"))
    code, _, err = export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a"))
    assert code == 2
    assert err.startswith(f"mlu-export: {tiny_recipe.name}: {said}")


def test_all_that_is_wrong_with_a_recipe_is_told_together(tiny, tiny_recipe, export):
    """A line for each: the field, its value and the remedy. Nothing is written."""
    text = tiny_recipe.read_text()
    for old, new in (
        ("batch = 1", "batch = 0"),
        ("bits = 8", "bits = 4"),
        ("per_channel = true", 'per_channel = "yes"'),
        ('target = "MLU220"', 'target = "MLU100"'),
        ("max_detections = 300\n", ""),
        ("11_conv = [", "11_conv = [1e999, "),
        ("pad_value = 128", "pad_value = 128\nmean = [1, 2]"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    tiny_recipe.write_text(text)
    code, out, err = export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a"))
    assert (code, out, files_in(tiny / "a")) == (2, "", {})
    lines = [line.replace(f"{tiny_recipe.name}: ", "").replace("mlu-export: ", "") for line in err.splitlines()]
    said = [
        "build.batch: 0 is not accepted; write a whole number from 1 to 1024",
        'build.target: \'MLU100\' is not accepted; write one of "MLU220", "MLU270"',
        "build.bits: 4 is neither 8 nor 16",
        "build.per_channel: 'yes' is not accepted; write true or false",
        "preprocessing.mean: [1, 2] is not accepted; write three numbers from -1e+06 to 1e+06",
        "thresholds.max_detections: is missing; write a whole number from 1 to 10000",
        "ranges.11_conv: [inf, ",
    ]
    assert [line[: len(start)] for line, start in zip(lines, said)] == said
    assert len(lines) == len(said)


HOSTILE = (
    "true", "-1", "9" * 400, "nan", "-inf", "1e308", '""', '"\\u0000"', "[]", "[[[]]]", "{}", "1979-05-27", "[1, 'a']",
    "[" * 50 + "]" * 50, "{ a = [1] }",
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(HOSTILE)), min_size=1, max_size=4))
def test_a_recipe_with_any_values_is_a_recipe_or_sentences(tiny_recipe, changes):
    """Nothing but DataError comes out, each line of it with the file and a field."""
    lines = tiny_recipe.read_text().splitlines()
    fields = [index for index, line in enumerate(lines) if " = " in line]
    for number, value in changes:
        index = fields[number % len(fields)]
        lines[index] = f"{lines[index].split(' = ')[0]} = {value}"
    path = tiny_recipe.with_name("changed.toml")
    path.write_text("\n".join(lines))
    try:
        told = recipe_text(read_recipe(path))
    except DataError as error:
        told = error.message
        assert all(re.match(r"changed\.toml: (?:[\w.]+: |not valid TOML)", line) for line in told.splitlines()), told
    assert told


def test_a_recipe_comes_back_as_it_was_written(tiny, tiny_recipe):
    """Whatever the weights' file, the layers and the labels are called; written again it has the same bytes."""
    recipe = read_recipe(tiny_recipe)
    settings = dataclasses.replace(
        recipe.settings, labels=("a\u00a0b", "\n", ""), keep_int16=("x.y", "ü"), data_scale=0.5, bits=16
    )
    odd = dataclasses.replace(recipe, settings=settings, weights_name="a\tb\u200d.weights", calibration="x" * 5000)
    for one in (recipe, odd):
        tiny_recipe.write_text(recipe_text(one), "utf-8")
        assert read_recipe(tiny_recipe) == one
        assert recipe_text(read_recipe(tiny_recipe)) == recipe_text(one)


def test_a_folder_or_an_empty_name_is_no_weights_file(tiny, export):
    """A variable that a script left empty is the usual cause."""
    code, _, err = export("build", "--arch", "yolov3", "--weights", "", "--output", tiny / "a")
    assert code == 2
    assert "it is a folder, or an empty name; give the weights' file" in err


def test_what_departs_from_a_recipe_is_said_in_one_note(tiny, tiny_recipe, export):
    """Bits, granularity and layers that stay in float; a folder of pictures that is not there is refused."""
    common = build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a")
    code, _, err = export(*common, "--bits", 16, "--per-tensor", "--keep-float", "0_conv")
    assert code == 0
    assert err == (
        "mlu-export: note: --bits 16 instead of the recipe's 8; --per-tensor instead of the recipe's scales per "
        "channel; --keep-float of 1 layers instead of the recipe's no --keep-float\n"
    )
    assert export(*common, "--bits", 8)[2] == ""
    code, _, err = export(*common, "--calibration", tiny / "nosuch")
    assert (code, err) == (2, f"mlu-export: --calibration {tiny / 'nosuch'} is not a folder\n")


@pytest.mark.torch
def test_pictures_beside_a_recipe_that_are_measured_on_are_not_said_to_be_unused(tiny, tiny_recipe, export):
    """--propose and --report look at them; without either, quantize does for depthwise layers alone."""
    common = ("quantize", *build(tiny)[1:], "--recipe", tiny_recipe, "--calibration", tiny / "pictures", "--output")
    code, _, err = export(*common, tiny / "a", "--propose", "1")
    assert code == 0, err
    depthwise = "the scales of depthwise layers alone, the ranges come from the recipe\n"
    assert f"note: --calibration is for measuring and {depthwise}" in err
    assert f"note: --calibration is for {depthwise}" in export(*common, tiny / "b")[2]


@pytest.mark.torch
def test_a_network_of_which_all_stays_in_float_is_not_quantized(tiny, tiny_recipe, export):
    """No checkpoint is written that claims to be of integers."""
    common = ("quantize", *build(tiny)[1:], "--keep-float", "*", "--labels", tiny / "names.txt", "--output", tiny / "a")
    for more in (("--recipe", tiny_recipe), ("--calibration", tiny / "pictures")):
        code, out, err = export(*common, *more)
        refusals = [line for line in err.splitlines() if "note: --keep-float" not in line]
        assert (code, out, len(refusals)) == (2, "", 1)
        assert "nothing to quantize: --keep-float keeps every layer in float" in err
    assert files_in(tiny / "a") == {}


def test_options_reach_the_files(tiny, tiny_recipe, export):
    """Name, target, cores, batch, input type: in the container and the manifest; the rest comes from the recipe."""
    options = ("--name", "other", "--target", "MLU270", "--core-number", "16", "--batch", "2", "--input", "half")
    assert export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a", *options))[0] == 0
    spec = load_bundle(tiny / "a" / "other.cambricon")
    assert (spec.name, spec.offline.target, spec.offline.parallelism, spec.batch) == ("other", "MLU270", 16, 2)
    assert (spec.input.dtype, spec.input.channels, spec.input.resize) == ("float16", "rgb", "letterbox")
    assert spec.labels == ("cat", "dog")
    assert spec.provenance["arch"] == "darknet"
    assert [head.stride for head in spec.output.heads] == [4, 8]


def test_per_tensor_and_channel_order_change_the_model(tiny, tiny_recipe, export):
    """Both options reach the file, and its manifest says so."""
    export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a"))
    assert (
        export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "b", "--per-tensor", "--channels", "abgr"))[0]
        == 0
    )
    first, second = (load_bundle(tiny / folder / "tiny.cambricon") for folder in ("a", "b"))
    assert first.sha256 != second.sha256
    assert second.input.channels == "abgr"
    assert "per tensor" in second.provenance["quantization"]


def _without(path, old, new=""):
    path.write_text(path.read_text().replace(old, new))


WRONG = {
    "weights cut": (
        lambda t: (t / "tiny.weights").write_bytes((t / "tiny.weights").read_bytes()[:-8]),
        "recipe was made",
    ),
    "weights missing": (lambda t: (t / "tiny.weights").unlink(), "No such file"),
    "weights a folder": (lambda t: ((t / "tiny.weights").unlink(), (t / "tiny.weights").mkdir()), "cannot read"),
    "cfg changed": (lambda t: _without(t / "tiny.cfg", "size=1", "size=3"), "cfg"),
    "recipe no toml": (lambda t: (t / "given.recipe.toml").write_text("]["), "TOML"),
    "recipe empty": (lambda t: (t / "given.recipe.toml").write_text(""), "schema"),
    "recipe with too large a number": (
        lambda t: _without(t / "given.recipe.toml", "11_conv = [", f"11_conv = [{10**400}, "),
        "11_conv",
    ),
    "recipe newer": (lambda t: _without(t / "given.recipe.toml", "schema = 1", "schema = 2"), "schema: 2 is not known"),
    "recipe of another arch": (lambda t: _without(t / "given.recipe.toml", '"darknet"', '"yolov5n"'), "--arch"),
    "recipe without a layer": (lambda t: _without(t / "given.recipe.toml", "11_conv", "x_conv"), "do not belong"),
    "recipe with nan": (lambda t: _without(t / "given.recipe.toml", "11_conv = [", "11_conv = [nan, "), "11_conv"),
    "recipe with odd bits": (lambda t: _without(t / "given.recipe.toml", "bits = 8", "bits = 4"), "bits"),
    "recipe with huge batch": (lambda t: _without(t / "given.recipe.toml", "batch = 1", "batch = 99999999"), "batch"),
    "recipe with a text batch": (lambda t: _without(t / "given.recipe.toml", "batch = 1", 'batch = "1"'), "batch"),
    "recipe not there": (lambda t: (t / "given.recipe.toml").unlink(), "no recipe"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_give_one_sentence_and_nothing_is_written(tiny, tiny_recipe, export, case):
    """Exit code 2, one line, no traceback, no output folder."""
    change, word = WRONG[case]
    change(tiny)
    code, out, err = export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a"))
    assert code == 2
    assert out == ""
    assert word in err
    assert err.count("\n") == 1
    assert files_in(tiny / "a") == {}


@pytest.mark.parametrize(
    "options, word",
    [
        (("--name", "../evil"), "--name"),
        (("--name", ""), "--name"),
        (("--core-number", "3"), "--core-number"),
        (("--core-number", "16"), "an MLU220 runs a model on 1 or 4 cores"),
        (("--batch", "0"), "--batch"),
        (("--batch", "nine"), "--batch"),
        (("--std", "0,0,0"), "'0,0,0' must be above 0"),
        (("--std", "58,-57,57"), "must be above 0"),
        (("--input", "int8"), "--input"),
        (("--channels", "gbr"), "--channels"),
        (("--input", "half", "--channels", "rgba"), "--channels"),
        (("--size", "100"), "--size"),
        (("--arch", "yolov9"), "--arch"),
        (("--arch", "yolov5n"), "--arch"),
        (("--cfg", "/nonexistent"), "/nonexistent"),
    ],
)
def test_wrong_options_are_named(tiny, tiny_recipe, export, options, word):
    """The sentence names the option or file that is wrong, and nothing is written."""
    code, out, err = export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a", *options))
    assert (code, out) == (2, "")
    assert word in err
    assert "Traceback" not in err
    assert files_in(tiny / "a") == {}


@pytest.mark.torch
@pytest.mark.parametrize("case", ["empty", "missing", "broken", "none given"])
def test_a_calibration_folder_must_hold_readable_pictures(tiny, export, case):
    """Without a folder, a picture in it or a readable one there is no model."""
    folder = tiny / "calibration"
    options = ("--calibration", folder)
    if case in ("empty", "broken"):
        folder.mkdir()
    if case == "broken":
        (folder / "0.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    if case == "none given":
        options = ()
    code, _, err = export(*build(tiny, *options, "--labels", tiny / "names.txt", "--output", tiny / "a"))
    assert code == 2
    assert err.count("\n") == 1
    assert {"empty": "no pictures", "missing": "not a folder", "broken": "0.jpg", "none given": "--calibration"}[
        case
    ] in err
    assert files_in(tiny / "a") == {}


def test_labels_are_asked_for_where_nobody_knows_them(tiny, export):
    """Weights of two classes have no names of their own, so the option is named."""
    code, _, err = export(*build(tiny, "--calibration", tiny / "pictures", "--output", tiny / "a"))
    assert code == 2
    assert "--labels" in err


def test_torch_is_asked_for_by_name(tiny, tmp_path):
    """Where torch is missing, calibration says what to install and that a recipe does without."""
    script = "import sys; sys.modules['torch'] = None; from mlu_export.cli import main; sys.exit(main(sys.argv[1:]))"
    command = build(
        tiny, "--calibration", tiny / "pictures", "--labels", tiny / "names.txt", "--output", tmp_path / "a"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "mlu-export[torch]" in done.stderr
    assert "--recipe" in done.stderr


def test_a_file_that_cannot_be_written_leaves_the_old_ones(tiny, tiny_recipe, export):
    """The output is a file, not a folder: told before any work, for which the weights would be missing here."""
    (tiny / "a").write_text("here")
    for name in ("build", "quantize", "compile"):
        weights = ("--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "none.weights")
        code, _, err = export(name, *weights, "--output", tiny / "a" / "b")
        assert (code, "a is a file; give a folder" in err) == (2, True), err
    code, _, err = export(*build(tiny, "--recipe", tiny_recipe, "--output", tiny / "a"))
    assert code == 2
    assert "output folder" in err
    assert (tiny / "a").read_text() == "here"


def test_the_recipes_that_come_along_can_be_read():
    """The demo's network among them."""
    assert "yolov3-tiny" in built_in_names()
    for name in built_in_names():
        recipe = read_recipe(Path(name))
        assert recipe.settings.name == name
        assert len(recipe.weights_sha256) == 64


@pytest.mark.shared
def test_the_demo_model_is_rebuilt_from_its_recipe(shared_data, tmp_path, export):
    """Twice the same bytes, from the real weights; a recipe of other weights is refused."""
    weights = shared_data / "weights"
    common = ("build", "--arch", "yolov3-tiny", "--recipe", "yolov3-tiny", "--weights")
    for folder in ("a", "b"):
        assert export(*common, weights / "yolov3-tiny.weights", "--output", tmp_path / folder)[0] == 0
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")
    code, _, err = export(*common, weights / "yolo-fastest-1.1.weights", "--output", tmp_path / "c")
    assert code == 2
    assert "dccea06f59b7" in err


@pytest.mark.shared
def test_the_published_cfg_is_refused_with_the_remedy(shared_data, tmp_path, export):
    """The trap that every porter meets."""
    weights = shared_data / "weights"
    code, _, err = export(
        "build", "--arch", "darknet", "--cfg", weights / "yolov3-tiny.cfg",
        "--weights", weights / "yolov3-tiny.weights", "--calibration", shared_data / "images",
        "--output", tmp_path / "a",
    )  # fmt: skip
    assert code == 2
    assert "mask = 1,2,3" in err


def test_flat_without_an_output_that_can_be_is_told(tiny, tiny_recipe, export):
    """Heads stay maps, and a sentence says it; the row of a detection output is flat, and nothing is said."""
    for options, told in (((), True), (("--detection-output", "f16"), False)):
        code, _, err = export(*build(tiny, "--recipe", tiny_recipe, "-o", tiny / f"flat{told}", "--flat", *options))
        assert code == 0, err
        assert ("--flat changes nothing here" in err) == told
