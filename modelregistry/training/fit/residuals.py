"""Fit residual quantiles: linear regressions and pooled trees, conformally corrected."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr

from modelregistry.dataset.folds import purged_k_fold
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators import boosting
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.residuals import ResidualQuantiles, pooled_rows, tree_quantiles
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.scale import DIGITS

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
"""Conditions of the quantiles: position of the close in the recent range, and dispersion of that range."""
COMING = ("new_york_ahead", "new_york_morning_ahead", "london_ahead", "tokyo_ahead", "weekend_ahead")
"""Calendar conditions of the candles in a horizon; each horizon uses its own window."""
SHRINK = 100.0
"""Prior strength on the slopes, in independent outcomes."""
LINE_ROWS = 60_000
POOLED_ROWS = 120_000
TREES: dict[str, Any] = {
    "objective": "reg:quantileerror",
    "quantile_alpha": list(LEVELS),
    "max_depth": 4,
    "eta": 0.1,
    "subsample": 0.3,
    "colsample_bytree": 0.3,
    "min_child_weight": 600.0,
    "reg_lambda": 10.0,
}
CROSS_BLOCKS = 2
_BANDWIDTH = 0.02
_STEPS = 12


def fit_residuals(
    rows: Dataset,
    log_scale: np.ndarray,
    plan: TrainingPlan,
    feature_names: Sequence[str],
    tick: Callable[[str], None],
) -> ResidualQuantiles:
    """Fit every quantile on out-of-fold residuals, then apply a conformal correction.

    Parameters
    ----------
    rows : Dataset
        Thinned training rows.
    log_scale : ndarray of shape (n_rows, n_horizons)
        Out of fold, so that the residuals are as large as in serving.
    """
    units = np.stack([rows.up, rows.down], axis=2) / np.exp(log_scale)[:, :, None]
    names = condition_names(feature_names, rows.horizons)
    columns = tuple(feature_names.index(name) for name in dict.fromkeys(name for own in names for name in own))
    seen = rows.features[:, list(columns)].astype(np.float64)
    spread = seen.std(axis=0).round(DIGITS)
    shape = (len(rows.horizons), 2, len(LEVELS))
    unit = np.maximum(np.median(units, axis=0), 1e-6).round(DIGITS)
    bare = ResidualQuantiles(
        columns,
        seen.mean(axis=0).round(DIGITS),
        np.where(spread > 1e-9, spread, 1.0),
        np.zeros(shape),
        np.zeros((*shape, len(columns))),
        np.ones(shape),
        rows.horizons,
        unit,
    )
    z = bare.conditions(rows.features)
    recency = plan.recency_weights(rows)
    weights = np.exp(log_scale) * recency[:, None]
    weights /= weights.mean(axis=0)
    own = [[columns.index(feature_names.index(name)) for name in one] for one in names]
    _fit_lines(bare, rows, z, own, units, weights, tick)
    held_out = np.empty((len(rows), *shape))
    for fold in purged_k_fold(rows.open_time, rows.ends, CROSS_BLOCKS, embargo=plan.embargo_ms(rows)):
        part = rows.take(fold.test)
        for side, booster in enumerate(_fit_trees(rows, units, unit, fold.train, plan)):
            held_out[fold.test, :, side] = tree_quantiles(booster, part.features, rows.horizons, unit[:, side])
        tick("residual trees, held-out blocks")
    for side in (0, 1):
        predicted = np.maximum(0.5 * (bare.lines(side, z) + held_out[:, :, side]), 1e-6)
        for k in range(len(rows.horizons)):
            for j, level in enumerate(LEVELS):
                factor = conformal_factor(units[:, k, side] / predicted[:, k, j], level, recency)
                bare.correction[k, side, j] = round(factor, DIGITS)
    trees = _fit_trees(rows, units, unit, np.arange(len(rows)), plan)
    tick("residual trees, all rows")
    return ResidualQuantiles(**{**vars(bare), "trees": tuple(trees)})


def condition_names(feature_names: Sequence[str], horizons: Sequence[int]) -> list[list[str]]:
    """Condition names per horizon; of calendar features the window nearest to the horizon.

    Examples
    --------
    >>> condition_names(["momentum_6", "weekend_ahead_6", "weekend_ahead_72"], (6, 60))
    [['momentum_6', 'weekend_ahead_6'], ['momentum_6', 'weekend_ahead_72']]
    """
    shared = [name for name in CONDITIONS if name in feature_names]
    result = []
    for horizon in horizons:
        own = []
        for share in COMING:
            endings = [name.removeprefix(f"{share}_") for name in feature_names if name.startswith(f"{share}_")]
            windows = [int(ending) for ending in endings if ending.isdecimal()]
            if windows:
                own.append(f"{share}_{min(windows, key=lambda window: abs(np.log(window / horizon)))}")
        result.append(shared + own)
    return result


def _fit_lines(
    bare: ResidualQuantiles,
    rows: Dataset,
    z: np.ndarray,
    own: Sequence[list[int]],
    units: np.ndarray,
    weights: np.ndarray,
    tick: Callable[[str], None],
) -> None:
    pick = rows.thinned_positions(max(1, -(-len(rows) // LINE_ROWS)))
    candles = np.ptp(rows.open_time) / rows.grid.interval_ms
    for k, horizon in enumerate(rows.horizons):
        independent = max(candles / horizon, 1.0)
        seen = z[pick][:, own[k]]
        for side in (0, 1):
            values = units[pick, k, side]
            penalty = SHRINK / independent / max(float(values.std()), 1e-9)
            for j, level in enumerate(LEVELS):
                base, slopes = quantile_slopes(seen, values, level, penalty, weights[pick, k])
                bare.base[k, side, j] = round(base, DIGITS)
                bare.slopes[k, side, j, own[k]] = slopes.round(DIGITS)
    tick("residual lines")


def _fit_trees(
    rows: Dataset, units: np.ndarray, unit: np.ndarray, train: np.ndarray, plan: TrainingPlan
) -> list[boosting.Booster]:
    pooled = len(train) * len(rows.horizons)
    train = np.intersect1d(train, rows.thinned_positions(max(1, -(-pooled // POOLED_ROWS))))
    features = pooled_rows(rows.features[train], rows.horizons)
    relative = units[train] / unit
    settings = {**TREES, "min_child_weight": min(TREES["min_child_weight"], len(features) / 100)}
    weights = np.repeat(plan.recency_weights(rows)[train], len(rows.horizons))
    matrix = boosting.binned(
        features, relative[:, :, 0].reshape(-1), threads=plan.threads, weight=weights / weights.mean()
    )
    return [
        boosting.fit(
            boosting.relabel(matrix, relative[:, :, side].reshape(-1)),
            settings,
            plan.residual_rounds,
            seed=plan.seed,
            threads=plan.threads,
        )
        for side in (0, 1)
    ]


def quantile_slopes(
    conditions: np.ndarray, values: np.ndarray, level: float, penalty: float, row_weights: np.ndarray | None = None
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
    row_weights : ndarray of shape (n_rows,), optional
        Positive, 1 on average; ones by default.

    Returns
    -------
    base : float
    slopes : ndarray of shape (n_columns,)

    Examples
    --------
    >>> z = np.repeat([-1.0, 1.0], 1001)[:, None]
    >>> values = 3.0 + 0.5 * z[:, 0] + np.tile(np.linspace(-1.0, 1.0, 1001), 2)
    >>> base, slopes = quantile_slopes(z, values, 0.75, 0.0)
    >>> round(base, 2), slopes.round(2).tolist()
    (3.5, [0.5])
    """
    design = np.column_stack([np.ones(len(values)), conditions])
    share = (np.ones(len(values)) if row_weights is None else row_weights) / len(values)
    ridge = np.diag([0.0, *[penalty] * conditions.shape[1]])
    weights = np.zeros(design.shape[1])
    weights[0] = np.quantile(values, level)
    width = max(_BANDWIDTH * (np.quantile(values, 0.9) - np.quantile(values, 0.1)), 1e-9)
    for widening in (8.0, 4.0, 2.0, *[1.0] * _STEPS):
        smooth = width * widening
        gap = (design @ weights - values) / smooth
        slope = design.T @ (share * (ndtr(gap) - level)) + ridge @ weights
        density = np.exp(-0.5 * gap**2) / np.sqrt(2 * np.pi) / smooth
        # The floor keeps the step finite where the density is near zero.
        bend = design.T @ (design * (share * (density + 0.02 / smooth))[:, None]) + ridge
        step = np.linalg.solve(bend + 1e-12 * np.eye(len(weights)), slope)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0]), weights[1:]


def conformal_factor(ratios: np.ndarray, level: float, weights: np.ndarray) -> float:
    """Factor that makes a quantile cover `level` of the weighted rows, by the finite-sample rank.

    Examples
    --------
    >>> conformal_factor(np.array([0.5, 1.0, 1.5, 2.0]), 0.5, np.ones(4))
    1.5
    """
    order = np.argsort(ratios, kind="stable")
    reached = np.cumsum(weights[order])
    # A further row of average weight stands for the one to be forecast.
    wanted = level * (reached[-1] + reached[-1] / len(ratios))
    rank = min(int(np.searchsorted(reached, wanted * (1.0 - 1e-12))), len(ratios) - 1)
    return float(np.clip(ratios[order[rank]], 0.2, 5.0))
