"""Compare two versions of a kind on candles that neither was trained on."""

import json
from typing import Any

from django.core.management.base import CommandParser

from marketdata.management.command import EngineCommand
from modelregistry import registry, services
from modelregistry.evaluation.reports.version_comparison import comparison_sentence, comparison_table
from modelregistry.management.actor import actor
from modelregistry.management.period import add_period, check_period
from modelregistry.management.tables import lines_of


class Command(EngineCommand):
    """Compare row by row; print one sentence, then a table by market and horizon."""

    help = (
        "Compare two versions of one kind on the same candles, outside the training of both: gain of the first by "
        "market and horizon, with 95 %% intervals and the Diebold-Mariano test. The result is kept and shown in the "
        "console with both versions."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the versions, the period and the output."""
        parser.add_argument("first", help="id of a version, or the beginning of its digest")
        parser.add_argument("second", help="the version it is compared with")
        add_period(parser)
        parser.add_argument("--symbols", nargs="+", default=[], help="default: those of both training sets")
        parser.add_argument("--json", action="store_true", help="the whole comparison as one JSON object")

    def handle(self, *_: Any, **options: Any) -> None:
        """Compare and print the result."""
        check_period(options)
        found = services.compare(
            registry.find_version(options["first"]),
            registry.find_version(options["second"]),
            options["from_time"],
            options["until_time"],
            options["symbols"],
            stride=options["stride"],
            actor=actor(),
        )
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        for line in [comparison_sentence(found), *lines_of(comparison_table(found))]:
            self.stdout.write(line)
