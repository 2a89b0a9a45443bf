"""Fit the TP/SL classifier: how far the closed forms of a random walk are from what the barriers saw."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit

from indicators.barriers import Side, Touch
from modelregistry.estimators.tpsl_classifier import (
    BracketView,
    Calibration,
    TpslClassifier,
    order_terms,
    touch_terms,
)
from modelregistry.training.dataset import Dataset
from modelregistry.training.fit_range import fit_novelty
from modelregistry.training.fit_scale import DIGITS, FittedScale
from modelregistry.training.outcomes import bracket_levels, window_outcomes
from modelregistry.training.plan import TrainingPlan

SHAPES = (
    (1.0, 1.0),
    (1.5, 0.75),
    (0.75, 1.5),
    (0.5, 0.5),
    (2.0, 1.0),
    (1.0, 2.0),
    (0.7, 0.7),
    (1.4, 1.4),
    (0.4, 1.2),
    (1.2, 0.4),
)
"""Take-profit and stop-loss distances learned from, in units of ``sigma * sqrt(h)``."""
SIDES: tuple[Side, ...] = ("buy", "sell")
DISTANCES = (0.25, 0.5, 0.8, 1.2, 1.7, 2.4)
MAX_ROWS = 24_000
PRIOR_OUTCOMES = 200.0
"""Strength of the belief in the closed form, in independent outcomes."""
MEAN_LOG_RANGE = 0.42567606
SPREAD_LOG_RANGE = 0.28667172
"""Mean and standard deviation of the log range of a standard Brownian motion over unit time (Feller 1951)."""


def fit_brackets(
    rows: Dataset, scale: FittedScale, plan: TrainingPlan, feature_names: Sequence[str], tick: Callable[[str], None]
) -> TpslClassifier:
    """Calibrate the closed forms on out-of-fold scales."""
    pick = scale.rows.every(max(1, -(-len(scale.rows) // MAX_ROWS)))
    chosen, log_scale = scale.rows.take(pick), scale.out_of_fold[pick]
    calibrations = []
    for k, horizon in enumerate(rows.horizons):
        calibrations.append(_calibrate(chosen, log_scale, k, horizon))
        tick("bracket calibration")
    return TpslClassifier(
        scale.model,
        tuple(calibrations),
        fit_novelty(rows, feature_names),
        {**plan.as_hyperparameters(), **scale.chosen, "shapes": [list(shape) for shape in SHAPES]},
    )


def _calibrate(rows: Dataset, log_scale: np.ndarray, k: int, horizon: int) -> Calibration:
    error = rows.log_range[:, k] - log_scale[:, k]
    spread = float(np.sqrt(max(error.var() - SPREAD_LOG_RANGE**2, 0.01)))
    bare = Calibration(
        round(float(error.mean()) - MEAN_LOG_RANGE, DIGITS),
        round(spread, DIGITS),
        np.array([0.0, 1.0, 0.0, 0.0]),
        np.array([0.0, 1.0, 0.0]),
        np.array([0.0, 1.0, 0.0, 0.0]),
    )
    view = BracketView(rows.horizons, (bare,) * len(rows.horizons), rows.close, rows.sigma, log_scale)
    independent = max(np.ptp(rows.open_time) / 300_000 / horizon, 1.0)
    touch_rows, touched, order_rows, won = [], [], [], []
    for side in SIDES:
        for shape in SHAPES:
            take_profit, stop_loss = bracket_levels(rows, horizon, side, shape)
            outcome, _ = window_outcomes(rows, horizon, side, take_profit, stop_loss)
            known = (outcome != Touch.UNKNOWN) & (outcome != Touch.VOID)
            near, far, tp, sl, deviation = view.closed_form(horizon, side, take_profit, stop_loss)
            touch_rows.append(touch_terms(tp + sl, near + far, deviation)[known])
            touched.append(outcome[known] != Touch.NEITHER)
            decided = known & (outcome != Touch.NEITHER)
            order_rows.append(order_terms(tp, sl, near, far, rows.sigma)[decided])
            won.append(outcome[decided] == Touch.TAKE_PROFIT)
    return Calibration(
        bare.level,
        bare.spread,
        logistic(np.concatenate(touch_rows), np.concatenate(touched), bare.touch, independent),
        logistic(np.concatenate(order_rows), np.concatenate(won), bare.order, independent),
        _single(view, rows, k, horizon, bare.single, independent),
    )


def _single(
    view: BracketView, rows: Dataset, k: int, horizon: int, prior: np.ndarray, independent: float
) -> np.ndarray:
    designs, reached = [], []
    for sign, distances in ((1.0, rows.up[:, k]), (-1.0, rows.down[:, k])):
        for multiple in DISTANCES:
            price = rows.close * np.exp(sign * multiple * rows.sigma * np.sqrt(horizon))
            distance, chance, deviation = view.closed_reach(horizon, price)
            designs.append(touch_terms(chance, distance, deviation))
            reached.append(distances >= distance)
    return logistic(np.concatenate(designs), np.concatenate(reached), prior, independent)


def logistic(design: np.ndarray, happened: np.ndarray, prior: np.ndarray, independent: float) -> np.ndarray:
    """Logistic regression drawn towards `prior` coefficients, as if by :data:`PRIOR_OUTCOMES` outcomes.

    Examples
    --------
    >>> design = np.column_stack([np.ones(1000), np.zeros(1000)])
    >>> logistic(design, np.arange(1000) < 731, np.array([0.0, 1.0]), 1e12).round(2).tolist()
    [1.0, 1.0]
    """
    strength = len(design) * PRIOR_OUTCOMES / independent * 0.05
    weights = prior.astype(np.float64)
    for _ in range(30):
        fitted = expit(design @ weights)
        slope = design.T @ (fitted - happened) + strength * (weights - prior)
        bend = design.T @ (design * (fitted * (1 - fitted))[:, None]) + (strength + 1e-9) * np.eye(len(prior))
        step = np.linalg.solve(bend, slope)
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    return weights.round(DIGITS)
