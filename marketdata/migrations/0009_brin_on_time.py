from django.db import migrations


def create_index(apps, schema_editor):
    """Candles of a time, whatever their market, without reading the whole table; PostgreSQL alone has such an index.

    Not summarised as rows come: the newest pages are read anyway, and the live path pays nothing.
    """
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("CREATE INDEX candle_time_brin ON ml.candles USING brin (open_time)")


def drop_index(apps, schema_editor):
    """Undo."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX ml.candle_time_brin")


class Migration(migrations.Migration):

    dependencies = [
        ('marketdata', '0008_settled_candles'),
    ]

    operations = [
        migrations.RunPython(create_index, drop_index),
    ]
