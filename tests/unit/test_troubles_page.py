"""docs/operate.md's table of troubles, the words in the code, and what the judges say: all three are one."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import troubles
from tests.injections import INJECTIONS

from mlu_agent.config import SourceConfig, load_config
from mlu_agent.doctor import daemon, doctor, model, permissions, sockets
from mlu_agent.doctor.machine import Who
from mlu_agent.sources.base import Reason

if TYPE_CHECKING:
    from mlu_agent.doctor.finding import Finding

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operate.md"
CHINESE = ROOT / "docs" / "zh" / "operate.md"
STRANGER = Who("stranger", 64_000, frozenset({64_000}))
CONFIGURATION = '[model]\npath = "m.cambricon"\n[[source]]\nid = "gate"\n'


def _rows(page: Path) -> dict[str, tuple[str, str]]:
    """Of each word what doctor says and what to do."""
    rows = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)]
        word = re.fullmatch(r"`([a-z-]+)`", cells[2]) if len(cells) == 6 else None
        if word:
            assert word[1] not in rows, f"{word[1]} has two rows"
            rows[word[1]] = cells[3], cells[4]
    return rows


ROWS = _rows(PAGE)


def _words() -> set[str]:
    """All that the code can say: literals of `trouble(...)`, and those that stand in tables."""
    found = {f"source-{reason.value.replace('_', '-')}" for reason in Reason}
    found |= {f"source-{state}" for state in daemon.PICTURES}
    found |= {code for _, code, _ in model.KINDS} | set(sockets.SOCKET_REMEDIES) | {code for _, code in doctor.NAMED}
    for path in (ROOT / "agent" / "mlu_agent" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if isinstance(node, ast.Call) and name in ("trouble", "_trouble"):
                code = node.args[1 if name == "trouble" else 0]
                found |= {code.value} if isinstance(code, ast.Constant) else set()
    return found


def test_every_word_that_doctor_has_stands_in_the_page():
    """And the page has none that nothing says."""
    assert _words() == set(ROWS)


def _real(folder: Path) -> dict[str, Finding]:
    """Troubles that need files to be there."""
    file = folder / "agent.toml"
    wrong = {
        "configuration": 'synthetic = "64x48@20"\nlop = true\n',
        "password-file": 'url = "rtsp://camera/"\nuser = "a"\npassword_file = "absent"\n',
        "insecure": 'synthetic = "64x48@20"\n[publish]\nendpoint = "tcp://*:5556"\n',
        "socket-path": f'synthetic = "64x48@20"\n[publish]\nendpoint = "ipc:///{"x" * 120}"\n',
    }
    found = {}
    for code, text in wrong.items():
        file.write_text(CONFIGURATION + text)
        found[code] = doctor.read_configuration(file)[0][0]
    for folder_above in file.parents:
        if folder_above.owner() == file.owner() and folder_above != Path("/"):
            folder_above.chmod(folder_above.stat().st_mode | 0o011)
    file.write_text(CONFIGURATION + 'url = "rtsp://user:secret@camera/"\n')
    file.chmod(0o644)
    config = load_config(file)
    found["secret-exposed"] = permissions.look(file, config, STRANGER)[0]
    file.chmod(0o600)
    found["file-unreadable"] = permissions.look(file, config, STRANGER)[0]
    found["camera-permission"] = permissions.of_camera("gate", file, STRANGER)
    return found


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    """Every trouble as it is told."""
    return {**troubles.found(), **_real(tmp_path_factory.mktemp("troubles"))}


def _fits(cell: str, text: str) -> bool:
    return re.search(".*".join(re.escape(part.strip()) for part in cell.split("…")), text) is not None


@pytest.mark.parametrize("word", ROWS)
def test_the_page_says_what_doctor_says(said: dict[str, Finding], word: str):
    """Sentence and remedy, word by word but for what is of the box."""
    told = said[word]
    assert told.code == word
    says, do = ROWS[word]
    assert _fits(says, told.found), told.found
    assert _fits(do, told.remedy), told.remedy
    assert len(do) > 8


def test_the_chinese_page_has_the_same_rows():
    """The same words in the same order, what doctor says as it says it, what to do in Chinese with the same code."""
    rows = _rows(CHINESE)
    assert list(rows) == list(ROWS)
    for word, (says, do) in rows.items():
        assert says == ROWS[word][0], word
        assert re.search("[\u4e00-\u9fff]{2}", do), word
        assert re.findall("`([^`]+)`", do) == re.findall("`([^`]+)`", ROWS[word][1]), word


def test_every_trouble_that_is_injected_is_in_the_page():
    """And there are thirty and more of them."""
    assert {one.code for one in INJECTIONS.values()} <= set(ROWS)
    assert len(INJECTIONS) >= 30


def test_a_camera_of_the_configuration_is_looked_for_by_its_device():
    """By index or by path."""
    assert permissions.device_of(SourceConfig("a", "camera", "3")) == Path("/dev/video3")
    assert permissions.device_of(SourceConfig("a", "camera", "/dev/video7")) == Path("/dev/video7")
    assert permissions.device_of(SourceConfig("a", "url", "rtsp://camera/")) is None
