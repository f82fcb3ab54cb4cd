"""The database refuses TRUNCATE of events and seals on PostgreSQL, and DELETE of any event on SQLite, too.

`manage.py flush` is refused with them, as soon as anything is on record. Whoever wants an empty catalogue makes a new
database. Dropping or disabling a trigger remains to the tables' owner, and on SQLite to whoever can write the file.
"""

from importlib import import_module

from django.db import migrations

POSTGRESQL = {
    "connections_event_final_truncate": """
create function connections_record_is_never_emptied() returns trigger language plpgsql as $$
begin
  raise exception 'The record is never emptied. To begin anew, make another database.'
    using errcode = 'restrict_violation';
end $$;
create trigger connections_event_final_truncate before truncate on connections_event
  for each statement execute function connections_record_is_never_emptied()
""",
    "connections_eventseal_final_truncate": """
create trigger connections_eventseal_final_truncate before truncate on connections_eventseal
  for each statement execute function connections_record_is_never_emptied()
""",
}

SQLITE = {
    "connections_event_final_delete": """
create trigger connections_event_final_delete before delete on connections_event
begin select raise(abort, 'Events are never deleted.'); end
""",
}

UNDO = """
drop trigger connections_event_final_truncate on connections_event;
drop trigger connections_eventseal_final_truncate on connections_eventseal;
drop function connections_record_is_never_emptied()
"""


def triggers(vendor):
    return {"postgresql": POSTGRESQL, "sqlite": SQLITE}[vendor]


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in POSTGRESQL.values():
            schema_editor.execute(statement, params=None)
    else:
        replace(schema_editor, SQLITE)


def undo(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(UNDO, params=None)
    else:
        replace(schema_editor, import_module(f"{__package__}.0004_events_are_final").triggers("sqlite"))


def replace(schema_editor, found):
    for name in SQLITE:
        schema_editor.execute(f"drop trigger if exists {name}", params=None)
        schema_editor.execute(found[name], params=None)


class Migration(migrations.Migration):
    dependencies = [("connections", "0008_sealed_batches_are_closed")]

    operations = [migrations.RunPython(make, undo)]
