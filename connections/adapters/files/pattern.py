"""Patterns of file names, matched on our own listing: the system's glob never sees them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator

from connections.adapters.errors import InvalidError
from connections.adapters.files.beneath import split_name

MAX_STARS = 16


def matching(names: Iterable[str], pattern: str) -> Iterator[str]:
    """The names that ``pattern`` matches, in their order.

    ``*``, ``?`` and ``[abc]`` match within one part of a path; ``**`` alone in a part matches any number of parts,
    also none. Raises ``InvalidError`` for a pattern that would leave the folder, or has more than 16 stars.
    """
    parts = split_name(pattern, field="/query/pattern")
    if pattern.count("*") > MAX_STARS:
        raise InvalidError(f"A pattern has at most {MAX_STARS} stars.", field="/query/pattern")
    wanted = [None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts]
    return (name for name in names if _matches(name.split("/"), wanted))


def _matches(parts: list[str], wanted: list[re.Pattern[str] | None]) -> bool:
    """Whether the whole path matches. ``reached`` holds how many parts of the path may be used up so far."""
    reached = {0}
    for want in wanted:
        if want is None:
            reached = set(range(min(reached), len(parts) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(parts) and want.match(parts[at])}
        if not reached:
            return False
    return len(parts) in reached
