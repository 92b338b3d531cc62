"""The HTML reports of eval, quantize and bench: complete in themselves, well formed, and true to the figures."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest

from mlu_export.calibration.noise import LayerNoise
from mlu_export.measurement.bench import Busy, Layer, Parts, Timing
from mlu_export.report import html as parts
from mlu_export.report.quantization import Spread, quantization_page
from mlu_export.report.svg import Axis, Series, bars, histogram, lines, matrix, stack
from mlu_export.report.timing import timing_page

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(html.parser.HTMLParser):
    """Reads a page as strictly as a validator would about nesting, and keeps its texts and attributes."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.open, self.texts, self.tags, self.values = [], [], [], []
        source = data.decode("utf-8")
        assert source.startswith("<!DOCTYPE html>")
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def check_complete(self) -> None:
        """Nothing is loaded from elsewhere and nothing runs."""
        assert not {"script", "link", "iframe", "object", "base"} & set(self.tags)
        for _, name, value in self.values:
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith("data:image/jpeg;base64,")
        assert "url(" not in self.text
        assert "@import" not in self.text


def drawings(data: bytes):
    """All SVG drawings of a page, parsed as XML."""
    return [ET.fromstring(one) for one in re.findall(r"<svg.*?</svg>", data.decode(), re.DOTALL)]


def test_texts_are_escaped_and_forbidden_characters_replaced():
    """No text becomes markup, and a control character cannot break the page."""
    data = parts.page("<b>", 'a "quote" & more', [parts.table(["<th>"], [["</td>\x00\x1b"], [("<i>", 'bad"')]])])
    page = Page(data)
    page.check_complete()
    assert "b" not in page.tags
    assert "<b>" in page.text
    assert "</td>\ufffd\ufffd" in page.text


def hostile(function, *arguments):
    """A drawing of texts that would break out of it."""
    drawing = function(*arguments)
    assert "<script" not in drawing
    return ET.fromstring(drawing)


def test_drawings_are_well_formed_whatever_they_are_given():
    """Names are escaped; empty, constant and huge values draw nothing wrong."""
    evil = '"><script>alert(1)</script>'
    axis = Axis(evil, 0, 1)
    hostile(lines, [Series(evil, [0, 1], [0, 1]), Series("none", [], [])], axis, axis)
    hostile(bars, [(evil * 9, [0.5, None]), ("b", [None, None]), ("c", [7.0, -7.0])], axis, [evil, "two"])
    hostile(histogram, [0, 1, 2], [0, 3], Axis(evil, 0, 2), evil, [(evil, 9.0)])
    hostile(stack, [(evil, 0.0)], evil)
    hostile(lines, [Series(evil, [0, 1], [0, 1])], axis, axis, 640, 320, [(evil, 0.5), (evil, 0.51)])
    hostile(matrix, [evil], [[1, 0], [2**40, 3]], evil, evil, evil)
    for drawing in (
        bars([], axis, ["a"]),
        histogram([], [], axis, "n"),
        lines([], Axis("x", 3, 3), Axis("y", 0, 1e-9)),
    ):
        assert "nan" not in ET.tostring(ET.fromstring(drawing)).decode()


def test_a_bar_is_as_long_as_its_value():
    """The rectangle's width is the value's part of the axis; the figure beside it is the last series'."""
    drawing = ET.fromstring(bars([("a", [0.25, 0.5]), ("b", [1.0, 0.125])], Axis("x", 0, 1), ["one", "two"]))
    widths = [float(one.get("width")) for one in drawing.iter("rect")]
    assert [width / widths[2] for width in widths] == pytest.approx([0.25, 0.5, 1.0, 0.125], abs=1e-3)
    assert {"0.5", "0.125"} <= {one.text for one in drawing.iter("text")}


def test_a_square_of_a_matrix_is_as_dark_as_its_part_of_the_row():
    """Its figure is written where it fits, and told in full; what is 0 has neither."""
    drawing = ET.fromstring(
        matrix(["cat", "dog"], [[3, 1, 0], [0, 0, 2], [0, 5, 0]], "annotated", "detected", "nothing")
    )
    told = {one.find("title").text: one for one in drawing.iter("rect") if one.find("title") is not None}
    assert set(told) == {
        "annotated cat, detected cat: 3 of 4",
        "annotated cat, detected dog: 1 of 4",
        "annotated dog, detected nothing: 2 of 2",
        "annotated nothing, detected dog: 5 of 5",
    }
    opacities = [re.search(r"opacity:([.\d]+)", one.get("style"))[1] for one in told.values()]
    assert opacities == ["0.79", "0.36", "1.00", "1.00"]
    assert {"3", "1", "2", "5", "cat", "dog", "nothing"} <= {one.text for one in drawing.iter("text")}
    large = ET.fromstring(matrix(["x"] * 60, np.eye(61, dtype=int) * 1234567, "a", "b", "nothing"))
    assert "1234567" not in {one.text for one in large.iter("text")}


def test_ticks_are_round_and_within():
    """A person reads them at once, and none lies outside the axis."""
    assert Axis("", 0, 1).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Axis("", -3, 47).ticks() == pytest.approx([0, 10, 20, 30, 40])
    assert Axis("", 0, 2.1, whole=True).ticks() == [0, 1, 2]
    assert Axis("", 5, 5).ticks() == [5]


def test_the_report_of_bench(tiny_model, tiny, export):
    """The figures that were printed, how latencies spread, and of an online run the operators."""
    path = tiny / "new" / "bench.html"
    code, out, err = export("bench", tiny_model, "--count", 12, "--report", path)
    assert code == 0, err
    page = Page(path.read_bytes())
    page.check_complete()
    for figure in re.findall(r"^(?:Throughput|Latency|HardwareLatency)\(\w+\): (.*)$", out, re.MULTILINE):
        assert figure in page.texts
    assert "tells nothing about a device" in page.text
    assert len(drawings(path.read_bytes())) == 2
    parts_of = Parts(1.0, 0.0, 2.0, 0.0, 1.0, 1.0)
    online = Timing("n<e>t", "online", "simulator", 1, 1, 1, "x", (parts_of,) * 3, None, (Layer("<conv>", 1, 0.5),))
    page = Page(timing_page(online))
    assert "<conv>" in page.texts
    assert "offline program" not in page.text


def test_the_histogram_of_latencies_counts_every_invocation():
    """Its bars together are all invocations."""
    spread = tuple(Parts(0.0, 0.0, float(n), 0.0, 0.0, 1.0) for n in range(1, 101))
    data = timing_page(Timing("net", "offline", "device", 1, 4, 10, "x", spread, Busy(1.0, 1.0)))
    counts = [int(float(one.text.rsplit(" ", 1)[1])) for one in drawings(data)[0].iter("title")]
    assert sum(counts) == 100


@pytest.mark.eval
def test_the_report_of_eval(tiny, tiny_model, tiny_annotations, export, simulator_path):
    """Figures, curves, classes, and the worst pictures drawn; a file's name cannot break the page."""
    path = tiny / "eval.html"
    (tiny / "pictures" / "0.png").rename(tiny / "pictures" / "<b>&.png")
    tiny_annotations.write_text(tiny_annotations.read_text().replace('"0.png"', '"<b>&.png"'))
    code, out, err = export(
        "eval", tiny_model, "--images", tiny / "pictures", "--annotations", tiny_annotations, "--runtime",
        simulator_path, "--compare", "online,offline", "--report", path, "--json",
    )  # fmt: skip
    assert code == 0, err
    data = path.read_bytes()
    page = Page(data)
    page.check_complete()
    result = json.loads(out)
    assert f"{result['map50_95']:.3f}" in page.texts
    assert {"online", "offline", "annotated", *result["per_class"]} <= set(page.texts)
    assert any(text.startswith("<b>&.png: ") for text in page.texts)
    assert "float" not in page.texts
    best = result["best_point"]
    assert f"best {best['best_confidence']:.3f}: F1 {best['best_f1']:.3f}" in page.texts
    counts = [re.fullmatch(r"annotated (\w+), detected (\w+): (\d+) of \d+", text) for text in page.texts]
    told = {(one[1], one[2]): int(one[3]) for one in counts if one}
    assert told == {(str(one["object"] or "nothing"), str(one["detected"] or "nothing")): one["count"]
                    for one in result["confusion"]}  # fmt: skip
    digest = hashlib.sha256(tiny_model.read_bytes()).hexdigest()
    assert {"date", "host", "sha256 of the model", digest, "sha256 of the annotations"} <= set(page.texts)
    assert any(text.startswith("mlu-export eval ") and "--compare online,offline" in text for text in page.texts)
    curve = drawings(data)[0]
    assert len(list(curve.iter("path"))) == 2
    pictures = [value for tag, name, value in page.values if (tag, name) == ("img", "src")]
    assert len(pictures) == 6  # annotated and offline, of three pictures
    first = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[0].split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    assert first.shape[0] == 60


@pytest.mark.eval
def test_two_reports_of_the_same_differ_in_date_and_host_alone(
    tiny, tiny_model, tiny_annotations, export, simulator_path, monkeypatch
):
    """To the byte, when the clock stands still."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    made = []
    for _ in range(2):
        code, _, err = export(
            "eval", tiny_model, "--images", tiny / "pictures", "--annotations", tiny_annotations, "--runtime",
            simulator_path, "--report", tiny / "eval.html",
        )  # fmt: skip
        assert code == 0, err
        made.append((tiny / "eval.html").read_bytes())
    assert made[0] == made[1]
    assert b"1970-01-01 00:00:00 UTC" in made[0]


@pytest.mark.eval
def test_a_report_that_cannot_be_written_is_told_before_a_long_run(tiny, tiny_model, tiny_annotations, export):
    """A sentence, exit code 2, no figures; nothing half written."""
    (tiny / "file").write_text("")
    code, out, err = export(
        "eval", tiny_model, "--images", tiny / "pictures", "--annotations", tiny_annotations, "--report",
        tiny / "file" / "eval.html",
    )  # fmt: skip
    assert (code, out) == (2, "")
    assert "cannot create the output folder" in err
    (tiny / "folder.html").mkdir()
    code, _, err = export("bench", tiny_model, "--count", 1, "--report", tiny / "folder.html")
    assert code == 2
    assert err.count("\n") == 1


@pytest.mark.eval
@pytest.mark.torch
def test_the_report_of_eval_shows_float_beside_it(tiny, tiny_model, tiny_annotations, export, simulator_path):
    """Each picture is shown as annotated, as float sees it and as the model does."""
    path = tiny / "eval.html"
    code, _, err = export(
        "eval", tiny_model, "--images", tiny / "pictures", "--annotations", tiny_annotations, "--runtime",
        simulator_path, "--compare", "float,offline", "--weights", tiny / "tiny.weights", "--cfg", tiny / "tiny.cfg",
        "--report", path,
    )  # fmt: skip
    assert code == 0, err
    page = Page(path.read_bytes())
    assert [text for text in page.texts if text in ("annotated", "float", "offline")][-3:] == [
        "annotated", "float", "offline",
    ]  # fmt: skip
    assert sum(tag == "img" for tag in page.tags) == 9


@pytest.mark.torch
def test_the_report_of_quantize(tiny, tiny_recipe, export):
    """--report FILE.html: bars of every layer, histograms of the worst, settings; the same figures as the JSON."""

    def report(name):
        code, _, err = export(
            "quantize", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--recipe", tiny_recipe,
            "--calibration", tiny / "pictures", "--output", tiny / "q", "--report", tiny / name,
        )  # fmt: skip
        assert code == 0, err
        return (tiny / name).read_bytes()

    layers = json.loads(report("noise.json"))["layers"]
    data = report("noise.html")
    page = Page(data)
    page.check_complete()
    for layer in layers:
        assert f"{layer['own']:.1f}" in page.texts
        assert layer["name"] in page.texts
    first, *others = drawings(data)
    assert len(list(first.iter("rect"))) == 2 * len(layers)
    assert len(others) == 2 * len(layers)  # weights and inputs of each: there are fewer than eight
    assert "per channel" in page.texts


def test_a_range_line_stands_where_the_range_ends():
    """Of an input's histogram up to 2 the line of a range of 1 is in the middle."""
    edges = np.linspace(0, 2, 65).astype(np.float32)
    counts = np.ones(64, np.float32)
    data = quantization_page(
        "net",
        [LayerNoise("<conv>", 8, 30.0, 25.0, 0.01)],
        [Spread("<conv>", (counts, edges - 1), (counts, edges), 1.0, 2.0)],
        [("a", "b")],
        3,
    )
    Page(data).check_complete()
    drawing = drawings(data)[2]
    (mark,) = [one for one in drawing.iter("line") if one.get("class") == "mark"]
    (axis,) = [one for one in drawing.iter("line") if one.get("class") == "axis"]
    assert float(mark.get("x1")) == pytest.approx((float(axis.get("x1")) + float(axis.get("x2"))) / 2, abs=0.2)


@pytest.mark.eval
def test_a_report_replaces_nothing_that_the_command_reads_or_makes(
    tiny, tiny_model, tiny_annotations, tiny_recipe, export
):
    """The model, its manifest, annotations, weights, a recipe or a picture: one sentence, and every file stays."""
    (tiny / "folder").mkdir()
    picture = next((tiny / "pictures").iterdir())
    bench = ("bench", tiny_model, "--count", 1)
    evaluate = ("eval", tiny_model, "--images", tiny / "pictures", "--annotations", tiny_annotations)
    quantize = (
        "quantize", "--arch", "darknet", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights",
        "--recipe", tiny_recipe, "--calibration", tiny / "pictures", "--output", tiny / "q",
    )  # fmt: skip
    cases = [
        (bench, tiny_model, "is the file that is read"),
        (bench, tiny_model.with_suffix(".toml"), "is the file that is read"),
        (bench, tiny / "folder", "is a folder: name a file"),
        (evaluate, tiny_annotations, "is the file that is read"),
        (evaluate, picture, "is one of the pictures"),
        (quantize, tiny / "tiny.weights", "is the file that is read"),
        (quantize, tiny_recipe, "is the file that is read"),
        (quantize, tiny / "q" / "tiny.recipe.toml", "goes into --output"),
    ]
    for command, report, words in cases:
        before = report.read_bytes() if report.is_file() else None
        code, out, err = export(*command, "--report", report)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert f"--report {report}" in err
        assert words in err
        assert (report.read_bytes() if report.is_file() else None) == before
    assert not (tiny / "q").exists()
