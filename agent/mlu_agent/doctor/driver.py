"""The accelerator as the kernel sees it: on the bus, its module, its device files."""

from __future__ import annotations

import contextlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .finding import Finding, fine, note, trouble
from .machine import READ, WRITE, Who, owned

if TYPE_CHECKING:
    from collections.abc import Iterator

AREA = "driver"
PCI_VENDOR = "0xcabc"  # Cambricon's
UDEV = "install systemd/mlu-agent.udev as /usr/lib/udev/rules.d/70-mlu-agent.rules, then `udevadm trigger`"


@dataclass(frozen=True)
class Node:
    """One device file, for the user that counts. ``device``: whether it is one at all."""

    path: str
    device: bool
    usable: bool
    owned: str


@dataclass(frozen=True)
class Facts:
    """``on_bus``: accelerators on the PCI bus; ``modules``: kernel modules loaded for them."""

    on_bus: int
    modules: tuple[str, ...]
    nodes: tuple[Node, ...]
    kernel: str = ""


def look(who: Who, root: Path = Path("/")) -> Facts:
    """What is there. ``root``: of the machine that is looked at."""
    kernel = _read(root / "proc/sys/kernel/osrelease")
    return Facts(_on_bus(root), tuple(_modules(root)), tuple(_nodes(who, root)), kernel)


def _on_bus(root: Path) -> int:
    vendors = (root / "sys/bus/pci/devices").glob("*/vendor")
    return sum(_read(vendor) == PCI_VENDOR for vendor in vendors)


def _modules(root: Path) -> Iterator[str]:
    for line in _read(root / "proc/modules").splitlines():
        if line.startswith("cambricon"):
            yield line.split()[0]


def _nodes(who: Who, root: Path) -> Iterator[Node]:
    for path in sorted((root / "dev").glob("cambricon*")):
        with contextlib.suppress(OSError):  # it may go away meanwhile
            device = stat.S_ISCHR(path.stat().st_mode)
            yield Node(f"/{path.relative_to(root)}", device, who.may_reach(path, READ | WRITE), owned(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def judge(facts: Facts, who: Who, *, wanted: bool) -> list[Finding]:
    """``wanted``: whether the agent will take a device, because the configuration or an installed library says so."""
    if facts.on_bus and not facts.modules:
        return [
            trouble(
                AREA,
                "driver-missing",
                f"{facts.on_bus} accelerator(s) on the PCI bus, and no kernel module for them is loaded",
                f"install the vendor's driver for kernel {facts.kernel or 'of this box'} and `modprobe cambricon_drv`; "
                "`dmesg | grep -i cambricon` tells why one does not load",
            )
        ]
    if facts.nodes:
        return [_judge_node(node, who) for node in facts.nodes]
    if wanted or facts.modules:
        return [
            trouble(
                AREA,
                "device-node-missing",
                "a device is wanted, and there is no /dev/cambricon*",
                "load the vendor's driver (`modprobe cambricon_drv`) and look whether the card is seated: "
                "`lspci -d cabc:` lists it, `dmesg | grep -i cambricon` tells what the driver met",
            )
        ]
    return [note(AREA, "no accelerator: no /dev/cambricon*, and none on the PCI bus")]


def _judge_node(node: Node, who: Who) -> Finding:
    if not node.device:
        return trouble(
            AREA,
            "device-node-wrong",
            f"{node.path} is no device file ({node.owned})",
            f"remove it and load the vendor's driver anew: something wrote a file of that name before the driver did; "
            f"{UDEV}",
        )
    if not node.usable:
        return trouble(
            AREA,
            "device-node-permission",
            f"{node.path} cannot be read and written by {who.name} ({node.owned})",
            f"{UDEV}; or `usermod -aG GROUP {who.name}` with the group that owns it, and restart the service",
        )
    return fine(AREA, f"{node.path} is open to {who.name} ({node.owned})")
