"""Upgrades: from the settings of one version of a source's schema to those of the next.

A source raises ``Config.schema_version`` when stored settings would no longer fit or no longer mean the same, and
gives the way there in ``upgrades``, beside its adapter:

    upgrades = {1: Upgrade(config=with_url, secrets={"token": "auth.token"})}     # from version 1 to 2

Rows are upgraded in memory when they are read, and for good by ``manage.py schemas upgrade`` or the next save.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connections.adapters.schema import Nested, Path

if TYPE_CHECKING:
    from connections.adapters.base import Adapter

Change = Callable[[Nested], Nested]


class UpgradeError(Exception):
    """Stored settings cannot be brought to today's schema; the text says why, without repeating a setting."""


def _same(settings: Nested) -> Nested:
    return settings


@dataclass(frozen=True, slots=True)
class Upgrade:
    """One step, from a version to the next.

    ``config`` and ``query`` take the old settings, plain JSON without secrets, and return the new ones; they get a
    copy, ask nobody and give the same for the same. ``secrets`` says where secrets went: dotted old path to dotted
    new one, or to None where there is no such secret any more. What is not named stays where it is. A setting does
    not become a secret, nor a secret a setting: it is dropped and entered anew.
    """

    config: Change = _same
    secrets: Mapping[str, str | None] = field(default_factory=dict)
    query: Change = _same


def steps(adapter: type[Adapter[Any, Any]], version: int) -> list[Upgrade]:
    """The upgrades from ``version`` to the source's own, in order. Raises ``UpgradeError`` where one is not there."""
    newest = adapter.config_class.schema_version
    if version > newest:
        raise UpgradeError(
            f"The settings were saved under version {version} of {adapter.label}; this is {newest}. "
            "Install the newer version of the source."
        )
    missing = next((number for number in range(version, newest) if number not in adapter.upgrades), None)
    if missing is not None:
        raise UpgradeError(f"{adapter.label} brings no upgrade of its settings from version {missing}.")
    return [adapter.upgrades[number] for number in range(version, newest)]


def config(adapter: type[Adapter[Any, Any]], stored: Nested, version: int) -> Nested:
    """``stored``, a config of ``version``, as today's schema has it. Raises ``UpgradeError``."""
    return _through([step.config for step in steps(adapter, version)], adapter, stored)


def query(adapter: type[Adapter[Any, Any]], stored: Nested, version: int) -> Nested:
    """``stored``, a query of ``version``, as today's schema has it. Raises ``UpgradeError``."""
    return _through([step.query for step in steps(adapter, version)], adapter, stored)


def secret(adapter: type[Adapter[Any, Any]], path: Path, version: int) -> Path | None:
    """Where the secret at ``path`` of ``version`` is today; None where it was dropped. Raises ``UpgradeError``."""
    for step in steps(adapter, version):
        for old, new in step.secrets.items():
            before = tuple(old.split("."))
            if path[: len(before)] != before:
                continue
            if new is None:
                return None
            path = (*new.split("."), *path[len(before) :])
            break
    return path


def _through(changes: list[Change], adapter: type[Adapter[Any, Any]], stored: Nested) -> Nested:
    settings = copy.deepcopy(stored)
    try:
        for change in changes:
            settings = change(settings)
    except Exception as exc:  # noqa: BLE001  settings may hold anything; what an upgrade cannot take breaks no page
        raise UpgradeError(
            f"An upgrade of {adapter.label} does not take these settings ({type(exc).__name__})."
        ) from None
    if not isinstance(settings, dict):
        raise UpgradeError(f"An upgrade of {adapter.label} does not return settings.")
    return settings
