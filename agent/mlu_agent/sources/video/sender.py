"""The camera's own clock, from the reports that it sends beside its video (RTCP sender reports, RFC 3550, 6.4.1).

FFmpeg keeps with each packet of RTP what time it was for the sender (side data "producer reference time"), but PyAV 15
shows no side data of packets. FFmpeg's MP4 writer does: told to write reference times, it puts a packet's into a box
"prft" (ISO 14496-12 section 8.16.5). So one packet every few seconds is written to memory as a film of one picture; the
times of all the others follow from theirs. A packet without a report gets the time of writing instead, which shows in
that a second film has another one.
"""

from __future__ import annotations

import io
import struct
import time
from typing import Any

from ...ffmpeg import av

NTP_1970 = 2208988800  # seconds from 1900, where NTP begins, to 1970
LOOK_S = 10.0  # cameras report every five seconds or so, and clocks drift slowly
LOOK_AGAIN_S = 2.0  # until the first report
PATIENCE = 5  # looks in vain, then they are as rare as later
AHEAD_S = 0.05  # a camera whose pictures were taken after they came has a wrong clock,
BEHIND_S = 2.0  # and so has one whose pictures were taken long before
_OPTIONS = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "write_prft": "wallclock"}


class SenderClock:
    """Follows the packets of one connection. ``held`` as for ``LiveClock``: then a packet carries the next one's time,
    because what FFmpeg's parser gives out is given the side data of what made it do so."""

    def __init__(self, *, held: bool) -> None:
        self._held = held
        self._offset: float | None = None  # the sender's clock, seconds since 1970, at presentation time 0
        self._told: float | None = None
        self._due = 0.0
        self._vain = 0

    def packet(self, packet: Any, stream: Any, now: float) -> None:
        """A packet that was decoded, and is not needed any more; ``now`` of the monotonic clock."""
        if packet.pts is None:
            return
        pts = float(packet.pts * packet.time_base)
        if self._held and self._told is not None:
            self._offset, self._told = self._told - pts, None
        if now < self._due:
            return
        told = reference_time(packet, stream)
        self._vain = self._vain + 1 if told is None else 0
        self._due = now + (LOOK_AGAIN_S if 0 < self._vain <= PATIENCE else LOOK_S)
        if told is not None:
            self._told = told
            if not self._held:
                self._offset = told - pts

    def taken(self, pts: float | None, arrived: float) -> float | None:
        """When the camera says that it took a picture, seconds since 1970; None where it does not say, or where its
        clock cannot be right: ``arrived`` is when the picture came by ours."""
        if pts is None or self._offset is None:
            return None
        taken = pts + self._offset
        return taken if -AHEAD_S <= arrived - taken <= BEHIND_S else None


def reference_time(packet: Any, stream: Any) -> float | None:
    """What time it was for the sender of ``packet``, seconds since 1970; None if nothing came with it that tells."""
    try:
        first = _written_time(packet, stream)
        if first is None:
            return None
        time.sleep(0.002)  # the time of writing is one of milliseconds
        return first if _written_time(packet, stream) == first else None
    except (av.error.FFmpegError, ValueError, OverflowError):
        return None  # a codec that MP4 knows nothing of, a packet without times


def _written_time(packet: Any, stream: Any) -> float | None:
    film = io.BytesIO()
    with av.open(film, "w", format="mp4", options=_OPTIONS) as container:
        copy = container.add_stream_from_template(stream)
        packet.stream = copy
        try:
            container.mux_one(packet)
        finally:
            packet.stream = stream
    data = film.getvalue()
    box = data.find(b"prft")
    if box < 0 or len(data) < box + 20:
        return None
    seconds, fraction = struct.unpack_from(">II", data, box + 12)  # after version, flags and the track's number
    return float(seconds - NTP_1970 + fraction / 2**32)
