"""What is collected here: SQLite alone locks the whole database, so only there is it tried."""

from __future__ import annotations

from django.db import connection

collect_ignore = [] if connection.vendor == "sqlite" else ["test_locked_catalogue.py"]
