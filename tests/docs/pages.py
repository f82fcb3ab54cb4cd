"""The project's pages: the Markdown that people read, without what is installed or generated elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(text: str, language: str) -> list[str]:
    """The code blocks in ``language``, without the indentation of the list that they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def between(text: str, name: str) -> str:
    """What stands between the markers ``name: begin`` and ``name: end``."""
    found = re.search(rf"<!-- {name}: begin -->(.*)<!-- {name}: end -->", text, re.DOTALL)
    assert found is not None, f"There are no markers {name}."
    return found[1]


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table, without its head."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.strip().splitlines()[2:]]


def anchors(text: str) -> set[str]:
    """What a link to a heading of this page says after ``#``."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.strip().replace(" ", "-"))
    return found
