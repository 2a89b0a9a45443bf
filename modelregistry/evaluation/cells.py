"""Scores by cell: market x horizon x target for ranges, and x side x bracket for probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelregistry.evaluation import metrics
from modelregistry.evaluation.baselines import FREE
from modelregistry.evaluation.paired import block_error, compare

TARGETS = ("high", "low")


def range_cell(
    quantiles: np.ndarray,
    actual: np.ndarray,
    others: Mapping[str, np.ndarray],
    open_time: np.ndarray,
    horizon: int,
    stride: int,
) -> dict[str, Any]:
    """Score one market, horizon and target beside its baselines.

    Parameters
    ----------
    quantiles : ndarray of shape (n_rows, 7)
        Of the distance from the close as a fraction of it, ascending; rows of NaN were refused and count as the
        best free baseline.
    actual : ndarray of shape (n_rows,)
    others : mapping of baseline name to ndarray of shape (n_rows, 7)
    open_time : ndarray of shape (n_rows,)
        Milliseconds, ascending.
    horizon, stride : int
        Candles.

    Returns
    -------
    dict
        Losses in basis points of the close, skills and coverages in percent.
    """
    losses = {name: metrics.pinball(found, actual) * metrics.BPS for name, found in others.items()}
    best = min((name for name in FREE if name in losses), key=lambda name: losses[name].mean())
    answered = np.isfinite(quantiles).all(axis=1)
    own = np.where(answered, metrics.pinball(np.nan_to_num(quantiles), actual) * metrics.BPS, losses[best])
    versus = compare(own, losses[best], open_time, horizon, stride)
    inside = metrics.coverage(quantiles[answered], actual[answered])
    in_eighty = (actual >= quantiles[:, 1]) & (actual <= quantiles[:, 5])
    floor = losses[best].mean()
    return {
        "rows": len(actual),
        "answered": 100 * float(answered.mean()),
        "pinball": float(own.mean()),
        "baselines": {name: float(loss.mean()) for name, loss in losses.items()},
        "best_baseline": best,
        "skill": 100 * versus.mean / floor,
        "skill_error": 100 * versus.error / floor,
        "p_value": versus.p_value,
        "effective_n": versus.effective_n,
        "skill_over_ewm": 100 * (1 - float(own.mean() / losses["ewm"].mean())),
        "coverage_80": 100 * inside["inside_0.8"],
        "coverage_90": 100 * inside["inside_0.9"],
        "coverage_80_error": 100 * block_error(in_eighty[answered].astype(float), open_time[answered]),
        "below_05": 100 * inside["below_0.05"],
        "below_50": 100 * inside["below_0.50"],
        "below_95": 100 * inside["below_0.95"],
        "median_error_bps": float(np.abs(actual - quantiles[:, 3])[answered].mean() * metrics.BPS),
        "bias_bps": float((quantiles[:, 3] - actual)[answered].mean() * metrics.BPS),
        "interval_score_bps": metrics.interval_score(quantiles[answered], actual[answered]) * metrics.BPS,
    }


def bracket_cell(chances: np.ndarray, outcomes: np.ndarray, near: np.ndarray, far: np.ndarray) -> dict[str, Any]:
    """Score three-way probabilities of one market, horizon, side and bracket.

    Parameters
    ----------
    chances, outcomes : ndarray of shape (n_rows, 3)
        Forecast, and 0/1 for take-profit, stop-loss, neither.
    near, far : ndarray of shape (n_rows,)
        Distances to take-profit and stop-loss.

    Returns
    -------
    dict
        Brier scores beside the cell's own base rate and the random walk given the cell's own touch rate, which no
        forecaster could know beforehand; skills in percent.
    """
    share = outcomes.mean(axis=0)
    touch = 1.0 - share[2]
    walk = np.column_stack(
        [touch * far / (near + far), touch * near / (near + far), np.full(len(outcomes), 1.0 - touch)]
    )
    own = float(metrics.brier(chances, outcomes).mean())
    base = float(metrics.brier(np.broadcast_to(share, outcomes.shape), outcomes).mean())
    passage = float(metrics.brier(walk, outcomes).mean())
    intercept, slope = metrics.calibration_line(chances[:, 0], outcomes[:, 0])
    return {
        "rows": len(outcomes),
        "base_rate": float(share[0]),
        "brier": own,
        "baselines": {"base_rate": base, "first_passage": passage},
        "skill": 100 * (1 - own / base),
        "skill_over_first_passage": 100 * (1 - own / passage),
        "log_loss": metrics.log_loss(chances, outcomes),
        "calibration_error": metrics.calibration_error(chances[:, 0], outcomes[:, 0]),
        "calibration_intercept": intercept,
        "calibration_slope": slope,
    }


def mean_of(cells: Sequence[Mapping[str, Any]], name: str) -> float:
    """Average a figure over cells: never pooled."""
    return float(np.mean([cell[name] for cell in cells])) if cells else float("nan")
