"""Timing things side by side: in turn, in one run, so that a machine that slows down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Thing = Callable[[], object]


def alternate(things: Mapping[str, Thing], rounds: int, warm: int = 20) -> dict[str, list[float]]:
    """Milliseconds of each thing in each round, the things in turn. The first ``warm`` rounds do not count."""
    found: dict[str, list[float]] = {name: [] for name in things}
    for number in range(warm + rounds):
        for name, thing in things.items():
            started = time.perf_counter()
            thing()
            if number >= warm:
                found[name].append((time.perf_counter() - started) * 1000)
    return found


def table(times: Mapping[str, list[float]], base: str) -> str:
    """A Markdown table: median, 95th percentile, and the ratio of medians to ``base``."""
    middle = statistics.median(times[base])
    lines = ["| what | median ms | p95 ms | ratio |", "|---|---:|---:|---:|"]
    for name, values in times.items():
        p95 = sorted(values)[int(len(values) * 0.95)]
        lines.append(
            f"| {name} | {statistics.median(values):.3f} | {p95:.3f} | {statistics.median(values) / middle:.2f} |"
        )
    return "\n".join(lines)
