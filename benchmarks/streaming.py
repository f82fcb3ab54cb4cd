"""100 000 flights of 19 columns as a stream over HTTP, beside other ways to read them; and a million in flat memory.

The floors make nothing of the rows: COPY hands over bytes, ADBC columns. pandas, ibis and toucan-connectors make JSON.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from benchmarks import peers
from benchmarks.preview import PATH, pandas
from benchmarks.stage import Web, catalogue, dsn, flights
from benchmarks.timing import Thing, alternate, table

ROWS = 100_000
TEXT = f"select * from flights limit {ROWS}"
MILLION = "select n, md5(n::text) as code, n / 7.0 as ratio, now() as at from generate_series(1, 1000000) n"
COPY, NDJSON, CSV, PANDAS = "COPY, undecoded", "ours, NDJSON", "ours, CSV", "new connection + SQLAlchemy + pandas"


def main() -> None:
    with (
        flights() as (source, ca),
        catalogue(source, ca=ca) as (web, keys),
        peers.started(source, ca, ("adbc", "ibis", "toucan")) as others,
        psycopg.connect(dsn(source, ca), autocommit=True) as raw,
    ):
        key = keys["acme"]
        things: dict[str, Thing] = {
            COPY: lambda: _copied(raw),
            NDJSON: lambda: exported(web, key, TEXT, "ndjson", ROWS),
            CSV: lambda: exported(web, key, TEXT, "csv", ROWS),
            PANDAS: lambda: pandas(dsn(source, ca), TEXT),
            **{peer.name: (lambda peer=peer: peer.read(TEXT)) for peer in others},  # type: ignore[misc]
        }
        times = alternate(things, 7, warm=2)
        print(f"{ROWS} flights, each of 19 columns\n\n{table(times, COPY)}\n")
        middle = {name: statistics.median(values) for name, values in times.items()}
        print(f"NDJSON to COPY: {middle[NDJSON] / middle[COPY]:.2f} (bound 2.5)")
        print(f"pandas to NDJSON: {middle[PANDAS] / middle[NDJSON]:.2f} (bound 5)")
        print(f"CSV to NDJSON: {middle[CSV] / middle[NDJSON]:.2f} (bound 2)\n")
        print("| what | rows | worker's peak above idle, MiB | web process's, MiB |\n|---|---:|---:|---:|")
        for form in ("json", "ndjson", "csv"):
            rows = 10_000 if form == "json" else ROWS  # JSON is bounded as a preview
            _memory(web, form, rows, lambda form=form, rows=rows: exported(web, key, TEXT, form, rows))  # type: ignore[misc]
        for form in ("ndjson", "csv"):
            _memory(web, form, 1_000_000, lambda form=form: exported(web, key, MILLION, form, 1_000_000))  # type: ignore[misc]


def exported(web: Web, key: str, text: str, form: str, rows: int) -> int:
    """Read an export to its end; the bytes of its body. Raises ``RuntimeError`` when it is refused or cut short."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=120)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", f"{PATH}?format={form}", json.dumps({"query": {"sql": text}, "limit": rows}), headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} {answer.read()[:300]!r}")
    size = 0
    while part := answer.read(1 << 16):
        size += len(part)
    connection.close()
    return size


def _copied(raw: psycopg.Connection) -> int:
    with raw.cursor().copy(f"copy ({TEXT}) to stdout") as copy:  # type: ignore[arg-type]
        return sum(len(part) for part in copy)


def _memory(web: Web, form: str, rows: int, export: Callable[[], int]) -> None:
    """Print how much further than at rest the processes' memory went, at its peak, in one export."""
    time.sleep(0.5)
    pids = [*_descendants(web.pid), web.pid]
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak counts from here
    before = {pid: _peak(pid) for pid in pids}
    export()
    grown = {pid: _peak(pid) - before[pid] for pid in pids if Path(f"/proc/{pid}").exists()}
    servers = {pid for pid in pids if "granian" in _command(pid)}
    worker = max(value for pid, value in grown.items() if pid not in servers)
    print(f"| {form} | {rows} | {worker:.1f} | {max(grown[pid] for pid in servers):.1f} |", flush=True)


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


if __name__ == "__main__":
    main()
