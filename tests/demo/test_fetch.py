"""The demo takes data out of packages without running anything of them, and trusts nothing but the pinned digests."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import importlib.util
import io
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location("demo_fetch", ROOT / "demo" / "fetch.py")
fetch = importlib.util.module_from_spec(_SPEC)
sys.modules["demo_fetch"] = fetch
_SPEC.loader.exec_module(fetch)

# pip's own imports warn, and not about us
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

DATA = bytes(range(256)) * 4096
MEMBER = "sample-1.0/sample/data.bin"


def _sdist(marker: Path) -> bytes:
    """A source distribution whose setup.py leaves a mark when anybody runs it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        setup = (
            f"open({str(marker)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='sample', version='1.0')\n"
        )
        for name, data in (("sample-1.0/setup.py", setup.encode()), (MEMBER, DATA)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sample/data.bin", DATA)
    return buffer.getvalue()


class Index:
    """A package index on the loopback address that pip is configured for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                index.requests.append(self.path)
                name = self.path.rsplit("/", 1)[-1]
                links = "".join(f'<a href="/files/{file}">{file}</a><br>' for file in index.files)
                body = links.encode() if self.path == "/simple/sample/" else index.files.get(name)
                self.send_response(404 if body is None else 200)
                kind = "text/html" if self.path.startswith("/simple") else "application/octet-stream"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/simple"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def index(monkeypatch):
    """The index, with pip's configuration pointing to it alone."""
    served = Index()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", served.url)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield served
    served.close()


@pytest.fixture
def marker(tmp_path) -> Path:
    return tmp_path / "setup.py-was-run"


@pytest.fixture
def pinned(index, marker):
    """The sdist on the index, and what is pinned of it."""
    archive = _sdist(marker)
    index.files["sample-1.0.tar.gz"] = archive
    return fetch.Pinned(
        package="sample",
        archive="sample-1.0.tar.gz",
        archive_sha256=hashlib.sha256(archive).hexdigest(),
        archive_limit=len(archive),
        member=MEMBER,
        member_sha256=hashlib.sha256(DATA).hexdigest(),
        member_limit=len(DATA),
    )


def test_a_member_of_a_source_distribution_is_taken_without_running_its_setup(pinned, marker, tmp_path):
    """The member arrives, the archive is not kept, and setup.py was never run."""
    path = fetch.fetch(pinned, tmp_path / "cache")
    assert path.read_bytes() == DATA
    assert [file.name for file in path.parent.iterdir()] == ["data.bin"]
    assert not marker.exists()


def test_a_member_of_a_wheel_is_taken(index, pinned, tmp_path):
    """Wheels are archives of another kind, found and checked in the same way."""
    archive = _wheel()
    index.files["sample-1.0-py3-none-any.whl"] = archive
    wheel = dataclasses.replace(
        pinned,
        archive="sample-1.0-py3-none-any.whl",
        archive_sha256=hashlib.sha256(archive).hexdigest(),
        member="sample/data.bin",
    )
    assert fetch.fetch(wheel, tmp_path / "cache").read_bytes() == DATA


def test_the_second_time_nothing_is_asked(index, pinned, tmp_path):
    """What is in the cache with the right digest needs no network."""
    fetch.fetch(pinned, tmp_path)
    index.requests.clear()
    assert fetch.fetch(pinned, tmp_path).read_bytes() == DATA
    assert index.requests == []


def test_a_damaged_cache_is_fetched_again(pinned, tmp_path):
    """A file in the cache is believed by its digest, not by its name."""
    (tmp_path / "data.bin").write_bytes(DATA[:-1])
    assert fetch.fetch(pinned, tmp_path).read_bytes() == DATA


def test_another_archive_than_the_pinned_one_is_not_opened(pinned, tmp_path):
    """A wrong digest ends it before anything is read, and nothing stays behind."""
    wrong = dataclasses.replace(pinned, archive_sha256="0" * 64)
    with pytest.raises(fetch.FetchError, match="nothing of it was used"):
        fetch.fetch(wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_pinned_are_not_stored(pinned, tmp_path):
    """An endless answer of an index ends at the limit."""
    small = dataclasses.replace(pinned, archive_limit=1000)
    with pytest.raises(fetch.FetchError, match="larger than 1000 bytes"):
        fetch.fetch(small, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"member": "sample-1.0/other.bin"}, "could not be read"),
        ({"member_limit": 1000}, "larger than 1000 bytes"),
        ({"member_sha256": "0" * 64}, "nothing of it was used"),
        ({"archive": "sample-2.0.tar.gz"}, "was not found on the package index"),
        ({"package": "another"}, "was not found on the package index"),
    ],
)
def test_what_does_not_fit_is_said(pinned, tmp_path, change, sentence):
    """Each way in which the archive is not what was pinned gives its sentence and leaves no file of the member."""
    with pytest.raises(fetch.FetchError, match=sentence):
        fetch.fetch(dataclasses.replace(pinned, **change), tmp_path)
    assert not list(tmp_path.glob("*.bin*"))


def test_an_index_that_cannot_be_reached_is_said(index, pinned, tmp_path, monkeypatch):
    """No network: one sentence, no traceback of pip."""
    index.close()
    with pytest.raises(fetch.FetchError, match=r"was not found|could not be asked"):
        fetch.fetch(pinned, tmp_path)
