"""What each command hands to its workflow."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import fields

import pytest

from mlu_export.values.heads import HeadRequest
from mlu_export.workflows.request import Calibration, Files, Form, Knobs, Pixels, Precision, Suppression, Workers

QUANTIZED = (Calibration, Precision, Workers)
PARTS = {
    "build": (QUANTIZED, {"output", "recipe", "calibration", "learn", "json"}),
    "compile": ((), {"output", "backend", "vendor_python", "json"}),
    "quantize": (
        (*QUANTIZED, Knobs),
        {
            "output",
            "recipe",
            "calibration",
            "learn",
            "json",
            "report",
            "propose",
            "propose_map",
            "images",
            "annotations",
        },
    ),
}


@pytest.mark.parametrize("command", PARTS)
def test_a_request_says_what_its_command_takes_and_nothing_else(command):
    """Every option has a place in the request, and every place an option that fills it."""
    parser = argparse.ArgumentParser()
    importlib.import_module(f"mlu_export.commands.{command}").declare(parser)
    options = {action.dest for action in parser._actions} - {"help"}
    parts, own = PARTS[command]
    places = {field.name for part in (Files, Form, HeadRequest, Pixels, Suppression, *parts) for field in fields(part)}
    assert options - own == places - {"pictures"}
