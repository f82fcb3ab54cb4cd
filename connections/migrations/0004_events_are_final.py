"""The database refuses to change or delete an event or a seal, whatever asks it.

An event gets its seal and position once, and nothing else of it ever changes. PostgreSQL refuses every DELETE. SQLite
refuses those of sealed events and of seals: it has no TRUNCATE, and `manage.py flush` deletes row by row.

TRUNCATE and dropping a trigger remain to the tables' owner. A deployment that runs under another role than the owner's
is closed to both.
"""

from django.db import migrations

CONTENT = [
    "id",
    "organisation_id",
    "at",
    "actor_kind",
    "actor_id",
    "actor_label",
    "action",
    "object_kind",
    "object_id",
    "object_label",
    "object_version",
    "result",
    "code",
    "changes",
    "detail",
    "request_id",
    "ip",
]

POSTGRESQL = """
create function connections_event_is_final() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'Events are never deleted.' using errcode = 'restrict_violation';
  end if;
  if old.seal_id is not null or new.seal_id is null or new.position is null
     or to_jsonb(new) - 'seal_id' - 'position' <> to_jsonb(old) - 'seal_id' - 'position' then
    raise exception 'Events are never changed, and sealed once.' using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
create function connections_eventseal_is_final() returns trigger language plpgsql as $$
begin
  raise exception 'Seals are never changed or deleted.' using errcode = 'restrict_violation';
end $$;
create trigger connections_event_final before update or delete on connections_event
  for each row execute function connections_event_is_final();
create trigger connections_eventseal_final before update or delete on connections_eventseal
  for each row execute function connections_eventseal_is_final();
"""

SQLITE = f"""
create trigger connections_event_final_update before update on connections_event
when old.seal_id is not null or new.seal_id is null or new.position is null
  or {" or ".join(f'old."{column}" is not new."{column}"' for column in CONTENT)}
begin select raise(abort, 'Events are never changed, and sealed once.'); end;
create trigger connections_event_final_delete before delete on connections_event when old.seal_id is not null
begin select raise(abort, 'Sealed events are never deleted.'); end;
create trigger connections_eventseal_final_update before update on connections_eventseal
begin select raise(abort, 'Seals are never changed or deleted.'); end;
create trigger connections_eventseal_final_delete before delete on connections_eventseal
begin select raise(abort, 'Seals are never changed or deleted.'); end
"""

UNDO = {
    "postgresql": [
        "drop trigger connections_event_final on connections_event",
        "drop trigger connections_eventseal_final on connections_eventseal",
        "drop function connections_event_is_final()",
        "drop function connections_eventseal_is_final()",
    ],
    "sqlite": [
        f"drop trigger connections_{table}_final_{verb}"
        for table in ("event", "eventseal")
        for verb in ("update", "delete")
    ],
}


def statements(vendor):
    if vendor == "postgresql":
        return [POSTGRESQL]
    return [f"{text.strip()}; end" for text in SQLITE.removesuffix("; end\n").split("; end;")]


def triggers(vendor):
    if vendor == "postgresql":
        return dict.fromkeys(("connections_event_final", "connections_eventseal_final"), POSTGRESQL)
    return {statement.split()[2]: statement for statement in statements(vendor)}


def make(apps, schema_editor):
    for statement in statements(schema_editor.connection.vendor):
        schema_editor.execute(statement, params=None)


def undo(apps, schema_editor):
    for statement in UNDO[schema_editor.connection.vendor]:
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("connections", "0003_events_unsealed")]

    operations = [migrations.RunPython(make, undo)]
