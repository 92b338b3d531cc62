"""``mlu-agent verify``: whether a bundle is whole, who signed it, and whether it computes what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlu_client.text import printable, printable_json

from ..cnrt import open_library
from ..cnrt.model import find_standin, refuse_wrong_kind
from ..engine import Engine
from ..engine.golden import GoldenTest
from ..errors import MluAgentError, UserError
from ..ledger import ModelAccount
from ..model.bundle import load_bundle
from ..model.bundle_file import SUFFIX as BUNDLE
from ..model.golden import SUFFIX as GOLDEN, read_golden
from ..model.signatures import described, read_trust

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ..model.bundle import ModelSpec
    from ..model.packed import Packed


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument(
        "--trust",
        type=Path,
        metavar="DIR|FILE",
        help="public keys, of which one must have signed (default: any or none)",
    )
    parser.add_argument("--golden", action="store_true", help="run the golden frame on this box's runtime too")
    parser.add_argument("--runtime", default="auto", help="this box's: auto, device, simulator or a library's path")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Tells all of it; a bundle that is refused is a sentence and 2, a golden frame that fails one and 3."""
    if arguments.bundle.suffix != BUNDLE:
        raise UserError(f"{arguments.bundle}: is no {BUNDLE}; what else holds a model is told by mlu-agent inspect")
    trust = None if arguments.trust is None else read_trust(arguments.trust)
    spec = load_bundle(arguments.bundle, trust)
    packed = spec.packed
    assert packed is not None
    made_on = _run_golden(spec, arguments.runtime) if arguments.golden else ""
    elsewhere = _why_not_here(spec, arguments.runtime)
    if arguments.json:
        print(printable_json(_describe(packed, made_on, elsewhere)))
    else:
        for line in _lines(packed, made_on, elsewhere):
            print(printable(line))
    return 0


def _why_not_here(spec: ModelSpec, runtime: str) -> str:
    """Why this machine's runtime cannot run it, "" if it can: no fault of a bundle that is verified for a box."""
    try:
        library = open_library(runtime)
        spec = spec.on(library.kind)
        refuse_wrong_kind(library.kind, spec.offline, str(spec.given))
        find_standin(library, spec.offline, spec.path, str(spec.given))
    except MluAgentError as error:
        assert spec.packed is not None
        return f"for {', '.join(spec.packed.index.hardware)}; not for here: {error.message}"
    return ""


def _run_golden(spec: ModelSpec, runtime: str) -> str:
    """Where it was made; RuntimeFailure if this box computes anything else."""
    library = open_library(runtime)
    spec = spec.on(library.kind)
    path = spec.path.with_suffix(GOLDEN)
    if not path.is_file():
        raise UserError(f"{path.name}: the bundle has no golden frame for the {library.kind}; make it with one")
    golden = read_golden(path)
    with Engine(library, spec.path, spare=True, stamp=spec.stamp, given=spec.given) as engine:
        GoldenTest(engine, golden, ModelAccount()).check()
    return golden.made_on


def _describe(packed: Packed, made_on: str, elsewhere: str) -> dict[str, Any]:
    index = packed.index
    return {
        "bundle": str(packed.path),
        "sha256": packed.sha256,
        "name": index.name,
        "version": index.version,
        "least_agent": index.least_agent,
        "hardware": list(index.hardware),
        "members": [
            {"role": one.role, "name": one.name, "size": one.size, "sha256": one.sha256} for one in index.members
        ],
        "signers": [{"key": one.key_id, "name": one.name, "checked": one.checked} for one in packed.signers],
        "golden": made_on,
        "remark": elsewhere,
    }


def _lines(packed: Packed, made_on: str, elsewhere: str) -> Iterator[str]:
    index = packed.index
    yield f"bundle   {index.name}, version {index.version}, sha256 {packed.sha256[:12]}"
    yield f"for      {', '.join(index.hardware)}; mlu-agent {index.least_agent} or newer"
    for number, member in enumerate(index.members):
        what = f"{member.role}: {member.name}, {member.size} bytes, sha256 {member.sha256[:12]}"
        yield f"{'' if number else 'holds':<9}{what}"
    for number, signer in enumerate(described(packed.signers) if packed.signers else ["nobody"]):
        yield f"{'' if number else 'signed':<9}{'' if number else 'by '}{signer}"
    if made_on:
        yield f"golden   computed here what it computed on: {made_on}"
    if elsewhere:
        yield f"remark   {elsewhere}"
    yield f"{packed.path}: whole"
