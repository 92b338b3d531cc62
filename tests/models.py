"""Small real models for tests: a network with random weights, its manifest beside it."""

from __future__ import annotations

import hashlib
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


def small_bundle(folder: Path, *, batch: int = 1, parallelism: int = 1) -> Path:
    """Writes small.cambricon and small.toml: 32x32 RGBA in, one head of stride 2 with three anchors and one class."""
    model = folder / "small.cambricon"
    script = str(ROOT / "tests" / "native" / "make_model.py")
    options = ["--batch", str(batch), "--parallelism", str(parallelism)]
    subprocess.run([sys.executable, script, "small", str(model), *options], check=True)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    (folder / "small.toml").write_text(MANIFEST.format(digest=digest))
    return model
