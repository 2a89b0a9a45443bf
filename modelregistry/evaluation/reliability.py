"""Do probabilities mean what they say? Brier's score in its parts, the reliability curve, the calibration line."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from modelregistry.evaluation.paired import BLOCK_DAYS, DAY_MS, block_error

BINS = 10
BOUND = 1e-6


@dataclass(frozen=True)
class BrierParts:
    """Brier's score taken apart: ``score = reliability - resolution + uncertainty + within``.

    Parameters
    ----------
    score : float
        Mean squared error of the probabilities.
    reliability : float
        How far forecasts lie from the frequencies they get; 0 is calibrated.
    resolution : float
        How far those frequencies lie from the base rate; more is better.
    uncertainty : float
        What the base rate alone would score.
    within : float
        What forecasts differ inside a bin; the bins' fault, not the forecaster's.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(chances: np.ndarray, happened: np.ndarray, bins: int = BINS) -> BrierParts:
    """Take Brier's score apart over bins of equal count, summed over classes.

    Parameters
    ----------
    chances, happened : ndarray of shape (n_rows,) or (n_rows, n_classes)
        Probabilities, and 0 or 1.
    bins : int
        Bins of each class.

    References
    ----------
    Murphy, A. H. (1973). A new vector partition of the probability score. Journal of Applied Meteorology, 12(4),
    595-600.
    Stephenson, D. B., Coelho, C. A. S. and Jolliffe, I. T. (2008). Two extra components in the Brier score
    decomposition. Weather and Forecasting, 23(4), 752-757.

    Examples
    --------
    >>> brier_parts(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1]), bins=2)
    BrierParts(score=0.0, reliability=0.0, resolution=0.25, uncertainty=0.25, within=0.0)
    """
    columns = np.reshape(chances, (len(chances), -1)), np.reshape(happened, (len(happened), -1)).astype(np.float64)
    score = reliability = resolution = uncertainty = within = 0.0
    for said, came in zip(columns[0].T, columns[1].T, strict=True):
        base = came.mean()
        uncertainty += float(base * (1 - base))
        score += float(((said - came) ** 2).mean())
        for part in equal_bins(said, bins):
            weight = len(part) / len(said)
            mean, share = said[part].mean(), came[part].mean()
            reliability += weight * float((mean - share) ** 2)
            resolution += weight * float((share - base) ** 2)
            apart = said[part] - mean
            within += weight * float((apart**2).mean() - 2 * (apart * (came[part] - share)).mean())
    return BrierParts(score, reliability, resolution, uncertainty, within)


def equal_bins(chance: np.ndarray, bins: int) -> list[np.ndarray]:
    """Positions in ascending order of forecast, cut into bins of equal count; equal forecasts stay together."""
    order = np.argsort(chance, kind="stable")
    edges = np.quantile(chance, np.arange(1, bins) / bins)
    cuts = np.searchsorted(chance[order], np.unique(edges), side="left")
    return [part for part in np.split(order, np.unique(cuts)) if len(part)]


def reliability_curve(
    chance: np.ndarray, happened: np.ndarray, open_time: np.ndarray, bins: int = BINS
) -> dict[str, list[float]]:
    """Forecast and frequency by bin of equal count, in columns.

    Parameters
    ----------
    chance, happened : ndarray of shape (n_rows,)
        Probability of one class, and 0 or 1.
    open_time : ndarray of shape (n_rows,)
        Milliseconds.

    Returns
    -------
    dict
        `forecast`, `observed` and its block `error`, `rows`.

    Examples
    --------
    >>> times = np.arange(4) * 300_000
    >>> found = reliability_curve(np.array([0.2, 0.2, 0.8, 0.8]), np.array([0, 1, 1, 1]), times, bins=2)
    >>> found["forecast"], found["observed"], found["rows"]
    ([0.2, 0.8], [0.5, 1.0], [2, 2])
    """
    columns: dict[str, list[float]] = {name: [] for name in ("forecast", "observed", "error", "rows")}
    for part in equal_bins(chance, bins):
        came = np.asarray(happened[part], dtype=np.float64)
        columns["forecast"].append(float(chance[part].mean()))
        columns["observed"].append(float(came.mean()))
        columns["error"].append(block_error(came, open_time[part]))
        columns["rows"].append(len(part))
    return columns


@dataclass(frozen=True)
class CalibrationLine:
    """Logistic regression of what came on the log odds that were said: intercept 0 and slope 1 are ideal.

    A slope below 1 says the forecasts are too bold, above 1 too timid. A constant forecast has no slope: it is 0 then,
    with an error of 0.
    """

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float


def calibration(chance: np.ndarray, happened: np.ndarray, open_time: np.ndarray) -> CalibrationLine:
    """Calibration line with errors that know that rows of one day, and of one week, are alike.

    Parameters
    ----------
    chance, happened : ndarray of shape (n_rows,)
        Probability of one class, and 0 or 1.
    open_time : ndarray of shape (n_rows,)
        Milliseconds; errors are clustered over days and over weeks, and the larger counts.

    References
    ----------
    Cox, D. R. (1958). Two further applications of a model for binary regression. Biometrika, 45(3/4), 562-565.
    Liang, K.-Y. and Zeger, S. L. (1986). Longitudinal data analysis using generalized linear models. Biometrika, 73(1),
    13-22: the clustered errors.

    Examples
    --------
    >>> said = np.repeat([0.25, 0.75], 400)
    >>> came = np.tile([1, 0, 0, 0], 200)
    >>> came[400:] = 1 - came[400:]
    >>> line = calibration(said, came, np.arange(800) * 300_000)
    >>> abs(round(line.intercept, 6)), round(line.slope, 6)
    (0.0, 1.0)
    """
    odds = logit(np.clip(chance, BOUND, 1 - BOUND))
    if odds.std() < 1e-9:
        return CalibrationLine(0.0, 0.0, 0.0, 0.0)
    design = np.column_stack([np.ones(len(odds)), odds])
    came = np.asarray(happened, dtype=np.float64)
    weights = np.array([0.0, 1.0])
    for _ in range(30):
        fitted = expit(design @ weights)
        bend = design.T @ (design * (fitted * (1 - fitted) + 1e-9)[:, None])
        step = np.linalg.solve(bend, design.T @ (came - fitted))
        weights = weights + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    fitted = expit(design @ weights)
    bread = np.linalg.inv(design.T @ (design * (fitted * (1 - fitted) + 1e-9)[:, None]))
    pull = design * (came - fitted)[:, None]
    errors = np.zeros(2)
    for days in BLOCK_DAYS:
        _, block = np.unique(open_time // (days * DAY_MS), return_inverse=True)
        sums = np.column_stack([np.bincount(block, pull[:, j]) for j in range(2)])
        spread = bread @ (sums.T @ sums) @ bread * len(sums) / max(len(sums) - 1, 1)
        errors = np.maximum(errors, np.sqrt(np.maximum(np.diag(spread), 0.0)))
    return CalibrationLine(float(weights[0]), float(weights[1]), float(errors[0]), float(errors[1]))
