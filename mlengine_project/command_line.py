"""Django's command line, with a clear error when the database is not ready."""

import sys

from django.core.management import execute_from_command_line
from django.db import DatabaseError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor


def execute(arguments: list[str]) -> None:
    """Run a command; exit code 1 with one sentence for a missing table or database."""
    try:
        execute_from_command_line(arguments)
    except DatabaseError as error:
        has_own_message = "--traceback" in arguments or arguments[1:2] == ["migrate"]
        sentence = None if has_own_message else _sentence(error)
        if sentence is None:
            raise
        sys.stderr.write(f"{sentence}\n")
        sys.exit(1)


def _sentence(error: DatabaseError) -> str | None:
    """Why a command could not use the database; None for an internal error."""
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as absent:
        return f"the database cannot be used: {str(absent).splitlines()[0]}"
    if pending:
        return (
            f"the database lacks {len(pending)} migrations of this version, the first is {pending[0][0]}; "
            "run `manage.py migrate`"
        )
    return f"the database cannot be used: {str(error).splitlines()[0]}" if isinstance(error, OperationalError) else None
