"""Deadlines and budgets: what one job may use."""

from __future__ import annotations

import time
from dataclasses import dataclass

from connections.adapters.errors import DeadlineError


@dataclass(frozen=True, slots=True)
class Budget:
    """What one job may produce. Counted as data arrives; what is cut is said."""

    rows: int = 10_000
    bytes: int = 8 * 1024 * 1024
    cell_bytes: int = 1024 * 1024
    columns: int = 1_600
    memory_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock after which nothing may still run."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left; negative when it has passed."""
        return self.at - time.monotonic()

    def require(self, least: float = 0.0) -> float:
        """Seconds left. Raises ``DeadlineError`` when they are ``least`` or fewer."""
        left = self.remaining()
        if left <= least:
            raise DeadlineError("Time ran out before the source answered.")
        return left
