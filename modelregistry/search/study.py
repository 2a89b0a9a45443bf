"""Hyper-parameter search on purged folds; every configuration enters the trial ledger.

The only module that uses Optuna, which is imported when a search starts and not needed to train or serve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from django.conf import settings

from indicators.candles import DAY_CANDLES, DAY_MS, INTERVAL_MS
from indicators.features import WARMUP, installed
from marketdata import clock
from marketdata.models import Candle, Market
from marketdata.storage import candles
from modelregistry.dataset.folds import Fold, walk_forward
from modelregistry.dataset.rows import Dataset, build_dataset
from modelregistry.errors import TrainingError
from modelregistry.evaluation.significance.paired import compare
from modelregistry.models import Kind, TrainingTrial
from modelregistry.registry.status import default_source
from modelregistry.search import trial_ledger as trials
from modelregistry.training.configuration import ConfigurationScore, score_configuration
from modelregistry.training.fit.settings import Configuration
from modelregistry.training.pipeline import Progress

HOW_TO_INSTALL = "Optuna is not installed; it is only for research: `uv sync --group research`"


class SearchUnavailable(TrainingError):
    """Optuna is not installed."""


@dataclass(frozen=True)
class ScoredConfiguration:
    """A configuration with its score and the id of its trial in the ledger."""

    configuration: Configuration
    score: ConfigurationScore
    trial_id: int


@dataclass(frozen=True)
class Budget:
    """Limits of a search.

    Parameters
    ----------
    trials : int
        Maximum number of configurations.
    seconds : float
        No configuration starts later; the current one is finished.
    folds, test_days, stride, threads : int
        Size of one evaluation.
    """

    trials: int = 20
    seconds: float = 600.0
    folds: int = 2
    test_days: int = 60
    stride: int = 24
    threads: int = 2


def search(
    until_ms: int,
    *,
    symbols: Sequence[str] = (),
    source: str | None = None,
    from_ms: int | None = None,
    horizons: Sequence[int] = (),
    budget: Budget | None = None,
    seed: int = 1,
    study: str = "",
    actor: str = "search_models",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Try configurations of the range predictor on candles before `until_ms`.

    Returns the best one, its gain over the settings in use, which are tried first, and the ledger report with its tests
    of selection bias.
    """
    sampler = _sampler(seed)
    budget = budget or Budget()
    source = source or default_source()
    all_rows, folds = _rows(
        symbols, source, from_ms, until_ms, tuple(sorted(horizons or settings.DEFAULT_HORIZONS)), budget
    )
    name = study or f"range {clock.to_datetime(until_ms):%Y-%m-%d} seed {seed}"
    started = clock.monotonic()
    in_use: ScoredConfiguration | None = None
    best: ScoredConfiguration | None = None
    for number in range(budget.trials):
        if number and clock.monotonic() - started > budget.seconds:
            break
        trial, configuration = (None, Configuration()) if number == 0 else _suggest(sampler)
        found = _try(configuration, trial, all_rows, folds, sampler, (name, source, actor), budget=budget, seed=seed)
        if number == 0:
            in_use = found
        if found is not None and (best is None or found.score.score > best.score.score):
            best = found
        if progress is not None:
            outcome = "failed" if found is None else f"{found.score.score:+.2%}"
            progress(number + 1, budget.trials, f"configuration {number + 1}: {outcome}")
    ledger = trials.ledger_report(Kind.RANGE, source, name)
    return {
        "study": name,
        "best_score": best and best.score.score,
        "best": best and asdict(best.configuration),
        "best_trial": best and best.trial_id,
        "over_settings_in_use": best and in_use and gain_over(best.score, in_use.score),
        "ledger": ledger,
    }


def gain_over(best: ConfigurationScore, in_use: ConfigurationScore) -> dict[str, float]:
    """Gain in skill of a configuration over another, paired by test day.

    Returns
    -------
    dict
        `gain` over all folds, and of the mean daily gain its block `error`, the central 95 % interval `lower` to
        `upper`, and the number of `days`. It is not corrected for the choice among several configurations.

    Examples
    --------
    >>> one, other = (ConfigurationScore(s, [s], {"2024-01-01": s, "2024-01-02": s}) for s in (0.5, 0.25))
    >>> gain_over(one, other)
    {'gain': 0.25, 'error': 0.0, 'lower': 0.25, 'upper': 0.25, 'days': 2}
    """
    days = sorted(set(best.daily_gain) & set(in_use.daily_gain))
    when = np.array(days, dtype="datetime64[D]").astype(np.int64) * DAY_MS
    lost = [-np.array([score.daily_gain[day] for day in days]) for score in (best, in_use)]
    found = compare(lost[0], lost[1], when, horizon=1)
    reach = found.mean - found.lower
    gain = best.score - in_use.score
    return {"gain": gain, "error": found.error, "lower": gain - reach, "upper": gain + reach, "days": len(days)}


def _try(
    configuration: Configuration,
    trial: Any,
    all_rows: Dataset,
    folds: Sequence[Fold],
    sampler: Any,
    label: tuple[str, str, str],
    *,
    budget: Budget,
    seed: int,
) -> ScoredConfiguration | None:
    """Score one configuration, record it, and pass the score to the sampler; None if it failed."""
    name, source, actor = label
    found: ConfigurationScore | None = None
    result: dict[str, Any] = {"failure": "interrupted"}
    try:
        found = score_configuration(all_rows, folds, configuration, seed=seed, threads=budget.threads)
        result = {"score": found.score, "fold_scores": found.fold_scores, "period_scores": found.daily_gain}
    except (TrainingError, ValueError, np.linalg.LinAlgError) as error:
        result = {"failure": f"{type(error).__name__}: {error}"}
    finally:
        recorded = trials.record_trial(
            kind=Kind.RANGE,
            source=source,
            origin=TrainingTrial.Origin.SEARCH,
            study=name,
            configuration=_trial_configuration(configuration, all_rows, budget, seed),
            actor=actor,
            symbols=all_rows.symbols,
            tested_from=clock.to_datetime(int(all_rows.open_time[folds[0].test].min())),
            tested_until=clock.to_datetime(int(all_rows.open_time[folds[-1].test].max())),
            **result,
        )
    if trial is not None:
        sampler.tell(trial, found and found.score, **({} if found is not None else {"state": _failed()}))
    return None if found is None else ScoredConfiguration(configuration, found, recorded.pk)


def _trial_configuration(
    configuration: Configuration, all_rows: Dataset, budget: Budget, seed: int
) -> Mapping[str, Any]:
    return {
        **asdict(configuration),
        "seed": seed,
        "horizons": list(all_rows.horizons),
        "stride": budget.stride,
        "folds": budget.folds,
        "test_days": budget.test_days,
        "feature_hash": installed().digest,
    }


def _sampler(seed: int) -> Any:
    try:
        import optuna
    except ImportError as error:
        raise SearchUnavailable(HOW_TO_INSTALL) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))


def _failed() -> Any:
    import optuna

    return optuna.trial.TrialState.FAIL


def _suggest(sampler: Any) -> tuple[Any, Configuration]:
    trial = sampler.ask()
    return trial, Configuration(
        max_depth=trial.suggest_int("max_depth", 2, 6),
        rounds=trial.suggest_int("rounds", 20, 200, step=20),
        eta=trial.suggest_float("eta", 0.02, 0.15, log=True),
        subsample=trial.suggest_float("subsample", 0.3, 1.0),
        colsample_bytree=trial.suggest_float("colsample_bytree", 0.2, 1.0),
        reg_lambda=trial.suggest_float("reg_lambda", 1.0, 300.0, log=True),
        child_share=trial.suggest_float("child_share", 0.001, 0.02, log=True),
        penalty=trial.suggest_float("penalty", 0.001, 0.3, log=True),
    )


def _rows(
    symbols: Sequence[str], source: str, from_ms: int | None, until_ms: int, horizons: tuple[int, ...], budget: Budget
) -> tuple[Dataset, list[Fold]]:
    known = Market.objects.filter(source=source).order_by("symbol")
    markets = list(known.filter(symbol__in=symbols) if symbols else known.filter(enabled=True))
    if missing := sorted(set(symbols) - {market.symbol for market in markets}):
        raise TrainingError(f"no market of {source} candles is called {', '.join(missing)}")
    oldest = Candle.objects.filter(market__in=markets).order_by("open_time").values_list("open_time", flat=True).first()
    if oldest is None:
        raise TrainingError("no candles to search on; run `manage.py import_candles` or `backfill_candles` first")
    first = max(int(oldest), from_ms - WARMUP * INTERVAL_MS) if from_ms is not None else int(oldest)
    newest = [at for at in candles.newest_open(markets).values() if at is not None]
    grid = candles.load_span(markets, first, min(until_ms, max(newest) + INTERVAL_MS))
    needed = WARMUP + (budget.folds + 1) * budget.test_days * DAY_CANDLES + max(horizons)
    if len(grid) < needed:
        raise TrainingError(
            f"{len(grid)} candles are too few: {budget.folds} folds of {budget.test_days} days need {needed}"
        )
    all_rows = build_dataset(grid, [market.symbol for market in markets], horizons, budget.stride, first=from_ms)
    if not len(all_rows):
        raise TrainingError("no candle has features and a known outcome")
    try:
        folds = list(walk_forward(all_rows.open_time, all_rows.ends, budget.folds, test_span=budget.test_days * DAY_MS))
    except ValueError as error:
        raise TrainingError(str(error)) from error
    return all_rows, folds
