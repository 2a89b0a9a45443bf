"""A candidate beside the champion on the same later rows: who lost less, and how sure that is."""

from typing import Any

import numpy as np

from indicators.barriers import Touch
from modelregistry.evaluation import metrics
from modelregistry.evaluation.paired import compare
from modelregistry.training.dataset import Dataset
from modelregistry.training.outcomes import bracket_levels, direction_labels, window_outcomes


def versus_champion(kind: str, candidate: Any, champion: Any, rows: Dataset, costs: float) -> dict[str, Any]:
    """Compare two estimators of one kind, averaged over horizons.

    Returns
    -------
    dict
        `rows`, and in percent of the champion's loss `gain`, its block `error` and the `lower` bound of the gain.
    """
    shared = [h for h in candidate.horizons if h in champion.horizons]
    if not len(rows) or not shared:
        return {"rows": 0, "gain": 0.0, "error": 0.0, "lower": 0.0}
    found = [(_losses(kind, candidate, rows, h, costs), _losses(kind, champion, rows, h, costs), h) for h in shared]
    gains, errors = [], []
    for own, theirs, horizon in found:
        known = np.isfinite(own) & np.isfinite(theirs)
        result = compare(own[known], theirs[known], rows.open_time[known], horizon, rows.stride)
        loss = float(theirs[known].mean())
        gains.append(100 * result.mean / loss)
        errors.append(100 * result.error / loss)
    gain, error = float(np.mean(gains)), float(np.mean(errors))
    return {"rows": len(rows), "gain": gain, "error": error, "lower": gain - 1.96 * error}


def _losses(kind: str, estimator: Any, rows: Dataset, horizon: int, costs: float) -> np.ndarray:
    if kind == "range_predictor":
        forecast = estimator.predict(rows.features, rows.close, rows.sigma)
        k, j = forecast.at(horizon), rows.horizons.index(horizon)
        up = metrics.pinball(np.log(forecast.high[:, k] / rows.close[:, None]), rows.up[:, j])
        return up + metrics.pinball(np.log(rows.close[:, None] / forecast.low[:, k, ::-1]), rows.down[:, j])
    if kind == "tpsl_classifier":
        take_profit, stop_loss = bracket_levels(rows, horizon, "buy", (1.0, 1.0))
        outcome, _ = window_outcomes(rows, horizon, "buy", take_profit, stop_loss)
        known = (outcome >= 0) & (outcome <= Touch.NEITHER)
        chances = estimator.probabilities(rows.features, rows.close, rows.sigma, horizon, "buy", take_profit, stop_loss)
        return np.where(known, metrics.brier(chances, np.eye(3)[np.where(known, outcome, 0)]), np.nan)
    labels = direction_labels(rows, horizon, costs)
    chances = estimator.predict(rows.features)
    return np.where(labels >= 0, metrics.brier(chances, np.eye(3)[np.maximum(labels, 0)]), np.nan)
