"""Every source asked for one frame, as the daemon would ask it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..config import shown
from ..config.addresses import scrub
from ..sources import CaptureError, make_capture
from ..sources.base import Reason
from ..sources.watch import sample
from .finding import Finding, fine, trouble

if TYPE_CHECKING:
    from ..config import SourceConfig
    from ..sources import Capture

LONGEST_S = 9.0  # for one frame of one source, opening included
RATE_S = 1.0  # of a live source, after its first frame: what it goes on with
BRIGHT_SHARE = 99  # of 100 spots have to be dark in a picture that is called black
REMEDIES = {
    Reason.UNAUTHORIZED: "write the camera's user and password (user =, password_file =) and try them in its own page; "
    "some lock an account after a few wrong ones",
    Reason.NOT_FOUND: "take the stream's path from the camera's page or manual; for a path or device check that it is "
    "there (a mount, a plugged cable, `ls /dev/video*`)",
    Reason.REFUSED: "check the port, that RTSP is switched on, and that no more listeners use it than it allows",
    Reason.UNREACHABLE: "check name, address, cable and route: `ping` the host from this box",
    Reason.TIMEOUT: "check that the camera has power and no firewall is between: `ping` it; one that is slow to wake "
    "needs a longer open_timeout_s",
    Reason.UNSUPPORTED: "let the camera send H.264 or H.265, or write the address of another of its streams",
    Reason.BROKEN: "look at the stream with another player; let the camera send H.264, and update its firmware",
    Reason.SILENT: "restart the camera: it answers, and sends no picture",
    Reason.STUCK: "restart the camera or its driver: a call does not come back",
    Reason.INTERNAL: "this is a fault of mlu-agent: report it with the log",
}
# how a stream begins to tell that it broke off so; how often it was tried may follow
CUT = (
    "the connection was reset", "the connection was closed", "the stream ended",
    "the camera ended the stream, or the connection broke off",
)  # fmt: skip
AFTER_CUT = (
    "the camera, or a firewall between, cut it: try again; if it stays so, count who else listens (it may allow no "
    "more), and restart the camera"
)


@dataclass(frozen=True)
class Facts:
    """What came of asking. ``opened_s``, ``frame_s``: after so many seconds it was open, and the frame there.
    ``bright``: the grey level that all but one spot of a hundred stay below."""

    code: Reason | None = None
    reason: str = ""
    opened_s: float = 0.0
    frame_s: float = 0.0
    size: tuple[int, int] = (0, 0)
    fps: float = 0.0
    clock: str = ""
    bright: float = 255.0


def look(config: SourceConfig, limit_s: float = LONGEST_S) -> Facts:
    """One frame, or why there is none."""
    capture = make_capture(config)
    start = time.monotonic()
    opened_s = 0.0
    timer = threading.Timer(limit_s, capture.interrupt)
    timer.daemon = True
    timer.start()
    try:
        capture.open()
        opened_s = time.monotonic() - start
        grab = capture.read()
        frame_s = time.monotonic() - start
        fps = _rate(capture) if grab is not None and config.live else 1 / (capture.interval_s or math.inf)
    except CaptureError as error:
        code = error.code
        if time.monotonic() - start >= limit_s:
            code = Reason.SILENT if opened_s else Reason.TIMEOUT
            return Facts(code, f"no frame within {limit_s:g} s", opened_s)
        return Facts(code, scrub(error.reason, config.location), opened_s)
    finally:
        timer.cancel()
        with contextlib.suppress(Exception):  # what it does at its end changes nothing of what was seen
            capture.close()
    if grab is None:
        return Facts(Reason.BROKEN, f"no frame: {capture.end_reason}", opened_s)
    height, width = grab.pixels.shape[:2]
    bright = float(np.percentile(sample(grab.pixels), BRIGHT_SHARE))
    return Facts(None, "", opened_s, frame_s, (width, height), fps, grab.clock, bright)


def _rate(capture: Capture) -> float:
    """Frames per second for a moment, which a source that breaks off at once does not last."""
    start, count = time.monotonic(), 0
    while time.monotonic() < start + RATE_S:
        if not capture.advance():
            break
        count += 1
    return count / (time.monotonic() - start)


def stuck(config: SourceConfig) -> Finding:
    """Of a source from which not even asking comes back."""
    return _lost(config, Reason.STUCK, "a call that reads it did not come back")


def remedy(code: Reason, why: str) -> str:
    """What to do about a source that is lost for ``code``, as it says in the sentence ``why``."""
    return AFTER_CUT if code is Reason.BROKEN and why.startswith(CUT) else REMEDIES[code]


def _lost(config: SourceConfig, code: Reason, why: str) -> Finding:
    word = f"source-{code.value.replace('_', '-')}"
    return trouble(f"source {config.id}", word, f"{config.kind} {shown(config.location)}: {why}", remedy(code, why))


def judge(config: SourceConfig, facts: Facts) -> list[Finding]:
    """One finding for one source."""
    area, where = f"source {config.id}", f"{config.kind} {shown(config.location)}"
    if facts.code is not None:
        return [_lost(config, facts.code, facts.reason)]
    rate = f", {facts.fps:.3g} fps" if facts.fps else ""
    seen = (
        f"{where}: open after {facts.opened_s:.2f} s, a frame after {facts.frame_s:.2f} s, "
        f"{facts.size[0]}x{facts.size[1]}{rate}, clock {facts.clock}"
    )
    watched = config.live and config.kind != "path" and config.watch.enabled
    if watched and facts.bright <= config.watch.black_level:
        return [
            trouble(
                area,
                "source-black",
                f"{seen}; the picture is black",
                "take the lid off, give it light, look at exposure and infrared mode on the camera's page",
            )
        ]
    return [fine(area, seen)]
