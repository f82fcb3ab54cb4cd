"""One organisation's previews while another's hang, over HTTP: quiet and flooded in turn.

The flood is 200 previews at once that never answer: the source lets them sleep. As many as the limits allow hold
workers; the others are told to come back. Then the second organisation's previews are timed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator

from benchmarks.stage import Web, catalogue, postgresql

TURNS = 10
PREVIEWS = 50
FLOOD = 200
SLOW = {"query": {"sql": "select pg_sleep(600)"}, "timeout": 6}
QUICK = {"query": {"sql": "select * from small"}, "limit": 100}


def main() -> None:
    times: dict[str, list[float]] = {"quiet": [], "flooded": []}
    refused: Counter[int] = Counter()
    with postgresql(small=100) as source, catalogue(source, threads=32) as (web, keys):
        _previews(web, keys["globex"], 50)
        for _ in range(TURNS):
            times["quiet"] += _previews(web, keys["globex"], PREVIEWS)
            with flooded(web.port, keys["acme"]) as statuses:
                times["flooded"] += _previews(web, keys["globex"], PREVIEWS)
            refused += statuses
            _settle(web, keys["acme"])
    p95 = {name: sorted(values)[int(len(values) * 0.95)] for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:8} {len(values)} previews: median {statistics.median(values):.2f} ms, p95 {p95[name]:.2f} ms")
    print(f"ratio of p95: {p95['flooded'] / p95['quiet']:.2f}; statuses of the flood: {dict(refused)}")


@contextlib.contextmanager
def flooded(port: int, key: str) -> Iterator[Counter[int]]:
    """Inside, ``FLOOD`` previews were sent, of which some hang; the statuses of the others are counted."""
    body = json.dumps(SLOW).encode()
    head = (
        f"POST /api/v1/orgs/acme/connections/db/preview/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    sockets = []
    for _ in range(FLOOD):
        sockets.append(socket.create_connection(("127.0.0.1", port)))
        sockets[-1].sendall(head + body)
    statuses: Counter[int] = Counter()
    try:
        time.sleep(2)
        for each in sockets:
            each.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                statuses[int(each.recv(65536).split()[1])] += 1
        yield statuses
    finally:
        for each in sockets:
            each.close()


def _previews(web: Web, key: str, count: int) -> list[float]:
    found = []
    for _ in range(count):
        started = time.perf_counter()
        web.post("/api/v1/orgs/globex/connections/db/preview/", QUICK, key)
        found.append((time.perf_counter() - started) * 1000)
    return found


def _settle(web: Web, key: str) -> None:
    """Wait until the flood's jobs have ended."""
    for _ in range(700):
        try:
            web.post("/api/v1/orgs/acme/connections/db/preview/", QUICK, key)
            if json.loads(web.get("/readyz"))["runner"]["workers"]["running"] == 0:
                return
        except (RuntimeError, http.client.HTTPException):
            pass
        time.sleep(0.1)
    raise RuntimeError("The flood's jobs did not end.")


if __name__ == "__main__":
    main()
