"""What the catalogue refuses, and why. ``AdapterError`` is for what goes wrong at the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from connections.adapters.errors import BusyError, FixableBy
from connections.adapters.schema import Problem


class CatalogueError(Exception):
    """The base. ``code`` is stable. ``problems`` point at what was wrong in the request."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, message: str, *, problems: Sequence[Problem] = (), hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.problems = list(problems)
        self.hint = hint


class Invalid(CatalogueError):
    code = "invalid"
    title = "Invalid request"

    @classmethod
    def at(cls, pointer: str, detail: str, code: str = "invalid") -> Invalid:
        """One thing wrong, at one place of the request."""
        return cls(detail, problems=[Problem(pointer, code, detail)])

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Invalid:
        return cls("The request has errors; each is listed with its place.", problems=problems)


class ReentryRequired(CatalogueError):
    """The endpoint changes while a stored secret would be kept: it would go where it was not saved for."""

    code = "reentry_required"
    title = "Enter the secrets again"


class NotFound(CatalogueError):
    """Not there, or another organisation's: one answer for both.

    ``sought`` names what was asked for where it can be another organisation's; such a refusal goes on record.
    """

    code = "not_found"
    title = "Not found"

    def __init__(self, **sought: str) -> None:
        super().__init__("Not found.")
        self.sought = sought


class OutOfReach(NotFound):
    """Not there for a key that reaches some connections only. ``connection`` is the slug that it asked for."""

    def __init__(self, connection: str) -> None:
        super().__init__()
        self.connection = connection


class Forbidden(CatalogueError):
    code = "forbidden"
    title = "Not allowed"


class VersionConflict(CatalogueError):
    code = "version_conflict"
    title = "Changed by somebody else"


class PreconditionFailed(CatalogueError):
    code = "precondition_failed"
    title = "Changed by somebody else"


class Conflict(CatalogueError):
    code = "conflict"
    title = "Conflict"


class Paused(CatalogueError):
    code = "paused"
    title = "Connection paused"


class Locked(CatalogueError):
    code = "locked"
    title = "Secrets cannot be opened"


class Unresolved(Locked):
    """A secret that is kept elsewhere could not be looked up. The message says where it was sought."""

    title = "Secret kept elsewhere has no value"

    def __init__(self, message: str, *, field: str, hint: str, fixable_by: FixableBy = "platform") -> None:
        super().__init__(message, problems=[Problem(field, self.code, message)], hint=hint)
        self.field = field
        self.fixable_by: FixableBy = fixable_by

    def as_dict(self) -> dict[str, object]:
        """The failure as a status check tells it."""
        return {
            "code": self.code,
            "message": self.message,
            "field": self.field,
            "hint": self.hint,
            "transient": False,
            "fixable_by": self.fixable_by,
        }


class UsedUp(Locked):
    """A counter in a row is at its end, so what it counts cannot change any more."""

    title = "Row cannot be changed"


class RingRefused(Locked):
    """This process's CATALOG_KEYS are not those that sealed what is stored, or end with a retired key.

    ``reason`` says which and why: for operators, as it names keys.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The catalogue's keys are not those that sealed what is stored, so nothing is sealed with them.",
            hint="Nothing was stored. Tell the platform's operators: their log says which key it is.",
        )
        self.reason = reason


class KeyAway(BusyError):
    """The key that opens or seals is kept in a vault that is away. Nothing is wrong with what is stored.

    ``reason`` is what came of asking the vault: for operators, as it may name the vault's address.
    """

    title = "The catalogue's key is out of reach"

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The key that seals secrets is kept in a vault, which does not answer now.",
            hint="Try again shortly; if it stays so, tell the platform's operators.",
        )
        self.reason = reason


class DatabaseAway(BusyError):
    """The catalogue's own database is held by somebody else, or gone. What was asked for is not done, or not told."""

    title = "The catalogue is busy"

    def __init__(self, message: str, *, hint: str = "Try again shortly.") -> None:
        super().__init__(message, hint=hint)


class ConfigOutdated(CatalogueError):
    code = "config_outdated"
    title = "Settings no longer fit"


class DriverMissing(CatalogueError):
    code = "driver_missing"
    title = "Driver not installed"


class SourceNotAllowed(CatalogueError):
    code = "source_not_allowed"
    title = "Source not allowed"


class CheckFailed(CatalogueError):
    """A save that asked for a passing check did not get one. ``report`` is the check."""

    code = "check_failed"
    title = "The status check failed"

    def __init__(self, report: dict[str, object]) -> None:
        super().__init__("Nothing was saved, as the status check did not pass.")
        self.report = report
