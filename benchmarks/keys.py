"""Keys: organisation keys re-wrapped in a second, secrets sealed anew in a minute, on SQLite and on PostgreSQL.

The command's own code runs, in a process of its own, over a catalogue that is filled first.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import stage
from connections.sealing.keyring import make_entry

ORGANISATIONS = 10_000
SECRETS = 5_000
TARGETS = {"organisation keys re-wrapped": (5_000, "second"), "secrets sealed anew": (5_000, "minute")}
PROGRAM = """
import json, sys, time
import django; django.setup()
from django.conf import settings
from django.core.management import call_command
from connections.models import Connection, ConnectionSecrets, Organisation, OrganisationKey
from connections.sealing import organisation_keys
from connections.sealing.keyring import KeyRing, make_entry
from connections.services import vault
from connections.services.keys import renewing, rewrapping

count, secrets = int(sys.argv[1]), int(sys.argv[2])
call_command("migrate", verbosity=0)
ring = KeyRing.from_settings()
rows = [Organisation(slug=f"o{n}", name=f"o{n}") for n in range(count)]
Organisation.objects.bulk_create(rows, batch_size=1000)
made = [(row, organisation_keys.wrap(organisation_keys.new_organisation_key(row.pk), ring)) for row in rows]
OrganisationKey.objects.bulk_create(
    [OrganisationKey(organisation=row, version=1, ring_key=w.kid, blob=w.blob) for row, w in made], batch_size=1000)
first = rows[0]
for n in range(secrets):
    row = Connection.objects.create(organisation=first, slug=f"c{n}", name="c", source="postgresql", config={})
    vault.seal(row, {"password": "a password of usual length"}, {"password": "2026-01-01T00:00:00Z"}, changed=True)

settings.CATALOG_KEYS = f"{settings.CATALOG_KEYS},{make_entry('k2')}"
del rows, made  # the command has no such heap, and every collection of garbage would walk through it
started = time.perf_counter()
*_, last = rewrapping.rotate()
rotated = time.perf_counter() - started
assert last.moved == count == OrganisationKey.objects.filter(ring_key="k2").count()
started = time.perf_counter()
*_, last = renewing.rekey(first)
renewed = time.perf_counter() - started
assert last.moved == secrets == ConnectionSecrets.objects.filter(key_version=2).count()
print("RATES " + json.dumps([count / rotated, secrets / renewed * 60]))
"""


def main() -> None:
    print("| what | database | target | done |\n|---|---|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="catalogue-bench-") as folder:
        _measure("SQLite", f"sqlite:///{Path(folder) / 'catalogue.sqlite3'}")
    with stage.postgresql() as server:
        login = server.login("superuser")
        place = f"{login['user']}:{login['password']}@{login['host']}:{login['port']}/{login['database']}"
        _measure("PostgreSQL", f"postgresql://{place}?sslmode=disable")


def _measure(database: str, url: str) -> None:
    environment = os.environ | {
        "CATALOG_ENV": "development",
        "CATALOG_SECRET_KEY": secrets.token_urlsafe(64),
        "CATALOG_KEYS": make_entry("k1"),
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "catalog_project.settings",
    }
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ORGANISATIONS), str(SECRETS)],
        cwd=stage.ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    rates = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("RATES "))[6:])
    for (what, (target, per)), rate in zip(TARGETS.items(), rates, strict=True):
        print(f"| {what} | {database} | {target:,} a {per} | {rate:,.0f} a {per} |", flush=True)
