"""No secret of a source of this project comes out, by any door, or stays anywhere but sealed."""

from __future__ import annotations

from typing import Any, ClassVar

from connections.testing.leaks import SourceLeaks


class TestLeaks(SourceLeaks):
    """All sources that have secrets."""

    queries: ClassVar[dict[str, dict[str, Any]]] = {"http_api": {"path": "orders"}}
