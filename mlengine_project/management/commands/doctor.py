"""Check an installation and give advice."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from mlengine_project.operations.doctor import PARTS, diagnose


class Command(BaseCommand):
    """Exit code 1 when a part is not ok, for the health check of a container."""

    help = "Check settings, database, models, feed and processes, and give advice; exit 1 if anything is not ok."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Parts and output."""
        parser.add_argument("--only", action="append", choices=sorted(PARTS), help="Only this part; may be repeated.")
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--quiet", action="store_true", help="Only the exit code.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Check, print the findings, and set the exit code."""
        findings = diagnose(options["only"])
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings]))
        elif not options["quiet"]:
            for finding in findings:
                mark = self.style.SUCCESS("ok    ") if finding.well else self.style.ERROR("not ok")
                advice = "" if finding.well or not finding.advice else f"\n        -> {finding.advice}"
                self.stdout.write(f"{mark}  {finding.part:<10} {finding.seen}{advice}")
        if not all(finding.well for finding in findings):
            sys.exit(1)
