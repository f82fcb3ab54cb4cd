"""What can go wrong between the catalogue and a source, as one small tree.

    AdapterError
    ├── InvalidError            invalid          what was asked cannot be right (query, parameters, settings)
    ├── QueryError              query            the source rejected the query
    │   ├── QueryForbiddenError query_forbidden  no permission on a named object
    │   └── NotAQueryError      not_a_query      it would write, or is not a query
    ├── AuthenticationError     authentication   user, password, key or token rejected
    ├── AuthorizationError      authorization    logged in, but not allowed in here (or no such database)
    ├── TLSError                tls              certificate or handshake refused
    ├── ProtocolError           protocol         the other end does not speak the source's language
    ├── EgressDeniedError       egress_denied    the address is not one this organisation may reach
    ├── TooLargeError           too_large        a budget was passed where nothing can be cut
    ├── UnsafeRoleError         unsafe_role      the login can do more than a reader can be contained to
    ├── DriverMissingError      driver_missing   the driver's package is not installed
    ├── CancelledError          cancelled        somebody cancelled the work
    ├── InternalError           internal         a bug of ours or of a plug-in
    └── TransientError          (worth another try)
        ├── UnreachableError    unreachable      no answer, refused, name not found
        ├── RateLimitedError    rate_limited     the source asked us to wait
        ├── WorkerCrashedError  worker_crashed   the worker process died
        ├── DeadlineError       deadline         time ran out
        ├── BusyError           busy             no worker became free
        └── ThrottledError      throttled        too many jobs of one connection or organisation

A message never holds a secret: an adapter builds it from its own words, or passes vendor text through
``Adapter.redact``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

FixableBy = Literal["you", "network", "source_admin", "platform"]


class AdapterError(Exception):
    """The base of all of them. ``code`` is stable; programs switch on it.

    ``field`` is a JSON pointer to the setting that most likely needs a change (``/config/host``,
    ``/secrets/password``, ``/query/sql``). ``step`` names the check step that failed, when it is a later
    one than the step in progress (a driver logs in and opens the database in one call).
    ``retry_after`` is in seconds.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"
    transient: ClassVar[bool] = False
    fixable_by: ClassVar[FixableBy] = "platform"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        step: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint
        self.step = step
        self.retry_after = retry_after

    def as_dict(self) -> dict[str, Any]:
        """The error as plain JSON, the form in which it crosses from worker to supervisor."""
        return {
            "code": self.code,
            "message": self.message,
            "field": self.field,
            "hint": self.hint,
            "step": self.step,
            "retry_after": self.retry_after,
            "transient": self.transient,
            "fixable_by": self.fixable_by,
        }


class InvalidError(AdapterError):
    code = "invalid"
    title = "Invalid request"
    fixable_by: ClassVar[FixableBy] = "you"


class QueryError(AdapterError):
    code = "query"
    title = "Query rejected"
    fixable_by: ClassVar[FixableBy] = "you"


class QueryForbiddenError(QueryError):
    code = "query_forbidden"
    title = "No permission on an object of the query"
    fixable_by: ClassVar[FixableBy] = "source_admin"


class NotAQueryError(QueryError):
    code = "not_a_query"
    title = "Not a query that reads"


class AuthenticationError(AdapterError):
    code = "authentication"
    title = "Login rejected"
    fixable_by: ClassVar[FixableBy] = "you"


class AuthorizationError(AdapterError):
    code = "authorization"
    title = "Access denied"
    fixable_by: ClassVar[FixableBy] = "source_admin"


class TLSError(AdapterError):
    code = "tls"
    title = "Secure connection refused"
    fixable_by: ClassVar[FixableBy] = "source_admin"


class ProtocolError(AdapterError):
    code = "protocol"
    title = "Unexpected answer from the source"
    fixable_by: ClassVar[FixableBy] = "source_admin"


class EgressDeniedError(AdapterError):
    code = "egress_denied"
    title = "Address not allowed"
    fixable_by: ClassVar[FixableBy] = "platform"


class TooLargeError(AdapterError):
    code = "too_large"
    title = "Answer too large"
    fixable_by: ClassVar[FixableBy] = "you"


class UnsafeRoleError(AdapterError):
    code = "unsafe_role"
    title = "The login has too many rights"
    fixable_by: ClassVar[FixableBy] = "source_admin"


class DriverMissingError(AdapterError):
    code = "driver_missing"
    title = "Driver not installed"
    fixable_by: ClassVar[FixableBy] = "platform"


class CancelledError(AdapterError):
    code = "cancelled"
    title = "Cancelled"
    fixable_by: ClassVar[FixableBy] = "you"


class InternalError(AdapterError):
    code = "internal"
    title = "Internal error"
    fixable_by: ClassVar[FixableBy] = "platform"


class TransientError(AdapterError):
    """Worth another try, unchanged."""

    transient = True
    fixable_by: ClassVar[FixableBy] = "network"


class UnreachableError(TransientError):
    code = "unreachable"
    title = "Source unreachable"


class RateLimitedError(TransientError):
    code = "rate_limited"
    title = "The source asked us to wait"


class WorkerCrashedError(TransientError):
    code = "worker_crashed"
    title = "The worker process died"
    fixable_by: ClassVar[FixableBy] = "platform"


class DeadlineError(TransientError):
    code = "deadline"
    title = "Time ran out"
    fixable_by: ClassVar[FixableBy] = "you"


class BusyError(TransientError):
    code = "busy"
    title = "No worker is free"
    fixable_by: ClassVar[FixableBy] = "platform"


class ThrottledError(TransientError):
    code = "throttled"
    title = "Too many requests at once"
    fixable_by: ClassVar[FixableBy] = "you"


def _leaves(base: type[AdapterError]) -> dict[str, type[AdapterError]]:
    found: dict[str, type[AdapterError]] = {}
    for child in base.__subclasses__():
        if child is not TransientError:
            found[child.code] = child
        found |= _leaves(child)
    return found


ERRORS: dict[str, type[AdapterError]] = _leaves(AdapterError)


def from_dict(fields: dict[str, Any]) -> AdapterError:
    """Rebuild an error that crossed a process boundary as ``as_dict``. An unknown code is ours: ``internal``."""
    kind = ERRORS.get(str(fields.get("code")), InternalError)
    return kind(
        str(fields.get("message", "")),
        field=fields.get("field"),
        hint=fields.get("hint"),
        step=fields.get("step"),
        retry_after=fields.get("retry_after"),
    )
