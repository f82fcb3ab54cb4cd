"""Python in a fresh process, for what can only be seen there: which modules an import loads."""

from __future__ import annotations

import os
import subprocess
import sys

DRIVERS = (
    "clickhouse_connect", "duckdb", "google", "httpx", "jq", "jsonpath", "mysql", "MySQLdb", "obstore", "openpyxl",
    "oracledb", "pandas", "paramiko", "psycopg", "psycopg2", "pyarrow", "pymongo", "pymssql", "pymysql", "pyodbc",
    "python_calamine", "redshift_connector", "snowflake", "sqlalchemy", "trino",
)  # fmt: skip
"""Modules that are loaded when a source is used, never before."""


def run(code: str, seconds: float = 60) -> str:
    """What ``code`` prints. Raises ``AssertionError`` with its standard error when it fails."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": path},
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"A fresh process failed:\n{done.stderr[-4000:]}")
    return done.stdout


def loaded_by(code: str, modules: tuple[str, ...] = DRIVERS) -> list[str]:
    """Which of ``modules`` are loaded once ``code`` has run in a fresh process."""
    show = f"\nimport sys\nprint(*[name for name in {modules!r} if name in sys.modules])"
    return run(code + show).splitlines()[-1].split()
