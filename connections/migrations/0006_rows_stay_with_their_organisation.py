"""A row and the row it points at belong to one organisation, by composite foreign keys on PostgreSQL.

On SQLite triggers do it, which the app makes after every `migrate`: a trigger that names a table stands in the way of
each later migration that makes that table anew.
"""

from django.db import migrations

from connections.models import ties


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        ties.make(apps, schema_editor.connection)


def undo(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        ties.drop(apps, schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("connections", "0005_staging_references_expiry_reach")]

    operations = [migrations.RunPython(make, undo)]
