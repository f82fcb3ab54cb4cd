"""Ask a database of known weaknesses about every package of the lock: ``python -m scripts.audit``.

Ends with 0 when it knows none, with 1 when it does, and with 3 when it could not be asked: then nothing was audited,
and that is said. The lock is all that is sent: names and versions.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent.parent / "requirements" / "dev.txt"
DATABASE = "https://api.osv.dev/v1/query"
NONE_KNOWN, KNOWN, NOT_ASKED = 0, 1, 3
SECONDS = 600.0  # a question for each package, one after the other
ANSWER_SECONDS = 15


def main(arguments: list[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m scripts.audit", description=str(__doc__))
    parser.add_argument("--lock", type=Path, default=LOCK, help="A compiled requirements file (%(default)s).")
    parser.add_argument("--database", default=DATABASE, help="Where OSV's protocol is spoken (%(default)s).")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="How long all of it may take (%(default)s).")
    options = parser.parse_args(arguments)
    try:
        found = audit(options.lock, options.database, options.seconds)
    except Unreachable as exc:
        print(f"pip-audit: NOT DONE. {exc} Nothing was audited; run it where {options.database} can be reached.")
        return NOT_ASKED
    weak = [package for package in found if package.get("vulns")]
    for package in weak:
        for weakness in package["vulns"]:
            versions = ", ".join(weakness["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {weakness['id']}, mended in {versions}")
    skipped = [f"{package['name']} ({package['skip_reason']})" for package in found if "skip_reason" in package]
    if skipped:
        print(f"pip-audit: not asked about: {', '.join(skipped)}")
    print(f"pip-audit: {len(found)} packages of {options.lock.name}, {len(weak)} with a known weakness.")
    return KNOWN if weak else NONE_KNOWN


class Unreachable(Exception):
    """The database could not be asked; the text says why."""


def audit(lock: Path, database: str, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Every package of ``lock`` with its ``vulns``. Raises ``Unreachable``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip"]
        command += ["--vulnerability-service", "osv", "--osv-url", database, "--timeout", str(ANSWER_SECONDS)]
        command += ["--format", "json", "--output", str(report), "--progress-spinner", "off"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise Unreachable(f"The database had not answered for every package after {seconds:g} seconds.") from None
        if not report.exists():
            raise Unreachable(f"The database could not be asked: {_reason(done.stderr)}.")
        packages: list[dict[str, Any]] = json.loads(report.read_text())["dependencies"]
    return packages


def _reason(errors: str) -> str:
    """The last line of what went wrong, which is the exception."""
    return (errors.strip().splitlines() or ["it does not say why"])[-1].rstrip(".")[:300]


if __name__ == "__main__":
    sys.exit(main())
