"""PostgreSQL backend that uses only the schema `ml`, and creates it before the first table.

Tables of other applications in `public` are invisible, so that none of them (`api_keys`, or Django's own
`django_migrations`, `auth_user`, `django_session`) is mistaken for one of the engine's.
"""

import select
from typing import Any, Self

from django.core.management.base import CommandError
from django.db.backends.postgresql import base, schema

SCHEMA = "ml"
# An installation older than this rule has its record of migrations in `public`, which stays in its search path.
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
    """Schema editor that creates the schema `ml` first."""

    def __enter__(self) -> Self:
        """Create the schema if it is missing; only then is the privilege needed."""
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
    """Django's PostgreSQL connection with the search path of this installation."""

    SchemaEditorClass = DatabaseSchemaEditor

    def _configure_connection(self, connection: Any) -> bool:
        """Set the search path, once per connection, pooled or not; True requests a commit."""
        super()._configure_connection(connection)  # type: ignore[misc]  # the stubs lack it
        with connection.cursor() as cursor:
            cursor.execute(SEARCH_PATH)
        return True

    def is_usable(self) -> bool:
        """Whether the connection answers; asked of the server only where its socket has something to read.

        An unused connection of a running server has nothing to read. One that the server closed has its end, so a
        query before every request is not needed.
        """
        if self.connection is None or self.connection.closed:
            return False
        socket = select.poll()
        socket.register(self.connection.fileno(), select.POLLIN)
        return not socket.poll(0) or bool(super().is_usable())
