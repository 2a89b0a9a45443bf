"""The engine's tables live in schema `ml` on PostgreSQL; this runs before any table is made."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def create_schema(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the schema the search_path names; SQLite has none."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("CREATE SCHEMA IF NOT EXISTS ml")


class Migration(migrations.Migration):
    """First of all migrations, those of Django and its libraries included."""

    initial = True
    dependencies: list[tuple[str, str]] = []
    run_before = [
        ("contenttypes", "0001_initial"),
        ("sessions", "0001_initial"),
        ("django_celery_beat", "0001_initial"),
    ]
    operations = [migrations.RunPython(create_schema, migrations.RunPython.noop, elidable=False)]
