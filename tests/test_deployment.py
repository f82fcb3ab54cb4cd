"""A deployment in production: what it refuses to start with, what Django's check says, what its answers carry."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
ASK = """
import json, django
django.setup()
from django.conf import settings
from django.test import Client
found = {}
for path in ("/admin/login/", "/healthz", "/api/v1/schema/", "/api/v1/orgs/"):
    answer = Client().get(path, secure=True, headers={"Host": "catalogue.example"})
    found[path] = {name.lower(): value for name, value in answer.headers.items()}
    found[path]["cookies"] = [str(morsel) for morsel in answer.cookies.values()]
plain = Client().get("/admin/login/", headers={"Host": "catalogue.example"})
other = Client().get("/admin/login/", secure=True, headers={"Host": "evil.example"})
redirect = [plain.status_code, plain.get("Location", "")]
print(json.dumps({"answers": found, "plain": redirect, "other": other.status_code}))
"""


def production(tmp_path: Path, **more: str) -> dict[str, str]:
    """The environment of a process in production, with keys that are thrown away."""
    (tmp_path / "static").mkdir(exist_ok=True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CATALOG_", "DATABASE_URL", "DJANGO_"))
    }
    return {
        **kept,
        "CATALOG_ENV": "production",
        "CATALOG_DEBUG": "0",  # what is said here is not looked up in the settings that development keeps
        "CATALOG_EGRESS_ALLOW": "",
        "CATALOG_EGRESS_LOOPBACK": "0",
        "CATALOG_SECRET_KEY": secrets.token_urlsafe(60),
        "CATALOG_KEYS": "k1:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "CATALOG_ALLOWED_HOSTS": "catalogue.example",
        "CATALOG_FILES_ROOT": str(tmp_path),
        "CATALOG_STATIC_ROOT": str(tmp_path / "static"),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'catalogue.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "catalog_project.settings",
        **more,
    }


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_djangos_check_of_a_deployment_is_clean(tmp_path: Path) -> None:
    done = run(production(tmp_path), "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"CATALOG_DEBUG": "1"}, "CATALOG_DEBUG must be off in production"),
        ({"CATALOG_EGRESS_LOOPBACK": "1"}, "CATALOG_EGRESS_LOOPBACK must be off in production"),
        ({"CATALOG_ENV": "Production", "CATALOG_EGRESS_LOOPBACK": "1"}, "CATALOG_ENV is 'Production'"),
        ({"CATALOG_RUNNER": "inline"}, "CATALOG_RUNNER must not be inline in production"),
        ({"CATALOG_SECRET_KEY": ""}, "CATALOG_SECRET_KEY is not set"),
        ({"CATALOG_ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS must not be empty"),
    ],
)
def test_production_refuses_to_start(tmp_path: Path, variables: dict[str, str], told: str) -> None:
    done = run(production(tmp_path, **variables), "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode != 0
    assert told in done.stderr


@pytest.fixture
def served(tmp_path: Path) -> Any:
    environment = production(tmp_path)
    assert run(environment, "manage.py", "collectstatic", "--noinput").returncode == 0
    assert run(environment, "manage.py", "migrate", "--verbosity", "0").returncode == 0
    done = run(environment, "-c", ASK)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_answer_is_for_browsers_that_are_careful(served: Any) -> None:
    for path, headers in served["answers"].items():
        assert "max-age=" in headers["strict-transport-security"], path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
        assert headers["referrer-policy"] in ("same-origin", "no-referrer"), path
        assert all("Secure" in cookie and "SameSite" in cookie for cookie in headers["cookies"]), path
    assert any("csrftoken" in cookie for cookie in served["answers"]["/admin/login/"]["cookies"])


def test_what_comes_without_tls_is_sent_to_it_and_another_hosts_name_is_refused(served: Any) -> None:
    assert served["plain"][0] in (301, 308)
    assert served["plain"][1].startswith("https://catalogue.example/")
    assert served["other"] == 400
