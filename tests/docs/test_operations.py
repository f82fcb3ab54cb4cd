"""The tables of docs/operations.md are those of the code."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from connections.services.here import runner_here
from tests.docs.pages import ROOT, between, rows

PAGE = (ROOT / "docs" / "operations.md").read_text()
UNKNOWN = object()
READERS = ("required", "env.str", "database", "one_of", "flag", "whole", "number", "listed")


def read_by_the_settings() -> dict[str, Any]:
    """Every variable that the settings read, with its default; ``UNKNOWN`` where that is no plain value."""
    found: dict[str, Any] = {}
    for node in ast.walk(ast.parse((ROOT / "catalog_project" / "settings.py").read_text())):
        name = node.args[0] if isinstance(node, ast.Call) and node.args else None
        if not isinstance(node, ast.Call) or not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            continue
        called = ast.unparse(node.func)
        if called in READERS:
            default = next((word.value for word in node.keywords if word.arg == "default"), None)
            found[name.value] = plain(default)
    return found


def plain(node: ast.expr | None) -> Any:
    """The value of a literal or of a product of literals."""
    if node is None or any(isinstance(part, ast.Name | ast.JoinedStr | ast.Call) for part in ast.walk(node)):
        return UNKNOWN
    return eval(compile(ast.Expression(node), "settings", "eval"), {})


def told(default: str) -> Any:
    """The default of a row, as Python has it."""
    code = re.fullmatch(r"`([^`]*)`", default)
    if code is None:
        return [] if default.startswith("empty") else UNKNOWN
    return code[1]


def test_every_variable_is_in_the_table_and_every_row_is_a_variable():
    documented = [cells[0].strip("`") for cells in rows(between(PAGE, "settings"))]
    assert len(documented) == len(set(documented))
    assert set(documented) == set(read_by_the_settings())


@pytest.mark.parametrize(("name", "default"), [(name, value) for name, value in read_by_the_settings().items()])
def test_the_table_has_the_default(name: str, default: Any):
    told_default = told(next(cells[1] for cells in rows(between(PAGE, "settings")) if cells[0] == f"`{name}`"))
    if default is UNKNOWN:
        return
    if isinstance(default, list):
        default = ",".join(default)
    shown = str(int(default) if isinstance(default, bool) else default)
    assert told_default == (shown or [])


def test_what_readyz_says_of_the_workers_is_explained():
    explained = set(re.findall(r"`([a-z_]+)`", between(PAGE, "isolation")))
    reported = runner_here().status()["isolation"]
    assert set(reported) <= explained
