"""Write database, models and secrets into one archive."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from marketdata.management.command import EngineCommand
from mlengine_project.operations.backups import backup


class Command(EngineCommand):
    """Writes the archive completely or not at all."""

    help = "Write database, models and generated secrets into one .tar.gz archive (it holds secrets: mode 0600)."

    def add_arguments(self, parser: CommandParser) -> None:
        """The archive's name."""
        parser.add_argument("archive", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Write the archive and print its contents."""
        manifest = backup(options["archive"])
        self.stdout.write(
            f"{options['archive']}: {sum(manifest['rows'].values())} rows, {len(manifest['files'])} files"
        )
