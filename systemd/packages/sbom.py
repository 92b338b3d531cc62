"""A bill of materials of a package, in CycloneDX's JSON: each distribution with its licence and its wheel's digest.

Libraries inside wheels (FFmpeg, x264, OpenBLAS) are told as files with digests: their wheels do not say their versions.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot5
from packageurl import PackageURL

if TYPE_CHECKING:
    from pathlib import Path

NAMES = re.compile(r"(\.libs/|_native/libcnrt\.so$)")


def _digest(path: Path) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(path.read_bytes()).hexdigest())


def licence(metadata: importlib.metadata.PackageMetadata) -> str:
    """In one line: the expression, or what the free field or the classifiers say."""
    for field in ("License-Expression", "License"):
        text = "".join(metadata.get_all(field) or []).strip()
        if text and "\n" not in text and len(text) < 100:
            return text
    classifiers = metadata.get_all("Classifier") or []
    found = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License ::")]
    return ", ".join(found) or "see its licence files"


def distributions(tree: Path) -> list[importlib.metadata.Distribution]:
    """Those in the folder, by name."""
    found = importlib.metadata.distributions(path=[str(tree)])
    return sorted(found, key=lambda each: each.metadata["Name"].lower())


def _component(distribution: importlib.metadata.Distribution, wheels: list[Path]) -> Component:
    name, version = distribution.metadata["Name"], distribution.version
    stem = f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}-"
    own = [wheel for wheel in wheels if wheel.name.lower().startswith(stem)]
    text = licence(distribution.metadata)
    plain = re.fullmatch(r"[\w.+-]+( (AND|OR|WITH) [\w.+-]+)*", text) and distribution.metadata.get_all(
        "License-Expression"
    )
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{name}=={version}",
        purl=PackageURL("pypi", name=name.lower(), version=version),
        licenses=[LicenseExpression(text) if plain else DisjunctiveLicense(name=text)],
        hashes=[_digest(wheel) for wheel in own],
        properties=[Property(name="wheel", value=wheel.name) for wheel in own],
    )


def bill(tree: Path, wheels: list[Path], version: str, processor: str, epoch: int) -> str:
    """JSON, the same for the same contents."""
    bom = Bom(version=1)
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, timezone.utc)
    whole = Component(
        name="mlu-agent", version=version, type=ComponentType.APPLICATION, bom_ref="mlu-agent.deb",
        properties=[Property(name="processor", value=processor)],
    )  # fmt: skip
    bom.metadata.component = whole
    for distribution in distributions(tree):
        bom.components.add(_component(distribution, wheels))
    for path in sorted(tree.rglob("*.so*")):
        name = str(path.relative_to(tree))
        if NAMES.search(name):
            bom.components.add(Component(name=name, type=ComponentType.FILE, bom_ref=name, hashes=[_digest(path)]))
    bom.register_dependency(whole, bom.components)
    contents = "".join(sorted(str(each.bom_ref) + "".join(h.content for h in each.hashes) for each in bom.components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"mlu-agent {version} {processor} {contents}")
    return str(JsonV1Dot5(bom).output_as_string(indent=2))
