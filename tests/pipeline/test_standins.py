"""Device files on the simulator, computed by stand-ins: the same commands, the same file names as on the box."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from tests.containers import device_file
from tests.models import small_bundle

from mlu_agent.cli import main
from mlu_agent.cnrt import Model, open_library
from mlu_agent.detector import Detector
from mlu_agent.errors import DataError
from mlu_agent.model.standins import VARIABLE, Standin

if TYPE_CHECKING:
    from pathlib import Path

PICTURE = np.random.default_rng(5).integers(0, 256, (8, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
INPUT, OUTPUT = ((1, 32, 32, 4), "uint8"), ((1, 16, 16, 18), "float16")
REFUSED = "vendor.cambricon: this file holds MLU220 device code only. "


def old_file(data: bytes) -> bytes:
    """A device file as before 2020: "hdxf" right behind the header, and nothing behind "ZLYF"."""
    hdxf = bytearray(data[0x450 : 0x450 + 0x60] + b"code".ljust(64, b"\x55") + b"ZLYF")
    struct.pack_into("<Q", hdxf, 8, len(hdxf))
    header = bytearray(data[:0x434])
    struct.pack_into("<Q", header, 0x42C, len(hdxf))
    return bytes(header + hdxf)


class Bench:
    """A detector of ours, a device file with its descriptors and manifest, and an empty folder of stand-ins."""

    def __init__(self, folder: Path, simulator: Path) -> None:
        self.simulator, self.folder = str(simulator), folder / "stand-ins"
        self.folder.mkdir()
        self.ours = small_bundle(folder)
        self.vendor = folder / "vendor.cambricon"
        self.put(device_file([INPUT], [OUTPUT], names=["head"]))

    def put(self, data: bytes) -> None:
        """Another device file."""
        self.vendor.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        self.standin = self.folder / f"{digest}.cambricon"
        before = hashlib.sha256(self.ours.read_bytes()).hexdigest()
        text = self.ours.with_suffix(".toml").read_text()
        text = text.replace(before, digest).replace("small.cambricon", "vendor.cambricon")
        self.vendor.with_suffix(".toml").write_text(text)

    def found(self, model: Path) -> np.ndarray:
        """The boxes that a model finds in the picture."""
        with Detector(model, self.simulator) as detector:
            return detector.detect(PICTURE).xyxy

    def refusal(self) -> str:
        """Why the device file does not run."""
        with pytest.raises(DataError) as refused:
            self.found(self.vendor)
        assert refused.value.exit_code == 2
        assert "\n" not in refused.value.message
        return refused.value.message


@pytest.fixture
def bench(tmp_path: Path, simulator_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path, simulator_path)
    monkeypatch.setenv(VARIABLE, str(made.folder))
    return made


def test_a_device_file_finds_what_its_stand_in_finds(bench: Bench):
    """By its own name and manifest; that a stand-in computes, and which, is said."""
    shutil.copy(bench.ours, bench.standin)
    boxes = bench.found(bench.vendor)
    assert len(boxes) > 0
    np.testing.assert_array_equal(boxes, bench.found(bench.ours))
    with Detector(bench.vendor, bench.simulator) as detector:
        assert detector.standin == Standin.at(bench.standin)
        assert detector.reason.endswith(f'the stand-in {bench.standin} ("small") computes for the device file')
    with Detector(bench.ours, bench.simulator) as detector:
        assert detector.standin is None
        assert "computes for the device file" not in detector.reason


def test_without_one_the_refusal_says_what_helps(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """Which file is wanted and who makes it; without a folder how to name one."""
    told = bench.refusal()
    assert REFUSED in told
    assert f"{bench.standin} cannot be opened: No such file or directory" in told
    assert "mlu-export standin" in told
    monkeypatch.delenv(VARIABLE)
    told = bench.refusal()
    assert bench.standin.name in told
    for remedy in (VARIABLE, "mlu-export standin", "[simulator] standins"):
        assert remedy in told


@pytest.mark.parametrize(
    "output, sentence",
    [
        (((1, 16, 16, 18), "float32"), "its output 0 is 1x16x16x18 float16, the device file's 1x16x16x18 float32"),
        (((1, 16, 18, 16), "float16"), "its output 0 is 1x16x16x18 float16, the device file's 1x16x18x16 float16"),
    ],
)
def test_another_models_stand_in_is_refused_with_what_differs(bench: Bench, output, sentence: str):
    """Its outputs would be read as something that they are not."""
    bench.put(device_file([INPUT], [output], names=["head"]))
    shutil.copy(bench.ours, bench.standin)
    with pytest.raises(DataError) as told:
        Model(open_library(bench.simulator), bench.vendor)
    assert sentence in told.value.message


def test_a_stand_in_that_cannot_be_one_is_said(bench: Bench):
    """Truncated, a device file itself, a loop of links, a folder, nothing at all: one sentence each, and no crash."""
    data = bench.ours.read_bytes()
    for content, sentence in (
        (data[:-1], "its header claims"),
        (data[:100], "truncated"),
        (b"", "empty"),
        (bench.vendor.read_bytes(), "a device file itself"),
        (data.replace(b"MLUS", b"MLUX"), "corrupt"),
    ):
        bench.standin.write_bytes(content)
        assert sentence in bench.refusal()
    bench.standin.unlink()
    bench.standin.symlink_to(bench.standin.name)
    assert "Too many levels of symbolic links" in bench.refusal()
    bench.standin.unlink()
    bench.standin.mkdir()
    assert "is not a regular file" in bench.refusal()
    bench.folder.rename(bench.folder.with_name("gone"))
    assert f"CNRT_SIMULATOR_STANDINS names {bench.folder}, which is no folder (it cannot be reached)" in bench.refusal()
    bench.folder.write_text("no folder")
    assert f"CNRT_SIMULATOR_STANDINS names {bench.folder}, which is no folder; " in bench.refusal()


def test_a_model_of_another_device_is_bad_data(bench: Bench, capsys, tmp_path: Path):
    """Tried on a simulated MLU220 an MLU270's file is refused with exit code 2, and how to simulate that device."""
    data = bytearray(bench.ours.read_bytes())
    assert struct.unpack_from("<I", data, 0x450 + 0x20) == (8,)
    struct.pack_into("<I", data, 0x450 + 0x20, 6)
    struct.pack_into("<I", data, 0x4B0 + 0x10, 0)
    struct.pack_into("<I", data, 0x4B0 + 0x10, zlib.crc32(bytes(data)))
    model, picture = tmp_path / "other.cambricon", tmp_path / "picture.png"
    model.write_bytes(data)
    cv2.imwrite(str(picture), PICTURE)
    options = ["--as", "tensors", "--channels", "rgba", "--runtime", bench.simulator, "--try", str(picture)]
    assert main(["adopt", str(model), *options]) == 2
    assert "was built for architecture 6" in (told := capsys.readouterr().err)
    assert "CNRT_SIMULATOR_DEVICE=MLU270" in told


def test_check_says_that_a_stand_in_computes(bench: Bench, capsys, monkeypatch: pytest.MonkeyPatch):
    """The configuration names the folder; it is the same file on the box, which looks at none of that."""
    monkeypatch.setenv(VARIABLE, "")
    config = bench.vendor.with_name("agent.toml")
    config.write_text(
        f'[model]\npath = "vendor.cambricon"\nruntime = "{bench.simulator}"\n[[source]]\nid = "s"\n'
        'synthetic = "64x48@5"\n[publish]\nendpoint = "ipc:///tmp/standins-of-nobody.sock"\n'
        '[simulator]\nstandins = "stand-ins"\n'
    )
    assert main(["check", "-c", str(config)]) == 2
    assert "mlu-export standin" in capsys.readouterr().err
    shutil.copy(bench.ours, bench.standin)
    assert main(["check", "-c", str(config)]) == 0
    assert f'the stand-in {bench.standin} ("small") computes for the device file' in capsys.readouterr().out
    assert main(["check", "-c", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["standin"] == str(bench.standin)


def test_a_file_of_2019_is_adopted_and_run_by_what_its_stand_in_describes(bench: Bench, capsys, tmp_path: Path):
    """It describes nothing of itself; that is an assumption, and kept as one in the manifest."""
    bench.put(old_file(bench.vendor.read_bytes()))
    bench.vendor.with_suffix(".toml").unlink()
    options = ["--as", "tensors", "--channels", "rgba", "--runtime", bench.simulator]
    assert main(["adopt", str(bench.vendor), *options]) == 2
    assert "describes neither inputs nor outputs" in capsys.readouterr().err
    shutil.copy(bench.ours, bench.standin)
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), PICTURE)
    assert main(["adopt", str(bench.vendor), *options, "--try", str(picture)]) == 0
    told = capsys.readouterr().out
    assert "inputs and outputs are those of its stand-in" in told
    assert "known    1 core(s) for each invocation, made for MLU220" in told
    assert "  assumed  input: 32x32, 4 channels, uint8" in told
    assert "  assumed  batch 1" in told
    assert told.count("  known  ") == 1
    assert "head 1x18x16x16: " in told
    assert "those of its stand-in" in bench.vendor.with_suffix(".toml").read_text()
    bench.standin.unlink()
    assert main(["infer", str(bench.vendor), str(picture), "--runtime", bench.simulator]) == 2
    assert "0 inputs that it describes" in capsys.readouterr().err
