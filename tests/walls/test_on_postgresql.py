"""What must hold on both databases, and the wall itself, on a PostgreSQL where the wall stands.

The tests run in processes of their own, as a login that is no superuser and owns the tables: how a deployment runs.
"""

from __future__ import annotations

import pytest

from tests.walls.conftest import Walled

RUNS = [
    ("tests/walls/test_walls.py", "tests/models"),
    ("tests/api/test_matrix.py", "tests/api/test_foreign_ids.py", "tests/api/test_locked_catalogue.py"),
    ("tests/admin/test_tenancy.py", "tests/admin/test_refusals.py", "tests/admin/test_visits.py"),
]


@pytest.mark.timeout(900)  # seconds: each run is hundreds of tests
@pytest.mark.parametrize("paths", RUNS, ids=lambda paths: paths[0].split("/")[1])
def test_the_same_tests_pass_behind_the_wall(paths: tuple[str, ...], walled: Walled) -> None:
    quietly = ("-q", "--no-header", "--tb=short", "--show-capture=no", "-p", "no:cacheprovider")
    status, text = walled.run("-m", "pytest", *quietly, *paths, timeout=840)
    assert status == 0, text[-6000:]
    assert " passed" in text
