"""Champion comparison on data that neither version was trained on.

The champion can only be scored on candles after its training. While there are too few of them, both are compared by
their purged walk-forward tests on the days they share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from indicators.barriers import Touch
from indicators.candles import DAY_MS
from modelregistry.dataset.outcomes import bracket_levels, direction_labels, window_outcomes
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.forecast import RangeForecast
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.reports.report import Collected
from modelregistry.evaluation.reports.served import served_forecast, uncorrected_forecast
from modelregistry.evaluation.significance.paired import Comparison, compare, count_days

ENOUGH_DAYS = 30
"""Minimum days of a comparison: after the champion's training, or of shared tests."""


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

    estimator: Any
    trained_until_ms: int
    symbols: tuple[str, ...] = ()
    horizons: tuple[int, ...] = ()
    daily_gain: Mapping[str, float] = field(default_factory=dict)


def collect_losses(
    found: Collected, kind: str, candidate: Any, champion: ComparedChampion, test: Dataset, costs: float
) -> None:
    """Add losses of both on the rows of `test` after the champion's training.

    For a candidate with an online correction the uncorrected losses are added as well, because the correction may be
    removed.
    """
    rows = test.take(np.flatnonzero((test.open_time >= champion.trained_until_ms) & test.has_features))
    if not len(rows):
        return
    ranges = kind == "range_predictor"
    forecasts = [served_forecast(one, rows) if ranges else None for one in (candidate, champion.estimator)]
    raw = uncorrected_forecast(candidate, rows) if ranges else None
    if raw is not None and found.uncorrected is None:
        found.uncorrected = Collected()
    for horizon in candidate.horizons:
        if horizon in champion.estimator.horizons:
            own = _losses(kind, candidate, rows, horizon, costs, forecasts[0])
            champion_losses = _losses(kind, champion.estimator, rows, horizon, costs, forecasts[1])
            known = np.isfinite(own) & np.isfinite(champion_losses)
            found.add((horizon,), own[known], champion_losses[known], rows.open_time[known])
            if raw is not None and found.uncorrected is not None:
                bare = _losses(kind, candidate, rows, horizon, costs, raw)
                found.uncorrected.add((horizon,), bare[known])


def versus_champion(
    found: Collected, champion: ComparedChampion, report: Mapping[str, Any], stride: int
) -> dict[str, Any]:
    """Compare with the champion on candles after its training, or on shared test days.

    Parameters
    ----------
    found : Collected
        From :func:`collect_losses`, over all folds.
    champion : ComparedChampion
    report : mapping
        Of the candidate, with its `detail`.
    stride : int
        Candles between rows.

    Returns
    -------
    dict
        `evidence` ("later candles", "shared tests" or "none"), the `days` it rests on and the `later_days` there are
        after the champion's training; in percent of the champion's (or the baseline's) loss the `gain`, its block
        `error` and its `lower` bound.
    """
    cells = {key: columns for key, columns in found.cells().items() if len(columns[0])}
    later = count_days(np.concatenate([when for *_, when in cells.values()])) if cells else 0
    if later >= ENOUGH_DAYS:
        results = [
            (compare(own, champion_losses, when, horizon, stride), float(champion_losses.mean()))
            for (horizon,), (own, champion_losses, when) in sorted(cells.items())
        ]
        return {"evidence": "later candles", "days": later, "later_days": later, **_mean(results)}
    gains = _daily_gain(report, champion)
    days = sorted(set(gains) & set(champion.daily_gain))
    if len(days) < ENOUGH_DAYS:
        bare = {"gain": 0.0, "error": 0.0, "lower": 0.0}
        return {"evidence": "none", "days": len(days), "later_days": later, **bare}
    when = np.array(days, dtype="datetime64[D]").astype(np.int64) * DAY_MS
    lost = [-np.array([by_day[day] for day in days]) for by_day in (gains, champion.daily_gain)]
    result = compare(lost[0], lost[1], when, horizon=1)
    return {"evidence": "shared tests", "days": len(days), "later_days": later, **_mean([(result, 1.0)])}


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


def _losses(
    kind: str, estimator: Any, rows: Dataset, horizon: int, costs: float, forecast: RangeForecast | None
) -> np.ndarray:
    if forecast is not None:
        k, j = forecast.at(horizon), rows.horizons.index(horizon)
        up = scores.pinball(np.log(forecast.high[:, k] / rows.close[:, None]), rows.up[:, j])
        return up + scores.pinball(np.log(rows.close[:, None] / forecast.low[:, k, ::-1]), rows.down[:, j])
    if kind == "tpsl_classifier":
        take_profit, stop_loss = bracket_levels(rows, horizon, "buy", (1.0, 1.0))
        outcome, _ = window_outcomes(rows, horizon, "buy", take_profit, stop_loss)
        known = (outcome >= 0) & (outcome <= Touch.NEITHER)
        probabilities = estimator.probabilities(
            rows.features, rows.close, rows.sigma, horizon, "buy", take_profit, stop_loss
        )
        return np.where(known, scores.brier(probabilities, np.eye(3)[np.where(known, outcome, 0)]), np.nan)
    labels = direction_labels(rows, horizon, costs)
    probabilities = estimator.predict(rows.features)
    return np.where(labels >= 0, scores.brier(probabilities, np.eye(3)[np.maximum(labels, 0)]), np.nan)
