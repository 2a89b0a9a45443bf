"""Base of the engine's commands."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from indicators.errors import MLEngineError


class EngineCommand(BaseCommand):
    """A command that an error of the engine ends with its sentence, without a traceback."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command."""
        try:
            return super().execute(*args, **options)
        except MLEngineError as error:
            raise CommandError(str(error)) from error
