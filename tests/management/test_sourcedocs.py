"""``sourcedocs`` writes pages that say what the schemas say, and notices when they do not."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Literal

import pytest
from django.core.management import CommandError, call_command
from pydantic import Field, SecretStr

from connections.adapters.config import Config, Query
from connections.adapters.contract import Category, Driver
from connections.adapters.describe import describe_model
from connections.adapters.registry import registry
from connections.management import source_pages
from connections.sources import sqlite


def documented(path: Path, *arguments: str) -> str:
    out = StringIO()
    call_command("sourcedocs", *arguments, path=path, stdout=out)
    return out.getvalue()


def test_every_source_has_a_page_and_a_place_in_the_index(tmp_path: Path) -> None:
    documented(tmp_path)
    written = {path.name for path in (tmp_path / "docs" / "sources").iterdir()}
    assert written == {"README.md", *(f"{source}.md" for source in registry)}
    index = (tmp_path / "docs" / "sources" / "README.md").read_text()
    assert all(f"({source}.md)" in index for source in registry)


def test_a_page_that_is_up_to_date_passes_the_check(tmp_path: Path) -> None:
    documented(tmp_path)
    assert "0 were written" in documented(tmp_path)
    documented(tmp_path, "--check")


def test_a_stale_page_fails_the_check_by_name_and_is_not_written(tmp_path: Path) -> None:
    documented(tmp_path)
    stale, missing = (tmp_path / "docs" / "sources" / name for name in ("sqlite.md", "mysql.md"))
    stale.write_text("old")
    missing.unlink()
    with pytest.raises(CommandError, match=r"Stale: docs/sources/mysql.md, docs/sources/sqlite.md. Run: manage.py"):
        documented(tmp_path, "--check")
    assert stale.read_text() == "old"
    documented(tmp_path)
    assert stale.read_text().startswith("# SQLite")


def test_the_page_of_a_source_that_is_gone_is_stale_and_goes(tmp_path: Path) -> None:
    documented(tmp_path)
    gone = tmp_path / "docs" / "sources" / "gone.md"
    gone.write_text("# Gone")
    with pytest.raises(CommandError, match=r"docs/sources/gone.md"):
        documented(tmp_path, "--check")
    documented(tmp_path)
    assert not gone.exists()


def test_the_readme_has_the_table_between_its_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Before\n<!-- sources: begin -->\nold\n<!-- sources: end -->\nAfter\n")
    documented(tmp_path)
    text = readme.read_text()
    assert text.startswith("# Before\n<!-- sources: begin -->\n| Source |")
    assert text.endswith("|\n<!-- sources: end -->\nAfter\n")
    assert "(docs/sources/postgresql.md)" in text
    readme.write_text(text.replace("PostgreSQL", "Postgres"))
    with pytest.raises(CommandError, match=r"Stale: README.md"):
        documented(tmp_path, "--check")


def test_a_readme_without_a_place_for_the_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Catalogue\n")
    with pytest.raises(CommandError, match="sources: begin"):
        documented(tmp_path)


class Key(Config):
    kind: Literal["key"] = "key"
    secret_key: SecretStr = Field(title="Key")


class Nobody(Config):
    kind: Literal["none"] = "none"


class OddConfig(Config):
    account: str = Field(title="Account | name", description="Of <b>them</b>.", examples=["x"])
    zone: Literal["a", "b"] = Field("a", title="Zone", json_schema_extra={"endpoint": False, "section": "Advanced"})
    auth: Key | Nobody = Field(discriminator="kind", title="Sign in with")


class OddQuery(Query):
    """What to read."""

    entity: str = Field("x", title="Entity", examples=["orders", 5])


class OddAdapter(sqlite.SQLiteAdapter):
    """Odd things."""

    id = "odd"
    label = "Odd | things"
    category = Category.WAREHOUSE
    config_class = OddConfig  # type: ignore[assignment]
    query_class = OddQuery  # type: ignore[assignment]
    driver = Driver("odd_driver", pip="odd-driver>=2")
    tested_against = "emulated: oddsim"
    docs_url = "https://odd.example/docs"


@pytest.fixture
def odd() -> str:
    return source_pages.page(OddAdapter)


def test_a_page_says_what_the_class_says(odd: str) -> None:
    assert odd.startswith("# Odd | things\n")
    for said in (
        "Odd things.",
        "- Id: `odd`",
        "- Category: Warehouses and engines",
        "`pip install 'odd-driver>=2'`",
        "- Tested against: emulated: oddsim",
        "<https://odd.example/docs>",
        "It is not tested against a vendor's own system",
    ):
        assert said in odd


def test_a_page_has_a_row_for_each_setting(odd: str) -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", odd, re.MULTILINE))
    assert rows["account"] == r"Account \| name. Of &lt;b>them&lt;/b>. | text | yes |  | endpoint"
    assert rows["zone"] == 'Zone | one of a, b |  | `"a"` | '
    assert rows["auth.secret_key"] == "Key | secret text | yes |  | secret; when auth.kind is key"
    assert {".".join(row.path) for row in describe_model(OddConfig)} <= set(rows)


def test_a_page_lists_the_ways_to_sign_in(odd: str) -> None:
    assert "### Ways to sign in" in odd
    assert "`auth.secret_key`" in next(line for line in odd.splitlines() if line.startswith("- `key`"))


def test_advanced_settings_come_last(odd: str) -> None:
    assert re.findall(r"^### (.*)$", odd, re.MULTILINE) == ["Connection", "Advanced", "Ways to sign in"]


def test_examples_are_queries_that_the_schema_accepts(odd: str) -> None:
    assert [json.loads(text) for text in re.findall(r"```json\n(.*)\n```", odd)] == [{"entity": "orders"}]
    for adapter in registry.healthy():
        for text in re.findall(r"```json\n(.*)\n```", source_pages.page(adapter)):
            adapter.query_class.model_validate_json(text)
