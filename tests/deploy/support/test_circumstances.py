"""Of what a report is: when, where, by which command and of which files."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess

import pytest

from mlu_agent.errors import UserError
from mlu_export.support.circumstances import circumstances, file_digest, files_digest


def test_what_it_says_is_so(monkeypatch):
    """UTC to the second, this machine, the command as a shell takes it, digests as they were given."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    made = circumstances(["eval", "a model.cambricon", "--iou", "0.5"], {"the model": "ab"})
    assert made.date == "2023-11-14 22:13:20 UTC"
    assert made.command == "mlu-export eval 'a model.cambricon' --iou 0.5"
    assert set(made.document()) == {"date", "host", "command", "sha256"}
    assert re.fullmatch(r"\S+ \(\w+\)", made.host)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", circumstances([], {}).date)
    assert len(circumstances(["x" * 10_000], {}).command) == 4096


@pytest.mark.parametrize("epoch", ["now", "-1", "1.5", "9" * 12, "²"])
def test_a_wrong_epoch_is_the_users_mistake(monkeypatch, epoch):
    """With the value."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(UserError, match="SOURCE_DATE_EPOCH="):
        circumstances([], {})


def test_the_digest_of_files_is_what_sha256sum_makes_of_them(tmp_path):
    """So that anybody can make it; it tells a changed file, a renamed one and another order."""
    paths = [tmp_path / name for name in ("b.png", "a.png")]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * (1 + (1 << 20) * number))
    found = files_digest(paths)
    assert file_digest(paths[1]) == hashlib.sha256(paths[1].read_bytes()).hexdigest()
    if shutil.which("sha256sum"):
        listed = subprocess.run(["sha256sum", "b.png", "a.png"], cwd=tmp_path, capture_output=True, check=True).stdout
        assert found == hashlib.sha256(listed).hexdigest()
    assert files_digest(reversed(paths)) != found
    paths[0].write_bytes(b"other")
    assert files_digest(paths) != found
    with pytest.raises(UserError, match="cannot read"):
        file_digest(tmp_path / "none")
