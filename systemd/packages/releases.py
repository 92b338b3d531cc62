"""The distribution releases that packages are made for, and processors by all their names."""

from __future__ import annotations

from typing import NamedTuple


class Release(NamedTuple):
    """``suffix`` orders versions: an upgrade of the distribution upgrades the package, too."""

    name: str
    suffix: str
    python: str


class Processor(NamedTuple):
    """One processor by its names: Debian's, the kernel's, and the compiler that Debian has for it."""

    debian: str
    machine: str

    @property
    def triplet(self) -> str:
        """GNU's name."""
        return f"{self.machine}-linux-gnu"


# A release's own Python 3, but for Ubuntu 20.04: its 3.8 is older than what the agent needs, its 3.9 is in universe.
RELEASES = (
    Release("debian11", "deb11", "3.9"),
    Release("debian12", "deb12", "3.11"),
    Release("debian13", "deb13", "3.13"),
    Release("ubuntu20.04", "ubuntu20.04", "3.9"),
    Release("ubuntu22.04", "ubuntu22.04", "3.10"),
    Release("ubuntu24.04", "ubuntu24.04", "3.12"),
)
PROCESSORS = (Processor("amd64", "x86_64"), Processor("arm64", "aarch64"))
GLIBC = (2, 31)  # the oldest of them all: Debian 11 and Ubuntu 20.04
PYTHONS = tuple(sorted({release.python for release in RELEASES}, key=lambda text: int(text.partition(".")[2])))
# of pip's names for a C library, those that GLIBC runs; pip asks for each by itself
MANYLINUX = ("manylinux_2_31", "manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_24", "manylinux_2_17",
             "manylinux2014", "manylinux_2_12", "manylinux2010", "manylinux_2_5", "manylinux1")  # fmt: skip
