"""A manifest for a file of the vendor's compiler: what the container tells, what was asked, what a family assumes.

``adopt`` makes the manifest's text and holds it to the manifest's own reader; nothing is written here.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config.fields import show
from ..config.toml_text import dump
from ..errors import DataError, UserError
from ..model.bundle import Thresholds, read_manifest
from .anchor_free import describe_anchor_free
from .anchored import describe_anchored
from .detection_output import describe_detection_output, is_detection_output
from .families import FAMILIES, Family
from .outputs import chosen_outputs
from .picture import check_input, describe_input
from .plain import describe_classes, describe_tensors
from .priors import describe_priors
from .values import Described, Findings, LabelsMissing, Request, misfit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..model.bundle import ModelSpec
    from ..model.offline_model import OfflineModel

__all__ = ["FAMILIES", "Adoption", "Request", "adopt", "families_that_fit"]

FILE_NAME = r"(?!\.)[^/\\:]{1,200}"
MAX_NAME = 127
SHOWN_DOUBLES = 3


@dataclass(frozen=True)
class Adoption:
    """The manifest's ``text``, what it comes to when it is read, and how it came about."""

    text: str
    spec: ModelSpec
    known: tuple[str, ...]
    assumed: tuple[str, ...]


def adopt(
    path: Path, manifest: Path, model: OfflineModel, sha256: str, request: Request, provenance: dict[str, str]
) -> Adoption:
    """The manifest that will lie at ``manifest``, beside the container ``path`` that ``model`` describes.

    Raises UserError where the request contradicts the file, with what would fit.
    """
    family = FAMILIES[request.family]
    findings = Findings()
    check_input(path.name, model, findings)
    table = describe_input(path.name, model, request, family, findings)
    described = _describe_output(model, request, family, findings)
    _remark_doubles(described.labels, findings)
    document: dict[str, Any] = {
        "schema": 1,
        "name": _name(path),
        "task": {"tensors": "infer", "classify": "classify"}.get(family.name, "detect"),
        "model": _file_name(path),
        "sha256": sha256,
        "labels": list(described.labels),
        "input": table,
        "output": described.table,
    }
    if family.name != "tensors":
        document["thresholds"] = _thresholds(request, family)
    document["provenance"] = {**provenance, "adopted_as": family.name, "assumed": "; ".join(findings.assumed)[:4096]}
    text = dump(document)
    try:
        spec = read_manifest(manifest, text.encode())
    except DataError as failure:
        raise UserError(f"what was asked does not go with the file: {failure.message}") from None
    return Adoption(text, spec, tuple(findings.known), tuple(findings.assumed))


def _describe_output(model: OfflineModel, request: Request, family: Family, findings: Findings) -> Described:
    if family.name == "classify":
        return describe_classes(model, request, family, findings)
    if family.name == "tensors":
        return describe_tensors(model, request, family, findings)
    if request.activation or request.top is not None:
        raise misfit("--activation and --top are for --as classify: leave them out")
    tensors = chosen_outputs(model, request.outputs)
    if is_detection_output(tensors):
        return describe_detection_output(model, tensors, request, family, findings)
    if family.name in ("ssd", "retinaface"):
        return describe_priors(model, tensors, request, family, findings)
    describe = describe_anchored if family.anchor_sets else describe_anchor_free
    return describe(model, tensors, request, family, findings)


def _remark_doubles(labels: Sequence[str], findings: Findings) -> None:
    """Classes of one name may be meant, and are more often a slip in the file: then nobody can tell them apart."""
    doubles = [(label, count) for label, count in Counter(labels).most_common(SHOWN_DOUBLES) if count > 1]
    if doubles:
        told = ", ".join(f"{show(label)} {count} times" for label, count in doubles)
        findings.assume(f"classes of one name are meant: {told} among {len(labels)} labels (--labels FILE)")


def _thresholds(request: Request, family: Family) -> dict[str, Any]:
    confidence = family.confidence if request.confidence is None else request.confidence
    if family.name == "classify":
        return {"confidence": confidence}
    return {
        "confidence": confidence,
        "iou": family.iou if request.iou is None else request.iou,
        "max_detections": request.max_detections or Thresholds.max_detections,
    }


def _name(path: Path) -> str:
    """What the model is called: its file, as the vendor's compilers give all of them one name."""
    name = path.name
    while name.endswith(".cambricon") and name != ".cambricon":
        name = name[: -len(".cambricon")]
    return name.encode()[:MAX_NAME].decode(errors="ignore") if name.isprintable() else "model"


def _file_name(path: Path) -> str:
    if not re.fullmatch(FILE_NAME, path.name) or not path.name.isprintable():
        raise misfit(f"{path}: a manifest cannot name such a file; give it a plain name without ':' and a leading '.'")
    return path.name


def families_that_fit(path: Path, manifest: Path, model: OfflineModel, sha256: str, request: Request) -> list[str]:
    """The families as which the file could be adopted with the other options as they are, and with how many labels
    where none are given."""
    found = []
    for family in FAMILIES:
        asked = Request(**{**vars(request), "family": family})
        try:
            adopt(path, manifest, model, sha256, asked, {})
        except LabelsMissing as missing:
            found.append(f"{family} (with {missing.count or 'its'} labels)")
        except UserError:
            continue
        else:
            found.append(family)
    return found
