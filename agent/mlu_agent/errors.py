"""Every exception that the agent raises on purpose.

    MluAgentError               base: never raised itself                           (of mlu_client)
    |-- UserError               the user's mistake: configuration, arguments          exit code 2   (of mlu_client)
    |   `-- NotSupportedError   asked for something that this version cannot do       exit code 2
    |-- DataError               bad bytes: model file, manifest, picture, message     exit code 2   (of mlu_client)
    |   `-- StandinError        no stand-in computes for a device file              exit code 2
    `-- RuntimeFailure          the device or its runtime library failed              exit code 3
        |-- CannotUnpack        there is no place for what a bundle holds             exit code 3
        `-- DeviceLost          the device is gone; a new context will not help       exit code 3

A message is one clear sentence, or one per line where several problems of a file are told together: the field, the
value and the remedy. Only kinds that change what someone does get a class. What a listener can meet stands in
``mlu_client.errors``; here the tree grows on.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from mlu_client.errors import DataError, MluAgentError, UserError

__all__ = [
    "CannotUnpack",
    "DataError",
    "DeviceLost",
    "MluAgentError",
    "NotSupportedError",
    "RuntimeFailure",
    "StandinError",
    "UserError",
]

Failure = TypeVar("Failure", bound=MluAgentError)


def passing(error: Failure) -> Failure:
    """The error, marked as one that may pass without anybody's doing: the daemon waits instead of ending with it."""
    error.passes = True
    return error


class StandinError(DataError):
    """A device file is for the simulator, and there is no stand-in that computes for it."""


class NotSupportedError(UserError):
    """Something well-formed that this version, or this device, cannot do."""


class RuntimeFailure(MluAgentError):
    """The device or the runtime library failed. ``status`` is the ``cnrtRet_t``, or None if there was none."""

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class CannotUnpack(RuntimeFailure):
    """There is no place for the members of a bundle, which itself may be good: one that is unpacked serves instead."""


class DeviceLost(RuntimeFailure):
    """The device does not answer any more: only a reset or a restart helps.

    ``hung``: a thread is inside a call of it that does not return: nothing may wait for the device any more.
    """

    def __init__(self, message: str, status: int | None = None, *, hung: bool = False) -> None:
        super().__init__(message, status)
        self.hung = hung
