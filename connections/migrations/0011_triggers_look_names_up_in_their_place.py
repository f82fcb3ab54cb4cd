"""Whatever a trigger of ours names is looked up in `pg_catalog`, and tables in the schema of the one it is on.

What decided whether a row of the platform's points at an organisation's looked the table up where the session looks, and
a temporary table stands before all others there. The other functions name nothing that could be another's; they are
bound alike, so that none of them has to be judged.
"""

from django.db import migrations

from connections.models import ties

OTHERS = (
    "connections_eventseal_is_final",
    "connections_event_arrives_sealed",
    "connections_record_is_never_emptied",
)


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(ties.FUNCTIONS, params=None)
        for name in OTHERS:
            schema_editor.execute(f"alter function {name}() set search_path = pg_catalog, pg_temp")


class Migration(migrations.Migration):
    dependencies = [("connections", "0010_the_owner_may_purge")]

    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
