"""The sealer finds what is not sealed yet without reading what is."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("connections", "0002_seals_outlive_organisations")]

    operations = [
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("seal", None)), fields=["organisation", "at", "id"], name="events_unsealed"
            ),
        ),
    ]
