"""For authors of sources: the conformance suite, and the pytest plugin that goes with it.

It needs the extra ``testing``. ``docs/adding-a-source.md`` walks through its use.
"""

from __future__ import annotations

import pytest

# Assertions of the suite are shown as those of a test module are.
pytest.register_assert_rewrite(
    *(
        f"connections.testing.{name}"
        for name in ("diagnosis", "identity", "reading", "secrecy", "sessions", "subject", "workers")
    )
)

from connections.testing.conformance import SourceConformance  # noqa: E402  after the line above

__all__ = ["SourceConformance"]
