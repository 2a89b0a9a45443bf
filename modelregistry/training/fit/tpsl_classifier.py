"""Fit the TP/SL classifier: calibration of the random-walk closed forms on bracket outcomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from indicators.barriers import Side, Touch
from indicators.candles import MONTH_MS
from modelregistry.dataset.outcomes import bracket_levels, window_outcomes
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.bracket_calibration import (
    SIDES,
    Calibration,
    expected_return,
    order_terms,
    touch_terms,
    walk_middle,
)
from modelregistry.estimators.tpsl_classifier import BracketView, TpslClassifier
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.range_predictor import fit_novelty
from modelregistry.training.fit.scale import DIGITS, FittedScale

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
"""Take-profit and stop-loss distances of the fit, in units of ``sigma * sqrt(h)``."""
DISTANCES = (0.25, 0.5, 0.8, 1.2, 1.7, 2.4)
MAX_ROWS = 24_000
PRIOR_OUTCOMES = 200.0
"""Prior strength of the closed form, in independent outcomes."""
MEAN_LOG_RANGE = 0.42567606
SPREAD_LOG_RANGE = 0.28667172
"""Mean and standard deviation of the log range of a standard Brownian motion over unit time (Feller 1951)."""


def fit_brackets(
    rows: Dataset, scale: FittedScale, plan: TrainingPlan, feature_names: Sequence[str], tick: Callable[[str], None]
) -> TpslClassifier:
    """Calibrate the closed forms on out-of-fold scales."""
    pick = scale.rows.thinned_positions(max(1, -(-len(scale.rows) // MAX_ROWS)))
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
    independent = max(np.ptp(rows.open_time) / rows.grid.interval_ms / horizon, 1.0)
    brackets = _bracket_rows(view, rows, horizon)
    fitted = replace(
        bare,
        touch=logistic(
            np.concatenate([one.touch_design for one in brackets]),
            np.concatenate([one.outcome != Touch.NEITHER for one in brackets]),
            bare.touch,
            independent,
        ),
        order=logistic(
            np.concatenate([one.order_design[one.outcome != Touch.NEITHER] for one in brackets]),
            np.concatenate([(one.outcome == Touch.TAKE_PROFIT)[one.outcome != Touch.NEITHER] for one in brackets]),
            bare.order,
            independent,
        ),
        single=_single(view, rows, k, horizon, bare.single, independent),
        middle=_middle(brackets, independent),
    )
    fitted_view = replace(view, calibrations=(fitted,) * len(rows.horizons))
    return replace(fitted, errors=tuple(_error(fitted_view, rows, horizon, brackets, side) for side in SIDES))


@dataclass(frozen=True)
class _BracketRows:
    """One bracket shape and side on the rows with a known outcome."""

    side: Side
    levels: tuple[np.ndarray, np.ndarray]
    known: np.ndarray
    outcome: np.ndarray
    gross: np.ndarray
    walk_middle: np.ndarray
    width: np.ndarray
    touch_design: np.ndarray
    order_design: np.ndarray


def _bracket_rows(view: BracketView, rows: Dataset, horizon: int) -> list[_BracketRows]:
    found = []
    for side in SIDES:
        for shape in SHAPES:
            levels = bracket_levels(rows, horizon, side, shape)
            outcome, gross = window_outcomes(rows, horizon, side, *levels)
            known = (outcome != Touch.UNKNOWN) & (outcome != Touch.VOID)
            near, far, tp, sl, deviation = view.closed_form(horizon, side, *levels)
            columns = (
                outcome,
                gross,
                walk_middle(near, far, tp, sl),
                np.abs(levels[0] - levels[1]) / rows.close,
                touch_terms(tp + sl, near + far, deviation),
                order_terms(tp, sl, near, far, rows.sigma),
            )
            found.append(_BracketRows(side, levels, known, *(column[known] for column in columns)))
    return found


def _middle(brackets: Sequence[_BracketRows], independent: float) -> float:
    """Mean return of untouched brackets as a share of the random walk's, shrunk towards 0."""
    predicted = np.concatenate([one.walk_middle[one.outcome == Touch.NEITHER] for one in brackets])
    observed = np.concatenate([one.gross[one.outcome == Touch.NEITHER] for one in brackets])
    squares = float((predicted**2).sum())
    return round(
        float((predicted * observed).sum()) / max(squares * (1 + PRIOR_OUTCOMES / independent), 1e-300), DIGITS
    )


def _error(view: BracketView, rows: Dataset, horizon: int, brackets: Sequence[_BracketRows], side: Side) -> float:
    """Root mean square error of monthly mean returns, in units of the bracket width.

    Over months and shapes. Months, not the whole period: a champion serves for weeks, over which errors do not average
    out.
    """
    month = rows.open_time // MONTH_MS
    squares = []
    for one in brackets:
        if one.side != side:
            continue
        probabilities, middle = view.ends(horizon, side, *one.levels)
        near, far = (np.abs(level / rows.close - 1) for level in one.levels)
        expected = expected_return(probabilities, near, far, middle)[one.known]
        codes, which = np.unique(month[one.known], return_inverse=True)
        missed = (one.gross - expected) / one.width
        counts = np.bincount(which, minlength=len(codes))
        means = np.bincount(which, missed, minlength=len(codes)) / counts
        squares.append(np.average(means**2, weights=counts))
    return round(float(np.sqrt(np.mean(squares))), DIGITS)


def _single(
    view: BracketView, rows: Dataset, k: int, horizon: int, prior: np.ndarray, independent: float
) -> np.ndarray:
    designs, reached = [], []
    for sign, distances in ((1.0, rows.up[:, k]), (-1.0, rows.down[:, k])):
        for multiple in DISTANCES:
            price = rows.close * np.exp(sign * multiple * rows.sigma * np.sqrt(horizon))
            distance, probability, deviation = view.closed_reach(horizon, price)
            designs.append(touch_terms(probability, distance, deviation))
            reached.append(distances >= distance)
    return logistic(np.concatenate(designs), np.concatenate(reached), prior, independent)


def logistic(design: np.ndarray, happened: np.ndarray, prior: np.ndarray, independent: float) -> np.ndarray:
    """Logistic regression shrunk towards `prior` coefficients, with :data:`PRIOR_OUTCOMES` outcomes.

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
