"""What a statement may do in SQLite: read, and call functions that compute.

SQLite asks the authorizer about every table, column and function while it prepares a statement, views and triggers
included. What is not listed here is denied.
"""

from __future__ import annotations

import sqlite3

from connections.adapters.limits import Deadline

READS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})

# https://sqlite.org/lang_corefunc.html, lang_aggfunc, windowfunctions, lang_datefunc, lang_mathfunc, json1.
# Left out: load_extension, writefile and the like; fts3_tokenizer, which shows pointers; zeroblob and randomblob,
# which only make memory; sqlite_log.
_FUNCTIONS = """
-> ->> abs acos acosh asin asinh atan atan2 atanh avg bm25 ceil ceiling changes char coalesce concat concat_ws cos
cosh count cume_dist current_date current_time current_timestamp date datetime degrees dense_rank exp first_value
floor format glob group_concat hex highlight if ifnull iif instr json json_array json_array_length json_each
json_error_position json_extract json_group_array json_group_object json_insert json_object json_patch json_pretty
json_quote json_remove json_replace json_set json_tree json_type json_valid jsonb jsonb_array jsonb_extract
jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set
julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim match matchinfo max median
min mod nth_value ntile nullif octet_length offsets percent_rank percentile percentile_cont percentile_disc pi pow
power printf quote radians random rank replace round row_number rtrim sign sin sinh snippet soundex sqlite_source_id
sqlite_version sqrt strftime string_agg substr substring subtype sum tan tanh time timediff total total_changes trim
trunc typeof unhex unicode unistr unistr_quote unixepoch unlikely upper
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())

# A virtual table (json_each, full-text search) declares its columns as an update of this one. A true update fails:
# the file is open read-only.
_SCHEMA = "sqlite_master"

LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 64 * 1024 * 1024,  # bytes of one value, also one that a function makes
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 500,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
PROGRESS_STEPS = 20_000  # of SQLite's virtual machine between two looks at the clock: well under a millisecond


class Guard:
    """Watches one connection. ``denied`` tells what the last statement was denied."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.denied: str | None = None
        self.denied_function: str | None = None
        self._deadline: Deadline | None = None
        for limit, value in LIMITS.items():
            connection.setlimit(limit, value)
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._overdue, PROGRESS_STEPS)

    def watch(self, deadline: Deadline) -> None:
        """Begin a statement: forget what was denied, and stop it at ``deadline``."""
        self.denied = self.denied_function = None
        self._deadline = deadline

    @property
    def overdue(self) -> bool:
        return self._deadline is not None and self._deadline.remaining() <= 0

    def _overdue(self) -> int:
        return int(self.overdue)

    def _authorize(
        self, action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
    ) -> int:
        if action in READS or (action == sqlite3.SQLITE_UPDATE and first == _SCHEMA):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            if second is not None and second.lower() in FUNCTIONS:
                return sqlite3.SQLITE_OK
            self.denied_function = second
        self.denied = f"{action} {first or ''}"
        return sqlite3.SQLITE_DENY
