"""Scores by cell.

A cell is one market, horizon and target for ranges; one market, horizon, side and bracket for probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelregistry.evaluation.baselines.regressions import REQUIRED_BASELINES
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.metrics.coverage import coverage_check
from modelregistry.evaluation.significance.paired import compare

TARGETS = ("high", "low")
CORRECTED = "_corrected"
"""Suffix of a baseline with the candidate's online correction applied."""


@dataclass(frozen=True, eq=False)
class Losses:
    """Losses of every row of a cell, in basis points of the close.

    Parameters
    ----------
    own : ndarray of shape (n_rows,)
        Of the forecast; a refused row has the loss of the best baseline.
    baselines : dict of name to ndarray of shape (n_rows,)
        Each with or without the online correction, whichever has the smaller mean loss.
    best : str
        Name of the baseline with the smallest mean loss.
    corrected : list of str
        Baselines that are better with the correction.
    valid : ndarray of bool of shape (n_rows,)
    """

    own: np.ndarray
    baselines: dict[str, np.ndarray]
    best: str
    corrected: list[str]
    valid: np.ndarray

    @property
    def best_loss(self) -> np.ndarray:
        """Losses of the best baseline."""
        return self.baselines[self.best]


def losses_of(quantiles: np.ndarray, actual: np.ndarray, others: Mapping[str, np.ndarray]) -> Losses:
    """Losses of a forecast and of the baselines on one cell.

    Parameters
    ----------
    quantiles : ndarray of shape (n_rows, 7)
        NaN rows were refused.
    actual : ndarray of shape (n_rows,)
    others : mapping of baseline name to ndarray of shape (n_rows,)
        Losses in basis points; a name that ends in :data:`CORRECTED` is the corrected form of a baseline.
    """
    means = {name: float(loss.mean()) for name, loss in others.items()}
    plain = [name for name in others if not name.endswith(CORRECTED)]
    corrected = [name for name in plain if means.get(name + CORRECTED, np.inf) < means[name]]
    baselines = {name: others[name + CORRECTED if name in corrected else name] for name in plain}
    best = min((name for name in REQUIRED_BASELINES if name in baselines), key=lambda name: baselines[name].mean())
    valid = np.isfinite(quantiles).all(axis=1)
    own = np.where(valid, scores.pinball(np.nan_to_num(quantiles), actual) * scores.BPS, baselines[best])
    return Losses(own, baselines, best, corrected, valid)


def range_cell(
    quantiles: np.ndarray,
    actual: np.ndarray,
    lost: Losses,
    open_time: np.ndarray,
    horizon: int,
    stride: int,
) -> dict[str, Any]:
    """Scores of one market, horizon and target beside its baselines.

    Parameters
    ----------
    quantiles : ndarray of shape (n_rows, 7)
        Of the distance from the close as a fraction of it, ascending; NaN rows were refused and count as the
        best baseline.
    actual : ndarray of shape (n_rows,)
    lost : Losses
        From :func:`losses_of`.
    open_time : ndarray of shape (n_rows,)
        Milliseconds, ascending.
    horizon, stride : int
        Candles.

    Returns
    -------
    dict
        Losses in basis points of the close, skills and coverages in percent.
    """
    own, losses, valid = lost.own, lost.baselines, lost.valid
    versus = compare(own, lost.best_loss, open_time, horizon, stride)
    inside = scores.coverage(quantiles[valid], actual[valid])
    best_loss = lost.best_loss.mean()
    return {
        "rows": len(actual),
        "answered": 100 * float(valid.mean()),
        "pinball": float(own.mean()),
        "baselines": {name: float(loss.mean()) for name, loss in losses.items()},
        "best_baseline": lost.best,
        "baselines_corrected": lost.corrected,
        "skill": 100 * versus.mean / best_loss,
        "skill_error": 100 * versus.error / best_loss,
        "p_value": versus.p_value,
        "effective_n": versus.effective_n,
        "skill_over_ewm": 100 * (1 - float(own.mean() / losses["ewm"].mean())),
        "coverage_80": 100 * inside["inside_0.8"],
        "coverage_90": 100 * inside["inside_0.9"],
        **coverage_check(quantiles[valid], actual[valid], open_time[valid]),
        "below_05": 100 * inside["below_0.05"],
        "below_50": 100 * inside["below_0.50"],
        "below_95": 100 * inside["below_0.95"],
        "median_error_bps": float(np.abs(actual - quantiles[:, 3])[valid].mean() * scores.BPS),
        "bias_bps": float((quantiles[:, 3] - actual)[valid].mean() * scores.BPS),
        "interval_score_bps": scores.interval_score(quantiles[valid], actual[valid]) * scores.BPS,
    }


def bracket_cell(
    probabilities: np.ndarray,
    outcomes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    open_time: np.ndarray,
    horizon: int,
    stride: int,
) -> dict[str, Any]:
    """Scores of three-way probabilities of one market, horizon, side and bracket.

    Parameters
    ----------
    probabilities, outcomes : ndarray of shape (n_rows, 3)
        Forecast, and 0/1 for take-profit, stop-loss, neither; NaN rows were refused and count as the better
        baseline.
    near, far : ndarray of shape (n_rows,)
        Distances to take-profit and stop-loss.
    open_time : ndarray of shape (n_rows,)
        Milliseconds, ascending.
    horizon, stride : int
        Candles.

    Returns
    -------
    dict
        Brier scores beside the base rate of the cell and the random walk with the touch rate of the cell (both in
        sample, so harder than any real baseline); skills in percent.
    """
    share = outcomes.mean(axis=0)
    touch = 1.0 - share[2]
    walk = np.column_stack(
        [touch * far / (near + far), touch * near / (near + far), np.full(len(outcomes), 1.0 - touch)]
    )
    flat, valid = np.broadcast_to(share, outcomes.shape), np.isfinite(probabilities).all(axis=1)
    base, passage = (scores.brier(one, outcomes) for one in (flat, walk))
    own = np.where(valid, scores.brier(probabilities, outcomes), base if base.mean() <= passage.mean() else passage)
    versus = compare(own, base, open_time, horizon, stride)
    probabilities, outcomes = probabilities[valid], outcomes[valid]
    intercept, slope = scores.calibration_line(probabilities[:, 0], outcomes[:, 0])
    return {
        "rows": len(valid),
        "answered": 100 * float(valid.mean()),
        "base_rate": float(share[0]),
        "brier": float(own.mean()),
        "baselines": {"base_rate": float(base.mean()), "first_passage": float(passage.mean())},
        "skill": 100 * versus.mean / float(base.mean()),
        "skill_error": 100 * versus.error / float(base.mean()),
        "p_value": versus.p_value,
        "effective_n": versus.effective_n,
        "skill_over_first_passage": 100 * (1 - float(own.mean() / passage.mean())),
        "log_loss": scores.log_loss(probabilities, outcomes),
        "calibration_error": scores.calibration_error(probabilities[:, 0], outcomes[:, 0]),
        "calibration_intercept": intercept,
        "calibration_slope": slope,
    }


def mean_of(cells: Sequence[Mapping[str, Any]], name: str) -> float:
    """Mean of a score over cells, not pooled over rows."""
    return float(np.mean([cell[name] for cell in cells])) if cells else float("nan")
