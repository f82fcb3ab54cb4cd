"""A pytest plugin: one marker for each source, and what each conformance class declares, in the summary.

Load it with ``pytest_plugins = ["connections.testing.plugin"]``. ``pytest -m postgresql`` runs the tests of one
source: those of its conformance class, and of files named ``test_<source>….py`` in a folder ``sources`` or
``conformance``.
"""

from __future__ import annotations

import pytest

from connections.adapters.registry import registry
from connections.testing.subject import Subject

FOLDERS = frozenset({"sources", "conformance"})
_DECLARED = pytest.StashKey[dict[str, type[Subject]]]()


def pytest_configure(config: pytest.Config) -> None:
    for source in registry:
        config.addinivalue_line("markers", f"{source}: tests of the source {source}")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    declared = config.stash.setdefault(_DECLARED, {})
    for item in items:
        subject = getattr(item, "cls", None)
        if isinstance(subject, type) and issubclass(subject, Subject):
            declared[subject.source] = subject
            item.add_marker(subject.source)
        elif (source := source_of(item)) is not None:
            item.add_marker(source)


def source_of(item: pytest.Item) -> str | None:
    """The source that a test's file is about, by the file's name; the longest id that fits."""
    if not FOLDERS & set(item.path.parent.parts):
        return None
    name = item.path.stem.removeprefix("test_")
    found = [source for source in registry if name == source or name.startswith(f"{source}_")]
    return max(found, key=len, default=None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    declared = config.stash.get(_DECLARED, {})
    if not declared:
        return
    terminalreporter.section("settings that decide where secrets go")
    for source, subject in sorted(declared.items()):
        terminalreporter.line(f"{source}: {', '.join(subject.endpoint_fields) or 'none'}")
    if config.get_verbosity() > 0:
        terminalreporter.section("what does not apply")
        for source, subject in sorted(declared.items()):
            for topic, reason in subject.not_applicable.items():
                terminalreporter.line(f"{source}: {topic}: {reason}")
