"""One file of a model and its companions, as boxes take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlu_agent.errors import DataError, UserError
from mlu_agent.model.bundle import load_bundle, runs_on
from mlu_agent.model.bundle_file import SUFFIX
from mlu_agent.model.golden import MAX_GOLDEN, SUFFIX as GOLDEN, parse_golden

from ..formats.bundle import Facts, index_bytes, signed_bytes, write_bundle
from ..formats.keys import signer
from ..support.files import check_output, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from mlu_agent.model.bundle import ModelSpec

LEAST_AGENT = "0.1.0"  # the first that reads bundles


@dataclass(frozen=True)
class PackRequest:
    """``output``: None is MODEL.bundle beside the model; ``version``: "" is the model's digest; ``provenance``: any
    file, None is the recipe beside the model if there is one; ``key``: signs at once."""

    model: Path
    output: Path | None = None
    version: str = ""
    least_agent: str = LEAST_AGENT
    provenance: Path | None = None
    key: Path | None = None


def pack(request: PackRequest) -> Path:
    """Writes the bundle; its path. Raises UserError and DataError."""
    if request.model.suffix == SUFFIX:
        raise UserError(f"{request.model}: is a bundle already; sign one with mlu-export sign")
    sign = None if request.key is None else signer(request.key)
    spec = load_bundle(request.model)
    output = request.output or spec.path.with_suffix(SUFFIX)
    if output.suffix != SUFFIX:
        raise UserError(f"--output {output}: boxes know a bundle by its name; write NAME{SUFFIX}")
    files = _members(spec, request.provenance)
    check_output(output, "--output", files.values())
    models = [spec, *([] if spec.device is None else [spec.device])]
    hardware = tuple(sorted({runs_on(one.offline) for one in models}))
    facts = Facts(spec.name, request.version or spec.sha256[:12], request.least_agent, hardware)
    index = index_bytes(facts, files)
    signatures = [] if sign is None else [sign(signed_bytes(index))]
    write_bundle(output, index, list(files.values()), signatures)
    return output


def _members(spec: ModelSpec, provenance: Path | None) -> dict[str, Path]:
    """The files by their roles, in the bundle's order."""
    files = {"manifest": spec.manifest_path, "model": spec.path}
    if spec.device is not None:
        files["device_model"] = spec.device.path
    golden = spec.path.with_suffix(GOLDEN)
    if golden.exists():
        files["golden"] = _golden(golden, spec)
    if spec.device is not None and (golden := spec.device.path.with_suffix(GOLDEN)).exists():
        files["device_golden"] = _golden(golden, spec.device)
    recipe = provenance or spec.path.with_suffix(".recipe.toml")
    if provenance is not None or recipe.exists():
        files["provenance"] = recipe
    return files


def _golden(path: Path, spec: ModelSpec) -> Path:
    if parse_golden(read_bounded(path, MAX_GOLDEN, "golden frame"), path.name).model_sha256 != spec.sha256:
        raise DataError(f"{path}: is the golden frame of another model than {spec.path.name}; remove it or build anew")
    return path
