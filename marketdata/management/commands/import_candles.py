"""Import candle files."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from marketdata.files import importing
from marketdata.files.tables import Rejected
from marketdata.management.command import EngineCommand
from marketdata.models import Source
from marketdata.progress import progress_reporter
from marketdata.storage.candles import SaveResult

MAX_LISTED = 50


class Command(EngineCommand):
    """Import files, each in one transaction: all rows, the good ones with --skip-bad, or none."""

    help = (
        "Import candles from Parquet, Feather, CSV, gzip or ZIP files (the exchange's dumps included), or folders of "
        "them. docs/files.md lists every accepted form."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add options for files, market and checks."""
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
        parser.add_argument("--source", choices=Source.values, default=Source.EXCHANGE)
        parser.add_argument("--symbol", default="", help="Instead of the one in the file name (BTCUSDT-5m.parquet).")
        parser.add_argument("--skip-bad", action="store_true", help="Import the good rows of files that hold bad ones.")
        parser.add_argument(
            "--revise",
            action="store_true",
            help="Import a file that differs from most stored candles or looks like a mark-price or futures dump.",
        )
        parser.add_argument("--utc", action="store_true", help="Times that name no zone are UTC.")
        parser.add_argument("--json", action="store_true", help="One JSON object a file.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Import the files in order; stop at the first that fails."""
        total = SaveResult()
        markets: set[str] = set()
        try:
            files = importing.expand(options["paths"])
            for path in files:
                with progress_reporter(path.name, self.stderr if options["json"] else self.stdout) as report:
                    done = importing.import_file(
                        path,
                        options["source"],
                        options["symbol"],
                        skip_bad=options["skip_bad"],
                        revise=options["revise"],
                        utc=options["utc"],
                        progress=report,
                    )
                self._write_result(done, as_json=options["json"])
                total, markets = total + done.saved, markets | {done.market.symbol}
        except importing.BadRows as error:
            self._write_rejected(error.rejected, error.place)
            raise CommandError(f"{error}; --skip-bad imports the good ones") from error
        if len(files) > 1 and not options["json"]:
            words = ", ".join(f"{count:,} {name}" for name, count in total._asdict().items())
            self.stdout.write(f"{len(files)} files of {len(markets)} markets: {words}")

    def _write_result(self, done: importing.Imported, *, as_json: bool) -> None:
        counts = {**done.saved._asdict(), "rejected": len(done.rejected)}
        halted = {"cut_short": done.cut_short, "off_grid": done.off_grid}
        counts |= {name: count for name, count in halted.items() if as_json or count}
        if as_json:
            rows = [rejected._asdict() for rejected in done.rejected]
            head = {"file": str(done.path), "symbol": done.market.symbol, "source": done.market.source}
            remarks = {"ignored_columns": done.ignored, "notes": done.notes}
            self.stdout.write(json.dumps({**head, **counts, "rejected_rows": rows, **remarks}))
            return
        self._write_rejected(done.rejected, done.place)
        if done.ignored:
            self.stdout.write(f"{done.path.name}: columns ignored: {', '.join(done.ignored)}")
        for note in done.notes:
            self.stdout.write(f"{done.path.name}: {note}")
        words = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        self.stdout.write(f"{done.path.name} -> {done.market}: {words}")

    def _write_rejected(self, rejected: Sequence[Rejected], place: str) -> None:
        for line, reason in rejected[:MAX_LISTED]:
            self.stderr.write(f"{place} {line}: {reason}")
        if len(rejected) > MAX_LISTED:
            self.stderr.write(f"... and {len(rejected) - MAX_LISTED} more")
