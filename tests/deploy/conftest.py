"""Fixtures of the export tool's tests: small files on disk, and a command line run inside this process."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from tests.deploy import nets
from tests.deploy.forks import Forks

from mlu_export.cli import main
from mlu_export.values.ranges import Range

# The library reads once a process which device it is; so each file runs in a process of its own.
OFFLINE = """
import sys
import numpy as np
from mlu_agent.cnrt import open_library
from mlu_agent.engine import Engine

path = sys.argv[1]
numbers = path.removesuffix(".cambricon") + ".npz"
engine = Engine(open_library("simulator"), path, slots=1)
slot = engine.acquire()
with np.load(numbers) as arrays:
    for target, key in zip(slot.inputs, arrays.files):
        assert target.shape == arrays[key].shape
        target[...] = arrays[key]
engine.submit(slot)
np.savez(numbers, *engine.collect().outputs)
engine.close()
"""


@pytest.fixture
def tiny(tmp_path):
    """A folder with tiny.cfg, tiny.weights, tiny.pt, names.txt and pictures/."""
    (tmp_path / "tiny.cfg").write_text(nets.TINY_CFG)
    (tmp_path / "tiny.weights").write_bytes(nets.tiny_weights())
    (tmp_path / "tiny.pt").write_bytes(nets.save_pt(nets.YoloBuilder().checkpoint()))
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(7)
    for number in range(3):
        picture = cv2.resize(
            rng.integers(0, 256, (6, 9, 3), np.uint8), (90 + number, 60), interpolation=cv2.INTER_LINEAR
        )
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), picture)
    return tmp_path


@pytest.fixture
def export(capsys):
    """Runs mlu-export here; gives the exit code, what it printed and what it said."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def ranges_of():
    """Made-up activation ranges for every quantized layer of a graph, so that no torch is needed."""

    def make(graph, seed=3):
        rng = np.random.default_rng(seed)
        return {conv.name: Range(-float(rng.uniform(0, 2)), float(rng.uniform(1, 4))) for conv in graph.quantized()}

    return make


@pytest.fixture
def tiny_recipe(tiny, ranges_of):
    """A recipe for tiny.cfg and tiny.weights, written without calibration."""
    from mlu_export.formats.recipe import Recipe, Settings, recipe_text
    from mlu_export.importers.darknet.cfg import parse_cfg
    from mlu_export.importers.darknet.importer import import_darknet
    from mlu_export.support.files import sha256_hex

    cfg, weights = (tiny / "tiny.cfg").read_bytes(), (tiny / "tiny.weights").read_bytes()
    graph = import_darknet(parse_cfg(cfg, "tiny.cfg"), weights, "").graph
    settings = Settings("tiny", "darknet", ("cat", "dog"), 64, 32)
    recipe = Recipe(settings, "tiny.weights", sha256_hex(weights), sha256_hex(cfg), "made up", ranges_of(graph))
    path = tiny / "given.recipe.toml"
    path.write_text(recipe_text(recipe))
    return path


@pytest.fixture(scope="session")
def forks(tmp_path_factory):
    """The process that has torch loaded, and forks for each call."""
    started = Forks(tmp_path_factory.mktemp("forks"))
    yield started
    started.close()


@pytest.fixture
def run(tmp_path, simulator_path, forks):
    """Runs a script in a process of its own (a device can be given to torch only once); gives the finished process.

    The process is forked from one that has torch loaded, unless ``alone``: then it is a new one, as a user starts it,
    which it also is where the test has changed Python's own environment.
    """

    def start(text, *arguments, alone=False):
        script = tmp_path / "script.py"
        script.write_text(text)
        environment = {**os.environ, "MLU_AGENT_SIMULATOR": str(simulator_path)}
        words = ["run", str(script), *arguments]
        if not alone and forks.serves(environment):
            return forks.run(words, tmp_path, environment, timeout=300)
        return subprocess.run(
            [sys.executable, "-m", "mlu_export.cli", *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return start


@pytest.fixture
def offline(simulator_path):
    """Runs a model file through the runtime; takes and gives arrays as they lie in the file."""

    def invoke(path, *arrays):
        np.savez(path.with_suffix(".npz"), *arrays)
        target = {"MLU_AGENT_SIMULATOR": str(simulator_path), "CNRT_SIMULATOR_DEVICE": _target(path)}
        environment = {**os.environ, **target}
        subprocess.run([sys.executable, "-c", OFFLINE, str(path)], env=environment, check=True, timeout=300)
        with np.load(path.with_suffix(".npz")) as results:
            return [results[key] for key in results.files]

    return invoke


def _target(path):
    from mlu_agent.model.offline_model import read_offline_model

    return read_offline_model(path).target


@pytest.fixture
def tiny_model(tiny, tiny_recipe, export):
    """A small network, built; its detections mean nothing, but they are always the same."""
    code, _, err = export(
        "build", "--cfg", tiny / "tiny.cfg", "--weights", tiny / "tiny.weights", "--recipe", tiny_recipe,
        "--output", tiny / "a",
    )  # fmt: skip
    assert code == 0, err
    return tiny / "a" / "tiny.cambricon"


@pytest.fixture
def tiny_annotations(tiny, tiny_model, simulator_path):
    """Annotations that are the model's own confident detections; class ids are given far from label numbers."""
    from mlu_agent.detector import Detector
    from mlu_agent.model.bundle import load_bundle
    from mlu_export.measurement.evaluate import evaluation_thresholds

    images, annotations = [], []
    thresholds = dataclasses.replace(evaluation_thresholds(load_bundle(tiny_model), None), confidence=0.3)
    with Detector(tiny_model, str(simulator_path), thresholds) as detector:
        for number, path in enumerate(sorted((tiny / "pictures").iterdir())):
            pixels = cv2.imread(str(path))
            height, width = pixels.shape[:2]
            images.append({"id": 100 + number, "file_name": path.name, "width": width, "height": height})
            found = detector.detect(pixels)
            assert 3 < len(found) < 100  # pycocotools looks at a hundred
            for box, class_id in zip(found.xyxy.tolist(), found.class_id.tolist()):
                size = [box[2] - box[0], box[3] - box[1]]
                annotations.append({
                    "id": len(annotations) + 1, "image_id": 100 + number, "category_id": 70 - class_id, "iscrowd": 0,
                    "bbox": [*box[:2], *size], "area": size[0] * size[1],
                })  # fmt: skip
    categories = [{"id": 69, "name": "dog"}, {"id": 70, "name": "cat"}, {"id": 1, "name": "horse"}]
    path = tiny / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
