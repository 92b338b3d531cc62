"""Small real models for tests: networks with random weights that detect, classify or give tensors; manifests beside."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = """\
schema = 1
name = "small"
task = "detect"
model = "small.cambricon"
sha256 = "{digest}"
labels = ["thing"]
[input]
width = 32
height = 32
resize = "letterbox"
pad_value = 128
channels = "rgba"
dtype = "uint8"
[output]
kind = "yolo_heads"
decode = "yolov3"
[[output.heads]]
stride = 2
anchors = [[4, 4], [8, 8], [16, 16]]
[thresholds]
confidence = 0.6
iou = 0.45
max_detections = 20
[provenance]
command = "tests/models.py"
"""


CLASSES = """\
[output]
kind = "classes"
activation = "softmax"
top = 3
[thresholds]
confidence = 0.1
"""
TENSORS = """\
[output]
kind = "tensors"
names = ["map", "numbers"]
shapes = [[1, 5, 4, 3], [1, 7]]
"""
SHAPES = {  # of each kind of tests/native/shaped_model.py: its decode rule, and what it has beside
    "outlines": ("yolov8-seg", "coefficients = 1\nprototype_stride = 2"),
    "pose": ("yolov8-pose", "keypoints = [2, 3]"),
    "turned": ("yolov8-obb", ""),
}
SHAPED = """\
[output]
kind = "yolo_heads"
decode = "{decode}"
reg_max = 1
{more}
[[output.heads]]
stride = 8
[thresholds]
confidence = 0.5
"""
LABELS = ("bus", "car", "dog", "man", "cow", "cat")


def small_bundle(folder: Path, *, batch: int = 1, parallelism: int = 1) -> Path:
    """Writes small.cambricon and small.toml: 32x32 RGBA in, one head of stride 2 with three anchors and one class."""
    model, digest = _model(folder, "small", batch, parallelism)
    (folder / "small.toml").write_text(MANIFEST.format(digest=digest))
    return model


def classifier_bundle(folder: Path, *, batch: int = 1) -> Path:
    """Writes classifier.cambricon and its manifest: 16x16 RGBA in, six logits."""
    model, digest = _model(folder, "classifier", batch)
    text = _plain_manifest("classifier", "classify", digest, 16, 16, LABELS, CLASSES)
    model.with_suffix(".toml").write_text(text)
    return model


def tensors_bundle(folder: Path, *, batch: int = 1) -> Path:
    """Writes two-outputs.cambricon and its manifest: 12x16 RGBA in, a map of 5 channels and 7 numbers out."""
    model, digest = _model(folder, "two-outputs", batch)
    model.with_suffix(".toml").write_text(_plain_manifest("two-outputs", "infer", digest, 12, 16, (), TENSORS))
    return model


def shaped_bundle(folder: Path, kind: str, *, batch: int = 1) -> Path:
    """Writes KIND.cambricon of SHAPES and its manifest: 32x32 RGBA in, what the picture's colours say out."""
    model, digest = _model(folder, kind, batch)
    decode, more = SHAPES[kind]
    output = SHAPED.format(decode=decode, more=more)
    model.with_suffix(".toml").write_text(_plain_manifest(kind, "detect", digest, 32, 32, ("thing",), output))
    return model


def _model(folder: Path, kind: str, batch: int = 1, parallelism: int = 1) -> tuple[Path, str]:
    """The file of a kind, and its digest."""
    model = folder / f"{kind}.cambricon"
    script = str(ROOT / "tests" / "native" / "make_model.py")
    options = ["--batch", str(batch), "--parallelism", str(parallelism)]
    subprocess.run([sys.executable, script, kind, str(model), *options], check=True)
    return model, hashlib.sha256(model.read_bytes()).hexdigest()


def _plain_manifest(
    name: str, task: str, digest: str, width: int, height: int, labels: tuple[str, ...], output: str
) -> str:
    return (
        f'schema = 1\nname = "{name}"\ntask = "{task}"\nmodel = "{name}.cambricon"\nsha256 = "{digest}"\n'
        f'labels = {json.dumps(list(labels))}\n[input]\nwidth = {width}\nheight = {height}\nresize = "stretch"\n'
        f'channels = "rgba"\ndtype = "uint8"\n{output}'
    )
