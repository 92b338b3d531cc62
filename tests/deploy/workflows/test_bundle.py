"""``mlu-export bundle``, ``sign`` and ``keygen``, and what the agent says of what they wrote."""

from __future__ import annotations

import shutil

import pytest
from tests.bundles import bundle_bytes, index_text
from tests.models import small_bundle

from mlu_agent.cli import main as agent
from mlu_agent.errors import DataError, UserError
from mlu_agent.model import unpacked
from mlu_agent.model.bundle import load_bundle
from mlu_agent.model.golden import GoldenFrame, golden_text
from mlu_agent.model.signatures import read_trust
from mlu_export.cli import main

SHA = "0" * 64


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def model(original, tmp_path, monkeypatch):
    """A copy with a recipe and a golden frame beside it."""
    for path in (original, original.with_suffix(".toml")):
        shutil.copy(path, tmp_path)
    copy = tmp_path / original.name
    copy.with_suffix(".recipe.toml").write_text("made = 'by hand'\n")
    golden = GoldenFrame(load_bundle(copy).sha256, "simulator", ((SHA,), (SHA,)))
    copy.with_suffix(".golden").write_text(golden_text(golden))
    monkeypatch.chdir(tmp_path)
    yield copy
    unpacked.remove_temporary()


@pytest.fixture
def key(tmp_path):
    assert main(["keygen", str(tmp_path / "release.key")]) == 0
    return tmp_path / "release.key"


def test_a_bundle_holds_all_that_belongs_to_a_model(model):
    """To the byte what FORMAT.md says, and the same bytes each time."""
    assert main(["bundle", str(model), "--model-version", "7", "--output", "out/a.bundle"]) == 0
    path = model.parent / "out" / "a.bundle"
    files = [("manifest", "small.toml"), ("model", "small.cambricon"), ("golden", "small.golden")]
    members = [
        (role, name, (model.parent / name).read_bytes()) for role, name in [*files, ("provenance", "small.recipe.toml")]
    ]
    assert path.read_bytes() == bundle_bytes(index_text(members, version="7"), members)
    assert [one.name for one in path.parent.iterdir()] == ["a.bundle"]
    assert main(["bundle", str(model.with_suffix(".toml"))]) == 0
    spec = load_bundle(model.with_suffix(".bundle"))
    assert spec.packed.index.version == spec.sha256[:12]


def test_what_cannot_be_a_bundle_is_not_made(model, capsys):
    """A golden frame of another model, a name that boxes do not know, a file that is read."""
    assert main(["bundle", str(model), "--output", "a.zip"]) == 2
    assert main(["sign", "x.bundle", "--key", str(model)]) == 2
    model.with_suffix(".golden").write_text(golden_text(GoldenFrame(SHA, "simulator", ((SHA,), (SHA,)))))
    assert main(["bundle", str(model)]) == 2
    assert "is the golden frame of another model than small.cambricon" in capsys.readouterr().err
    assert not model.with_suffix(".bundle").exists()


@pytest.mark.sign
def test_a_signed_bundle_is_known_by_the_public_key(model, key, capsys):
    """Signed at once or later, by several keys, it is the same file; each signer is named by whom the box trusts."""
    assert main(["bundle", str(model), "--sign", str(key), "--output", "once.bundle"]) == 0
    assert main(["bundle", str(model), "--output", "later.bundle"]) == 0
    assert main(["sign", "later.bundle", "--key", str(key)]) == 0
    once, later = (model.parent / f"{name}.bundle" for name in ("once", "later"))
    assert once.read_bytes() == later.read_bytes()
    other = model.parent / "keys" / "other.key"
    assert main(["keygen", str(other)]) == 0
    assert main(["sign", str(later), "--key", str(other)]) == 0
    assert main(["sign", str(later), "--key", str(other)]) == 0  # again: replaced, not added
    names = {signer.name for signer in load_bundle(later, read_trust(other.parent)).packed.signers}
    assert names == {"other", ""}
    capsys.readouterr()
    assert agent(["verify", str(later), "--trust", str(key.with_suffix(".pub"))]) == 0
    assert "signed   by" in (told := capsys.readouterr().out)
    assert "release (" in told
    assert agent(["verify", str(once), "--trust", str(other.parent)]) == 2
    assert "which " in (told := capsys.readouterr().err)
    assert "does not hold; one of other (" in told


@pytest.mark.sign
def test_every_flipped_bit_of_a_signature_is_noticed(model, key):
    """Sealed anew or not: the key's half, the signature's, and all that was signed."""
    assert main(["bundle", str(model), "--sign", str(key)]) == 0
    path = model.with_suffix(".bundle")
    spec = load_bundle(path, read_trust(key.with_suffix(".pub")))
    with path.open("rb") as file:
        index = file.read(64 + len(spec.packed.index.signed))[64 : 64 + len(spec.packed.index.signed) - 19].decode()
    members = [(one.role, one.name, (spec.path.parent / one.name).read_bytes()) for one in spec.packed.index.members]
    start = 64 + len(index.encode())
    pair = path.read_bytes()[start : start + 96]
    assert bundle_bytes(index, members, [(pair[:32], pair[32:])]) == path.read_bytes()
    for place in range(96):
        wrong = bytearray(pair)
        wrong[place] ^= 1 << place % 8
        path.write_bytes(bundle_bytes(index, members, [(bytes(wrong[:32]), bytes(wrong[32:]))]))
        with pytest.raises(DataError, match=r"the signature by .* is not of this bundle"):
            load_bundle(path)
    for old, new in (('version = "', 'version = "x'), ('"simulator"', '"MLU220"'), ("0.1.0", "0.0.1")):
        path.write_bytes(bundle_bytes(index.replace(old, new, 1), members, [(pair[:32], pair[32:])]))
        with pytest.raises(DataError, match="is not of this bundle: one of the two was changed"):
            load_bundle(path)


@pytest.mark.sign
def test_a_private_key_is_its_owners_alone(model, key, capsys):
    """It is written so, one that others can read is not used, and none is ever replaced."""
    public = key.with_suffix(".pub")
    assert (key.stat().st_mode & 0o777, b"PRIVATE" in public.read_bytes()) == (0o600, False)
    before = key.read_bytes()
    assert main(["keygen", str(key)]) == 2
    assert key.read_bytes() == before
    for mode in (0o640, 0o604, 0o620):
        key.chmod(mode)
        assert main(["bundle", str(model), "--sign", str(key)]) == 2
        assert f"others can read this private key (mode {mode:04o}); chmod 0600 it" in capsys.readouterr().err
    key.chmod(0o600)
    for file, sentence in (
        (model.with_suffix(".toml"), "is no private key"),
        (public, "is no private key"),
        (model.parent, "cannot read"),
    ):
        file.chmod(0o700 if file.is_dir() else 0o600)
        assert main(["bundle", str(model), "--sign", str(file)]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.sign
def test_what_is_no_key_is_not_trusted(model, key):
    """A private key, an empty folder, another kind of key, somewhere nothing is."""
    (model.parent / "empty").mkdir()
    for place, sentence in (
        (key, "is no public key of ed25519"),
        (model.parent / "empty", "holds 0 keys NAME.pub; put 1 to 64 there"),
        (model.parent / "none", "no such file or folder"),
    ):
        with pytest.raises(UserError, match=sentence):
            read_trust(place)


def test_a_bundle_is_measured_like_the_model_in_it(model, capsys):
    """``bench``, and ``eval`` by the same door, take either."""
    assert main(["bundle", str(model)]) == 0
    capsys.readouterr()
    assert main(["bench", str(model.with_suffix(".bundle")), "--count", "2", "--warm-up", "0", "--json"]) == 0
    assert '"model": "small"' in capsys.readouterr().out
