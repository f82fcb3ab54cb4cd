"""Ten thousand previews in sequence, over HTTP: what the web process and the source are left with.

The first 500 do not count: caches fill, modules load.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stage import Web, catalogue, postgresql
from catalog_project.demo import postgres
from catalog_project.demo.server import Server

WARM = 500
PREVIEWS = 10_000
PATH = "/api/v1/orgs/acme/connections/db/preview/"
QUERY = {"query": {"sql": "select * from small"}, "limit": 100}
IDLE = "select count(*) from pg_stat_activity where usename = 'reader'"


@dataclass(frozen=True)
class Holding:
    """What a process holds."""

    descriptors: int
    mebibytes: float

    @classmethod
    def of(cls, pid: int) -> Holding:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return cls(len(os.listdir(f"/proc/{pid}/fd")), pages * os.sysconf("SC_PAGESIZE") / 2**20)


def main() -> None:
    with postgresql(small=100) as source:
        with catalogue(source) as (web, keys):
            _preview(web, keys["acme"], WARM)
            process = web_process(web)
            before, logins = Holding.of(process), _logins(source)
            started = time.perf_counter()
            _preview(web, keys["acme"], PREVIEWS)
            seconds = time.perf_counter() - started
            after = Holding.of(process)
            print(f"{PREVIEWS} previews in {seconds:.0f} s, {seconds * 1000 / PREVIEWS:.2f} ms each")
            print(f"descriptors {before.descriptors} then {after.descriptors}")
            print(f"memory {before.mebibytes:.1f} MiB then {after.mebibytes:.1f} MiB")
            print(f"connections at the source: {logins} then {_logins(source)}")
        time.sleep(1)
        print(f"connections at the source after the server's end: {_logins(source)}")


def web_process(web: Web) -> int:
    """The process that serves: the descendant of granian's that started the runner."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in found.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, _ in lines}
    for _, parent, arguments in lines:
        if "connections.runner.zygote" in arguments and web.pid in (int(parent), parents.get(int(parent))):
            return int(parent)
    raise RuntimeError("The runner has not been started.")


def _preview(web: Web, key: str, count: int) -> None:
    for _ in range(count):
        web.post(PATH, QUERY, key)


def _logins(source: Server) -> int:
    with postgres.connect(source) as connection:
        row = connection.execute(IDLE).fetchone()
    return int(row[0]) if row else 0


if __name__ == "__main__":
    main()
