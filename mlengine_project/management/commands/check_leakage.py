"""Check, by mutating the future, that no feature or forecast depends on later candles."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from django.core.management.base import CommandError, CommandParser

from indicators.candles import CandleGrid
from indicators.features import WARMUP
from marketdata.intervals import INTERVAL_MS
from marketdata.management.command import EngineCommand
from marketdata.storage import candles as store
from mlengine_project.management.commands.replay_predictions import find_ensemble, find_markets
from mlengine_project.operations.leakage import Verdict, examine, mutated_candles
from modelregistry import registry
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.models import Kind
from predictions.live.online_correction import reach_of


class Command(EngineCommand):
    """Exit code 1 if anything leaks, if live differs from batch, or if something could not be examined."""

    help = "Mutate the future at random candles and check that no feature and no champion's forecast changes."
    requires_system_checks: list[str] = []  # with --data it needs no database

    def add_arguments(self, parser: CommandParser) -> None:
        """Candles and number of trials."""
        parser.add_argument("--data", type=Path, nargs="+", default=[], help="candle files (Parquet), not the database")
        parser.add_argument("--symbols", nargs="+", default=[], help="default: every enabled market")
        parser.add_argument("--candles", type=int, default=20_000, help="newest stored candles to read")
        parser.add_argument("--instants", type=int, default=100, help="candles whose future is mutated")
        parser.add_argument("--parity", type=int, default=200, help="candles computed alone and compared with batch")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--json", action="store_true", help="one JSON object instead of sentences")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the check and print the result."""
        if options["instants"] < 1 or options["parity"] < 0:
            raise CommandError("--instants must be at least 1 and --parity at least 0")
        grid, ensemble = self._read(options)
        unexamined = {} if options["data"] else missing_champions(ensemble)
        needed = WARMUP + mutated_candles(ensemble)
        if len(grid) < needed:
            raise CommandError(f"the check needs {needed} candles in a row, there are {len(grid)}")
        found = examine(
            grid, ensemble, instants=options["instants"], parity_rows=options["parity"], seed=options["seed"]
        )
        verdict = replace(found, unexamined=unexamined)
        self.stdout.write(json.dumps(as_json(verdict)) if options["json"] else "\n".join(as_sentences(verdict)))
        if not verdict.clean:
            sys.exit(1)

    def _read(self, options: dict[str, Any]) -> tuple[CandleGrid, Ensemble | None]:
        if options["data"]:
            return CandleGrid.stack([read_file(path) for path in options["data"]]), None
        markets = find_markets(options["symbols"])
        newest = [at for at in store.newest_open(markets).values() if at is not None]
        if not newest:
            raise CommandError("no candle is stored yet; import some or name a file with --data")
        until, ensemble = max(newest) + INTERVAL_MS, find_ensemble([], markets)
        candles = max(options["candles"], WARMUP + mutated_candles(ensemble) + reach_of(ensemble))
        grid = store.load_span(markets, until - candles * INTERVAL_MS, until)
        # There is nothing to examine before the first stored candle.
        return grid.tail(len(grid) - int(grid.present.any(axis=0).argmax())), ensemble


def missing_champions(ensemble: Ensemble | None) -> dict[str, str]:
    """Kinds whose champion cannot be examined, and why."""
    present = dict(ensemble.versions) if ensemble is not None else {}
    absent = {kind: "there is no champion; train and promote one first" for kind in Kind.values if kind not in present}
    broken = registry.load_failures()
    return absent | {failure.kind: f"its champion cannot be loaded: {failure.message}" for failure in broken}


def read_file(path: Path) -> CandleGrid:
    """Read the candles of one market from a Parquet file."""
    if not path.is_file():
        raise CommandError(f"{path}: there is no such file")
    try:
        return CandleGrid.from_frame(pd.read_parquet(path))
    except (OSError, ValueError, KeyError) as error:
        raise CommandError(f"{path}: {error}") from error


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The result as JSON."""
    checked = {
        name: {
            "columns": len(report.columns),
            "instants": report.instants,
            "mutations": report.mutations,
            "leaking": list(report.leaking_columns),
        }
        for name, report in verdict.reports.items()
    }
    mismatching = sorted({mismatch.column for mismatch in verdict.mismatches})
    return {
        "clean": verdict.clean,
        "checked": checked,
        "live_equals_batch": {"rows": verdict.parity_rows, "mismatching": mismatching},
        "seeded_leaks_caught": verdict.caught,
        "unexamined": verdict.unexamined,
    }


def as_sentences(verdict: Verdict) -> list[str]:
    """The result as sentences."""
    lines = []
    for name, report in verdict.reports.items():
        found = "nothing changed" if report.clean else f"LEAKS: {', '.join(report.leaking_columns)}"
        lines.append(f"{name}: {len(report.columns)} columns, {report.mutations} mutated futures: {found}")
    differing = sorted({mismatch.column for mismatch in verdict.mismatches})
    found = f"DIFFERS: {', '.join(differing)}" if differing else "equal bit for bit"
    lines.append(f"live, training and batch: {verdict.parity_rows} candles: {found}")
    lines.extend(f"seeded leak {name}: {'caught' if caught else 'MISSED'}" for name, caught in verdict.caught.items())
    lines.extend(f"{name}: NOT EXAMINED: {why}" for name, why in verdict.unexamined.items())
    scope = "" if "range_predictor" in verdict.reports else ", of features alone: no champion was examined"
    return [*lines, f"clean{scope}" if verdict.clean else "NOT clean"]
