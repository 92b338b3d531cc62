"""Weight files that are damaged, of another network, or made to harm: a sentence, and nothing else happens."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from tests.deploy import nets
from tests.deploy.importers import mutations

from mlu_agent.errors import DataError
from mlu_export.formats.torch_file import read_torch
from mlu_export.importers.darknet.cfg import parse_cfg
from mlu_export.importers.darknet.importer import import_darknet
from mlu_export.importers.yolov5.importer import import_yolov5

SECTIONS = parse_cfg(nets.TINY_CFG.encode(), "tiny.cfg")
KINDS = tuple(mutations.files())
MEMORY = 16 << 20  # bytes; the files have 6 to 60 KiB


def read(reader: str, data: bytes):
    if reader == "cfg":
        return import_darknet(parse_cfg(data, "a.cfg"), nets.tiny_weights(), "")
    return import_darknet(SECTIONS, data, "") if reader == "darknet" else import_yolov5(data, (64, 64))


@contextmanager
def bounded_memory(limit: int = MEMORY):
    """Python's and numpy's memory together grow by no more than ``limit`` bytes at any moment."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def read_or_sentence(reader: str, data: bytes) -> str:
    """What was said, "" if the file was taken; any other exception or much memory fails the test."""
    with bounded_memory():
        message = _refusal(reader, data)
    assert "\n" not in message
    assert message == "" or 10 < len(message) < 700
    return message


def _refusal(reader: str, data: bytes) -> str:
    try:
        read(reader, data)
    except DataError as error:
        return error.message
    return ""


@pytest.mark.parametrize("kind", KINDS)
def test_the_undamaged_files_are_read(kind):
    """Else the tests below would say nothing."""
    assert read_or_sentence(*mutations.files()[kind]) == ""


DAMAGES = st.lists(
    st.tuples(st.integers(0, 6), st.floats(0, 1), st.integers(0, 999), st.booleans()), min_size=1, max_size=4
)
FUZZ = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind", KINDS)
@example(damages=[(3, 0.046875, 22, True)])  # in legacy files: a line end in the name of the first tensor
@FUZZ
@given(damages=DAMAGES)
def test_a_damaged_file_is_read_or_refused_with_a_sentence(kind, damages):
    """Bits, pieces, numbers and ends, in memory that the file's size bounds."""
    reader, data = mutations.files()[kind]
    for damage in damages:
        data = mutations.damage(data, *damage) if data else data
    read_or_sentence(reader, data)


@FUZZ
@given(damages=DAMAGES)
def test_a_damaged_pickle_in_a_sound_zip_is_read_or_refused(damages):
    """A zip's checksums would hide what is in the pickle: they are made right again."""

    def change(pickled):
        for kind, place, choice, _ in damages:
            pickled = mutations.damage(pickled, kind, place, choice, inside=False) if pickled else pickled
        return pickled

    for name in ("pt-zip", "pth-zip"):
        reader, data = mutations.files()[name]
        read_or_sentence(reader, mutations.rezip(data, change))


@pytest.mark.parametrize("kind", ["pickled", "state", "quantized"])
@settings(FUZZ, max_examples=50)
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 999)), min_size=1, max_size=3), legacy=st.booleans())
def test_attributes_of_other_types_are_refused_with_a_sentence(kind, changes, legacy):
    """Numbers, texts, lists, arrays and nothing where something else belongs."""
    make = {
        "pickled": nets.YoloBuilder().checkpoint,
        "state": lambda: {"state_dict": mutations.state_of_yolov5()},
        "quantized": mutations.quantized_darknet,
    }
    content = make[kind]()
    places = mutations.places_of(content)
    for place, choice in changes:
        holder, key = places[int(place * (len(places) - 1))]
        holder[key] = mutations.ODD_VALUES[choice % len(mutations.ODD_VALUES)]
    data = (nets.save_legacy if legacy else nets.save_pt)(content)
    read_or_sentence("darknet" if kind == "quantized" else "yolov5", data)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("cfg", "weights")])
def test_no_beginning_of_a_file_is_a_file(kind):
    """Cut at forty places."""
    reader, data = mutations.files()[kind]
    for number in range(40):
        assert read_or_sentence(reader, data[: len(data) * number // 40])


class _Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


HARM = {
    "system": (os.system, "touch {}"),
    "eval": (eval, "open('{}', 'w')"),
    "exec": (exec, "open('{}', 'w')"),
    "import": (builtins.__import__, "os"),
    "getattr": (getattr, _Runs(builtins.__import__, "os"), "system"),
    "nested": (_Runs, _Runs(os.system, "touch {}")),
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("where", ["top", "model", "state", "first part"])
def test_a_pickle_that_would_run_something_runs_nothing(tmp_path, harm, form, where):
    """In a .pt or a .pth, in either format, at the top, as a model, as a tensor, before anything else."""
    proof = tmp_path / "proof"
    function, *arguments = HARM[harm]
    filled = [text.format(proof) if isinstance(text, str) else text for text in arguments]
    evil = _Runs(function, *filled)
    content = {"top": evil, "first part": evil, "model": {"model": evil}, "state": {"state_dict": {"a": evil}}}[where]
    pickled = pickle.dumps(content, protocol=2)
    if form == "zip":
        data = nets.pt_archive(pickled, {})
    elif where == "first part":
        data = pickled
    else:
        data = nets.save_legacy({}).replace(pickle.dumps({}, protocol=2), pickled)
    for reader in ("darknet", "yolov5"):
        assert "asks to run" in read_or_sentence(reader, data)
    assert not proof.exists()


def test_a_zip_bomb_is_refused_before_it_unpacks():
    """A hundred megabytes of nothing in a hundred kilobytes."""
    for name in ("data.pkl", "data/0"):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/data.pkl" if name != "data.pkl" else "a/other", b"\x80\x02N.")
            with archive.open(f"a/{name}", "w") as stream:
                for _ in range(100):
                    stream.write(bytes(1 << 20))
        assert "claims" in read_or_sentence("yolov5", out.getvalue())


@pytest.mark.parametrize(
    "pickled, sentence",
    [
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "numbers its objects"),  # a memo of two thousand million entries
        (b"\x80\x02Np99999999\n.", "numbers its objects"),
        (b"\x80\x05\x96" + struct.pack("<Q", 1 << 34) + b"x.", "damaged"),  # a bytearray of 16 GiB
        (b"\x80\x05\x8e" + struct.pack("<Q", 1 << 34) + b"x.", "damaged"),
        (b"\x80\x02\x8b" + struct.pack("<i", 0x7FFFFFFF) + b"x.", "damaged"),
    ],
)
def test_a_pickle_that_asks_for_memory_before_it_has_bytes_is_refused(pickled, sentence):
    """Python's own unpickler would take it."""
    assert sentence in read_or_sentence("yolov5", nets.pt_archive(pickled, {}))


def test_parts_of_a_legacy_file_may_be_anything():
    """An array for the magic number, and for the names of the storages lists that hold the list before twice."""
    sound = nets.save_legacy([np.zeros(4, "<f4")])
    tensor = sound[sound.index(b"ctorch._utils") : sound.index(b"a.", sound.index(b"cpu"))]
    magic, protocol, system = (
        pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    )
    steps = [b"q%c0](h%ch%ce" % (number, number, number) for number in range(60)]
    doubled = b"\x80\x02]" + b"".join(steps) + b"."
    for hostile in (
        b"\x80\x02" + tensor + b".",
        magic + b"\x80\x02" + tensor + b".",
        magic + protocol + doubled,
        magic + protocol + system + b"\x80\x02}." + doubled,
    ):
        assert read_or_sentence("yolov5", hostile)


def test_one_storage_shown_a_thousand_times_is_refused():
    """Each tensor is small enough, all of them are not."""
    array = np.zeros(1 << 16, "<f4")
    once = nets.save_pt([array])
    with zipfile.ZipFile(io.BytesIO(once)) as archive:
        pickled = archive.read("archive/data.pkl")
    start, end = pickled.index(b"ctorch._utils"), pickled.rindex(b"a.")
    body = pickled[start:end]
    many = b"\x80\x02](" + body * 1000 + b"e."
    with pytest.raises(DataError, match="many times more"), bounded_memory():
        read_torch(nets.pt_archive(many, {"0": array.tobytes()}))


def test_modules_that_share_each_other_do_not_multiply():
    """Thirty modules of two children each, all the same below: a thousand million if every way is walked."""
    pickled = [b"\x80\x02"]
    home = b"ctorch.nn.modules.container\nSequential\n)\x81}X\x08\x00\x00\x00_modules}"
    pickled.append(b"ctorch.nn.modules.container\nSequential\n)\x81}b")
    for number in range(30):
        pickled.append(b"q" + bytes([number]) + b"0" + home + b"(")
        pickled += [b"X\x01\x00\x00\x00" + child + b"h" + bytes([number]) for child in (b"0", b"1")]
        pickled.append(b"usb")
    read = read_torch(nets.pt_archive(b"".join(pickled) + b".", {}))
    from mlu_export.importers.yolov5.importer import _Builder

    with pytest.raises(DataError, match="not supported"), bounded_memory():
        _Builder((64, 64, 3))._block(read, "0", "input")


def more(command, tiny):
    """The arguments that only some commands take."""
    labels = [] if command == "convert" else ["--labels", tiny / "names.txt"]
    return labels + (["--calibration", tiny / "pictures"] if command in ("build", "quantize") else [])


def _wrong_files(tiny):
    """File name, --arch and a part of the sentence, of every mistake."""
    weights, state = nets.tiny_weights(), nets.darknet_state()
    nan, inf = (struct.pack("<f", value) for value in (float("nan"), float("inf")))
    other = {**state, "module_list.0.Conv2d.weight": np.zeros((16, 3, 3, 3), "<f4")}
    evil = pickle.dumps({"model": _Runs(os.system, f"touch {tiny / 'proof'}")}, protocol=2)
    return {
        "empty.weights": (b"", "darknet", "0 bytes"),
        "cut.weights": (weights[:-8], "darknet", "truncated"),
        "long.weights": (weights + bytes(8), "darknet", "belongs to another cfg"),
        "nan.weights": (weights[:40] + nan + weights[44:], "darknet", "NaN"),
        "inf.weights": (weights[:40] + inf + weights[44:], "darknet", "infinite"),
        "text.weights": (b"<html>not found</html>  ", "darknet", "not Darknet weights"),
        "torch.weights": (nets.save_pt(nets.YoloBuilder().checkpoint()), "darknet", "--arch yolov5s"),
        "zip.weights": (b"PK\x05\x06" + bytes(18), "darknet", "a zip without a data.pkl"),
        "other.pth": (nets.save_legacy(other), "darknet", "module_list.0.Conv2d.weight has the shape (16, 3, 3, 3)"),
        "nan.pth": (nets.save_pt({**state, "a": np.full(3, np.nan, "<f4")}), "darknet", "a holds NaN"),
        "cut.pth": (nets.save_legacy(state)[:-100], "darknet", "truncated"),
        "evil.pth": (nets.save_legacy({}).replace(b"\x80\x02}q\x00.", evil), "darknet", "asks to run"),
        "evil.pt": (nets.pt_archive(evil, {}), "yolov5s", "asks to run"),
        "cut.pt": (nets.save_pt(nets.YoloBuilder().checkpoint())[:-3000], "yolov5s", "not a .pt archive"),
        "darknet.pt": (weights, "yolov5s", "of another kind"),
        "empty.pt": (b"", "yolov5s", "empty"),
        "state.pt": (nets.save_pt(state), "yolov5s", "module_list.0.Conv2d.weight"),
        "folder": (None, "darknet", "cannot read the weights"),
    }


@pytest.mark.torch
@pytest.mark.parametrize("command", ["convert", "build", "quantize", "compile"])
def test_every_command_refuses_wrong_weights_with_a_sentence(tiny, export, command):
    """Exit code 2, one line that names the file, no file written, nothing run."""
    (tiny / "folder").mkdir()
    for name, (data, arch, sentence) in _wrong_files(tiny).items():
        if data is not None:
            (tiny / name).write_bytes(data)
        output = tiny / "out" / "a.pth" if command == "convert" else tiny / "out"
        arguments = ["--arch", arch, "--weights", tiny / name, "--output", output]
        arguments += ["--cfg", tiny / "tiny.cfg"] if arch == "darknet" else []
        arguments += more(command, tiny)
        code, out, err = export(command, *arguments)
        assert (code, out) == (2, ""), name
        assert err.count("\n") == 1, err
        assert sentence in err, (name, err)
        assert name in err
    assert not (tiny / "out").exists()
    assert not (tiny / "proof").exists()


@pytest.mark.torch
@pytest.mark.parametrize("command", ["convert", "build", "quantize", "compile"])
@pytest.mark.parametrize(
    "cfg, sentence",
    [
        (b"", "starts with a [net] section"),
        (b"\x00\x01\xff\xfe" * 9, "not text"),
        (nets.TINY_CFG.replace("filters=12", "filters=16").encode(), "do not belong to this cfg"),
        (nets.TINY_CFG.replace("[yolo]", "[region]").encode(), "YOLOv2"),
        (nets.TINY_CFG.replace("width=64", "width=1000000000").encode(), "width"),
        (nets.TINY_CFG.replace("filters=8", "filters=65536").encode(), "another cfg"),
        (None, "cannot read the cfg"),
    ],
)
def test_every_command_refuses_a_wrong_cfg_with_a_sentence(tiny, export, command, cfg, sentence):
    """Of another network, of another family, binary, empty, a folder, and with sizes that nobody has."""
    if cfg is not None:
        (tiny / "wrong.cfg").write_bytes(cfg)
    given_cfg = tiny / "pictures" if cfg is None else tiny / "wrong.cfg"
    output = tiny / "out" / "a.pth" if command == "convert" else tiny / "out"
    arguments = ["--arch", "darknet", "--cfg", given_cfg, "--weights", tiny / "tiny.weights", "--output", output]
    arguments += more(command, tiny)
    code, out, err = export(command, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert sentence in err
    assert not (tiny / "out").exists()
