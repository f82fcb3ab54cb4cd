"""The commands of operators that read what is sealed or on record, and all that they print."""

from __future__ import annotations

import io
from collections.abc import Sequence

from django.core.management import CommandError, call_command

from connections.testing.leaks.canaries import Canaries

SHOWN = (
    ("keys", "status"),
    ("keys", "verify"),
    ("keys", "rotate", "--dry-run"),
    ("keys", "rekey", "--all", "--dry-run"),
    ("events", "seal"),
    ("events", "verify"),
    ("events", "sweep"),
    ("schemas", "check"),
    ("schemas", "upgrade", "--dry-run"),
)
"""They must do their work. What they log is looked at with everything else."""


def run(canaries: Canaries, slug: str) -> None:
    """Run them, with those of the organisation ``slug``, and look at what they print."""
    exports = [("events", "export", "--chain", slug, "--format", format_) for format_ in ("ndjson", "csv")]
    for command in (*SHOWN, *exports, ("keys", "status", "--org", slug), ("keys", "verify", "--org", slug)):
        _run(canaries, command)


def _run(canaries: Canaries, command: Sequence[str]) -> None:
    words, out, errors = f"manage.py {' '.join(command)}", io.StringIO(), io.StringIO()
    failure = ""
    try:
        call_command(*command, stdout=out, stderr=errors)
    except CommandError as exc:
        failure = str(exc)
    for stream, text in (("output", out.getvalue()), ("errors", errors.getvalue()), ("failure", failure)):
        canaries.look(f"the {stream} of {words}", text)
    assert not failure, f"{words} did not do its work: {failure}"
