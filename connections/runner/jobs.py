"""What is asked of a worker: one job, as plain values that cross a process boundary."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from connections.adapters.errors import InvalidError
from connections.adapters.limits import Budget

_NO_ID: Final = b'{"id":""'


class Operation(StrEnum):
    CHECK = "check"
    READ = "read"
    DESCRIBE = "describe"
    TABLES = "tables"
    COLUMNS = "columns"


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to do with one connection. It carries no secret.

    ``id`` is the request's; ``cancel`` takes it. ``connection`` is None for settings that are not saved: their
    adapter is never kept. ``timeout`` is in seconds, queueing included. ``egress`` is ``EgressPolicy.as_dict()``.
    ``root`` is the organisation's folder of files; ``allow_unsafe_roles`` lets logins that can do more than read be
    used. The limits count jobs that run or wait, of the connection, the organisation and all of the host; a job over
    one of the first two is refused with ``ThrottledError``, over the last with ``BusyError``.
    ``epoch`` changes when the connection's secrets must be read anew although nothing that is stored has changed.

    ``arguments`` by operation, all optional but ``query`` and ``path``:

        read      query, parameters, limit (100), offset (0), count (false), format ("json", "ndjson", "csv",
                  "arrow", "parquet"), integers ("number" or "string"), formulas ("escape" or "keep"),
                  cut (true for json): whether rows and cells over a budget are left out and named, or fail
        describe  query, parameters
        tables    search (""), limit (200), after (a path, or null)
        columns   path
        check     none
    """

    id: str
    organisation: str
    connection: str | None
    access_version: int
    source: str
    operation: Operation
    arguments: dict[str, Any]
    timeout: float
    budget: Budget
    egress: dict[str, Any]
    root: str | None = None
    allow_unsafe_roles: bool = False
    connection_limit: int = 4
    organisation_limit: int = 8
    host_limit: int = 200
    epoch: str = ""

    @property
    def warmth(self) -> str | None:
        """What an adapter must have been made for to serve this job; None when it must be made anew.

        What the deployment grants is part of it: an adapter keeps the grants it was made with.
        """
        if self.connection is None or self.operation is Operation.CHECK:
            return None
        grants = [self.egress, self.root, self.allow_unsafe_roles, self.epoch]
        identity = [self.connection, self.access_version, self.source, *grants]
        return orjson.dumps(identity, option=orjson.OPT_SORT_KEYS).decode()

    def to_bytes(self) -> bytes:
        """The job as JSON, without its id: the same for jobs that ask the same.

        Raises ``InvalidError`` when an argument is not a JSON value.
        """
        if not self.arguments.get("parameters"):  # values may hold NaN, which orjson makes a null of
            try:
                content, its_id = orjson.dumps(self), orjson.dumps({"id": self.id})[:-1]
            except TypeError:
                pass  # half of a surrogate pair, or what is no JSON
            else:
                return _NO_ID + content[len(its_id) :]  # the first field; ``replace`` takes longer than all of this
        try:
            return json.dumps(asdict(replace(self, id=""))).encode()
        except (TypeError, ValueError):
            raise InvalidError("Queries and parameters must be JSON values.", field="/parameters") from None

    @classmethod
    def from_bytes(cls, content: bytes) -> Job:
        try:
            fields = orjson.loads(content)
        except orjson.JSONDecodeError:  # a value is NaN, or an integer that no processor has
            fields = json.loads(content)
        fields["operation"] = Operation(fields["operation"])
        fields["budget"] = Budget(**fields["budget"])
        return cls(**fields)
