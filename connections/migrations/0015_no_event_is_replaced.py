"""No event and no seal gives way to another one: SQLite's REPLACE deletes what stands in a row's way, and asks nobody.

Neither the triggers that refuse a delete nor those that refuse an update are asked then. So a row is refused before it
comes whose id, place or row number another one has. The app makes these triggers after every `migrate`. PostgreSQL has no
such statement: there, what changes a row is an update.
"""

from django.db import migrations

# A row number that nobody chose is -1 before the row is there, so none may have that one.
SQLITE = {
    "connections_event_final_replace": """
create trigger connections_event_final_replace before insert on connections_event
when exists (select 1 from connections_event where id = new.id)
  or exists (select 1 from connections_event where rowid = new.rowid)
begin select raise(abort, 'Events are never replaced.'); end
""",
    "connections_event_final_number": """
create trigger connections_event_final_number after insert on connections_event when new.rowid < 0
begin select raise(abort, 'Events are numbered by the database.'); end
""",
    "connections_event_final_taken": """
create trigger connections_event_final_taken before update on connections_event
when new.rowid is not old.rowid or exists (
  select 1 from connections_event
  where seal_id is not null and seal_id = new.seal_id and position = new.position and rowid <> old.rowid
)
begin select raise(abort, 'Events are never replaced.'); end
""",
    "connections_eventseal_final_replace": """
create trigger connections_eventseal_final_replace before insert on connections_eventseal
when exists (select 1 from connections_eventseal where id = new.id)
  or exists (select 1 from connections_eventseal where rowid = new.rowid)
begin select raise(abort, 'Seals are never replaced.'); end
""",
    "connections_eventseal_final_number": """
create trigger connections_eventseal_final_number after insert on connections_eventseal when new.rowid < 0
begin select raise(abort, 'Seals are numbered by the database.'); end
""",
}


def triggers(vendor):
    return SQLITE if vendor == "sqlite" else {}


def undo(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for name in SQLITE:
            schema_editor.execute(f"drop trigger if exists {name}", params=None)


class Migration(migrations.Migration):
    dependencies = [("connections", "0014_ring_keys_are_known")]

    operations = [migrations.RunPython(migrations.RunPython.noop, undo)]
