"""Two indexes of events go: others begin with the same column, and every event was written into each.

By name, as on SQLite a field that is altered makes its table anew, without the triggers.
"""

from django.db import migrations, models

INDEXES = {
    "connections_event_organisation_id_14562e01": "organisation_id",
    "connections_event_seal_id_b1b7383d": "seal_id",
}


class Migration(migrations.Migration):
    dependencies = [("connections", "0012_seals_follow_one_another")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    f"drop index if exists {name}", f"create index {name} on connections_event ({column})"
                )
                for name, column in INDEXES.items()
            ],
            state_operations=[
                migrations.AlterField(
                    "event",
                    "organisation",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to="connections.organisation",
                    ),
                ),
                migrations.AlterField(
                    "event",
                    "seal",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="connections.eventseal",
                    ),
                ),
            ],
        )
    ]
