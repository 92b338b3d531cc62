"""Passwords that stand in files of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from .files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path

MAX_PASSWORD = 1024  # letters, of a user's name too


def read_password(file: Path) -> str:
    """The one line of a password file, without its end. UserError, which may pass where the file is not there."""
    remedy = "write the password alone into it, as one line of UTF-8"
    try:
        password = read_bounded(file, MAX_PASSWORD, UserError).decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UserError(f"{file}: is not UTF-8; {remedy}") from None
    if not password or not password.isprintable():
        raise UserError(f"{file}: is not one line of letters; {remedy}")
    return password
