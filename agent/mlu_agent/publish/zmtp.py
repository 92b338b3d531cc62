"""What ZeroMQ speaks on a connection, as far as a publisher needs it: ZMTP 3.0 and 3.1, mechanism NULL.

By https://rfc.zeromq.org/spec/37 and, for subscriptions before 3.1, /spec/23 and /spec/29: values to bytes and back,
no socket. ZeroMQ speaks it since 4.0 (2013).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
GREETING = _SIGNATURE + bytes([3, 1]) + b"NULL".ljust(20, b"\0") + bytes(32)
MAX_FRAME = 1024  # peers send subscriptions and signs of life, nothing longer
MAX_PING = 16  # bytes of a PING's context, by the specification
_LONG, _COMMAND, _KNOWN = 2, 4, 7  # bits of a frame's first byte; 1 says that more parts follow
_LISTENERS = (b"SUB", b"XSUB")


class ProtocolError(Exception):
    """A peer speaks something else, or too much at once; the sentence's end, without its subject."""


class Frame(NamedTuple):
    """What a peer sent: a command, or a part of a message."""

    command: bool
    body: bytes


def frame(data: bytes) -> bytes:
    """A message of one part."""
    if len(data) < 256:
        return bytes([0, len(data)]) + data
    return bytes([_LONG]) + len(data).to_bytes(8, "big") + data


def command(name: bytes, body: bytes = b"") -> bytes:
    """A command whose name and body have less than 254 bytes."""
    content = bytes([len(name)]) + name + body
    return bytes([_COMMAND, len(content)]) + content


READY = command(b"READY", b"\x0bSocket-Type" + (4).to_bytes(4, "big") + b"XPUB")


class Decoder:
    """The bytes of one peer -> its greeting, then frames. Holds no more than one frame and what was fed last."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.greeted = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """What is complete with ``data``. ProtocolError for anything else than ZMTP 3 with frames of at most
        MAX_FRAME bytes."""
        self._buffer += data
        if not self.greeted:
            self._greet()
        start = 0
        try:
            while self.greeted:
                begin, end = _extent(self._buffer, start)
                if end > len(self._buffer):
                    return
                found = Frame(bool(self._buffer[start] & _COMMAND), bytes(self._buffer[begin:end]))
                start = end
                yield found
        finally:
            del self._buffer[:start]

    def _greet(self) -> None:
        buffer = self._buffer
        if buffer[:1] != b"\xff"[: len(buffer)] or (len(buffer) > 9 and buffer[9] != 0x7F):
            raise ProtocolError("does not speak ZeroMQ")
        if len(buffer) > 10 and buffer[10] < 3:
            raise ProtocolError("speaks ZeroMQ before version 4.0")
        if len(buffer) < len(GREETING):
            return
        if buffer[12:32].rstrip(b"\0") != b"NULL":
            raise ProtocolError("wants another mechanism than NULL")
        del buffer[: len(GREETING)]
        self.greeted = True


def _extent(buffer: bytearray, start: int) -> tuple[int, int]:
    """Where the body of the frame at ``start`` begins and ends; an end beyond the buffer where it is not complete."""
    if start >= len(buffer):
        return start, start + 1
    flags = buffer[start]
    if flags & ~_KNOWN:
        raise ProtocolError("sends what is no frame")
    begin = start + (9 if flags & _LONG else 2)
    if begin > len(buffer):
        return begin, begin
    size = int.from_bytes(buffer[start + 1 : begin], "big")
    if size > MAX_FRAME:
        raise ProtocolError(f"sends more than {MAX_FRAME} bytes at once")
    return begin, begin + size


def is_listener(ready: Frame) -> bool:
    """Whether a peer's first command is a READY of a SUB or XSUB socket. ProtocolError if it is no READY."""
    name, body = split(ready.body)
    if not ready.command or name != b"READY":
        raise ProtocolError("does not say what it is")
    while body:
        name, body = body[1 : 1 + body[0]], body[1 + body[0] :]
        size = int.from_bytes(body[:4], "big")
        value, body = body[4 : 4 + size], body[4 + size :]
        if name.lower() == b"socket-type":
            return value in _LISTENERS
    return False


def split(body: bytes) -> tuple[bytes, bytes]:
    """The name and the content of a command."""
    return (body[1 : 1 + body[0]], body[1 + body[0] :]) if body else (b"", b"")


def subscription(received: Frame) -> tuple[bool, bytes] | None:
    """(True, prefix) of a subscription, (False, prefix) of one that is taken back, None of anything else."""
    if received.command:
        name, prefix = split(received.body)
        return (name == b"SUBSCRIBE", prefix) if name in (b"SUBSCRIBE", b"CANCEL") else None
    first = received.body[:1]
    return (first == b"\1", received.body[1:]) if first in (b"\0", b"\1") else None


def pong(received: Frame) -> bytes | None:
    """The answer to a PING, None to anything else."""
    if not received.command:
        return None
    name, content = split(received.body)
    return command(b"PONG", content[2 : 2 + MAX_PING]) if name == b"PING" else None
