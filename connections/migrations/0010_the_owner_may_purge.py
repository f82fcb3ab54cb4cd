"""The tables' owner may delete sealed events in a transaction that says so: `manage.py events purge`, on PostgreSQL.

The owner could drop the trigger anyway, so this opens nothing to anybody. A login that does not own the tables is
refused as before, whatever it says. That whole batches go, oldest first, is the command's care; `manage.py events
verify` finds any other deletion.

Names are looked up in `pg_catalog` alone: who asks chooses neither a table nor an operator that decides here.
"""

from importlib import import_module

from django.db import migrations

POSTGRESQL = """
create or replace function connections_event_is_final() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'DELETE' then
    if old.seal_id is not null and current_setting('catalog.purge', true) = 'on'
       and pg_has_role((select relowner from pg_catalog.pg_class where oid = tg_relid), 'usage') then
      return old;
    end if;
    raise exception 'Events are never deleted.' using errcode = 'restrict_violation';
  end if;
  if old.seal_id is not null or new.seal_id is null or new.position is null
     or to_jsonb(new) - 'seal_id' - 'position' <> to_jsonb(old) - 'seal_id' - 'position' then
    raise exception 'Events are never changed, and sealed once.' using errcode = 'restrict_violation';
  end if;
  return new;
end $$
"""


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL, params=None)


def undo(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        first = import_module("connections.migrations.0004_events_are_final").POSTGRESQL
        function = first.partition("create function connections_eventseal_is_final")[0]
        schema_editor.execute(function.replace("create function", "create or replace function"), params=None)


class Migration(migrations.Migration):
    dependencies = [("connections", "0009_the_record_is_never_emptied")]

    operations = [migrations.RunPython(make, undo)]
