"""Commands whose output nobody reads to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from django.conf import settings


@pytest.mark.parametrize("arguments", [["schemas", "check"], ["diffsettings", "--all"]], ids=["one line", "many"])
def test_a_command_whose_reader_is_gone_ends_quietly(arguments: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        ended = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=settings.BASE_DIR,
            stdout=write_end,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write_end)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, b"")
