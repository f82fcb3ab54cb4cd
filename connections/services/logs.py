"""Log lines as JSON. Exceptions are told by type and place; their texts may hold what a driver was given."""

from __future__ import annotations

import json
import logging
import threading
import time
import traceback
from datetime import UTC, datetime
from typing import Any


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and for an exception its type and frames."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        request_id = getattr(record, "request_id", None)
        if request_id:
            line["request_id"] = request_id
        return json.dumps(line, ensure_ascii=False, default=str)


class Seldom:
    """Tells what happens over and over at most once a minute, with how often it did: a flood does not fill the log."""

    def __init__(self, logger: logging.Logger, *, seconds: float = 60.0, most: int = 1024) -> None:
        """``seconds`` between two lines about one key; ``most`` keys are told apart, those of all others are one."""
        self._logger = logger
        self._seconds = seconds
        self._most = most
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[float, int]] = {}
        """By key, when its last line is old enough for another, and how often it happened since."""

    def tell(self, key: str) -> None:
        """Say that ``key`` happened: now, or as one of those that the next line counts."""
        with self._lock:
            now = time.monotonic()
            if key not in self._counts and len(self._counts) >= self._most:
                key = "others"
            until, since = self._counts.get(key, (0.0, 0))
            if now < until:
                self._counts[key] = until, since + 1
                return
            lines = [(key, since + 1), *self._over(now, key)]
            self._counts[key] = now + self._seconds, 0
        for about, count in lines:
            self._logger.warning("%s (times: %d)", about, count)

    def _over(self, now: float, but: str) -> list[tuple[str, int]]:
        """Forget the keys whose time is over, and return those that there is still something to tell of."""
        over = {key: since for key, (until, since) in self._counts.items() if until <= now and key != but}
        for key in over:
            del self._counts[key]
        return [(key, since) for key, since in over.items() if since]
