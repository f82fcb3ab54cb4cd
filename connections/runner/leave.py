"""Where a worker may connect in its running job, and what came of it."""

from __future__ import annotations

from typing import Any, Final

from connections.adapters.egress import denied
from connections.adapters.errors import EgressDeniedError
from connections.runner.isolation import syscalls
from connections.runner.isolation.notices import Notice
from connections.runner.isolation.sockets import Place

SENDMSG: Final = syscalls.own("sendmsg")
_FEW_CALLS: Final = 200
_FEW_MESSAGES: Final = 5000
_UNCLEAR: Final = frozenset({"unreachable", "authentication", "authorization", "tls", "protocol", "internal"})
"""Codes of errors that a driver may make of a connection that it was refused."""


class Leave:
    """Where a worker may connect in its running job, and the first place that it was refused there."""

    def __init__(self) -> None:
        self.egress: dict[str, Any] = {}
        self.refused: Place | None = None
        self.calls = 0
        self.messages = 0

    def grant(self, egress: dict[str, Any]) -> None:
        """A new job begins, under this policy (``EgressPolicy.as_dict()``)."""
        self.egress = egress
        self.refused = None
        self.calls = 0
        self.messages = 0

    def count(self, notice: Notice) -> bool:
        """Count a call; true when the job has made more than any needs."""
        if notice.number == SENDMSG:
            self.messages += 1
        else:
            self.calls += 1
        return self.calls > _FEW_CALLS or self.messages > _FEW_MESSAGES

    def refusal(self, code: str) -> EgressDeniedError | None:
        """What a caller is told whose job failed with the error ``code`` after it was refused a place."""
        refused = self.refused
        if refused is None or code not in _UNCLEAR:
            return None
        return denied(refused.address, refused.port)
