"""Put an archive of `backup` back."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mlengine_project.operations.backups import BackupError, restore


class Command(BaseCommand):
    """Verified before anything is touched; into an empty database unless forced."""

    help = "Restore an archive of `backup` into a migrated, empty database (--force replaces a full one)."

    def add_arguments(self, parser: CommandParser) -> None:
        """The archive, and whether it may replace what is there."""
        parser.add_argument("archive", type=Path)
        parser.add_argument("--force", action="store_true", help="Replace what is in the database.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Restore and say what came back."""
        try:
            manifest = restore(options["archive"], force=options["force"])
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"restored {sum(manifest['rows'].values())} rows made at {manifest['made_at']}")
