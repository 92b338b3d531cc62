"""What FFmpeg's errors mean: a code and a sentence."""

from __future__ import annotations

import errno
import re
import socket
from urllib.parse import urlsplit

from ...ffmpeg import av
from ..base import CaptureError, Reason
from ..retry import WRONG_LOGIN

Log = list[tuple[int, str, str]]  # level, part of FFmpeg, text
_STATUS = re.compile(r"(?:failed: |HTTP error )([1-5]\d\d)(?:[ ]([^\r\n]*))?")
_CODES: tuple[tuple[type[Exception], Reason, str], ...] = (
    (av.error.HTTPUnauthorizedError, Reason.UNAUTHORIZED, "401 Unauthorized"),
    (av.error.HTTPForbiddenError, Reason.UNAUTHORIZED, "403 Forbidden"),
    (av.error.HTTPNotFoundError, Reason.NOT_FOUND, "404 Not Found"),
    (av.error.HTTPBadRequestError, Reason.REFUSED, "400 Bad Request"),
    (av.error.HTTPOtherClientError, Reason.REFUSED, "a 4xx error of the request"),
    (av.error.HTTPServerError, Reason.REFUSED, "a 5xx error of the server"),
)
_HINTS = {
    Reason.UNAUTHORIZED: WRONG_LOGIN,
    Reason.NOT_FOUND: "the path of the URL names no stream of this camera",
    Reason.REFUSED: "it cannot or will not serve this stream now",
}
_ERRNOS = {
    errno.ECONNREFUSED: (Reason.REFUSED, "the connection was refused: nothing listens at this address and port"),
    errno.ENETUNREACH: (Reason.UNREACHABLE, "there is no route to this network"),
    errno.EHOSTUNREACH: (Reason.UNREACHABLE, "there is no such machine on the network"),
    errno.ETIMEDOUT: (Reason.TIMEOUT, "no answer in time"),
    errno.ENOENT: (Reason.NOT_FOUND, "there is no such file"),
    errno.ENODEV: (Reason.NOT_FOUND, "there is no such device"),
    errno.ENXIO: (Reason.NOT_FOUND, "there is no such device"),
    errno.EACCES: (Reason.UNAUTHORIZED, "the permission is missing"),
    errno.EBUSY: (Reason.REFUSED, "it is in use by another program"),
    errno.EINVAL: (Reason.UNSUPPORTED, "such an address, or what it serves, is none that is read"),
    errno.ENOTTY: (Reason.UNSUPPORTED, "it is no video device"),
    errno.ECONNRESET: (Reason.BROKEN, "the connection was reset"),
    errno.EPIPE: (Reason.BROKEN, "the connection was closed"),
}
_UNSUPPORTED = (
    av.error.DecoderNotFoundError,
    av.error.DemuxerNotFoundError,
    av.error.ProtocolNotFoundError,
    av.error.PatchWelcomeError,
)


def failure(error: Exception, url: str = "", log: Log | None = None) -> CaptureError:
    """What ``error``, of opening or reading, means; the sentence names no address. ``log``: what FFmpeg wrote."""
    status = _http_status(error, log or [])
    if status is not None:
        return status
    number = getattr(error, "errno", None)
    if number == errno.EIO and url and not _known(url):
        host = urlsplit(url).hostname
        return CaptureError(f"the name {host} is known to no name server", code=Reason.UNREACHABLE)
    if number in _ERRNOS:
        code, sentence = _ERRNOS[number]
        return CaptureError(sentence, code=code)
    if isinstance(error, _UNSUPPORTED):
        return CaptureError(f"FFmpeg has nothing to read it with ({_words(error)})", code=Reason.UNSUPPORTED)
    if isinstance(error, av.error.InvalidDataError):
        return CaptureError("what it sends is no video, or damaged", code=Reason.BROKEN)
    if isinstance(error, (EOFError, StopIteration)):
        return CaptureError("the stream ended", code=Reason.BROKEN)
    return CaptureError(f"it broke off ({_words(error)})", code=Reason.BROKEN)


def _http_status(error: Exception, log: Log) -> CaptureError | None:
    for kind, code, usual in _CODES:
        if isinstance(error, kind):
            said = next((match for _, _, text in log for match in [_STATUS.search(text)] if match), None)
            words = f"{said[1]} {said[2] or ''}".strip() if said else usual
            return CaptureError(f"the server answers {words}: {_HINTS[code]}", code=code)
    return None


def is_vague(error: Exception) -> bool:
    """Whether the server said more than its error tells."""
    return isinstance(error, (av.error.HTTPOtherClientError, av.error.HTTPServerError))


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or type(error).__name__)


def _known(url: str) -> bool:
    """Whether the URL's host has an address; True where that cannot be told."""
    try:
        host = urlsplit(url).hostname
        if host:
            socket.getaddrinfo(host, None)
    except (socket.gaierror, UnicodeError):
        return False
    except (OSError, ValueError):
        pass
    return True
