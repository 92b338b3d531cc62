"""The exceptions of a listener. They are the trunk of the agent's own tree (``mlu_agent.errors``), so that one
``except MluAgentError`` holds for both.

    MluAgentError       base: never raised itself
    |-- UserError       the user's mistake: an endpoint, a kind, a source       exit code 2
    `-- DataError       bad bytes: a message                                    exit code 2

A message is one clear sentence: the field, the value and the remedy.
"""

from __future__ import annotations

import copy
from typing import ClassVar, TypeVar

Error = TypeVar("Error", bound="MluAgentError")


class MluAgentError(Exception):
    """Base of all errors; ``exit_code`` is what a command ends with.

    ``passes``: whether it may pass without anybody's doing: a mount, an address or a folder that is not there yet.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.passes = False

    def told(self: Error, message: str) -> Error:
        """The same error with another sentence: whatever else it knows goes with it."""
        other = copy.copy(self)
        other.message = message
        other.args = (message,)
        return other


class UserError(MluAgentError):
    """The user's mistake in configuration or arguments; the message says the remedy."""

    exit_code: ClassVar[int] = 2


class DataError(MluAgentError):
    """Bytes from outside are not what they claim to be."""

    exit_code: ClassVar[int] = 2
