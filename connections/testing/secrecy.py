"""Secrets: they reach the server unchanged, and nothing else."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from connections.adapters.base import Adapter
from connections.adapters.contract import Environment
from connections.adapters.errors import AdapterError
from connections.adapters.limits import Deadline
from connections.testing.diagnosis import check
from connections.testing.identity import secrets_of
from connections.testing.subject import SECONDS, SPECIAL, Settings, Subject, about, read

PASSWORDS = (SPECIAL, "100%25 %41+b", " blanks around ", "ends in \\", "'\"`;--", "key=value host=evil", "пароль é")


class Secrecy(Subject):
    @about("special_password")
    @pytest.mark.parametrize("password", PASSWORDS)
    def test_a_password_reaches_the_server_as_it_is(
        self, log_in_with_password: Callable[[str], Settings], environment: Environment, password: str
    ) -> None:
        with self.open(log_in_with_password(password), environment) as adapter:
            assert check(adapter)[1] is None

    @about("special_user")
    def test_a_user_name_reaches_the_server_as_it_is(
        self, log_in_with_user: Callable[[str], Settings], environment: Environment
    ) -> None:
        with self.open(log_in_with_user(self.special_user_text), environment) as adapter:
            assert check(adapter)[1] is None

    @about("special_password")
    def test_no_secret_is_shown_when_all_is_well(
        self,
        settings: Settings,
        environment: Environment,
        ordered_query: Settings,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        with caplog.at_level(logging.NOTSET), self.open(settings, environment) as adapter:
            shown = [str(step) for step in adapter.check(Deadline.after(SECONDS))]
            result = read(adapter, ordered_query)
            shown += [repr(adapter), str(adapter), repr(adapter.config), str(adapter.config), repr(result)]
            shown += [repr(adapter.server()), repr(adapter.notices())]
        assert_none_of(secrets_of(adapter.config), *shown, caplog.text, *capfd.readouterr())

    @about("wrong_password")
    def test_no_secret_is_shown_when_the_login_is_rejected(
        self,
        wrong_password: Settings,
        environment: Environment,
        ordered_query: Settings,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        with caplog.at_level(logging.NOTSET), self.open(wrong_password, environment) as adapter:
            steps, error = check(adapter)
            with pytest.raises(AdapterError) as caught:
                read(adapter, ordered_query)
        shown = [repr(steps), repr(caught.value.as_dict()), "".join(traceback.format_exception(caught.value))]
        shown += [repr(error), *map(repr, _chain(caught.value))]
        secrets = secrets_of(adapter.config)
        assert_none_of(secrets, *shown, caplog.text, *capfd.readouterr())
        assert not any(secret.encode() in pickle.dumps(caught.value.as_dict()) for secret in secrets)

    def test_an_adapter_is_not_pickled(self, adapter: Adapter[Any, Any]) -> None:
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(adapter)

    @about("special_password")
    def test_what_the_source_says_is_shown_without_secrets(self, adapter: Adapter[Any, Any]) -> None:
        for secret in secrets_of(adapter.config):
            assert secret not in adapter.redact(f"login failed for {secret}, {secret!r} and “{secret}”")


def assert_none_of(secrets: list[str], *texts: str) -> None:
    assert secrets, "The settings of this test hold no secret, so it would show nothing."
    for secret in secrets:
        for text in texts:
            assert secret not in text, "A secret is shown."


def _chain(error: BaseException) -> list[BaseException]:
    """The exceptions behind ``error``, those that a traceback would show."""
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return [behind, *_chain(behind)] if behind is not None else []
