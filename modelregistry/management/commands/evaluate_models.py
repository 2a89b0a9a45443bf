"""Score versions on a stretch of candles, beside the baselines."""

import json
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from indicators.errors import MLEngineError
from marketdata.models import Source
from modelregistry import registry, services
from modelregistry.management.instants import read_instant
from modelregistry.management.progress import told
from modelregistry.report_json import published_evaluation
from modelregistry.report_tables import tables_of


class Command(BaseCommand):
    """Any version on any stretch, beside what costs nothing."""

    help = "Score versions, by default the champions, on candles from --from up to --until beside the baselines."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which versions, on which candles."""
        parser.add_argument("--from", dest="from_time", required=True, help="first candle scored: ISO 8601 (UTC) or ms")
        parser.add_argument("--until", "--to", dest="until_time", required=True, help="exclusive, labels included")
        parser.add_argument(
            "--versions", nargs="+", default=[], help="ids or beginnings of digests; default: champions"
        )
        parser.add_argument("--symbols", nargs="+", default=[], help="default: those of the training set")
        parser.add_argument("--source", choices=Source.values, help="default: that of the versions or enabled markets")
        parser.add_argument("--stride", type=int, default=1, help="score every n-th candle only")
        parser.add_argument("--json", action="store_true", help="the whole report as one JSON object")

    def handle(self, *_: Any, **options: Any) -> None:
        """Score and print."""
        from_ms, until_ms = read_instant(options["from_time"]), read_instant(options["until_time"])
        if from_ms is None or until_ms is None or from_ms >= until_ms:
            raise CommandError("--from must be before --until")
        if options["stride"] < 1:
            raise CommandError("--stride must be at least 1")
        try:
            versions = [registry.find_version(text) for text in options["versions"]]
            with told("evaluating", as_json=False, write=self.stdout.write, beside=self.stderr) as tell:
                found = services.evaluate(
                    from_ms,
                    until_ms,
                    versions,
                    options["symbols"],
                    options["source"],
                    stride=options["stride"],
                    progress=tell,
                )
        except MLEngineError as error:
            raise CommandError(str(error)) from error
        found = services.finite(found)
        if options["json"]:
            self.stdout.write(json.dumps(published_evaluation(found), indent=2))
            return
        for line in written(found):
            self.stdout.write(line)


def written(found: Mapping[str, Any]) -> list[str]:
    """Lay the report out as plain tables."""
    lines = []
    for table in tables_of(found):
        rows = [table.headers, *table.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(table.headers))]
        lines += ["", table.title] if table.title else []
        lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return lines
