"""Champion comparison on data that neither version was trained on.

The champion can only be scored on candles after its training. While there are too few of them, both are compared by
their purged walk-forward tests on the days they share.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from indicators.barriers import Touch
from indicators.candles import DAY_MS
from modelregistry.dataset.outcomes import bracket_levels, direction_labels, window_outcomes
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.kinds import Estimator
from modelregistry.estimators.online.correction import NO_CORRECTION
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.estimators.tpsl_classifier import TpslClassifier
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.reports.report import Collected
from modelregistry.evaluation.reports.served import served_forecast
from modelregistry.evaluation.significance.blocks import block_interval
from modelregistry.evaluation.significance.paired import Comparison, compare, count_days

ENOUGH_DAYS = 30
"""Minimum days of a comparison: after the champion's training, or of shared tests."""
LossesAt = Callable[[int], np.ndarray]
"""Losses of an estimator on some rows, by horizon; NaN where unknown."""


@dataclass(frozen=True)
class ComparedChampion:
    """Champion that a candidate is compared with.

    Parameters
    ----------
    estimator : estimator
    trained_until_ms : int
        End of its training candles.
    symbols, horizons : tuple
        Of its training; daily gains are means over them.
    daily_gain : mapping of ISO day to float
        Skill of its walk-forward tests by day; may be empty.
    """

    estimator: Estimator
    trained_until_ms: int
    symbols: tuple[str, ...] = ()
    horizons: tuple[int, ...] = ()
    daily_gain: Mapping[str, float] = field(default_factory=dict)


def collect_losses(
    found: Collected,
    losses: Callable[[Any, Dataset, float], LossesAt],
    candidate: Any,
    champion: ComparedChampion,
    test: Dataset,
    costs: float,
) -> None:
    """Add losses of both on the rows of `test` after the champion's training, of the markets it was trained on.

    For a candidate with an online correction the uncorrected losses are added as well, because the correction may be
    removed.
    """
    shared = [code for code, symbol in enumerate(test.symbols) if symbol in (champion.symbols or test.symbols)]
    answered = test.has_features & np.isin(test.market, shared)
    rows = test.take(np.flatnonzero((test.open_time >= champion.trained_until_ms) & answered))
    if not len(rows):
        return
    own_at, champions_at = losses(candidate, rows, costs), losses(champion.estimator, rows, costs)
    raw_at = None
    if getattr(candidate, "correction", NO_CORRECTION).active:
        raw_at = losses(replace(candidate, correction=NO_CORRECTION), rows, costs)
        found.uncorrected = found.uncorrected or Collected()
    for horizon in candidate.horizons:
        if horizon in champion.estimator.horizons:
            own, champion_losses = own_at(horizon), champions_at(horizon)
            known = np.isfinite(own) & np.isfinite(champion_losses)
            found.add((horizon,), own[known], champion_losses[known], rows.open_time[known])
            if raw_at is not None and found.uncorrected is not None:
                found.uncorrected.add((horizon,), raw_at(horizon)[known])


def versus_champion(
    found: Collected, champion: ComparedChampion, report: Mapping[str, Any], stride: int
) -> dict[str, Any]:
    """Compare with the champion on candles after its training, or on shared test days.

    Returns
    -------
    dict
        `evidence` ("later candles", "shared tests" or "none"), the `days` it rests on and the `later_days` there are
        after the champion's training; in percent of the champion's (or the baseline's) loss the `gain`, its block
        `error` and its `lower` bound; for later candles also the `increase` of the loss and its `increase_upper` bound.
    """
    cells = {key: columns for key, columns in found.cells().items() if len(columns[0])}
    later = count_days(np.concatenate([when for *_, when in cells.values()])) if cells else 0
    if later >= ENOUGH_DAYS:
        results = [
            (compare(own, champion_losses, when, horizon, stride), float(champion_losses.mean()))
            for (horizon,), (own, champion_losses, when) in sorted(cells.items())
        ]
        figures = _mean(results) | loss_increase(cells.values())
        return {"evidence": "later candles", "days": later, "later_days": later, **figures}
    gains = _daily_gain(report, champion)
    days = sorted(set(gains) & set(champion.daily_gain))
    if len(days) < ENOUGH_DAYS:
        bare = {"gain": 0.0, "error": 0.0, "lower": 0.0}
        return {"evidence": "none", "days": len(days), "later_days": later, **bare}
    when = np.array(days, dtype="datetime64[D]").astype(np.int64) * DAY_MS
    lost = [-np.array([by_day[day] for day in days]) for by_day in (gains, champion.daily_gain)]
    result = compare(lost[0], lost[1], when, horizon=1)
    return {"evidence": "shared tests", "days": len(days), "later_days": later, **_mean([(result, 1.0)])}


def loss_increase(cells: Iterable[tuple[np.ndarray, ...]]) -> dict[str, float]:
    """Increase of the loss over the champion's, in percent, by a block bootstrap of the paired rows.

    Parameters
    ----------
    cells : iterable of tuple
        Of each horizon the candidate's losses, the champion's losses and the open times (ms) of the same rows.

    Returns
    -------
    dict
        `increase`, the mean over the horizons, and `increase_upper`, the upper bound of its central 95 % interval.

    Examples
    --------
    >>> champion, times = np.ones(2000), np.arange(2000) * 300_000
    >>> loss_increase([(1.5 * champion, champion, times), (1.0 * champion, champion, times)])
    {'increase': 25.0, 'increase_upper': 25.0}
    """
    # In units of the champion's mean loss, so that every horizon counts the same.
    scaled = [(own / theirs.mean(), theirs / theirs.mean(), when) for own, theirs, when in cells]
    own, theirs, when = (np.concatenate(column) for column in zip(*scaled, strict=True))
    found = block_interval(own - theirs, when, theirs)
    return {"increase": 100 * found.mean, "increase_upper": 100 * found.upper}


def _mean(results: list[tuple[Comparison, float]]) -> dict[str, float]:
    """Mean over horizons in percent; horizons share candles, so the errors are averaged too."""
    gain, error, lower = (
        float(np.mean([100 * getattr(result, name) / loss for result, loss in results]))
        for name in ("mean", "error", "lower")
    )
    return {"gain": gain, "error": error, "lower": lower}


def _daily_gain(report: Mapping[str, Any], champion: ComparedChampion) -> Mapping[str, float]:
    """Daily gains of the candidate, if over the same markets and horizons as the champion's."""
    cells = report["cells"]
    same = (
        {cell["symbol"] for cell in cells} == set(champion.symbols)
        and {cell["horizon"] for cell in cells} == set(champion.horizons)
    )  # fmt: skip
    gains: Mapping[str, float] = (report.get("detail") or {}).get("daily_gain") or {}
    return gains if same else {}


def range_losses(predictor: RangePredictor, rows: Dataset, _costs: float) -> LossesAt:
    """Pinball losses of both sides, summed, of forecasts as served."""
    forecast = served_forecast(predictor, rows)

    def at(horizon: int) -> np.ndarray:
        k, j = forecast.at(horizon), rows.horizons.index(horizon)
        up = scores.pinball(np.log(forecast.high[:, k] / rows.close[:, None]), rows.up[:, j])
        return up + scores.pinball(np.log(rows.close[:, None] / forecast.low[:, k, ::-1]), rows.down[:, j])

    return at


def bracket_losses(classifier: TpslClassifier, rows: Dataset, _costs: float) -> LossesAt:
    """Brier losses of the symmetric bracket of a buy; NaN where the outcome is unknown."""
    view = classifier.view(rows.inputs)

    def at(horizon: int) -> np.ndarray:
        levels = bracket_levels(rows, horizon, "buy", (1.0, 1.0))
        outcome, _ = window_outcomes(rows, horizon, "buy", *levels)
        known = (outcome >= 0) & (outcome <= Touch.NEITHER)
        happened = np.eye(3)[np.where(known, outcome, 0)]
        return np.where(known, scores.brier(view.probabilities(horizon, "buy", *levels), happened), np.nan)

    return at


def direction_losses(classifier: SignalClassifier, rows: Dataset, costs: float) -> LossesAt:
    """Brier losses of the classes; NaN where the outcome is unknown."""
    probabilities = classifier.predict(rows.features)

    def at(horizon: int) -> np.ndarray:
        labels = direction_labels(rows, horizon, costs)
        return np.where(labels >= 0, scores.brier(probabilities, np.eye(3)[np.maximum(labels, 0)]), np.nan)

    return at
