"""A thousand previews of a real server: what the supervisor and the source are left with. See benchmarks.soak."""

from __future__ import annotations

import os
import time
from pathlib import Path

from catalog_project.demo import postgres
from connections.adapters.egress import EgressPolicy
from connections.sources.postgresql.login import APPLICATION
from tests.runner.asking import Asker
from tests.servers.pausable import PausableServer

MIB = 2**20


def held() -> tuple[int, float]:
    """Open descriptors and resident mebibytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGESIZE") / MIB


def preview(asker: Asker) -> None:
    found = asker.ask(
        source="postgresql",
        egress=EgressPolicy(loopback=True).as_dict(),
        query={"sql": "select n, repeat('x', 50) from generate_series(1, 100) n"},
        limit=100,
    )
    assert found.fields["page"]["returned"] == 100


def logins(server: PausableServer) -> int:
    """How many sessions of ours the server has."""
    with postgres.connect(server) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where application_name = %s", [APPLICATION]
        ).fetchone()
    return int(row[0]) if row else 0


def test_a_thousand_previews_leave_nothing_behind(own: Asker, postgresql: PausableServer):
    own.settings = postgresql.login("reader") | {"tls": {"mode": "disable"}}
    elsewhere = logins(postgresql)  # other tests' runners keep theirs
    for _ in range(200):
        preview(own)
    time.sleep(0.3)
    descriptors, memory = held()
    for _ in range(1000):
        preview(own)
    time.sleep(0.3)
    after = held()
    assert abs(after[0] - descriptors) <= 2
    assert abs(after[1] - memory) < 10
    assert logins(postgresql) - elsewhere <= 2  # the warm one, and one more where two workers took turns
    own.runner.close()
    until = time.monotonic() + 3
    while logins(postgresql) > elsewhere:
        assert time.monotonic() < until
        time.sleep(0.05)
