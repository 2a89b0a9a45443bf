"""Pages of the log, newest first, are read from an index."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('predictions', '0003_archive_and_challengers'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='predictionlog',
            index=models.Index(fields=['-candle_time', 'symbol', 'horizon'], name='prediction_by_time'),
        ),
    ]
