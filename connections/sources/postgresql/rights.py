"""What a login may do besides reading: a read-only transaction does not hold all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# In a READ ONLY transaction a superuser still runs programs (COPY … TO PROGRAM is barred by the cursor, a function
# of an untrusted language is not), a member of these roles reads the server's files or ends others' sessions, and
# dblink opens sessions of its own, which are not read-only.
RIGHTS_QUERY = """
select r.rolsuper, r.rolreplication, r.rolbypassrls,
  array(select g.rolname::text from pg_catalog.pg_roles g
        where g.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                            'pg_signal_backend')
          and pg_catalog.pg_has_role(g.oid, 'usage') order by 1) as groups,
  array(select distinct p.proname::text from pg_catalog.pg_proc p
        where p.proname in ('dblink', 'dblink_connect', 'dblink_connect_u', 'dblink_exec', 'dblink_open',
                            'dblink_send_query', 'lo_import', 'lo_export', 'pg_read_file', 'pg_read_binary_file',
                            'pg_ls_dir')
          and pg_catalog.has_function_privilege(p.oid, 'execute') order by 1) as functions,
  exists(select from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
         where not l.lanpltrusted and l.lanname not in ('internal', 'c')
           and pg_catalog.pg_has_role(p.proowner, 'usage')) as untrusted
from pg_catalog.pg_roles r where r.rolname = current_user
"""

WRITES_QUERY = """
select exists(
  select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'f') and n.nspname not in ('pg_catalog', 'information_schema')
    and n.nspname not like 'pg\\_%'
    and pg_catalog.has_table_privilege(c.oid, 'insert, update, delete, truncate'))
"""


@dataclass(frozen=True, slots=True)
class Rights:
    """What the login's role holds that a preview cannot be kept from using; empty for a role fit to read."""

    superuser: bool = False
    found: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Any) -> Rights:
        """From the one row of ``RIGHTS_QUERY``; a server without such a catalogue has no row."""
        if row is None:
            return cls()
        superuser, replication, bypasses, groups, functions, untrusted = row
        if superuser:
            return cls(True, ("superuser",))
        found = [word for word, held in (("replication", replication), ("bypassrls", bypasses)) if held]
        found += [f"member of {group}" for group in groups]
        found += [f"may call {name}" for name in functions]
        if untrusted:
            found.append("owner of functions in an untrusted language")
        return cls(False, tuple(found))

    @property
    def unsafe(self) -> bool:
        return bool(self.found)
