"""Prove, by mutating the future, that nothing the engine computes about a candle can see past it."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from django.core.management.base import BaseCommand, CommandError, CommandParser

from indicators.candles import CandleGrid
from indicators.errors import MLEngineError
from indicators.features import WARMUP
from marketdata import store
from marketdata.intervals import INTERVAL_MS
from mlengine_project.leakage import AHEAD, Verdict, examine
from mlengine_project.management.commands.replay_predictions import find_ensemble, find_markets
from predictions.correcting import reach_of

NEEDED = WARMUP + AHEAD


class Command(BaseCommand):
    """Exit code 1 if anything leaks, if live differs from batch, or if a seeded leak goes unnoticed."""

    help = "Corrupt the future at random candles and prove that no feature and no champion's answer changes."
    requires_system_checks: list[str] = []  # with --data it needs no database

    def add_arguments(self, parser: CommandParser) -> None:
        """Which candles, how many trials."""
        parser.add_argument("--data", type=Path, nargs="+", default=[], help="candle files (Parquet), not the database")
        parser.add_argument("--symbols", nargs="+", default=[], help="default: every enabled market")
        parser.add_argument("--candles", type=int, default=20_000, help="newest stored candles to look at")
        parser.add_argument("--instants", type=int, default=100, help="candles whose future is corrupted")
        parser.add_argument("--parity", type=int, default=200, help="candles computed alone and compared with batch")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--json", action="store_true", help="one JSON object instead of sentences")

    def handle(self, *_: Any, **options: Any) -> None:
        """Examine and say what was found."""
        if options["instants"] < 1 or options["parity"] < 0:
            raise CommandError("--instants must be at least 1 and --parity at least 0")
        try:
            grid, ensemble = self._read(options)
        except MLEngineError as error:
            raise CommandError(str(error)) from error
        if len(grid) < NEEDED:
            raise CommandError(f"the check needs {NEEDED} candles in a row, there are {len(grid)}")
        verdict = examine(
            grid, ensemble, instants=options["instants"], parity_rows=options["parity"], seed=options["seed"]
        )
        self.stdout.write(json.dumps(as_json(verdict)) if options["json"] else "\n".join(as_sentences(verdict)))
        if not verdict.clean:
            sys.exit(1)

    def _read(self, options: dict[str, Any]) -> tuple[CandleGrid, Any]:
        if options["data"]:
            return CandleGrid.stack([read_file(path) for path in options["data"]]), None
        markets = find_markets(options["symbols"])
        newest = [at for at in store.newest_open(markets).values() if at is not None]
        if not newest:
            raise CommandError("no candle is stored yet; import some or name a file with --data")
        until, ensemble = max(newest) + INTERVAL_MS, find_ensemble([], markets)
        candles = max(options["candles"], NEEDED + reach_of(ensemble))
        return store.load_span(markets, until - candles * INTERVAL_MS, until), ensemble


def read_file(path: Path) -> CandleGrid:
    """Read the candles of one market from a Parquet file."""
    if not path.is_file():
        raise CommandError(f"{path}: there is no such file")
    try:
        return CandleGrid.from_frame(pd.read_parquet(path))
    except (OSError, ValueError, KeyError) as error:
        raise CommandError(f"{path}: {error}") from error


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Write the verdict for a program."""
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
    }


def as_sentences(verdict: Verdict) -> list[str]:
    """Write the verdict for a person."""
    lines = []
    for name, report in verdict.reports.items():
        found = "nothing changed" if report.clean else f"LEAKS: {', '.join(report.leaking_columns)}"
        lines.append(f"{name}: {len(report.columns)} columns, {report.mutations} corrupted futures: {found}")
    differing = sorted({mismatch.column for mismatch in verdict.mismatches})
    found = f"DIFFERS: {', '.join(differing)}" if differing else "equal bit for bit"
    lines.append(f"live and batch: {verdict.parity_rows} candles: {found}")
    lines.extend(f"seeded leak {name}: {'caught' if caught else 'MISSED'}" for name, caught in verdict.caught.items())
    return [*lines, "clean" if verdict.clean else "NOT clean"]
