"""What the pages point at is there: files, headings, commands, pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from scripts.serve import welcome
from tests.docs.pages import PAGES, ROOT, anchors, blocks, prose

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
README = ROOT / "README.md"


def test_the_pages_that_everybody_looks_for_are_there():
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert names >= {"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/operations.md"}
    assert (ROOT / "LICENSE").is_file()


@each_page
def test_links_lead_somewhere(page: Path):
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = page.parent / name if name else page
        if not there.exists() or (anchor and anchor not in anchors(there.read_text())):
            dead.append(target)
    assert not dead


@each_page
def test_commands_that_a_page_shows_exist(page: Path):
    text = page.read_text()
    shown = "\n".join([*blocks(text, "sh"), *re.findall(r"`([^`\n]+)`", text)])
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = [f"make {name}" for name in re.findall(r"(?:^|\s)make ([a-z]+)(?![\w.-])", shown) if name not in targets]
    unknown += [
        f"manage.py {name}" for name in re.findall(r"manage\.py ([a-z_]+)", shown) if name not in get_commands()
    ]
    unknown += [path for path in re.findall(r"(?:scripts|requirements)/[\w./]+", shown) if not (ROOT / path).exists()]
    assert not unknown


@each_page
def test_a_page_is_plain_and_at_home_anywhere(page: Path):
    text = page.read_text()
    found = re.findall(r"\b(?:TODO|FIXME|blazing|seamless\w*|powerful|world-class|cutting-edge|military-grade)\b", text)
    found += re.findall(r"(?<![\w.])/(?:home|root|Users|tmp)/\S*", text)
    assert not found


def test_the_readme_shows_what_make_run_prints():
    demo = {
        "users": [{"username": "acme-admin", "password": "…", "org": "acme", "role": "admin"}],
        "orgs": {"acme": {"api_keys": {"analyst": "ck_…"}}},
    }
    assert f"```\n{welcome(demo, 'http://127.0.0.1:8000').strip()}\n```" in README.read_text()
