"""Pages of the log, newest first, are read from an index."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('signals', '0003_exit_rule'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='signallog',
            index=models.Index(fields=['-candle_time', 'symbol'], name='signal_by_time'),
        ),
    ]
