"""Whom a worker serves, and what it may reach: settled by its first job, for life."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from connections.adapters.registry import BrokenSourceError, UnknownSourceError, registry
from connections.runner.jobs import Job


@dataclass(frozen=True, slots=True)
class Realm:
    """One organisation and one class of sources: those that need the network, or those that read its files.

    ``folder`` is the identity of the files' folder: a folder that was made or replaced since is another realm, for a
    worker sees the one that was there when it was confined.
    """

    organisation: str
    network: bool
    root: str | None = None
    folder: tuple[int, int] | None = None

    @classmethod
    def of(cls, job: Job) -> Self:
        if needs_network(job.source):
            return cls(job.organisation, True)
        return cls(job.organisation, False, job.root, _identity(job.root))


def needs_network(source: str) -> bool:
    """Whether ``source`` does. One that does not load here sees no files: true."""
    try:
        return registry[source].needs_network
    except (UnknownSourceError, BrokenSourceError):
        return True


def _identity(folder: str | None) -> tuple[int, int] | None:
    try:
        found = os.stat(folder) if folder is not None else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None
