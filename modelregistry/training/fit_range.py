"""Fit the range predictor: quantiles of out-of-fold residuals, given a few conditions."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtr

from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.novelty import Novelty
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.residuals import CLIP, ResidualQuantiles
from modelregistry.training.dataset import Dataset
from modelregistry.training.fit_scale import DIGITS, FittedScale
from modelregistry.training.plan import TrainingPlan

CONDITIONS = (
    "momentum_6",
    "momentum_12",
    "momentum_36",
    "momentum_72",
    "momentum_288",
    "below_high_72",
    "above_low_72",
    "slope_72",
    "vol_of_vol_72",
    "vol_of_vol_288",
    "largest_12",
    "close_to_close_72",
    "volatility_level",
    "efficiency_72",
)
"""What bends the quantiles: direction tilts up against down, unevenness fattens the tails."""
SHRINK = 100.0
"""Prior strength on the slopes, in independent outcomes: a slope of this many is believed by half."""
MAX_ROWS = 60_000
WIDE_SHARE = 0.9995
WIDE_FACTOR = 1.5
_BANDWIDTH = 0.02
_STEPS = 12


def quantile_slopes(
    conditions: np.ndarray, values: np.ndarray, level: float, penalty: float
) -> tuple[float, np.ndarray]:
    """Linear quantile regression with a smoothed pinball loss, by Newton steps.

    Parameters
    ----------
    conditions : ndarray of shape (n_rows, n_columns)
        Standardised.
    values : ndarray of shape (n_rows,)
    level : float
    penalty : float
        Ridge on the slopes, per row.

    Returns
    -------
    base : float
    slopes : ndarray of shape (n_columns,)

    Examples
    --------
    >>> z = np.linspace(-1.0, 1.0, 2001)[:, None]
    >>> base, slopes = quantile_slopes(z, 3.0 + 2.0 * z[:, 0], 0.5, 0.0)
    >>> round(base, 3), slopes.round(3).tolist()
    (3.0, [2.0])
    """
    design = np.column_stack([np.ones(len(values)), conditions])
    ridge = np.diag([0.0, *[penalty] * conditions.shape[1]])
    weights = np.zeros(design.shape[1])
    weights[0] = np.quantile(values, level)
    width = max(_BANDWIDTH * (np.quantile(values, 0.9) - np.quantile(values, 0.1)), 1e-9)
    for widening in (8.0, 4.0, 2.0, *[1.0] * _STEPS):
        smooth = width * widening
        gap = (design @ weights - values) / smooth
        slope = design.T @ (ndtr(gap) - level) / len(values) + ridge @ weights
        density = np.exp(-0.5 * gap**2) / np.sqrt(2 * np.pi) / smooth
        # A floor keeps the step finite where a quantile has hardly a neighbour.
        bend = design.T @ (design * (density + 0.02 / smooth)[:, None]) / len(values) + ridge
        step = np.linalg.solve(bend + 1e-12 * np.eye(len(weights)), slope)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0]), weights[1:]


def fit_residuals(
    rows: Dataset, log_scale: np.ndarray, feature_names: Sequence[str], tick: Callable[[str], None]
) -> ResidualQuantiles:
    """Fit every quantile on out-of-fold residuals, then correct each level conformally.

    Parameters
    ----------
    rows : Dataset
    log_scale : ndarray of shape (n_rows, n_horizons)
        Out of fold, so that the residuals are as large as live ones.
    """
    columns = tuple(feature_names.index(name) for name in CONDITIONS if name in feature_names)
    seen = rows.features[:, list(columns)].astype(np.float64)
    centre, spread = seen.mean(axis=0).round(DIGITS), seen.std(axis=0).round(DIGITS)
    spread = np.where(spread > 1e-9, spread, 1.0)
    shape = (len(rows.horizons), 2, len(LEVELS))
    fitted = ResidualQuantiles(
        columns, centre, spread, np.zeros(shape), np.zeros((*shape, len(columns))), np.ones(shape)
    )
    pick = np.arange(0, len(rows), max(1, -(-len(rows) // MAX_ROWS)))
    z = fitted.conditions(rows.features)
    days = np.ptp(rows.open_time) / 86_400_000
    for k, horizon in enumerate(rows.horizons):
        independent = max(days * 288 / horizon, 1.0)
        for side, distance in enumerate((rows.up, rows.down)):
            residual = distance[:, k] / np.exp(log_scale[:, k])
            for j, level in enumerate(LEVELS):
                penalty = SHRINK / independent / max(float(residual.std()), 1e-9)
                base, slopes = quantile_slopes(z[pick], residual[pick], level, penalty)
                fitted.base[k, side, j] = round(base, DIGITS)
                fitted.slopes[k, side, j] = slopes.round(DIGITS)
                predicted = np.maximum(base + z @ slopes, 1e-6)
                fitted.correction[k, side, j] = round(conformal_factor(residual / predicted, level), DIGITS)
        tick("residual quantiles")
    return fitted


def conformal_factor(ratios: np.ndarray, level: float) -> float:
    """Factor that makes a scaled quantile cover `level` of the rows, with the finite-sample rank.

    Examples
    --------
    >>> conformal_factor(np.array([0.5, 1.0, 1.5, 2.0]), 0.5)
    1.5
    """
    rank = min(int(np.ceil((len(ratios) + 1) * level)), len(ratios))
    return float(np.clip(np.partition(ratios, rank - 1)[rank - 1], 0.2, 5.0))


def fit_range(
    rows: Dataset, scale: FittedScale, plan: TrainingPlan, feature_names: Sequence[str], tick: Callable[[str], None]
) -> RangePredictor:
    """Put the range predictor together from a fitted scale."""
    residuals = fit_residuals(rows, scale.out_of_fold, feature_names, tick)
    up, down = residuals.distances(scale.out_of_fold, rows.features)
    width = np.quantile(up[:, :, -1] + down[:, :, -1], WIDE_SHARE, axis=0) * WIDE_FACTOR
    return RangePredictor(
        scale.model,
        residuals,
        fit_novelty(rows, feature_names),
        width.round(DIGITS),
        {**plan.as_hyperparameters(), **scale.chosen, "conditions": list(CONDITIONS), "clip": CLIP},
    )


KEY_FEATURES = (
    "volatility_level",
    "ewm_6",
    "ewm_192",
    "har_12",
    "har_2016",
    "vol_of_vol_72",
    "largest_12",
    "momentum_12",
    "momentum_72",
    "momentum_288",
    "volume_12",
)
"""Few and different: a distance over every feature would call every row unusual in something."""


def fit_novelty(rows: Dataset, feature_names: Sequence[str]) -> Novelty:
    """Measure the training rows; the newest fifth guards the limit."""
    columns = tuple(feature_names.index(name) for name in KEY_FEATURES if name in feature_names)
    cut = int(len(rows) * 0.8)
    return Novelty.learn(rows.features[:cut], rows.features[cut:], columns)
