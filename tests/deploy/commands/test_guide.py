"""Pages in two languages say the same; the porting guide's command lines are right, the seven scripts' equals run."""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import re
from pathlib import Path

import pytest
from tests.deploy.commands import guide

import mlu_agent.cli
import mlu_export.cli
from mlu_agent import command_line

ROOT = Path(__file__).resolve().parents[3]
SECTIONS = guide.read_sections((ROOT / "docs" / "porting-guide.md").read_text("utf-8"))
COMMANDS = [command for section in SECTIONS for command in section.commands]
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


def section_of(script):
    return next(section for section in SECTIONS if section.title == f"`{script}`")


@pytest.fixture(params=["porting-guide.md", "operate.md"])
def both(request):
    """The sections of a page, in English and in Chinese."""
    pages = ROOT / "docs" / request.param, ROOT / "docs" / "zh" / request.param
    english, chinese = (guide.read_sections(page.read_text("utf-8")) for page in pages)
    return english, chinese


def test_both_guides_have_the_same_headings(both):
    """As many, of the same levels, in the same order; what is code in a heading is the same code."""
    english, chinese = (
        [(section.level, re.findall("`([^`]+)`", section.title)) for section in sections] for sections in both
    )
    assert english == chinese
    assert len(english) > 10


def test_both_guides_have_the_same_commands_and_outputs(both):
    """Blocks of code are not translated."""
    english, chinese = ([section.blocks + section.indented for section in sections] for sections in both)
    assert english == chinese
    assert sum(map(len, english)) >= 10


def test_both_guides_have_the_same_tables(both):
    """As many in each section, and of the same rows and columns."""
    english, chinese = (
        [[[len(row) for row in table] for table in section.tables] for section in sections] for sections in both
    )
    assert english == chinese
    assert sum(map(len, english)) > 3


def test_both_guides_name_the_same_code(both):
    """Options, functions and files in running text: each section names the same ones."""
    for english, chinese in zip(*both):
        assert set(english.code) == set(chinese.code), english.title


def test_both_guides_give_the_same_figures(both):
    """Whoever measures again writes it into both."""
    for english, chinese in zip(*both):
        assert english.numbers == chinese.numbers, english.title


def test_each_language_links_to_the_other(both):
    """Above the first heading of its second level."""
    english, chinese = both
    assert re.match(r"\n\[中文\]\(zh/[\w-]+\.md\)\n", english[0].text)
    assert re.match(r"\n\[English\]\(\.\./[\w-]+\.md\)\n", chinese[0].text)


OURS = [command for command in COMMANDS if command.program in CLIS]


@pytest.mark.parametrize("command", OURS, ids=lambda command: " ".join(command.words)[:60])
def test_every_command_line_parses(command, capsys):
    """With the parser of the program itself, so that a renamed option cannot stay in the guide."""
    try:
        command_line.parser(CLIS[command.program].program(), command.arguments).parse_args(command.arguments)
    except SystemExit:
        pytest.fail(f"{' '.join(command.words)}\n{capsys.readouterr().err}")


def test_other_programs_are_the_expected_few():
    """What is no command of ours is not parsed, so there must be few of it."""
    assert len(OURS) > 20
    others = {command.program for command in COMMANDS} - set(guide.PROGRAMS)
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
    cells = [row[0] for section in SECTIONS for table in section.tables for row in table]
    vendors = {option for cell in cells for option in re.findall(pattern, cell)}
    named = {option for section in SECTIONS for span in section.code for option in re.findall(pattern, span)}
    ours = options()
    assert len(vendors) > 10
    assert named - ours - vendors == set()


def test_every_command_in_running_text_exists():
    """``mlu-export NAME``: a command of that program."""
    for section in SECTIONS:
        for span in section.code:
            words = span.split()
            if words[0] in CLIS and len(words) > 1:
                assert words[1] in CLIS[words[0]].COMMANDS, span


READMES = ROOT / "README.md", ROOT / "docs" / "zh" / "README.md"


@pytest.mark.parametrize("page", READMES, ids=("en", "zh"))
def test_the_readmes_table_lists_every_command_of_both_programs(page):
    """One row for each, and no other."""
    rows = re.findall(r"^\| `(mlu-\w+) (\w+)[^`]*` \|", page.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted((program, name) for program, cli in CLIS.items() for name in cli.COMMANDS)


def test_both_readmes_lead_in_by_the_same_commands():
    """The three ways are whole in both; what else the Chinese one tells to type stands in the English one."""
    english, chinese = (guide.read_sections(page.read_text("utf-8")) for page in READMES)
    ways = {line for section in _under("Three ways in", english) for line in _typed(section)}
    assert len(ways) > 10
    assert ways == {line for section in _under("三种入门方式", chinese) for line in _typed(section)}
    every = {line for section in english for line in _typed(section)}
    assert {line for section in chinese for line in _typed(section)} <= every


def _under(title, sections):
    """The sections of the third level that follow one of the second."""
    start = [section.title for section in sections].index(title) + 1
    return list(itertools.takewhile(lambda section: section.level > 2, sections[start:]))


def _typed(section):
    """The lines of blocks without their comments."""
    return [re.sub(r"\s+#.*", "", line).strip() for block in section.indented for line in block.splitlines()]


PAGES = [ROOT / "docs" / "operate.md", ROOT / "docs" / "porting-guide.md", *sorted((ROOT / "docs" / "zh").glob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_links_lead_somewhere(path):
    """Files of this checkout, and headings of a page."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if not target.startswith("https://"):
            name, _, heading = target.partition("#")
            page = path.parent / name if name else path
            assert page.exists(), target
            assert not heading or heading in _anchors(page), target


def _anchors(page):
    """As GitHub makes them of headings."""
    titles = [section.title for section in guide.read_sections(page.read_text("utf-8"))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


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
    section = next(section for section in SECTIONS if section.title == "An existing porting script")
    script = re.search(r"^```python\n# port.py\n(.*?)^```$", section.text, re.MULTILINE | re.DOTALL)
    done = run(script[1])
    assert done.returncode == 0, done.stderr
    expected = next(command for command in section.commands if command.words[1:] == ("run", "port.py"))
    assert sorted((done.stdout + done.stderr).splitlines()) == sorted(expected.printed)
