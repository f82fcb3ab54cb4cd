"""What stays open between two jobs, and what must not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connections.adapters.base import Adapter
from connections.adapters.contract import Environment
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Deadline
from connections.testing.diagnosis import check
from connections.testing.subject import SECONDS, Settings, Subject, about, read, until


class Sessions(Subject):
    def test_closing_before_opening_and_twice_is_nothing(
        self, settings: Settings, environment: Environment, ordered_query: Settings
    ) -> None:
        with self.open(settings, environment) as adapter:
            adapter.close()
            read(adapter, ordered_query, limit=1)
            adapter.close()
            adapter.close()

    def test_a_closed_adapter_opens_again(self, adapter: Adapter[Any, Any], ordered_query: Settings) -> None:
        before = read(adapter, ordered_query)
        adapter.close()
        assert read(adapter, ordered_query) == before

    def test_a_reset_adapter_reads_on(self, adapter: Adapter[Any, Any], ordered_query: Settings) -> None:
        before = read(adapter, ordered_query)
        for _ in range(3):
            if not adapter.reset():
                adapter.close()
            assert read(adapter, ordered_query) == before

    def test_an_adapter_without_a_connection_can_be_reset(self, adapter: Adapter[Any, Any]) -> None:
        adapter.reset()
        assert check(adapter)[1] is None

    @about("session")
    def test_a_reset_leaves_nothing_of_the_session(
        self, adapter: Adapter[Any, Any], session_queries: tuple[Settings, Settings]
    ) -> None:
        change, look = session_queries
        clean = read(adapter, look)
        read(adapter, change)
        if not adapter.reset():
            adapter.close()
        assert read(adapter, look) == clean

    @about("running")
    def test_a_query_past_its_deadline_ends_at_the_server(
        self, adapter: Adapter[Any, Any], slow_query: Settings, running: Callable[[], int]
    ) -> None:
        with pytest.raises(AdapterError):
            read(adapter, slow_query, seconds=1.0)
        until(lambda: running() == 0)
        if not adapter.reset():
            adapter.close()
        adapter.connect_with_retries(Deadline.after(SECONDS))
