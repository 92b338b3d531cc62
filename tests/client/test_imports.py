"""What listening costs: pyzmq and msgpack, and nothing of the agent."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from importlib import resources

MODULES = sorted(
    f"mlu_client.{entry.name[:-3]}"
    for entry in resources.files("mlu_client").iterdir()
    if entry.name.endswith(".py") and entry.name != "__init__.py"
)


def loaded(statements: str) -> set[str]:
    """Names of all modules that a fresh interpreter has loaded after ``statements``."""
    script = f"{statements}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_listener_loads_neither_numpy_nor_the_agent():
    """All modules of mlu_client in a fresh interpreter bring pyzmq and msgpack, and none of the agent's other needs."""
    assert len(MODULES) >= 6
    names = loaded("import " + ", ".join(MODULES))
    assert names >= {*MODULES, "zmq", "msgpack"}
    heavy = {"numpy", "cv2", "cffi", "_cffi_backend", "mlu_agent", "mlu_export", "structlog", "torch"}
    assert heavy & names == set()


def test_importing_the_package_does_nothing():
    """The agent's exceptions stand on it, so its commands that never listen must not pay for ZeroMQ."""
    assert {"zmq", "msgpack"} & loaded("import mlu_client.errors") == set()


def test_the_distribution_requires_pyzmq_and_msgpack_alone():
    """On Python 3.9 and newer."""
    metadata = importlib.metadata.metadata("mlu-client")
    required = metadata.get_all("Requires-Dist") or []
    assert {re.match(r"[\w-]+", text).group() for text in required} == {"pyzmq", "msgpack"}
    assert metadata["Requires-Python"] == ">=3.9"
