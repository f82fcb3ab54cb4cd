"""Whether a limit reaches the server: 100 rows of 5 000 000 against 100 rows of a table that has no more.

A preview of the big table may cost 1.5 times the small one's, and 10 MB more in the worker that does it.
"""

from __future__ import annotations

from functools import partial

import psutil

from benchmarks.stage import Web, catalogue, postgresql
from benchmarks.timing import Thing, alternate, table

PATH = "/api/v1/orgs/acme/connections/db/preview/"
BASE = "100 rows of 100"


def main() -> None:
    with postgresql(small=100, big=5_000_000) as source, catalogue(source) as (web, keys):
        ask = partial(_preview, web, keys["acme"])
        ask({"sql": "select * from small"})
        before = _peak_megabytes(web.pid)
        ask({"sql": "select * from big"})
        ask({"table": ["public", "big"]})
        after = _peak_megabytes(web.pid)
        things: dict[str, Thing] = {
            BASE: lambda: ask({"sql": "select * from small"}),
            "100 rows of 5 000 000": lambda: ask({"sql": "select * from big"}),
            "100 rows of 100, by table": lambda: ask({"table": ["public", "small"]}),
            "100 rows of 5 000 000, by table": lambda: ask({"table": ["public", "big"]}),
        }
        print(table(alternate(things, 100), BASE))
        print(f"\nLargest process of the catalogue: {before:.0f} MB, after the big table {after:.0f} MB.")


def _preview(web: Web, key: str, query: object) -> bytes:
    return web.post(PATH, {"query": query, "limit": 100}, key)


def _peak_megabytes(pid: int) -> float:
    """The highest resident size that a process of the server ever had, workers included."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return max(_high_water(process.pid) for process in family) / 1024


def _high_water(pid: int) -> int:
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
