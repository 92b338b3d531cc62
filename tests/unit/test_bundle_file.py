"""A ``.bundle``: read whole or refused, unpacked where nobody else can reach, and loaded like the files in it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import gc
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings, strategies as st
from tests.bundles import bundle_bytes, index_text, small_members, write_bundle
from tests.containers import device_file
from tests.models import small_bundle

from mlu_agent.cli import main
from mlu_agent.cnrt.model import refuse_other_device
from mlu_agent.config import ModelConfig, parse_config
from mlu_agent.daemon import last_good
from mlu_agent.detector import Detector
from mlu_agent.errors import CannotUnpack, DataError, UserError
from mlu_agent.model import signatures, unpacked
from mlu_agent.model.bundle import load_bundle, load_last_good
from mlu_agent.model.bundle_file import contents, open_bundle, read_head
from mlu_agent.model.golden import GoldenFrame, golden_text
from mlu_agent.model.offline_model import read_offline_model
from mlu_agent.model.signatures import Trust, check_signatures, trust_of

TINY = [("manifest", "m.toml", b"manifest"), ("model", "m.cambricon", b"model!"), ("golden", "m.golden", b"")]
SHA = "0" * 64


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Temporary files and, in ``cache``, the folder that systemd would name."""
    for name in ("temporary", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    yield
    unpacked.remove_temporary()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bundles"


def read(path):
    """All that the reader checks before a member is used."""
    with open_bundle(path) as file:
        head = read_head(file, path.name)
        for member in head.index.members:
            for _ in contents(file, member, path.name):
                pass
    return head


def golden(sha256):
    return golden_text(GoldenFrame(sha256, "simulator", ((SHA,), (SHA,)))).encode()


def test_a_bundle_is_loaded_like_the_files_in_it(original, tmp_path):
    """Everything of the specification is equal but where the files lie; nothing lies beside the bundle."""
    folder = tmp_path / "models"
    folder.mkdir()
    path = write_bundle(folder / "small.bundle", small_members(original, provenance=b"by hand"))
    spec, plain = load_bundle(path), load_bundle(original)
    paths = {"path": plain.path, "manifest_path": plain.manifest_path, "packed": None}
    assert dataclasses.replace(spec, output=plain.output, **paths) == plain
    assert [member.role for member in spec.packed.index.members] == ["manifest", "model", "provenance"]
    assert (spec.packed.index.version, spec.packed.signers) == ("1", ())
    assert list(folder.iterdir()) == [path]
    with Detector(path, "simulator") as detector:
        assert detector.spec.sha256 == spec.sha256


def test_every_flipped_bit_is_noticed(tmp_path):
    """Whichever bit of whichever byte: header, index, a member."""
    data = bundle_bytes(index_text(TINY), TINY)
    path = tmp_path / "x.bundle"
    path.write_bytes(data)
    read(path)
    passed = []
    with path.open("r+b", buffering=0) as file:
        for place in range(len(data)):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([data[place] ^ 1 << bit]), place)
                with contextlib.suppress(DataError):
                    read(path)
                    passed.append((place, bit))
            os.pwrite(file.fileno(), data[place : place + 1], place)
    assert passed == []
    read(path)


def test_a_bundle_ends_where_its_index_says(tmp_path):
    """One byte less and one byte more are refused, and every shorter file."""
    data = bundle_bytes(index_text(TINY), TINY)
    for end in range(len(data)):
        (tmp_path / "x.bundle").write_bytes(data[:end])
        with pytest.raises(DataError):
            read(tmp_path / "x.bundle")
    (tmp_path / "x.bundle").write_bytes(data + b"\0")
    with pytest.raises(DataError, match=f"has {len(data) + 1} bytes, its index names {len(data)}; copy it again"):
        read(tmp_path / "x.bundle")


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("schema = 1", "schema = 2", "schema: 2 is not accepted"),
        ('name = "m.toml"', 'name = "../m.toml"', "member.0..name: '../m.toml' is not accepted; write a file name"),
        ('name = "m.toml"', 'name = "/etc/passwd"', "without directories"),
        ('name = "m.toml"', 'name = ".."', "without directories"),
        ('name = "m.toml"', 'name = ".hidden"', "without directories"),
        ('name = "m.toml"', 'name = "a\\u0000b"', "without directories"),
        ('name = "m.toml"', f'name = "{"ä" * 101}"', "is longer than 200 bytes"),
        ('name = "m.golden"', 'name = "m.toml"', r"member\[2\].name: is longer than 200 bytes, or there twice"),
        ('role = "golden"', 'role = "model"', r"member\[2\].role: 'model' is not accepted; write one of"),
        ('role = "golden"', 'role = "twins"', "role: 'twins'"),
        ('role = "manifest"', 'role = "provenance"', 'does not begin with the roles "manifest" and "model"'),
        ("size = 0", "size = -1", "size: -1 is not accepted; write a whole number from 0 to 65536"),
        ("size = 0", "size = 65537", "size: 65537"),
        ("size = 0", "size = 1", "bytes, its index names"),
        ('hardware = ["simulator"]', "hardware = []", "hardware: is not a sorted list"),
        ('hardware = ["simulator"]', 'hardware = ["simulator", "MLU220"]', "hardware: is not a sorted list"),
        ('hardware = ["simulator"]', 'hardware = ["MLU999"]', "hardware: is not a sorted list"),
        ('least_agent = "0.1.0"', 'least_agent = "new"', "least_agent: 'new'"),
        ("schema = 1", "schema = 1\nextra = 1", "extra: is not an option"),
        ("schema = 1", "schema = ", "not valid TOML"),
    ],
)  # fmt: skip
def test_an_index_that_is_wrong_is_refused_with_its_field(tmp_path, old, new, sentence):
    """Names lead nowhere, each role and name is there once, sizes are bounded before anything is read."""
    text = index_text(TINY)
    assert old in text
    (tmp_path / "x.bundle").write_bytes(bundle_bytes(text.replace(old, new), TINY))
    with pytest.raises(DataError, match=sentence):
        read(tmp_path / "x.bundle")


@given(st.binary(max_size=400), st.booleans())
@example(b"", False)
def test_hostile_bytes_are_a_data_error_whatever_they_are(tmp_path_factory, data, sealed):
    """With and without a right digest over them."""
    path = tmp_path_factory.getbasetemp() / "hostile.bundle"
    if sealed:
        data = bundle_bytes(data.decode("latin-1"), TINY)
    path.write_bytes(b"\x7fMLUB\r\n\x1a" * (not sealed) + data)
    with pytest.raises(DataError):
        read(path)


NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=3), st.none())


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["manifest", "model", "golden", "x", ""]), st.text(max_size=4), NUMBERS)))
def test_an_index_of_odd_members_is_a_data_error_or_a_bundle(tmp_path_factory, members):
    """Roles, names and sizes of any kind; what is accepted names nothing outside."""
    path = tmp_path_factory.getbasetemp() / "odd.bundle"
    text = index_text([])
    for role, name, size in members:
        text += f"\n[[member]]\nrole = {role!a}\nname = {name!a}\nsize = {size}\nsha256 = '{SHA}'\n"
    path.write_bytes(bundle_bytes(text, []))
    with contextlib.suppress(DataError):
        assert all("/" not in member.name for member in read(path).index.members)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"name": "other"}, "its index names 'other', its manifest 'small'"),
        ({"hardware": '["MLU220"]'}, "says that it is for MLU220, and its models are for simulator"),
        ({"least_agent": "99.0.0"}, r"wants mlu-agent 99.0.0 or newer, and this is .*: update mlu-agent"),
        ({"least_agent": "0.10.0"}, r"wants mlu-agent 0.10.0 or newer"),
        ({"golden": golden("1" * 64)}, "the golden frame golden.x is of another model"),
        ({"golden": b"x"}, "not valid TOML"),
        ({"device_golden": golden("1" * 64)}, "the golden frame device_golden.x is of another model"),
        ({"device_model": b"x"}, "name other files as device_model"),
    ],
)
def test_what_does_not_belong_together_is_refused(original, tmp_path, change, sentence):
    """Index, manifest, models and golden frames tell of one another; an agent that is too old is told so."""
    more = {key: value for key, value in change.items() if isinstance(value, bytes)}
    facts = {key: value for key, value in change.items() if isinstance(value, str)}
    with pytest.raises(DataError, match=sentence):
        load_bundle(write_bundle(tmp_path / "x.bundle", small_members(original, **more), **facts))


def test_a_model_that_the_manifest_does_not_name_is_refused(original, tmp_path):
    """The manifest's digest is that of the member."""
    role, name, data = small_members(original)[1]
    members = [small_members(original)[0], (role, name, data + b"\0")]
    with pytest.raises(DataError, match=r"sha256: .* is not the digest of small\.cambricon"):
        load_bundle(write_bundle(tmp_path / "x.bundle", members))


def test_a_model_for_another_device_is_refused_before_the_device_sees_it(original):
    """Where both are known; a simulator is any of them."""
    model = read_offline_model(original)
    refuse_other_device("device", model, "MLU220", "m")
    refuse_other_device("device", model, "", "m")
    refuse_other_device("simulator", model, "MLU270", "m")
    with pytest.raises(DataError, match="m: was compiled for an MLU220, and this device is an MLU270"):
        refuse_other_device("device", model, "MLU270", "m")


# ---- where it is unpacked -----------------------------------------------------------------------------------------


def test_unpacked_files_are_kept_in_the_cache_and_checked_again(original, tmp_path, cache):
    """The second load takes the same files; one that was changed, or is a link now, is written anew."""
    path = write_bundle(tmp_path / "small.bundle", small_members(original))
    first = load_bundle(path)
    assert first.path.parent == cache / first.packed.sha256
    assert (cache.stat().st_mode & 0o777, first.path.stat().st_mode & 0o777) == (0o700, 0o600)
    inode = first.path.stat().st_ino
    assert load_bundle(path).path.stat().st_ino == inode
    for spoil in (lambda: first.path.write_bytes(b"x"), lambda: (first.path.unlink(), first.path.symlink_to(original))):
        spoil()
        again = load_bundle(path)
        assert not again.path.is_symlink()
        assert hashlib.sha256(again.path.read_bytes()).hexdigest() == first.sha256
    assert [one.name for one in cache.iterdir() if not one.name.startswith(".")] == [first.packed.sha256]


def test_a_cache_that_others_may_write_is_not_used(original, tmp_path, cache):
    """Nor one that is a link to somewhere: a temporary folder is taken instead, and the reason told."""
    path = write_bundle(tmp_path / "small.bundle", small_members(original))
    cache.mkdir()
    cache.chmod(0o777)
    files = load_bundle(path).packed.files
    assert (files.temporary, files.uncached) == (True, f"{cache}: {cache} is no folder of ours alone")
    assert (files.folder.parent, list(cache.iterdir())) == (tmp_path / "temporary", [])
    unpacked.remove_temporary()
    del files
    gc.collect()
    cache.rmdir()
    cache.symlink_to(tmp_path / "temporary")
    spec = load_bundle(path)
    assert "is no folder of ours alone" in spec.packed.files.uncached
    assert list((tmp_path / "temporary").iterdir()) == [spec.path.parent]


def test_root_leaves_the_cache_of_another_user_alone(original, tmp_path, cache, monkeypatch):
    """A folder of its own in there would shut the service out for good."""
    if os.geteuid() == 0:
        os.chown(cache.parent, 65534, 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    spec = load_bundle(write_bundle(tmp_path / "small.bundle", small_members(original)))
    assert f"{cache.parent} is another user's" in spec.packed.files.uncached
    assert not cache.exists()


def test_what_is_in_the_cache_serves_from_a_disk_that_cannot_be_written(original, tmp_path, cache, monkeypatch):
    """Not even its times; and nothing is left open."""
    path = write_bundle(tmp_path / "small.bundle", small_members(original))
    first = load_bundle(path)
    before = len(list(Path("/proc/self/fd").iterdir()))

    def read_only(*_arguments, **_options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", read_only)
    monkeypatch.setattr("tempfile.mkdtemp", read_only)
    for _ in range(3):
        again = load_bundle(path)
        assert (again.path, again.packed.files.temporary) == (first.path, False)
    del again
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    members = [*small_members(original), ("provenance", "p.txt", b"another")]
    with pytest.raises(
        CannotUnpack, match=r"cannot be unpacked into .*cache.* and .*temporary \(Read-only file system"
    ):
        load_bundle(write_bundle(path, members))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_not_in_the_cache_does_not_become_the_last_good_one(original, tmp_path, cache):
    """It would be forgotten with the process, and the one that is kept with it."""
    path = write_bundle(tmp_path / "small.bundle", small_members(original))
    good = load_bundle(path)
    last_good.remember(ModelConfig(path), good, None, [ModelConfig(path)])
    assert load_last_good(path, None, "damaged") is not None
    cache.chmod(0o777)
    assert load_last_good(path, None, "damaged") is None  # whoever may write there may have put it there
    other = load_bundle(write_bundle(path, small_members(original), version="2"))
    assert other.packed.files.temporary
    last_good.remember(ModelConfig(path), other, None, [ModelConfig(path)])
    assert json.loads((cache / unpacked.LAST_GOOD).read_text()) == {str(path): good.packed.sha256}


def test_a_folder_that_came_meanwhile_is_not_removed(tmp_path, monkeypatch):
    """Another process puts a new one in the place of one that is too old, just when that is removed."""
    folder, old = tmp_path / ("a" * 64), tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "old").touch()
    lock = fcntl.flock

    def meanwhile(handle, operation):
        folder.rename(old)
        folder.mkdir()
        (folder / "new").touch()
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    unpacked._remove_idle(folder)
    monkeypatch.undo()
    assert [one.name for one in folder.iterdir()] == ["new"]
    unpacked._remove_idle(folder)
    assert not folder.exists()
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_the_cache_keeps_what_is_used_and_a_few_more(original, tmp_path, cache):
    """A dozen bundles one after the other leave four folders and the one in use; descriptors do not grow."""
    members = small_members(original)
    used = load_bundle(write_bundle(tmp_path / "used.bundle", members, version="used"))
    os.utime(used.path.parent, (1, 1))  # the oldest of all
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(12):
        load_bundle(write_bundle(tmp_path / "x.bundle", members, version=f"v{number}"))
    assert used.path.is_file()
    assert len(list(cache.iterdir())) == unpacked.KEPT + 1
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_without_a_cache_files_are_temporary(original, tmp_path):
    """They go with the process, at the latest; those of one that was killed go with the next bundle."""
    path = write_bundle(tmp_path / "small.bundle", small_members(original))
    code = f"import os; from mlu_agent.model.bundle import load_bundle; print(load_bundle({str(path)!r}).path)"
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    for end in ("", "; os._exit(0)" if sys.flags.dev_mode else "; import sys; sys.stdout.flush(); os._exit(0)"):
        subprocess.run([sys.executable, "-c", code + end], env=environment, check=True, stdout=subprocess.DEVNULL)
    (left,) = (tmp_path / "temporary").iterdir()  # of the second
    assert left.stat().st_mode & 0o777 == 0o700
    old = time.time() - unpacked.LEFT_S - 1
    os.utime(left, (old, old))
    spec = load_bundle(path)
    assert list((tmp_path / "temporary").iterdir()) == [spec.path.parent] != [left]
    assert load_bundle(path).path == spec.path
    unpacked.remove_temporary()
    del spec
    gc.collect()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_last_good_bundle_of_a_path_is_kept_and_found(original, tmp_path, cache):
    """However many others come and go; it is checked again, and a signature that is missing by now refuses it."""
    members = small_members(original)
    path = write_bundle(tmp_path / "good.bundle", members, version="good")
    good = load_bundle(path)
    unpacked.remember(path, good.packed.sha256, ())
    os.utime(good.path.parent, (1, 1))  # the oldest of all
    folder = good.path.parent
    del good
    gc.collect()
    for number in range(unpacked.KEPT + 2):
        load_bundle(write_bundle(tmp_path / "x.bundle", members, version=f"v{number}"))
    spec = load_last_good(path, None, "damaged")
    assert (spec.path.parent, spec.packed.refused, spec.packed.index.version) == (folder, "damaged", "good")
    assert (spec.packed.path, load_last_good(tmp_path / "other.bundle", None, "damaged")) == (path, None)
    with pytest.raises(DataError, match="nobody signed it"):
        load_last_good(path, Trust(tmp_path, {b"k" * 32: "release"}), "damaged")
    for name in (".head", "small.toml", "small.cambricon"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert load_last_good(path, None, "damaged") is None
        (folder / name).write_bytes(whole)
    assert load_last_good(path, None, "damaged") is not None


def test_what_is_remembered_is_bounded_and_believed_only_if_it_is_right(original, tmp_path, cache):
    """The newest sixteen of the paths that are configured; a record that is damaged remembers nothing."""
    path = write_bundle(tmp_path / "good.bundle", small_members(original))
    sha256 = load_bundle(path).packed.sha256
    paths = [tmp_path / f"{number}.bundle" for number in range(unpacked.MAX_REMEMBERED + 5)]
    for number in range(unpacked.MAX_REMEMBERED + 5):
        unpacked.remember(tmp_path / f"{number}.bundle", sha256, paths)
    unpacked.remember(path, sha256, paths)
    record = cache / unpacked.LAST_GOOD
    assert len(json.loads(record.read_text())) == unpacked.MAX_REMEMBERED == 16
    assert load_last_good(path, None, "damaged") is not None
    for data in (
        b"",
        b"[]",
        b"[" * 10000,
        b"\xff",
        b'{"a": 1}',
        f'{{"{path}": "../{"a" * 61}"}}'.encode(),
        b" " * 200000,
    ):
        record.write_bytes(data)
        assert load_last_good(path, None, "damaged") is None
    unpacked.remember(path, sha256, ())
    unpacked.remember(paths[0], sha256, [path])
    assert list(json.loads(record.read_text())) == [str(path), str(paths[0])]
    unpacked.remember(paths[0], sha256, [])
    assert list(json.loads(record.read_text())) == [str(paths[0])]


# ---- signatures, without what could check them --------------------------------------------------------------------


def test_without_the_extra_a_bundle_loads_unless_a_signature_is_required(original, tmp_path, monkeypatch):
    """A signature that nobody can check is said to be so; where one is required the sentence names the extra."""
    monkeypatch.setattr(signatures, "can_check", lambda: False)
    path = write_bundle(tmp_path / "small.bundle", small_members(original), [(b"k" * 32, b"s" * 64)])
    (signer,) = load_bundle(path).packed.signers
    assert (signer.name, signer.checked, len(signer.key_id)) == ("", False, 16)
    with pytest.raises(UserError, match=r"install the extra that checks signatures: pip install 'mlu-agent\[sign\]'"):
        trust_of(parse_config(b'[model]\npath = "m.bundle"\ntrust = "."\n[[source]]\nid = "a"\ncamera = 0\n').models[0])


def test_with_keys_to_trust_a_bundle_that_nobody_signed_is_refused(original, tmp_path):
    """And so are files that cannot be signed at all; where it is not required both are loaded."""
    path = write_bundle(tmp_path / "small.bundle", small_members(original))
    trust = Trust(tmp_path, {b"k" * 32: "release"})
    with pytest.raises(
        DataError, match=r"nobody signed it, and one of release \(.{16}\) has to; sign it with mlu-export"
    ):
        load_bundle(path, trust)
    with pytest.raises(DataError, match="only a bundle can be signed"):
        load_bundle(original, trust)
    for file in (path, original):
        load_bundle(file, dataclasses.replace(trust, required=False))


def test_signatures_are_sorted_and_each_keys_once(tmp_path):
    """So that there is one way to write a bundle; more than sixteen are refused before they are read."""
    key, other = (b"a" * 32, b"s" * 64), (b"b" * 32, b"s" * 64)
    text = index_text(TINY)
    right = bundle_bytes(text, TINY, [key, other])
    start = 64 + len(text.encode())
    for wrong in (
        bundle_bytes(text, TINY, [key, key]),
        bundle_bytes(text, TINY, [(bytes([number]) * 32, b"s" * 64) for number in range(17)]),
    ):
        (tmp_path / "x.bundle").write_bytes(wrong)
        with pytest.raises(DataError, match="signatures"):
            read(tmp_path / "x.bundle")
    turned = right[start + 96 : start + 192] + right[start : start + 96]
    digest = hashlib.sha256(right[:32] + text.encode() + turned).digest()
    (tmp_path / "x.bundle").write_bytes(right[:32] + digest + text.encode() + turned + right[start + 192 :])
    with pytest.raises(DataError, match="not sorted by their keys"):
        read(tmp_path / "x.bundle")


# ---- commands -----------------------------------------------------------------------------------------------------


def test_verify_tells_all_of_a_bundle_and_runs_its_golden_frame(original, tmp_path, capsys):
    """One that fails is the device's fault: 3; a bundle that is refused is 2."""
    sha256 = hashlib.sha256(original.read_bytes()).hexdigest()
    members = small_members(original, provenance=b"by hand")
    path = write_bundle(tmp_path / "small.bundle", members)
    assert main(["verify", str(path)]) == 0
    told = capsys.readouterr().out
    for words in ("by nobody", f"{path}: whole", f"sha256 {sha256[:12]}"):
        assert words in told
    assert main(["verify", str(path), "--golden", "--runtime", "simulator"]) == 2
    assert "has no golden frame for the simulator" in capsys.readouterr().err
    members.insert(2, ("golden", "small.golden", golden(sha256)))
    write_bundle(path, members)
    assert main(["verify", str(path), "--golden", "--runtime", "simulator"]) == 3
    assert "the golden frame failed" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    assert main(["verify", str(path)]) == 2
    assert "the bundle is damaged, provenance.x in it has another digest" in capsys.readouterr().err
    assert main(["verify", str(original)]) == 2
    assert main(["inspect", str(write_bundle(path, members))]) == 0
    assert "hardware: ['simulator']" in capsys.readouterr().out


def test_a_bundle_for_other_hardware_is_named_as_it_was_given(original, tmp_path, simulator_path, capsys):
    """Not as what was unpacked of it; `verify` remarks it, and ends with 0: it may be for another box than this one."""
    model = device_file([((1, 32, 32, 4), "uint8")], [((1, 16, 16, 18), "float16")])
    digests = [hashlib.sha256(data).hexdigest() for data in (original.read_bytes(), model)]
    manifest = original.with_suffix(".toml").read_text().replace(*digests)
    members = [("manifest", "small.toml", manifest.encode()), ("model", "small.cambricon", model)]
    path = write_bundle(tmp_path / "small.bundle", members, hardware='["MLU220"]')
    with pytest.raises(DataError) as refused:
        Detector(path, str(simulator_path))
    assert refused.value.message.startswith(f"{path}: this file holds MLU220 device code only")
    assert main(["verify", str(path), "--runtime", str(simulator_path), "--json"]) == 0
    remark = json.loads(capsys.readouterr().out)["remark"]
    assert remark.startswith(f"for MLU220; not for here: {path}: this file holds MLU220 device code only")
    assert main(["verify", str(path), "--runtime", str(simulator_path)]) == 0
    assert "remark   for MLU220" in capsys.readouterr().out
    write_bundle(path, small_members(original))
    assert main(["verify", str(path), "--runtime", str(simulator_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["remark"] == ""


def test_a_path_that_holds_no_bundle_is_a_sentence(tmp_path):
    """Nothing there, a folder, a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "pipe.bundle")
    (tmp_path / "folder.bundle").mkdir()
    for name, sentence in (("missing", "cannot be read"), ("folder", "not a regular file"), ("pipe", "not a regular")):
        with pytest.raises(UserError, match=sentence):
            load_bundle(tmp_path / f"{name}.bundle")
    (tmp_path / "x.bundle").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(DataError, match="no bundle; give the file that mlu-export bundle wrote"):
        load_bundle(tmp_path / "x.bundle")


def test_no_more_of_a_head_is_read_than_it_may_have():
    """The greatest index and as many signatures, and nothing of what follows."""

    class Watched(io.BytesIO):
        most = 0

        def read(self, size=-1):
            self.most = max(self.most, size)
            return super().read(size)

    file = Watched(
        bundle_bytes("x", []).replace((1).to_bytes(4, "little") * 2, (1).to_bytes(4, "little") + b"\xff" * 4)
    )
    with pytest.raises(DataError, match="its header is wrong"):
        read_head(file, "x")
    assert file.most == 64


def test_the_signatures_of_a_head_are_looked_at_by_trust_alone(original, tmp_path):
    """No trust, no demand: a bundle without signatures has no signers."""
    with open_bundle(write_bundle(tmp_path / "s.bundle", small_members(original))) as file:
        assert check_signatures(read_head(file, "s"), "s", None) == ()
