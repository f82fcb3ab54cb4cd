"""A connection knows which secrets are pending. What is pending already is to be staged again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("connections", "0006_rows_stay_with_their_organisation")]

    operations = [
        migrations.AddField("connection", "staged_generation", models.PositiveIntegerField(default=0)),
    ]
