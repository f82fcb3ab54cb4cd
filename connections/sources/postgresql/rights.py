"""What a login may do besides reading: a read-only transaction does not hold all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# In a READ ONLY transaction a superuser still runs programs through a function of an untrusted language, members of
# these roles read the server's files or end others' sessions, and dblink opens sessions that are not read-only. Who may
# use a foreign data wrapper may point it anywhere: at a file, a program's output, another server.
# A role that the login is a member of counts like its own: set_config('role', …) is a function call.
RIGHTS_QUERY = """
with roles as materialized (select * from pg_catalog.pg_roles where pg_catalog.pg_has_role(oid, 'member'))
select (select pg_catalog.bool_or(rolsuper) from roles),
  (select pg_catalog.bool_or(rolreplication) from roles),
  (select pg_catalog.bool_or(rolbypassrls) from roles),
  array(select rolname::text from roles
        where rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                          'pg_signal_backend') order by 1),
  array(select distinct p.proname::text from pg_catalog.pg_proc p, roles r
        where p.proname in ('dblink', 'dblink_connect', 'dblink_connect_u', 'dblink_exec', 'dblink_open',
                            'dblink_send_query', 'lo_import', 'lo_export', 'pg_read_file', 'pg_read_binary_file',
                            'pg_ls_dir')
          and pg_catalog.has_function_privilege(r.oid, p.oid, 'execute') order by 1),
  exists(select from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
         where not l.lanpltrusted and l.lanname not in ('internal', 'c')
           and p.proowner in (select oid from roles)),
  array(select distinct w.fdwname::text from pg_catalog.pg_foreign_data_wrapper w, roles r
        where pg_catalog.has_foreign_data_wrapper_privilege(r.oid, w.oid, 'usage') order by 1)
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
        superuser, replication, bypasses, groups, functions, untrusted, wrappers = row
        if superuser:
            return cls(True, ("superuser",))
        found = [word for word, held in (("replication", replication), ("bypassrls", bypasses)) if held]
        found += [f"member of {group}" for group in groups]
        found += [f"may call {name}" for name in functions]
        found += [f"may use the foreign data wrapper {name}" for name in wrappers]
        if untrusted:
            found.append("owner of functions in an untrusted language")
        return cls(False, tuple(found))

    @property
    def unsafe(self) -> bool:
        return bool(self.found)
