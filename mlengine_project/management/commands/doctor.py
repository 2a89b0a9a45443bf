"""Examine an installation and say what to do."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from mlengine_project.operations.examination import PARTS, examine


class Command(BaseCommand):
    """Ends with 1 when a part is not well, so that a container's health check can use it."""

    help = "Examine settings, database, models, feed and processes, and say what to do; exit 1 if anything is not well."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Which parts, and how to tell."""
        parser.add_argument("--only", action="append", choices=sorted(PARTS), help="Only this part; may be repeated.")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--quiet", action="store_true", help="Only the exit code.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Look, tell, and end with the verdict."""
        findings = examine(options["only"])
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings]))
        elif not options["quiet"]:
            for finding in findings:
                mark = self.style.SUCCESS("well    ") if finding.well else self.style.ERROR("not well")
                advice = "" if finding.well or not finding.advice else f"\n           -> {finding.advice}"
                self.stdout.write(f"{mark}  {finding.part:<10} {finding.seen}{advice}")
        if not all(finding.well for finding in findings):
            sys.exit(1)
