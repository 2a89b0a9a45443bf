"""PostgreSQL that sees the schema `ml` alone, and creates it before the first table.

What other applications keep in `public` is invisible, so a table of theirs is never taken for one of ours: neither
`api_keys` nor Django's own (`django_migrations`, `auth_user`, `django_session`).
"""

from typing import Any, Self

from django.core.management.base import CommandError
from django.db.backends.postgresql import base, schema

SCHEMA = "ml"
# An installation made before the schema came first keeps its record of migrations in `public`: it goes on seeing it.
SEARCH_PATH = """
    SELECT set_config('search_path', CASE
        WHEN to_regclass('ml.django_migrations') IS NULL AND to_regclass('ml.markets') IS NOT NULL THEN 'ml,public'
        ELSE 'ml'
    END, false)
"""
MAY_CREATE = """
    SELECT to_regnamespace(%s) IS NOT NULL, has_database_privilege(current_database(), 'CREATE'), current_user
"""


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    """Editor that creates the schema before anything is created in it."""

    def __enter__(self) -> Self:
        """Create the schema where it is missing; that needs a right only where it is."""
        if not self.collect_sql:
            with self.connection.cursor() as cursor:
                cursor.execute(MAY_CREATE, [SCHEMA])
                exists, allowed, user = cursor.fetchone()
                if not exists and not allowed:
                    raise CommandError(
                        f"Schema {SCHEMA} is missing and the database user {user} may not create it; "
                        f"let the database's owner run: CREATE SCHEMA {SCHEMA} AUTHORIZATION {user}"
                    )
                if not exists:
                    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        super().__enter__()
        return self


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection with the search path of this installation."""

    SchemaEditorClass = DatabaseSchemaEditor

    def _configure_connection(self, connection: Any) -> bool:
        """Set the search path, once per connection, pooled or not; True asks for a commit."""
        super()._configure_connection(connection)  # type: ignore[misc]  # the stubs lack it
        with connection.cursor() as cursor:
            cursor.execute(SEARCH_PATH)
        return True
