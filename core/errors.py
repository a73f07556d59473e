"""What a caller can meet. All are ValueErrors, as in the guide's client.

StudioError
├── Refused       rules were broken; .breaches tells all of them
├── NotFound      no such resource
├── Conflict      the same key came with another payload, or the state forbids it
├── Expired       the command waited longer than its sender would
├── Unavailable   the queue, the actors or something they need can't be reached
└── Internal      a fault of the studio's own
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from core.rules import Breach
from core.types import Code


class StudioError(ValueError):
    """A request was not done; `code` says why, `breaches` what was wrong with it."""

    code: ClassVar[Code] = Code.internal

    def __init__(self, message: str, breaches: Sequence[Breach] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.breaches = list(breaches)


class Refused(StudioError):
    """Rules were broken; nothing was done."""

    code = Code.refused

    @classmethod
    def because(cls, breaches: Sequence[Breach]) -> Refused:
        """The refusal that lists `breaches`."""
        return cls("; ".join(str(each) for each in breaches), breaches)


class NotFound(StudioError):
    """There is no such resource."""

    code = Code.not_found


class Conflict(StudioError):
    """The key was used for another payload, or the resource's state forbids this."""

    code = Code.conflict


class Expired(StudioError):
    """The command waited longer than its sender would, and was not run."""

    code = Code.expired


class Unavailable(StudioError):
    """The queue, the actors or something they need can't be reached; nothing is known to be done.

    `part` is queue or actors when it was one of them; empty: the actors answered that something they need is away.
    """

    code = Code.unavailable

    def __init__(self, message: str, breaches: Sequence[Breach] = (), part: str = "") -> None:
        super().__init__(message, breaches)
        self.part = part


class Internal(StudioError):
    """A fault of the studio's own; its log has the traceback."""

    code = Code.internal


BY_CODE: dict[Code, type[StudioError]] = {
    each.code: each for each in (Refused, NotFound, Conflict, Expired, Unavailable, Internal)
}
