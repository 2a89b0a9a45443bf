"""Export candles."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from marketdata.exchange.parsing import EARLIEST_MS, LATEST_MS
from marketdata.files.exporting import export_candles
from marketdata.management.command import EngineCommand
from marketdata.management.instants import instant
from marketdata.models import Market, Source


class Command(EngineCommand):
    """Write one file per market with the columns that `import_candles` reads."""

    help = "Write stored candles to SYMBOL-5m.parquet (or .csv) files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add options for folder, markets, span and format."""
        parser.add_argument("folder", type=Path, help="Folder of the files; created if it does not exist.")
        parser.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="All enabled markets when left out.")
        parser.add_argument("--source", choices=Source.values, help="Default: that of the enabled markets.")
        parser.add_argument("--from", dest="begin", type=instant, default=EARLIEST_MS)
        parser.add_argument("--to", "--until", dest="end", type=instant, default=LATEST_MS, help="Exclusive.")
        parser.add_argument("--format", choices=["parquet", "csv"], default="parquet")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Write one file per market."""
        markets = Market.objects.filter(source=options["source"]) if options["source"] else Market.objects.enabled()
        if options["symbols"]:
            markets = markets.filter(symbol__in=options["symbols"])
        missing = sorted(set(options["symbols"] or []) - {market.symbol for market in markets})
        if missing or not markets:
            raise CommandError(f"no such market: {', '.join(missing)}" if missing else "no market is enabled")
        options["folder"].mkdir(parents=True, exist_ok=True)
        for market in markets:
            path = options["folder"] / f"{market.symbol}-{market.interval}.{options['format']}"
            count = export_candles(market, options["begin"], options["end"], path)
            self.stdout.write(f"{path}: {count:,} candles of {market}")
