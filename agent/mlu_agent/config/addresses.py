"""Addresses of streams: how they are written, and how they may be shown.

A camera's password stands in its URL: before the host, in the query, or in the path ("/user=admin&password=x/…").
Which part of a query or path is a secret cannot be told from outside, so little of either is ever shown.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection

STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp")
HIDDEN = "***"
CUT = "…"
RAW_AT = (
    "an @ after the first /, ? or # of an address may belong to a password; write %40 for it, and in a password "
    "%2F for /, %3F for ? and %23 for #, as rtsp://user:p%2Fw@HOST/…, or write it as password = of the source"
)
LONG_NAME = 24  # a piece of a path that is longer, or has a digit and is longer than half of it, may be a key
SHORT = 3  # letters of a secret that is hidden only where it stands alone: "1" is no reason to garble "11 s"
LONGEST_SENTENCE = 1000  # of others

_PARTS = re.compile(r"((?!file:|ipc:)[A-Za-z][\w+.-]*:/+)([^/?#]*)([^?#]*)(.*)", re.DOTALL)
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:?)(.*)", re.DOTALL)
_PORT = re.compile(r"\d{1,5}")
_ADDRESS = re.compile(r"([A-Za-z][\w+.-]*:/+\S*?)([:;,.)'\"]*)(?=\s|$)")
_HIDES = r"pass|pwd|secret|token|key|auth|sid|sign|session"  # a name that holds one of these has a secret value
_IS_SECRET = re.compile(_HIDES, re.IGNORECASE)
_PAIR = re.compile(r"(?:([^?&;#=]*)=)?([^?&;#]+?)(?=_[A-Za-z]+=|[?&;#]|$)")  # "pwd=x", "x", "user=a_pwd=x"
_CUT_PATH = re.compile(rf"[=:;&@%]|{_HIDES}", re.IGNORECASE)
_WORDS = (
    # what a library says of a request that it sent
    (re.compile(r"(authorization['\"]?\s*[:=]\s*)[^\r\n]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"((?:pass|pwd|secret|token)\w*['\"]?\s*[=:]\s*['\"]?)[^\s&'\"]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # an address without its scheme
    (re.compile(r"[^\s:/@'\"]{1,100}:(?!/)[^\s'\"]{1,200}@(?=[\w\[])"), f"{HIDDEN}@"),
)


class _Parts(NamedTuple):
    """An address taken apart: ``scheme`` with ``://``, ``login`` without its @, ``host`` with its port, ``path``, and
    ``query`` with the mark that it starts with and whatever follows."""

    scheme: str
    login: str
    host: str
    path: str
    query: str


def _parts(address: str) -> _Parts | None:
    """None if it is no SCHEME://…, or one of a local file. Where ``raw_at`` says that nobody knows, the login ends at
    the last @ of all."""
    match = _PARTS.fullmatch(address)
    if not match:
        return None
    scheme, authority, path, query = match.groups()
    if raw_at(address):
        login, _, rest = (authority + path + query).rpartition("@")
        _, host, path, query = _PARTS.fullmatch("x://" + rest).groups()  # type: ignore[union-attr]
        return _Parts(scheme, login, host, path, query)
    login, _, host = authority.rpartition("@")
    return _Parts(scheme, login, host, path, query)


def raw_at(address: str) -> bool:
    """Whether it cannot be told where a password ends: an @ stands behind what would be the host and its port.

    ``rtsp://admin:12/ab@camera/`` names a host "admin", port 12, to everybody who reads it by the rules.
    """
    match = _PARTS.fullmatch(address)
    return match is not None and "@" in match[3] + match[4] and (":" in match[2] or "@" in match[2])


def address_problem(address: str, schemes: Collection[str]) -> str:
    """Why something is no address of one of ``schemes``, with the remedy and without the address; "" if it is one."""
    if raw_at(address):
        return RAW_AT
    try:
        parts = urlsplit(with_login(address))
        if parts.scheme in schemes and parts.hostname and parts.port != 0:
            return ""
    except ValueError:
        pass
    return f"write SCHEME://HOST/… or SCHEME://HOST:PORT/… with one of the schemes {', '.join(schemes)}"


def has_login(address: str) -> bool:
    """Whether an address names a user or a password before its host."""
    parts = _parts(address)
    return parts is not None and bool(parts.login)


def shown(address: str) -> str:
    """The address as it may be shown: "rtsp://***@camera:554/stream?…", without user, password, query and whatever
    in the path looks like a secret. What is no SCHEME://… (a path, a camera's index) is returned as it is."""
    parts = _parts(address)
    if parts is None:
        return address
    login = f"{HIDDEN}@" if parts.login else ""
    host = _shown_host(parts.host)
    return f"{parts.scheme}{login}{host}{_shown_path(parts.path)}{parts.query[:1]}{CUT if parts.query else ''}"


def _shown_host(host: str) -> str:
    """With its port, if that is one: "rtsp://admin:secret/1" lacks the host, and has a password in its place."""
    name, _, port = _HOST.fullmatch(host).groups()  # type: ignore[union-attr]
    return host if not port or _PORT.fullmatch(port) else f"{name}:{HIDDEN}"


def _shown_path(path: str) -> str:
    """The pieces that may be no key, up to where a value begins."""
    pieces = []
    for piece in path.split("/"):
        cut = _CUT_PATH.search(piece)
        shorter = piece[: cut.end()] + CUT if cut else piece
        pieces.append(CUT if _may_be_key(piece) else shorter)
        if cut:
            break
    return "/".join(pieces)


def _may_be_key(piece: str) -> bool:
    return len(piece) > LONG_NAME or (len(piece) > LONG_NAME // 2 and any(letter.isdigit() for letter in piece))


def scrub(text: str, address: str = "") -> str:
    """``text`` with every address in it as ``shown`` shows it, and no secret of ``address``, in whatever form a library
    repeats it: for sentences that others wrote. No longer than ``LONGEST_SENTENCE``."""
    if len(text) > LONGEST_SENTENCE:
        text = text[:LONGEST_SENTENCE] + CUT
    if address:
        text = text.replace(address, shown(address))
    for secret in _secrets(address):
        exact = re.escape(secret) if len(secret) > SHORT else rf"(?<![\w.]){re.escape(secret)}(?![\w.])"
        text = re.sub(exact, HIDDEN, text)
    text = _ADDRESS.sub(lambda match: shown(match[1]) + match[2], text)
    for pattern, replacement in _WORDS:
        text = pattern.sub(replacement, text)
    return text


def _secrets(address: str) -> list[str]:
    """What ``shown`` hides of the address, the longest first: as written, decoded and encoded."""
    parts = _parts(address)
    if parts is None:
        return []
    user, _, password = parts.login.partition(":")
    found = {parts.login, password or user, base64.b64encode(unquote(parts.login).encode()).decode()}
    port = _HOST.fullmatch(parts.host)[3]  # type: ignore[index]
    found |= set() if _PORT.fullmatch(port) else {port}
    cut = _CUT_PATH.search(parts.path)
    tail = parts.path[cut.end() :] if cut else ""
    for hidden in (parts.query[1:], tail, *filter(_may_be_key, parts.path.split("/"))):
        found.add(hidden)
        for name, value in _PAIR.findall(hidden):
            found |= {value} if len(value) > SHORT or _IS_SECRET.search(name) else set()
    for decode, encode in ((unquote, quote), (unquote_plus, quote_plus)):
        found |= {decode(secret) for secret in found}
        found |= {encode(secret, safe="") for secret in found}
    return sorted(found - {""}, key=len, reverse=True)


def with_login(address: str, user: str = "", password: str = "") -> str:
    """The address with what it says of user and password percent-encoded, or with those given (as they are, not
    encoded) in its place: none of their letters becomes another host."""
    parts = _parts(address)
    if parts is None or raw_at(address):
        return address
    login = parts.login
    if user or password:
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    elif login:
        name, colon, secret = login.partition(":")
        login = _encoded(name) + colon + _encoded(secret)
    return f"{parts.scheme.lower()}{login}{'@' if login else ''}{parts.host}{parts.path}{parts.query}"


def _encoded(text: str) -> str:
    """Percent-encoded, but for what is so already and what stands for itself (RFC 3986, section 2.3)."""
    return re.sub(r"%(?![0-9A-Fa-f]{2})|[^%A-Za-z0-9._~-]", lambda match: quote(match[0], safe=""), text)
