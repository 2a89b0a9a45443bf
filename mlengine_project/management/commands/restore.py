"""Restore an archive of `backup`."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from marketdata.management.command import EngineCommand
from mlengine_project.operations.backups import restore


class Command(EngineCommand):
    """Verifies the archive first; needs an empty database unless forced."""

    help = "Restore an archive of `backup` into a migrated, empty database (--force replaces a full one)."

    def add_arguments(self, parser: CommandParser) -> None:
        """The archive, and whether it may replace existing rows."""
        parser.add_argument("archive", type=Path)
        parser.add_argument("--force", action="store_true", help="Replace the rows in the database.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Restore the archive and print its contents."""
        manifest = restore(options["archive"], force=options["force"])
        self.stdout.write(f"restored {sum(manifest['rows'].values())} rows made at {manifest['made_at']}")
