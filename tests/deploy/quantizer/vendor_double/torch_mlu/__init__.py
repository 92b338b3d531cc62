"""A double of the vendor's torch_mlu: records every call of the documented interface, and writes a file where the real
one compiles. It computes on the CPU, in float. VENDOR_DOUBLE names the folder of its records."""

import json
import os
from pathlib import Path

FOLDER = Path(os.environ["VENDOR_DOUBLE"])


def record(call, *arguments):
    """One line per call: its name and arguments."""
    with (FOLDER / "calls.jsonl").open("a") as stream:
        stream.write(json.dumps([call, *arguments]) + "\n")
