#!/usr/bin/env python
"""The terminal door of the project: ``python manage.py COMMAND``."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "catalog_project.settings")
    from django.core.management import execute_from_command_line

    from connections.services import waiting, walls

    walls.work_for_platform()  # whoever has the terminal has the platform; a request that is served here has not
    if sys.argv[1:2] != ["runserver"]:  # which serves requests
        waiting.at_terminal()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
