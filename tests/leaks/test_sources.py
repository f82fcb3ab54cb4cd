"""No secret of a source of this project comes out, by any door, or stays anywhere but sealed."""

from __future__ import annotations

from connections.testing.leaks import SourceLeaks


class TestLeaks(SourceLeaks):
    """All sources that have secrets."""
