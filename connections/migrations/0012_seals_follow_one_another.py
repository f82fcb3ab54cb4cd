"""A seal follows the last one of its chain, and only the last one takes events.

So none is made by hand out of its order, and a batch that was purged stays empty: whatever has its place in an earlier one
is refused. What a seal's digest covers is not worked out in the database; `manage.py events verify` does that.

On SQLite the app makes its triggers after every `migrate`; one of them names two tables, as those of 0006 do.
"""

from importlib import import_module

from django.db import migrations

BEFORE = "0008_sealed_batches_are_closed"
PLACE = "connections_event_final_place"
# One look for each kind of chain, as an index finds no null that is compared with another.
POSTGRESQL = {
    "connections_eventseal_final_insert": """
create function connections_eventseal_follows() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
declare
  head record;
begin
  if new.organisation_id is null then
    execute format('select number, digest from %I.%I where organisation_id is null order by number desc limit 1',
      tg_table_schema, tg_table_name) into head;
  else
    execute format('select number, digest from %I.%I where organisation_id = $1 order by number desc limit 1',
      tg_table_schema, tg_table_name) into head using new.organisation_id;
  end if;
  if new.number <> coalesce(head.number, 0) + 1 or new.previous <> coalesce(head.digest, '') or new.events < 1 then
    raise exception 'A seal follows the last one of its chain, and has events.' using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
create trigger connections_eventseal_final_insert before insert on connections_eventseal
  for each row execute function connections_eventseal_follows()
""",
}
PLACES = """
create or replace function connections_event_has_a_place() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $$
declare
  place record;
  later boolean;
begin
  execute format('select organisation_id, number from %I.connections_eventseal where id = $1 and $2 between 1 and events',
    tg_table_schema) into place using new.seal_id, new.position;
  if place.number is not null and place.organisation_id is null then
    execute format('select exists (select from %I.connections_eventseal where organisation_id is null and number = $1)',
      tg_table_schema) into later using place.number + 1;
  elsif place.number is not null then
    execute format('select exists (select from %I.connections_eventseal where organisation_id = $1 and number = $2)',
      tg_table_schema) into later using place.organisation_id, place.number + 1;
  end if;
  if later is distinct from false then
    raise exception 'A seal has no more events than were sealed with it.' using errcode = 'restrict_violation';
  end if;
  return new;
end $$
"""

SQLITE = {
    "connections_eventseal_final_insert": """
create trigger connections_eventseal_final_insert before insert on connections_eventseal
when new.events < 1
  or new.number is not 1 + coalesce(
    (select max(number) from connections_eventseal where organisation_id is new.organisation_id), 0)
  or new.previous is not coalesce(
    (select digest from connections_eventseal
     where organisation_id is new.organisation_id and number = new.number - 1), '')
begin select raise(abort, 'A seal follows the last one of its chain, and has events.'); end
""",
    PLACE: """
create trigger connections_event_final_place before update of seal_id, position on connections_event
when old.seal_id is null and not exists (
  select 1 from connections_eventseal seal where seal.id = new.seal_id and new.position between 1 and seal.events
  and not exists (
    select 1 from connections_eventseal later
    where later.organisation_id is seal.organisation_id and later.number = seal.number + 1
  )
)
begin select raise(abort, 'A seal has no more events than were sealed with it.'); end
""",
}

UNDO = """
drop trigger connections_eventseal_final_insert on connections_eventseal;
drop function connections_eventseal_follows()
"""


def triggers(vendor):
    return {"postgresql": POSTGRESQL, "sqlite": SQLITE}[vendor]


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for statement in (*POSTGRESQL.values(), PLACES):
            schema_editor.execute(statement, params=None)
    else:
        stand_aside(schema_editor)


def undo(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        earlier = import_module(f"{__package__}.{BEFORE}").POSTGRESQL[PLACE].partition("create trigger")[0]
        schema_editor.execute(UNDO, params=None)
        schema_editor.execute(earlier.replace("create function", "create or replace function"), params=None)
    else:
        stand_aside(schema_editor)


def stand_aside(schema_editor):
    for name in SQLITE:
        schema_editor.execute(f"drop trigger if exists {name}", params=None)


class Migration(migrations.Migration):
    dependencies = [("connections", "0011_triggers_look_names_up_in_their_place")]

    operations = [migrations.RunPython(make, undo)]
