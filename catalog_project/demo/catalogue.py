"""The demo's rows in the catalogue: organisations, users, API keys and connections."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from catalog_project.demo import flights, kept, server
from connections.models import Connection, Membership, Organisation, Role
from connections.services import api_keys, connections, jobs, tenancy
from connections.services.actor import Actor
from connections.services.connections import Change

ORGANISATIONS = {"acme": "Acme Air", "globex": "Globex Travel"}
Kept = dict[str, Any]


def load(var: Path, url: str) -> None:
    """Make what is missing of the demo, and write its logins and keys to ``var/demo.json`` (mode 0600)."""
    path = var / "demo.json"
    known: Kept = json.loads(path.read_text()) if path.exists() else {}
    passwords = {user["username"]: user["password"] for user in known.get("users", [])}
    made: Kept = {"url": url, "users": [], "orgs": {}, "connections": {}}
    with transaction.atomic():
        for slug, name in ORGANISATIONS.items():
            organisation = Organisation.objects.filter(slug=slug).first() or tenancy.create_organisation(slug, name)
            for role in Role.values:
                made["users"].append(_user(organisation, role, passwords.get(f"{slug}-{role}")))
            actor = tenancy.actor_of(_person(f"{slug}-admin"), slug, request_id="demo-load")
            made["orgs"][slug] = {"api_keys": _keys(actor, known.get("orgs", {}).get(slug, {}).get("api_keys", {}))}
        made["users"].append(_superuser(passwords.get("platform")))
    for slug in ORGANISATIONS:
        actor = tenancy.actor_of(_person(f"{slug}-admin"), slug, request_id="demo-load")
        _write_files(actor.organisation)
        for name, source, config, password in _wanted(slug, kept.login(var)):
            _connection(actor, name, source, config, password)
        names = Connection.objects.filter(organisation=actor.organisation).order_by("created_at")
        made["connections"][slug] = list(names.values_list("slug", flat=True))
    server.write_private(path, json.dumps(made, indent=2) + "\n")


def _wanted(slug: str, login: dict[str, Any]) -> list[tuple[str, str, dict[str, Any], str | None]]:
    """Name, source, config and password of an organisation's connections."""
    plain = {"tls": {"mode": "disable"}}  # the demo's server speaks no TLS; it listens on loopback only
    reachable = {"host": login["host"], "port": login["port"], "database": login["database"], "user": login["user"]}
    postgresql = reachable | plain
    if slug == "globex":
        return [
            ("globex-postgres", "postgresql", postgresql, login["password"]),
            ("globex-sqlite", "sqlite", {"path": "flights.sqlite3"}, None),
        ]
    return [
        ("flights-postgres", "postgresql", postgresql, login["password"]),
        ("flights-sqlite", "sqlite", {"path": "flights.sqlite3"}, None),
        ("flights-duckdb", "duckdb", {"path": "flights.duckdb"}, None),
        ("flights-files", "local_files", {"folder": "flights"}, None),
        ("warehouse-down", "postgresql", postgresql | {"port": 1}, login["password"]),
        ("wrong-password", "postgresql", postgresql, "not-the-password"),
    ]


def _connection(actor: Actor, name: str, source: str, config: dict[str, Any], password: str | None) -> None:
    """Make the connection, or bring it to the port and password that the server has in this run."""
    secrets_ = {"password": password} if password else {}
    row = connections.visible(actor).filter(slug=name).first()
    if row is None:
        change = Change(name=name, tags=["demo"], environment="demo", config=config, secrets=secrets_)
        connections.create(actor, source, change, slug=name)
    elif any(row.config.get(member) != value for member, value in config.items()):
        connections.update(actor, row, Change(config=config, secrets=secrets_))


def _write_files(organisation: Organisation) -> None:
    root = jobs.files_root(organisation)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    flights.write_sqlite(root / "flights.sqlite3")
    if organisation.slug == "acme":
        flights.write_duckdb(root / "flights.duckdb")
        flights.write_files(root / "flights")


def _keys(actor: Actor, known: dict[str, str]) -> dict[str, str]:
    found = {}
    for role in Role.values:
        text = known.get(role, "")
        if not api_keys.recognise(text):
            _, text = api_keys.create(actor, f"demo {role}", role)
        found[role] = text
    return found


def _user(organisation: Organisation, role: str, password: str | None) -> Kept:
    username = f"{organisation.slug}-{role}"
    password = _login(username, password, is_staff=True)
    Membership.objects.get_or_create(organisation=organisation, user=_person(username), defaults={"role": role})
    return {"username": username, "password": password, "org": organisation.slug, "role": role}


def _superuser(password: str | None) -> Kept:
    password = _login("platform", password, is_staff=True, is_superuser=True)
    return {"username": "platform", "password": password, "org": None, "role": "superuser"}


def _login(username: str, password: str | None, **flags: bool) -> str:
    """Make the user unless there is one whose password is known; return the password."""
    people = get_user_model()._default_manager
    person = people.filter(username=username).first()
    if person is not None and password is not None:
        return password
    password = secrets.token_urlsafe(12)
    person = person or get_user_model()(username=username, email=f"{username}@example.com", **flags)
    person.set_password(password)
    person.save()
    return password


def _person(username: str) -> Any:
    return get_user_model()._default_manager.get(username=username)
