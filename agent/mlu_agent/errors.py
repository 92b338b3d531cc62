"""Every exception that the agent raises on purpose.

    MluAgentError               base: never raised itself
    |-- UserError               the user's mistake: configuration, arguments          exit code 2
    |   `-- NotSupportedError   asked for something that this version cannot do       exit code 2
    |-- DataError               bad bytes: model file, manifest, picture, message     exit code 2
    `-- RuntimeFailure          the device or its runtime library failed              exit code 3
        `-- DeviceLost          the device is gone; a new context will not help       exit code 3

A message is one clear sentence, or one per line where several problems of a file are told together: the field, the
value and the remedy. Only kinds that change what someone does get a class.
"""

from __future__ import annotations

from typing import ClassVar


class MluAgentError(Exception):
    """Base of all errors; ``exit_code`` is what a command ends with."""

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UserError(MluAgentError):
    """The user's mistake in configuration or arguments; the message says the remedy."""

    exit_code: ClassVar[int] = 2


class NotSupportedError(UserError):
    """Something well-formed that this version, or this device, cannot do."""


class DataError(MluAgentError):
    """Bytes from outside are not what they claim to be."""

    exit_code: ClassVar[int] = 2


class RuntimeFailure(MluAgentError):
    """The device or the runtime library failed. ``status`` is the ``cnrtRet_t``, or None if there was none."""

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class DeviceLost(RuntimeFailure):
    """The device does not answer any more: only a reset or a restart helps."""
