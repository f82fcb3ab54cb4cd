"""No event comes to a seal that has its events: none is inserted sealed, and no position of a seal is given twice.

Fails where two events have one position of one seal, which is a record that somebody has changed: `manage.py events
verify` says where.

On SQLite the app makes its triggers after every `migrate`; one of them names two tables, as those of 0006 do.
"""

from django.db import migrations, models

POSTGRESQL = {
    "connections_event_final_insert": """
create function connections_event_arrives_sealed() returns trigger language plpgsql as $$
begin
  raise exception 'Events arrive unsealed.' using errcode = 'restrict_violation';
end $$;
create trigger connections_event_final_insert before insert on connections_event
  for each row when (new.seal_id is not null or new.position is not null)
  execute function connections_event_arrives_sealed()
""",
    # Names are looked up in pg_catalog, and the table in its schema: who asks brings no other ones.
    "connections_event_final_place": """
create function connections_event_has_a_place() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
declare
  fits boolean;
begin
  execute format('select exists (select from %I.connections_eventseal where id = $1 and $2 between 1 and events)',
    tg_table_schema) into fits using new.seal_id, new.position;
  if not fits then
    raise exception 'A seal has no more events than were sealed with it.' using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
create trigger connections_event_final_place before update of seal_id, position on connections_event
  for each row execute function connections_event_has_a_place()
""",
}

SQLITE = {
    "connections_event_final_insert": """
create trigger connections_event_final_insert before insert on connections_event
when new.seal_id is not null or new.position is not null
begin select raise(abort, 'Events arrive unsealed.'); end
""",
    "connections_event_final_place": """
create trigger connections_event_final_place before update of seal_id, position on connections_event
when old.seal_id is null and not exists (
  select 1 from connections_eventseal seal where seal.id = new.seal_id and new.position between 1 and seal.events
)
begin select raise(abort, 'A seal has no more events than were sealed with it.'); end
""",
}

UNDO = """
drop trigger connections_event_final_insert on connections_event;
drop trigger connections_event_final_place on connections_event;
drop function connections_event_arrives_sealed();
drop function connections_event_has_a_place()
"""


def triggers(vendor):
    return {"postgresql": POSTGRESQL, "sqlite": SQLITE}[vendor]


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in POSTGRESQL.values():
            schema_editor.execute(statement, params=None)


def undo(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(UNDO, params=None)
        return
    for name in SQLITE:
        schema_editor.execute(f"drop trigger if exists {name}", params=None)


class Migration(migrations.Migration):
    dependencies = [("connections", "0007_staged_generation")]

    operations = [
        migrations.AddConstraint(
            "event",
            models.UniqueConstraint(
                fields=["seal", "position"], condition=models.Q(seal__isnull=False), name="one_event_per_position"
            ),
        ),
        migrations.RunPython(make, undo),
    ]
