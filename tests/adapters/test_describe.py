"""Settings as rows of documentation."""

from __future__ import annotations

import subprocess
import sys

from connections.adapters.describe import SettingRow, describe_model
from tests.forms.toys import ToyConfig


def rows() -> dict[str, SettingRow]:
    return {f"{'.'.join(row.path)} {row.when}".strip(): row for row in describe_model(ToyConfig)}


def test_a_setting_is_told_in_words():
    database = rows()["database"]
    assert (database.title, database.type, database.required) == ("Database", "text, at most 63 characters", True)
    assert rows()["port"].type == "whole number, 1 to 65535"
    assert rows()["zone"].type == "one of eu, north-america"
    assert rows()["headers"].type == "names, each with text"
    assert rows()["ports"].type == "list of whole number"
    assert rows()["deep.deepest.factor deep is used"].type == "number, over 0, under 100"


def test_defaults_are_plain_json_and_secrets_have_none():
    assert rows()["zone"].default == "eu"
    assert rows()["tls.mode"].default == "verify-full"
    assert rows()["auth.kind"].default == "none"
    assert {row.default for row in rows().values() if row.secret} == {None}


def test_branches_and_optional_groups_say_when_they_count():
    found = rows()
    assert found["auth.user auth.kind is basic"].required
    assert found["auth.private_key auth.kind is key_pair"].secret
    assert found["tunnel.auth.password tunnel is used, tunnel.auth.kind is password"].secret


def test_the_endpoint_and_the_section_are_those_of_the_setting_around():
    found = rows()
    assert found["tls.ca"].section == "Security"
    assert found["tls.ca"].endpoint is True
    assert found["retry.attempts"].endpoint is False
    assert found["password"].endpoint is None


def test_describing_needs_no_django():
    code = "import connections.adapters.describe, sys; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
