#!/usr/bin/env python
"""The terminal door of the project: ``python manage.py COMMAND``."""

import os
import select
import signal
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "catalog_project.settings")
    from django.core.management import execute_from_command_line

    from connections.services import waiting, walls

    walls.work_for_platform()  # whoever has the terminal has the platform; a request that is served here has not
    if sys.argv[1:2] != ["runserver"]:  # which serves requests
        waiting.at_terminal()
    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _is_unread():
            raise
        sys.exit(128 + signal.SIGPIPE)  # as tools end whose reader, such as head, has enough


def _is_unread() -> bool:
    """Whether nobody reads standard output any more. Then what is left of it goes nowhere, now and at the exit."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


if __name__ == "__main__":
    main()
