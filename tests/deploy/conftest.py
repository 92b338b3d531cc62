"""Fixtures of the export tool's tests: small files on disk, and a command line run inside this process."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the small networks in nets.py

import nets

from mlu_export.cli import main
from mlu_export.quantize import Range


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
    from mlu_export.files import sha256_hex
    from mlu_export.importers.darknet import import_darknet
    from mlu_export.importers.darknet_cfg import parse_cfg
    from mlu_export.recipe import Recipe, Settings, recipe_text

    cfg, weights = (tiny / "tiny.cfg").read_bytes(), (tiny / "tiny.weights").read_bytes()
    graph = import_darknet(parse_cfg(cfg, "tiny.cfg"), weights, "").graph
    settings = Settings("tiny", "darknet", ("cat", "dog"), 64, 32)
    recipe = Recipe(settings, "tiny.weights", sha256_hex(weights), sha256_hex(cfg), "made up", ranges_of(graph))
    path = tiny / "given.recipe.toml"
    path.write_text(recipe_text(recipe))
    return path
