"""The status check, and what each thing that can go wrong is called: the same by a check and by a read."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from connections.adapters.base import Adapter
from connections.adapters.contract import Environment, Step, StepName
from connections.adapters.egress import EgressPolicy
from connections.adapters.errors import AdapterError, AuthenticationError
from connections.adapters.limits import Deadline
from connections.testing import far_side
from connections.testing.subject import SECONDS, Settings, Subject, about, read

HOST = "127.0.0.1"
NAME = "db.example.com"


class Diagnosis(Subject):
    def test_a_healthy_check_walks_its_steps(self, adapter: Adapter[Any, Any]) -> None:
        found = list(adapter.check(Deadline.after(SECONDS)))
        assert [error for error in found if isinstance(error, AdapterError)] == []
        assert tuple(str(step.name) for step in found if isinstance(step, Step)) == self.steps
        assert all(step.ok and step.ms is not None for step in found if isinstance(step, Step))

    def test_its_steps_come_in_the_order_of_the_contract(self) -> None:
        order = [str(name) for name in StepName]
        assert list(self.steps) == sorted(self.steps, key=order.index)

    def test_a_check_may_be_made_again(self, adapter: Adapter[Any, Any]) -> None:
        for _ in range(2):
            assert check(adapter)[1] is None

    @about("network")
    def test_a_name_that_is_not_found_is_unreachable(self, settings: Settings, environment: Environment) -> None:
        def nothing(host: str, port: int) -> list[str]:
            raise OSError("Name or service not known")

        lost = replace(environment, egress=EgressPolicy(loopback=True, resolver=nothing))
        for error in self.failures(self.at(settings, NAME, 4321), lost):
            assert (error.code, error.step) == ("unreachable", "resolve")

    @about("network")
    def test_a_closed_address_is_denied_before_anything_is_sent(
        self, settings: Settings, environment: Environment
    ) -> None:
        heard: list[object] = []
        closed = replace(environment, egress=EgressPolicy())
        with far_side.listening(heard.append) as port:
            for error in self.failures(self.at(settings, HOST, port), closed):
                assert (error.code, error.step) == ("egress_denied", "policy")
        assert heard == []

    @about("network")
    def test_a_name_that_leads_to_a_closed_address_is_denied(
        self, settings: Settings, environment: Environment
    ) -> None:
        inside = replace(environment, egress=EgressPolicy(resolver=lambda host, port: ["127.0.0.1"]))
        for error in self.failures(self.at(settings, NAME, 4321), inside):
            assert error.code == "egress_denied"

    @about("network")
    def test_a_port_that_refuses_is_unreachable(self, settings: Settings, environment: Environment) -> None:
        with far_side.refusing() as port:
            for error in self.failures(self.at(settings, HOST, port), environment):
                assert error.code == "unreachable"

    @about("network")
    def test_a_far_side_that_says_nothing_is_given_up_in_time(
        self, settings: Settings, environment: Environment
    ) -> None:
        with far_side.listening(far_side.silent) as port:
            started = time.monotonic()
            for error in self.failures(self.at(settings, HOST, port), environment, seconds=3):
                assert error.code in ("unreachable", "deadline")
            assert time.monotonic() - started < 8

    @about("network")
    def test_a_far_side_that_hangs_up_is_unreachable(self, settings: Settings, environment: Environment) -> None:
        with far_side.listening(far_side.closing) as port:
            for error in self.failures(self.at(settings, HOST, port), environment):
                assert error.code == "unreachable"

    @about("network")
    def test_a_far_side_of_another_protocol_is_told_apart(self, settings: Settings, environment: Environment) -> None:
        with far_side.listening(far_side.another_protocol) as port:
            for error in self.failures(self.at(settings, HOST, port), environment):
                assert error.code == "protocol"

    @about("network")
    @pytest.mark.parametrize("script", [far_side.flooding, far_side.huge_frame])
    def test_hostile_bytes_end_within_the_deadline(
        self, settings: Settings, environment: Environment, script: far_side.Script
    ) -> None:
        with far_side.listening(script) as port:
            started = time.monotonic()
            for error in self.failures(self.at(settings, HOST, port), environment, seconds=3):
                assert error.code in ("protocol", "unreachable", "deadline", "too_large")
            assert time.monotonic() - started < 8

    @about("wrong_password")
    def test_a_wrong_password_is_a_rejected_login(self, wrong_password: Settings, environment: Environment) -> None:
        for error in self.failures(wrong_password, environment):
            assert error.code == "authentication"
            self.assert_names_a_setting(error)

    @about("wrong_password")
    def test_a_rejected_login_is_not_tried_again(self, wrong_password: Settings, environment: Environment) -> None:
        stubborn = {**wrong_password, "retry": {"attempts": 5, "delay": 10}}
        started = time.monotonic()
        with self.open(stubborn, environment) as adapter, pytest.raises(AuthenticationError):
            read(adapter, self.any_query(), seconds=60)
        assert time.monotonic() - started < 8, "A second try waits for 10 seconds, and may lock the account."

    @about("missing_database")
    def test_a_missing_database_is_no_access(self, missing_database: Settings, environment: Environment) -> None:
        for error in self.failures(missing_database, environment):
            assert error.code == "authorization"
            self.assert_names_a_setting(error)

    def test_a_query_that_is_wrong_is_the_querys_fault(self, adapter: Adapter[Any, Any], bad_query: Settings) -> None:
        self.assert_rejected(adapter, bad_query, "query")

    @about("forbidden_query")
    def test_an_object_that_may_not_be_read_is_told_apart(
        self, adapter: Adapter[Any, Any], forbidden_query: Settings
    ) -> None:
        self.assert_rejected(adapter, forbidden_query, "query_forbidden")

    @about("writing_query")
    def test_a_query_that_would_write_is_none(self, adapter: Adapter[Any, Any], writing_query: Settings) -> None:
        self.assert_rejected(adapter, writing_query, "not_a_query")

    @about("slow_query")
    def test_a_slow_query_ends_at_its_deadline(self, adapter: Adapter[Any, Any], slow_query: Settings) -> None:
        started = time.monotonic()
        with pytest.raises(AdapterError) as caught:
            read(adapter, slow_query, seconds=1.0)
        assert caught.value.code == "deadline"
        assert time.monotonic() - started < 3

    # -----------------------------------------------------------------------------------------------------------

    def failures(self, settings: Settings, environment: Environment, *, seconds: float = SECONDS) -> list[AdapterError]:
        """What is wrong with ``settings``, as a check tells it and as connecting for a read does."""
        once = {**settings, "retry": {"attempts": 1}}
        with self.open(once, environment) as adapter:
            steps, error = check(adapter, seconds)
            assert error is not None, f"The check found nothing wrong: {steps}"
        at = next(position for position, step in enumerate(steps) if not step.ok)
        assert steps[at].ok is False
        assert steps[at].code == error.code
        assert all(step.ok is None for step in steps[at + 1 :]), "Steps after the failed one were not run."
        return [error, self.failure_of_reading(once, environment, seconds)]

    def failure_of_reading(self, settings: Settings, environment: Environment, seconds: float) -> AdapterError:
        with self.open(settings, environment) as adapter, pytest.raises(AdapterError) as caught:
            read(adapter, self.any_query(), seconds=seconds)
        return caught.value

    @pytest.fixture(autouse=True)
    def _keep_the_query(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def any_query(self) -> Settings:
        found: Settings = self._request.getfixturevalue("ordered_query")
        return found

    def assert_rejected(self, adapter: Adapter[Any, Any], query: Settings, code: str) -> None:
        """Reading ``query`` fails with ``code`` at the query, and leaves the adapter well."""
        with pytest.raises(AdapterError) as caught:
            read(adapter, query)
        assert caught.value.code == code
        assert (caught.value.field or "").startswith("/query/")
        assert not caught.value.transient
        assert check(adapter)[1] is None

    def assert_names_a_setting(self, error: AdapterError) -> None:
        """The error points at a setting that exists, so that a form can show it there."""
        part, _, path = (error.field or "").removeprefix("/").partition("/")
        assert part in ("config", "secrets"), f"{error.code} names no setting: field is {error.field!r}."
        assert path.split("/")[0] in self.adapter_class().config_class.model_fields


def check(adapter: Adapter[Any, Any], seconds: float = SECONDS) -> tuple[list[Step], AdapterError | None]:
    """The steps of a check, and what went wrong."""
    found = list(adapter.check(Deadline.after(seconds)))
    errors = [entry for entry in found if isinstance(entry, AdapterError)]
    return [entry for entry in found if isinstance(entry, Step)], (errors[0] if errors else None)
