"""The page of security cases names tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = sorted(
    set(re.findall(r"`((?:connections/testing|tests)/[\w/]+\.py)::(\w+)`", (ROOT / "docs/security.md").read_text()))
)


@cache
def _functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_the_page_names_is_there(path: str, name: str) -> None:
    assert (ROOT / path).is_file()
    assert name in _functions(path)


def test_every_row_names_a_test() -> None:
    rows = re.findall(r"^\| (\d+) \|(.*)$", (ROOT / "docs/security.md").read_text(), re.MULTILINE)
    assert len(rows) > 50
    assert all("::test_" in row for _, row in rows)
