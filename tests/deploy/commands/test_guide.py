"""The porting guides: both languages say the same, every command line is right, the seven scripts' equals run."""

from __future__ import annotations

import argparse
import importlib
import json
import re
from pathlib import Path

import pytest
from tests.deploy.commands import guide

import mlu_agent.cli
import mlu_export.cli
from mlu_agent import command_line

ROOT = Path(__file__).resolve().parents[3]
GUIDES = {"en": ROOT / "docs" / "porting-guide.md", "zh": ROOT / "docs" / "zh" / "porting-guide.md"}
SECTIONS = {language: guide.read_sections(path.read_text("utf-8")) for language, path in GUIDES.items()}
CLIS = {"mlu-export": mlu_export.cli, "mlu-agent": mlu_agent.cli}
SCRIPTS = (
    "quantize.sh",
    "run_online_accuracy.sh",
    "run_online_performance.sh",
    "run_get_accuracy_offlinemodel.sh",
    "run_get_performance_offlinemodel.sh",
    "run_offline_accuracy.sh",
    "run_offline_performance.sh",
)


def commands(language):
    return [command for section in SECTIONS[language] for command in section.commands]


def section_of(script, language="en"):
    return next(section for section in SECTIONS[language] if section.title == f"`{script}`")


def test_both_guides_have_the_same_headings():
    """As many, of the same levels, in the same order; what is code in a heading is the same code."""
    shapes = {
        language: [(section.level, re.findall("`([^`]+)`", section.title)) for section in sections]
        for language, sections in SECTIONS.items()
    }
    assert shapes["en"] == shapes["zh"]
    assert len(shapes["en"]) > 20


def test_both_guides_have_the_same_commands_and_outputs():
    """Console blocks are not translated."""
    blocks = {
        language: [(number, block) for number, section in enumerate(sections) for block in section.blocks]
        for language, sections in SECTIONS.items()
    }
    assert blocks["en"] == blocks["zh"]
    assert len(commands("en")) > 20


def test_both_guides_have_the_same_tables():
    """As many in each section, and of the same rows and columns."""
    sizes = {
        language: [[[len(row) for row in table] for table in section.tables] for section in sections]
        for language, sections in SECTIONS.items()
    }
    assert sizes["en"] == sizes["zh"]


def test_both_guides_name_the_same_code():
    """Options, functions and files in running text: each section names the same ones."""
    for english, chinese in zip(SECTIONS["en"], SECTIONS["zh"]):
        assert set(english.code) == set(chinese.code), english.title


OURS = [command for command in commands("en") if command.program in CLIS]


@pytest.mark.parametrize("command", OURS, ids=lambda command: " ".join(command.words)[:60])
def test_every_command_line_parses(command, capsys):
    """With the parser of the program itself, so that a renamed option cannot stay in the guide."""
    try:
        command_line.parser(CLIS[command.program].program(), command.arguments).parse_args(command.arguments)
    except SystemExit:
        pytest.fail(f"{' '.join(command.words)}\n{capsys.readouterr().err}")


def test_other_programs_are_the_expected_few():
    """What is no command of ours is not parsed, so there must be few of it."""
    others = {command.program for command in commands("en")} - set(guide.PROGRAMS)
    assert others <= {"pip", "python", "head", "cat"}


def options():
    """Every option of every command of both programs."""
    found = set()
    for cli, package in ((mlu_export.cli, "mlu_export"), (mlu_agent.cli, "mlu_agent")):
        for name in cli.COMMANDS:
            parser = argparse.ArgumentParser()
            importlib.import_module(f"{package}.commands.{name}").declare(parser)
            found.update(parser._option_string_actions)
    return found


def test_every_option_in_running_text_exists():
    """Apart from the vendor's, which stand in the first column of tables."""
    pattern = r"(?<![\w-])--[a-z][a-z0-9_-]*"
    sections = SECTIONS["en"]
    cells = [row[0] for section in sections for table in section.tables for row in table]
    vendors = {option for cell in cells for option in re.findall(pattern, cell)}
    named = {option for section in sections for span in section.code for option in re.findall(pattern, span)}
    ours = options()
    assert len(vendors) > 10
    assert named - ours - vendors == set()


def test_every_command_in_running_text_exists():
    """``mlu-export NAME``: a command of that program."""
    for section in SECTIONS["en"]:
        for span in section.code:
            words = span.split()
            if words[0] in CLIS and len(words) > 1:
                assert words[1] in CLIS[words[0]].COMMANDS, span


def test_the_readmes_table_lists_every_command_of_both_programs():
    """One row for each, and no other."""
    text = (ROOT / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(mlu-\w+) (\w+)[^`]*` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted((program, name) for program, cli in CLIS.items() for name in cli.COMMANDS)


@pytest.mark.parametrize(
    "path", [*GUIDES.values(), ROOT / "docs" / "zh" / "README.md"], ids=lambda path: path.parent.name
)
def test_links_lead_somewhere(path):
    """Files of this checkout, and headings of the page itself."""
    text = path.read_text("utf-8")
    anchors = {_anchor(section.title) for section in guide.read_sections(text)}
    for target in re.findall(r"\]\(([^)]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("https://"):
            assert (path.parent / target.partition("#")[0]).exists(), target


def _anchor(title):
    """As GitHub makes them."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.fixture
def porting(tiny, tiny_annotations, monkeypatch, simulator_path):
    """The current folder has files of the names that the seven commands use, of a small network.

    The annotations are what another quantization of it finds, so that its accuracy is far from 0 and from 1.
    """
    monkeypatch.chdir(tiny)
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    for old, new in (("tiny.cfg", "yolov3.cfg"), ("tiny.weights", "yolov3.weights"), ("names.txt", "coco.names")):
        (tiny / old).rename(tiny / new)
    (tiny / "pictures").rename(tiny / "val")
    (tiny / "calibration").mkdir()
    for path in (tiny / "val").iterdir():
        (tiny / "calibration" / path.name).write_bytes(path.read_bytes())
    return tiny


def follow(script, export):
    """Runs the commands under a script's heading; returns what they printed."""
    printed = []
    for command in section_of(script).commands:
        assert command.program == "mlu-export"
        code, out, err = export(*command.arguments)
        assert code == 0, err
        printed.append(out)
    assert printed, f"there is no command under {script}"
    return "".join(printed)


def number_after(name, text):
    """The number on the line that starts with a name."""
    found = re.search(rf"^{re.escape(name)} *([0-9.]+)", text, re.MULTILINE)
    assert found, f"no line starts with {name!r}:\n{text}"
    return float(found[1])


@pytest.mark.torch
def test_the_seven_scripts_have_one_command_each():
    """As the vendor's scripts: the guide's section of each has one command."""
    assert [len(section_of(script).commands) for script in SCRIPTS] == [1] * len(SCRIPTS)


@pytest.mark.eval
@pytest.mark.torch
def test_the_seven_scripts_equals_run_in_order(porting, export):
    """Each exactly as documented, on a small network under the documented names; each prints what its script prints."""
    checkpoint = Path("models/yolov3_int8.pth")
    assert str(checkpoint) in follow("quantize.sh", export).splitlines()
    assert checkpoint.is_file()

    online = number_after("Mean AP:", follow("run_online_accuracy.sh", export))

    speed = follow("run_online_performance.sh", export)
    assert number_after("Throughput(fps):", speed) > 0
    assert number_after("Latency(ms):", speed) > 0

    accurate = Path("models/yolov3.cambricon")
    assert str(accurate) in follow("run_get_accuracy_offlinemodel.sh", export).splitlines()
    fast = Path("models/yolov3_b16c4.cambricon")
    assert str(fast) in follow("run_get_performance_offlinemodel.sh", export).splitlines()
    assert accurate.is_file()
    assert fast.is_file()

    assert number_after("Mean AP:", follow("run_offline_accuracy.sh", export)) == online

    speed = follow("run_offline_performance.sh", export)
    for name in ("Throughput(fps):", "Latency(ms):", "HardwareLatency(ms):"):
        assert number_after(name, speed) > 0
    assert online > 0.2


@pytest.mark.eval
@pytest.mark.shared
@pytest.mark.torch
@pytest.mark.slow
def test_the_walk_through_with_real_weights(tmp_path, monkeypatch, shared_data, simulator_path, export):
    """From Darknet weights to an accuracy, on a handful of pictures: online and offline agree, far from 0."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLU_AGENT_SIMULATOR", str(simulator_path))
    _take_some(shared_data / "sets" / "coco128-val", tmp_path / "val", tmp_path / "instances.json", 6)
    _take_some(shared_data / "sets" / "coco128-train", tmp_path / "calibration", None, 2)
    (tmp_path / "yolov3-tiny.weights").symlink_to(shared_data / "weights" / "yolov3-tiny.weights")
    checkpoint, model = "models/yolov3-tiny_int8.pth", "models/yolov3-tiny.cambricon"
    arch, pictures = ("--arch", "yolov3-tiny"), ("--images", "val", "--annotations", "instances.json")
    steps = (
        ("convert", *arch, "--weights", "yolov3-tiny.weights", "--output", "yolov3-tiny.pth"),
        ("quantize", *arch, "--weights", "yolov3-tiny.pth", "--calibration", "calibration", "--observer", "minmax",
         "--output", "models"),
        ("eval", checkpoint, *arch, "--online", *pictures),
        ("compile", *arch, "--weights", checkpoint, "--output", "models"),
        ("verify", model, "--weights", checkpoint, "--count", "1"),
        ("eval", model, *pictures),
        ("bench", model, "--images", "val", "--count", "2"),
    )  # fmt: skip
    printed = []
    for step in steps:
        code, out, err = export(*step)
        assert code == 0, err
        printed.append(out)
    online, offline = (number_after("Mean AP:", printed[number]) for number in (2, 5))
    assert online == offline
    assert offline > 0.3
    assert "are equal" in printed[4]
    assert number_after("HardwareLatency(ms):", printed[6]) > 0


REFUSED = [
    command
    for command in OURS
    if [line[:11] for line in command.printed] == ["mlu-export:"]
    and not any(word.startswith("models/yolo") for word in command.words)
    and {"convert", "quantize", "compile"} & set(command.words)
]


@pytest.mark.shared
@pytest.mark.torch
@pytest.mark.parametrize("command", REFUSED, ids=lambda command: " ".join(command.words)[11:70])
def test_what_goes_wrong_is_said_as_the_guide_says(command, tmp_path, monkeypatch, shared_data, export):
    """The sentences that the guide shows for wrong files are those that real wrong files get."""
    monkeypatch.chdir(tmp_path)
    for path in (shared_data / "weights").iterdir():
        (tmp_path / path.name).symlink_to(path)
    weights = (shared_data / "weights" / "yolov3-tiny.weights").read_bytes()
    (tmp_path / "cut.weights").write_bytes(weights[:1000000])
    if "yolov3-tiny.pth" in command.words:
        first = next(command for command in OURS if command.words[1] == "convert")
        assert export(*first.arguments)[0] == 0
    before = sorted(tmp_path.iterdir())
    code, out, err = export(*command.arguments)
    assert (code, out) == (2, "")
    assert err.splitlines() == list(command.printed)
    assert sorted(tmp_path.iterdir()) == before


def _take_some(source, folder, annotations, count):
    """Links the first pictures of a set, and writes their annotations."""
    folder.mkdir()
    for path in sorted((source / "images").iterdir())[:count]:
        (folder / path.name).symlink_to(path)
    if annotations is not None:
        document = json.loads((source / "instances.json").read_text())
        names = {path.name for path in folder.iterdir()}
        document["images"] = [image for image in document["images"] if Path(image["file_name"]).name in names]
        kept = {image["id"] for image in document["images"]}
        document["annotations"] = [box for box in document["annotations"] if box["image_id"] in kept]
        annotations.write_text(json.dumps(document))


@pytest.mark.torch
def test_the_porting_script_of_the_guide_runs(run):
    """The Python of the guide's section, as it stands there, prints what the guide says."""
    section = next(section for section in SECTIONS["en"] if section.title == "An existing porting script")
    script = re.search(r"^```python\n# port.py\n(.*?)^```$", section.text, re.MULTILINE | re.DOTALL)
    done = run(script[1])
    assert done.returncode == 0, done.stderr
    expected = next(command for command in section.commands if command.words[1:] == ("run", "port.py"))
    assert sorted((done.stdout + done.stderr).splitlines()) == sorted(expected.printed)
