"""Write the forecasts of the champions at every candle of a time range."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.management.command import EngineCommand
from marketdata.management.instants import instant
from marketdata.models import Market
from marketdata.progress import progress_reporter
from mlengine_project.operations.table_files import TableFile
from modelregistry import registry
from modelregistry.estimators.ensemble import Ensemble
from predictions.forecasting.forecast_batch import forecast_span
from predictions.forecasting.pricing import costs_of
from predictions.forecasting.range_table import BatchCandles, range_rows
from signals.bracket_table import bracket_rows
from signals.drafting import decide_batch


class Command(EngineCommand):
    """Runs the forecasting function of the live path in batch."""

    help = "Write the forecasts of the champions (or other versions) at every candle of a time range."

    def add_arguments(self, parser: CommandParser) -> None:
        """Time range, markets, versions, files."""
        parser.add_argument(
            "--from", dest="from_time", type=instant, required=True, help="first candle's open: ISO 8601 (UTC) or ms"
        )
        parser.add_argument("--to", dest="to_time", type=instant, required=True, help="up to this open, exclusive")
        parser.add_argument("--symbols", nargs="+", default=[], help="default: every enabled market")
        parser.add_argument("--versions", nargs="+", default=[], help="ids of model versions instead of the champions")
        parser.add_argument("--ranges", type=Path, help=".parquet or .csv for the price ranges")
        parser.add_argument("--brackets", type=Path, help=".parquet or .csv for the bracket probabilities")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the replay and print the number of rows."""
        from_ms = options["from_time"]
        first_ms, end_ms = (-(-at // INTERVAL_MS) * INTERVAL_MS for at in (from_ms, options["to_time"]))
        if first_ms >= end_ms:
            raise CommandError("--from must be before --to, with a candle's open in between")
        if options["ranges"] is None and options["brackets"] is None:
            raise CommandError("name a file: --ranges, --brackets or both")
        if options["ranges"] == options["brackets"]:
            raise CommandError("--ranges and --brackets need a file each")
        markets = find_markets(options["symbols"])
        ensemble = find_ensemble(options["versions"], markets)
        symbols = [market.symbol for market in markets]
        horizons, shared = horizons_of(ensemble)
        costs = costs_of(settings.FEE_RATE, settings.SLIPPAGE_BPS)
        with ExitStack() as stack:
            ranges, brackets = (
                stack.enter_context(TableFile(options[name])) if options[name] else None
                for name in ("ranges", "brackets")
            )
            report = stack.enter_context(progress_reporter("replay", self.stderr))
            for done, last_ms in forecast_span(markets, first_ms, end_ms, ensemble):
                cells = BatchCandles(done.forecasts, symbols)
                if ranges is not None:
                    ranges.write(range_rows(cells, horizons))
                if brackets is not None:
                    brackets.write(bracket_rows(cells, decide_batch(done), shared, costs))
                report(last_ms - first_ms, end_ms - first_ms, f"{clock.to_datetime(last_ms):%Y-%m-%d}")
        for table in (ranges, brackets):
            if table is not None:
                self.stdout.write(f"{table.path}: {table.rows:,} rows")
        self._warn(ensemble, from_ms)

    def _warn(self, ensemble: Ensemble | None, from_ms: int) -> None:
        seen = [end for end in ensemble.trained_until.values() if clock.to_ms(end) > from_ms] if ensemble else []
        if seen:
            self.stdout.write(f"note: candles before {max(seen):%Y-%m-%d %H:%M} were in a training set")
        for failure in registry.load_failures():
            self.stdout.write(f"note: champion {failure.kind} could not be loaded: {failure.message}")


def horizons_of(ensemble: Ensemble | None) -> tuple[list[int], list[int]]:
    """Horizons of ranges and of brackets; those of a training without models."""
    if ensemble is None:
        return list(settings.DEFAULT_HORIZONS), list(settings.DEFAULT_HORIZONS)
    brackets = ensemble.common_horizons or (ensemble.tpsl.horizons if ensemble.tpsl else ensemble.horizons)
    return list(ensemble.horizons or settings.DEFAULT_HORIZONS), list(brackets or settings.DEFAULT_HORIZONS)


def find_markets(symbols: list[str]) -> list[Market]:
    """Markets of one source: the enabled or the named ones."""
    chosen = Market.objects.enabled()
    found = list(chosen.filter(symbol__in=symbols) if symbols else chosen)
    if missing := sorted(set(symbols) - {market.symbol for market in found}):
        raise CommandError(f"no enabled market is called {', '.join(missing)}")
    if not found:
        raise CommandError("there is no enabled market; run `manage.py seed_markets` or import candles first")
    if len({market.source for market in found}) > 1:
        raise CommandError("these markets have candles of different sources; name markets of one with --symbols")
    return found


def find_ensemble(ids: list[str], markets: list[Market]) -> Ensemble | None:
    """Champions of the markets' source, or versions by id or digest prefix."""
    source = markets[0].source
    if not ids:
        return registry.load_ensemble(source)
    versions = [registry.find_version(text) for text in ids]
    if wrong := [str(version) for version in versions if version.source != source]:
        raise CommandError(f"a version serves only the source it was trained on, not {source}: {', '.join(wrong)}")
    if len({version.kind for version in versions}) < len(versions):
        raise CommandError("name at most one version of each kind")
    return registry.ensemble_of(versions)
