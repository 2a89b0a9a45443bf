"""On PostgreSQL, moves the tables of this app that older versions created in schema `public`."""

from django.apps.registry import Apps
from django.core.management.base import CommandError
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

COLUMNS = {
    "api_keys": {
        "id": "uuid",
        "name": "character varying",
        "prefix": "character varying",
        "digest": "character varying",
        "scope": "character varying",
        "created_at": "timestamp with time zone",
        "expires_at": "timestamp with time zone",
        "revoked_at": "timestamp with time zone",
        "last_used_at": "timestamp with time zone",
        "rotated_to_id": "uuid",
    },
    "websocket_tickets": {
        "digest": "character varying",
        "key_id": "character varying",
        "scope": "character varying",
        "created_at": "timestamp with time zone",
        "expires_at": "timestamp with time zone",
        "redeemed_at": "timestamp with time zone",
    },
}


def move_tables(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Move each table that is ours, with its indexes, constraints, rights and rows.

    Ours is a table of our columns, where our own record of migrations lies in `public` too: only then can the first
    migration of this app have created it there.
    """
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('ml.django_migrations') IS NULL")
        if not cursor.fetchone()[0]:
            return
        for table, ours in COLUMNS.items():
            cursor.execute("SELECT to_regclass(%s) IS NULL", [f"ml.{table}"])
            if not cursor.fetchone()[0]:
                continue
            cursor.execute(
                "SELECT column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = 'public' AND table_name = %s",
                [table],
            )
            if not ours.items() <= dict(cursor.fetchall()).items():
                raise CommandError(
                    f"Table {table} of this engine is neither in schema ml nor in public (a public.{table} there has "
                    "other columns and was left alone); restore it from a backup, then migrate again"
                )
            cursor.execute(f"ALTER TABLE public.{table} SET SCHEMA ml")


class Migration(migrations.Migration):
    """Older versions find the tables in `ml` as well, so going back moves nothing."""

    dependencies = [("access", "0001_initial")]
    operations = [migrations.RunPython(move_tables, migrations.RunPython.noop, elidable=False)]
