"""The clock: whether it can be right, and whether anything keeps it so. Messages carry capture times by it."""

from __future__ import annotations

import ctypes
import struct
import time
from dataclasses import dataclass
from datetime import datetime, timezone

from .finding import Finding, fine, trouble

AREA = "clock"
BUILT_S = 1793491200  # 1 November 2026, when this look was written: no clock that is right shows less
PLAUSIBLE_S = 30 * 365 * 86400  # a box is not kept for longer
_UNSYNCHRONISED = 0x0040  # STA_UNSYNC of <sys/timex.h>
_TIMEX = "@Illlli"  # modes, offset, freq, maxerror, esterror, status; the rest is not looked at
_ROOM = 512  # bytes, more than the structure has anywhere


@dataclass(frozen=True)
class Facts:
    """``now_s``: seconds since 1970. ``synchronised``: None where the kernel does not tell. ``error_s``: how far off
    it may be at most, as the kernel believes."""

    now_s: float
    synchronised: bool | None
    error_s: float = 0.0


def look() -> Facts:
    """What the clock shows and what the kernel says of it; no right is needed for asking."""
    buffer = ctypes.create_string_buffer(_ROOM)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        state = -1
    if state < 0:
        return Facts(time.time(), None)
    *_, error_us, _, status = struct.unpack_from(_TIMEX, buffer)
    return Facts(time.time(), not status & _UNSYNCHRONISED, error_us / 1e6)


def judge(facts: Facts) -> list[Finding]:
    """A wrong time, else one that nobody keeps right."""
    shown = datetime.fromtimestamp(facts.now_s, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    remedy = "`timedatectl set-ntp true`, or name a time server that the box reaches in /etc/systemd/timesyncd.conf"
    if not BUILT_S <= facts.now_s <= BUILT_S + PLAUSIBLE_S:
        return [
            trouble(
                AREA,
                "clock-wrong",
                f"the clock shows {shown}, which cannot be right",
                f"set it (`timedatectl set-time`) and let it be kept right: {remedy}; a box that forgets the time "
                "when it is switched off needs a new battery",
            )
        ]
    if facts.synchronised is False:
        return [trouble(AREA, "clock-unsynchronised", f"the clock shows {shown}, and nothing keeps it right", remedy)]
    if facts.synchronised is None:
        return [fine(AREA, f"{shown}; whether anything keeps it right could not be asked")]
    return [fine(AREA, f"{shown}, synchronised to {facts.error_s:.2g} s")]
