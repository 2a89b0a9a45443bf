"""The command line of the engine: Django's, with a sentence where the database is not ready for a command."""

import sys

from django.core.management import execute_from_command_line
from django.db import DatabaseError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor


def execute(arguments: list[str]) -> None:
    """Run a command; a missing table or an absent database ends it with one sentence and code 1."""
    try:
        execute_from_command_line(arguments)
    except DatabaseError as error:
        told_by_itself = "--traceback" in arguments or arguments[1:2] == ["migrate"]
        sentence = None if told_by_itself else _sentence(error)
        if sentence is None:
            raise
        sys.stderr.write(f"{sentence}\n")
        sys.exit(1)


def _sentence(error: DatabaseError) -> str | None:
    """Why a command could not use the database; None where the error is the engine's own fault."""
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
