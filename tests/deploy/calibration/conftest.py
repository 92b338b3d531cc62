"""A small network, and pictures to calibrate it with."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.deploy import nets

from mlu_export.importers.darknet.cfg import parse_cfg
from mlu_export.importers.darknet.importer import import_darknet


@pytest.fixture(scope="module")
def model():
    return import_darknet(parse_cfg(nets.TINY_CFG.encode(), "tiny.cfg"), nets.tiny_weights(), "")


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Twelve pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    found = [folder / f"{number:02}.png" for number in range(12)]
    for path in found:
        cv2.imwrite(str(path), rng.integers(0, 256, (40, 60, 3), np.uint8))
    return found
