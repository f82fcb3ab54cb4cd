"""Whom a worker serves, and what it may reach: settled by its first job, for life."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Self

from connections.adapters.registry import PACKAGE, BrokenSourceError, UnknownSourceError, registry
from connections.runner.jobs import Job

_OURS: Final = f"{PACKAGE}."


@dataclass(frozen=True, slots=True)
class Realm:
    """One organisation and one class of sources: those that need the network, or those that read its files.

    Of each source that is no part of this package, ``plugin``, the jobs are apart: what a worker was given once, code
    that runs there later can read.

    ``folder`` is the identity of the files' folder: a folder that was made or replaced since is another realm, for a
    worker sees the one that was there when it was confined.
    """

    organisation: str
    network: bool
    root: str | None = None
    folder: tuple[int, int] | None = None
    plugin: str = ""

    @classmethod
    def of(cls, job: Job) -> Self:
        try:
            source = registry[job.source]
        except (UnknownSourceError, BrokenSourceError):
            return cls(job.organisation, True, plugin=job.source)  # what does not load here sees no files
        plugin = "" if source.__module__.startswith(_OURS) else job.source
        if source.needs_network:
            return cls(job.organisation, True, plugin=plugin)
        return cls(job.organisation, False, job.root, _identity(job.root), plugin)


def _identity(folder: str | None) -> tuple[int, int] | None:
    try:
        found = os.stat(folder) if folder is not None else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None
