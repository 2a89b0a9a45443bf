"""Remove the files of old model versions."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from marketdata.management.command import EngineCommand
from mlengine_project.operations import retention

MEBIBYTE = 2**20


class Command(EngineCommand):
    """Keeps files of champions, promoted versions and the newest candidates, and every row and report."""

    help = "Remove the files of model versions beyond MODEL_RETENTION; every row and report is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        """Dry run and output."""
        parser.add_argument("--dry-run", action="store_true", help="show what would be removed, and remove nothing")
        output = parser.add_mutually_exclusive_group()
        output.add_argument("--progress-json", action="store_true", help="one JSON object per step on standard output")
        output.add_argument("--json", action="store_true", help="the removed folders as one JSON object")

    def handle(self, *_: Any, **options: Any) -> None:
        """Remove the files and list them with reasons."""
        removed = retention.prune(
            dry_run=options["dry_run"], progress=self._progress if options["progress_json"] else None
        )
        if options["json"]:
            folders = [asdict(one) for one in removed]
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], "removed": folders}, indent=2))
            return
        for one in removed:
            self.stdout.write(f"{one.folder}: {one.reason}")
        verb = "would be removed" if options["dry_run"] else "removed"
        total = sum(one.size_bytes for one in removed) / MEBIBYTE
        self.stdout.write(f"{len(removed)} folders {verb}, {total:.1f} MiB")

    def _progress(self, done: int, total: int, message: str) -> None:
        self.stdout.write(json.dumps({"done": done, "total": total, "message": message}))
        self.stdout.flush()
