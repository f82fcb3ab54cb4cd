"""``python -m benchmarks [NAME …]``: run the benchmarks, all unless some are named."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path

SHARED = {"__main__", "peers", "stage", "timing", "trivial"}


def main() -> None:
    names = sorted({module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])} - SHARED)
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(names)}; all unless named")
    wanted = parser.parse_args().names or names
    for name in wanted:
        if name not in names:
            parser.error(f"there is no benchmark {name!r}; choose of {', '.join(names)}")
    for name in wanted:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
