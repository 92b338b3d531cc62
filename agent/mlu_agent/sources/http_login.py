"""User and password for an HTTP server that asks for them: Basic (RFC 7617) and Digest (RFC 7616)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAIR = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES = {"MD5": "md5", "SHA-256": "sha256"}
LONGEST_CHALLENGE = 1024
MOST_CHALLENGES = 8


class Login:
    """What to answer a server that asks; empty until it asked, as a password is not for everybody who listens."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._challenge: dict[str, str] = {}
        self._count = 0
        self._accepted = False

    def accepted(self) -> None:
        """The last answer was right, or none was asked for."""
        self._accepted = bool(self._challenge)

    def learn(self, challenges: Sequence[str]) -> bool:
        """Takes the strongest of the ``WWW-Authenticate`` lines that can be answered. Whether to answer: not if none
        can be, nor after an answer that was wrong; after one that was right, servers only want a newer one."""
        if not (self._user or self._password):
            return False
        before, fresh = self._challenge, max(map(_parse, challenges[:MOST_CHALLENGES]), key=_strength, default={})
        if not _strength(fresh):
            return False
        worked, self._accepted = self._accepted, False
        self._challenge, self._count = fresh, 0
        return not before or worked or fresh.get("stale", "").lower() == "true"

    def header(self, method: str, target: str) -> dict[str, str]:
        """The ``Authorization`` header for a request; none if the server did not ask."""
        if not self._challenge:
            return {}
        if self._challenge["scheme"] == "basic":
            given = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
            return {"Authorization": f"Basic {given}"}
        return {"Authorization": f"Digest {self._digest(method, target)}"}

    def forget(self) -> None:
        """For a new connection: the server has to ask again."""
        self._challenge, self._accepted = {}, False

    def _digest(self, method: str, target: str) -> str:
        told, self._count = self._challenge, self._count + 1
        algorithm = told.get("algorithm", "MD5")

        def digest(text: str) -> str:
            return hashlib.new(_HASHES[_base(algorithm)], text.encode()).hexdigest()

        nonce, own, count = told.get("nonce", ""), secrets.token_hex(8), f"{self._count:08x}"
        secret = digest(f"{self._user}:{told.get('realm', '')}:{self._password}")
        if algorithm.upper().endswith("-SESS"):
            secret = digest(f"{secret}:{nonce}:{own}")
        asked = digest(f"{method}:{target}")
        quality = "auth" in re.split(r"[\s,]+", told.get("qop", ""))
        middle = f"{nonce}:{count}:{own}:auth" if quality else nonce
        fields = {"username": self._user, "realm": told.get("realm", ""), "nonce": nonce, "uri": target}
        fields["response"] = digest(f"{secret}:{middle}:{asked}")
        fields.update({"opaque": told["opaque"]} if "opaque" in told else {})
        words = [f'{key}="{_quoted(value)}"' for key, value in fields.items()]
        words += [f"algorithm={algorithm}"] if "algorithm" in told else []
        words += ["qop=auth", f"nc={count}", f'cnonce="{own}"'] if quality else []
        return ", ".join(words)


def _parse(line: str) -> dict[str, str]:
    scheme, _, rest = line[:LONGEST_CHALLENGE].strip().partition(" ")
    told = {key.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for key, quoted, plain in _PAIR.findall(rest)}
    return {**told, "scheme": scheme.lower()}


def _strength(told: dict[str, str]) -> int:
    """0: cannot be answered."""
    if told.get("scheme") == "basic":
        return 1
    if told.get("scheme") != "digest" or _base(told.get("algorithm", "MD5")) not in _HASHES or "nonce" not in told:
        return 0
    return 3 if _base(told.get("algorithm", "MD5")) == "SHA-256" else 2


def _base(algorithm: str) -> str:
    return algorithm.upper().removesuffix("-SESS")


def _quoted(text: str) -> str:
    """Within quotes; a header is one line, whatever a server told."""
    return re.sub(r'(["\\])', r"\\\1", re.sub(r"[\r\n\0]", "", text))
