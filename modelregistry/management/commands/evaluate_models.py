"""Score model versions on a period of candles, beside the baselines."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import CommandParser

from marketdata.management.command import EngineCommand
from marketdata.models import Source
from marketdata.progress import progress_reporter
from modelregistry import registry, services
from modelregistry.evaluation.reports.as_json import json_ready, published_evaluation
from modelregistry.evaluation.reports.tables import summary_lines, tables_of
from modelregistry.management.period import add_period, check_period
from modelregistry.management.tables import lines_of
from modelregistry.models import ModelVersion


class Command(EngineCommand):
    """Score any versions on any period beside the reference baselines; print summaries and tables."""

    help = "Score versions, by default the champions, on candles from --from to --until, beside reference baselines."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the versions and the period."""
        add_period(parser)
        parser.add_argument(
            "--versions", nargs="+", default=[], help="ids or beginnings of digests; default: champions"
        )
        parser.add_argument("--symbols", nargs="+", default=[], help="default: those of the training set")
        parser.add_argument("--source", choices=Source.values, help="default: that of the versions or enabled markets")
        parser.add_argument("--json", action="store_true", help="the whole report as one JSON object")

    def handle(self, *_: Any, **options: Any) -> None:
        """Score and print the result."""
        check_period(options)
        versions = [registry.find_version(text) for text in options["versions"]]
        with progress_reporter("evaluating", self.stderr) as report_progress:
            found = [
                json_ready(
                    services.evaluate(
                        options["from_time"],
                        options["until_time"],
                        together,
                        options["symbols"],
                        options["source"],
                        stride=options["stride"],
                        progress=report_progress,
                    )
                )
                for together in evaluation_groups(versions)
            ]
        if options["json"]:
            shown = [published_evaluation(report) for report in found]
            self.stdout.write(json.dumps(shown[0] if len(shown) == 1 else {"evaluations": shown}, indent=2))
            return
        for report in found:
            for line in [*summary_lines(report), *table_lines(report)]:
                self.stdout.write(line)


def evaluation_groups(versions: Sequence[ModelVersion]) -> list[list[ModelVersion]]:
    """Groups of versions to score together, at most one per kind.

    An empty group means the champions.
    """
    groups: list[list[ModelVersion]] = []
    for version in dict.fromkeys(versions):
        group = next((one for one in groups if version.kind not in {other.kind for other in one}), None)
        if group is None:
            groups.append([version])
        else:
            group.append(version)
    return groups or [[]]


def table_lines(found: Mapping[str, Any]) -> list[str]:
    """Format a report as plain tables."""
    return [line for table in tables_of(found) for line in lines_of(table)]
