"""Hyper-parameter search of the range predictor."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from marketdata import clock
from marketdata.clock import iso
from marketdata.management.command import EngineCommand
from marketdata.management.instants import instant
from marketdata.models import Source
from marketdata.progress import progress_reporter
from modelregistry.management.actor import actor
from modelregistry.search.study import Budget, search
from modelregistry.training.fit.settings import Configuration


class Command(EngineCommand):
    """Try configurations on purged folds and record each of them."""

    help = (
        "Search hyper-parameters of the range predictor on purged walk-forward folds before --until. Every "
        "configuration enters the trial ledger. Needs the dependency group `research` (Optuna)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the data and the budget."""
        usual = Budget()
        parser.add_argument(
            "--until",
            dest="until_time",
            type=instant,
            required=True,
            help="exclusive; leave out the period of the final evaluation",
        )
        parser.add_argument("--from", dest="from_time", type=instant, help="first training row: ISO 8601 (UTC) or ms")
        parser.add_argument("--symbols", nargs="+", default=[], help="default: the enabled markets")
        parser.add_argument("--source", choices=Source.values, help="default: that of the enabled markets")
        parser.add_argument("--horizons", nargs="+", type=int, default=[], help="default: DEFAULT_HORIZONS")
        parser.add_argument("--trials", type=int, default=usual.trials, help="configurations at most")
        parser.add_argument("--seconds", type=float, default=usual.seconds, help="no configuration starts later")
        parser.add_argument("--folds", type=int, default=usual.folds)
        parser.add_argument("--test-days", type=int, default=usual.test_days, help="test days per fold")
        parser.add_argument("--stride", type=int, default=usual.stride, help="use every n-th candle only")
        parser.add_argument("--workers", type=int, default=usual.threads, help="threads")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument(
            "--study", default="", help="name in the ledger; searches with one name are tested together"
        )
        parser.add_argument("--json", action="store_true", help="print the result as one JSON object")

    def handle(self, *_: Any, **options: Any) -> None:
        """Search and print the result with its tests of selection bias."""
        for name in ("trials", "folds", "test_days", "stride", "workers"):
            if options[name] < 1:
                raise CommandError(f"--{name.replace('_', '-')} must be at least 1")
        budget = Budget(
            options["trials"],
            options["seconds"],
            options["folds"],
            options["test_days"],
            options["stride"],
            options["workers"],
        )
        with progress_reporter("searching", self.stderr) as report_progress:
            found = search(
                options["until_time"],
                symbols=options["symbols"],
                source=options["source"],
                from_ms=options["from_time"],
                horizons=options["horizons"],
                budget=budget,
                seed=options["seed"],
                study=options["study"],
                actor=actor(),
                progress=report_progress,
            )
        command = found["best_trial"] and training_command(found["best_trial"], options)
        if options["json"]:
            self.stdout.write(json.dumps({**found, "training_command": command}, indent=2))
            return
        for line in [*outcome_lines(found), *([f"train it: {command}"] if command else [])]:
            self.stdout.write(line)


def training_command(trial: int, options: Mapping[str, Any]) -> str:
    """Command that trains a trial on the candles that the search was allowed to read.

    Examples
    --------
    >>> chosen = {"until_time": 1730332800000, "from_time": None, "symbols": ["BTCUSDT"], "source": None, "seed": 1}
    >>> training_command(7, {**chosen, "horizons": []})
    'uv run manage.py train_models --settings-from 7 --symbols BTCUSDT --until 2024-10-31T00:00:00Z'
    """
    given = {
        "--symbols": " ".join(options["symbols"]),
        "--source": options["source"],
        "--from": options["from_time"] is not None and iso(clock.to_datetime(options["from_time"])),
        "--until": iso(clock.to_datetime(options["until_time"])),
        "--seed": options["seed"] != 1 and str(options["seed"]),
    }
    horizons = sorted(options["horizons"] or settings.DEFAULT_HORIZONS)
    other = (
        [f"DEFAULT_HORIZONS={','.join(map(str, horizons))}"] if horizons != sorted(settings.DEFAULT_HORIZONS) else []
    )
    words = [*other, "uv run manage.py train_models --settings-from", str(trial)]
    return " ".join([*words, *(f"{name} {value}" for name, value in given.items() if value)])


def outcome_lines(found: dict[str, Any]) -> list[str]:
    """Sentences about the best configuration and its tests of selection bias."""
    ledger = found["ledger"]
    lines = [f"{ledger['trials']} configurations tried in study {found['study']!r}, {ledger['failed']} failed"]
    if found["best"] is None:
        return [*lines, "none could be scored"]
    lines.append(f"best: {found['best_score']:+.2%} skill against the best reference baseline on the folds")
    lines += [f"  {name} {value:g}" for name, value in found["best"].items()]
    lines.append(gain_sentence(found))
    if ledger["overfitting"] is None:
        return [*lines, ledger["message"]]
    overfitting, sharpe = ledger["overfitting"]["probability"], ledger["deflated_sharpe"]
    choice = "the selection has skill" if overfitting < 0.5 else "the selection is no better than a random choice"
    lines.append(f"probability of overfitting {overfitting:.2f} (noise: about 0.5): {choice}")
    verdict = "significant" if sharpe["significant"] else "not significant"
    lines.append(
        f"deflated Sharpe ratio {sharpe['probability']:.3f}: gain of the best one over the baseline is {verdict}"
    )
    return lines


def gain_sentence(found: dict[str, Any]) -> str:
    """Sentence about whether the best configuration beats the settings in use, and by how much."""
    over = found["over_settings_in_use"]
    if over is None:
        return "the settings in use could not be scored, so nothing is said about a gain over them"
    if found["best"] == asdict(Configuration()):
        return "no configuration beats the settings in use"
    verdict = "beats the settings in use" if over["lower"] > 0 else "does not surely beat the settings in use"
    return (
        f"trial {found['best_trial']} {verdict}: {over['gain']:+.2%} skill (95 % interval {over['lower']:+.2%} to "
        f"{over['upper']:+.2%} over {over['days']} days, before the correction for the choice among configurations)"
    )
