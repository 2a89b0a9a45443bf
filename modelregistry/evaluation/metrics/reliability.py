"""Reliability of probabilities: Brier decomposition, reliability curve, calibration line."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.significance.paired import BLOCK_DAYS, block_error, calendar_blocks

BINS = 10


@dataclass(frozen=True)
class BrierParts:
    """Decomposition of the Brier score: ``score = reliability - resolution + uncertainty + within``.

    Parameters
    ----------
    score : float
        Mean squared error of the probabilities.
    reliability : float
        Squared distance of forecasts from observed frequencies; 0 is calibrated.
    resolution : float
        Squared distance of those frequencies from the base rate; more is better.
    uncertainty : float
        Score of the base rate.
    within : float
        Effect of the variation of forecasts within bins.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(probabilities: np.ndarray, happened: np.ndarray, bins: int = BINS) -> BrierParts:
    """Decompose the Brier score over bins of equal count, summed over classes.

    Parameters
    ----------
    probabilities, happened : ndarray of shape (n_rows,) or (n_rows, n_classes)
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
    columns = (
        np.reshape(probabilities, (len(probabilities), -1)),
        np.reshape(happened, (len(happened), -1)).astype(np.float64),
    )
    score = reliability = resolution = uncertainty = within = 0.0
    for forecast, observed in zip(columns[0].T, columns[1].T, strict=True):
        base = observed.mean()
        uncertainty += float(base * (1 - base))
        score += float(((forecast - observed) ** 2).mean())
        for part in equal_bins(forecast, bins):
            weight = len(part) / len(forecast)
            mean, share = forecast[part].mean(), observed[part].mean()
            reliability += weight * float((mean - share) ** 2)
            resolution += weight * float((share - base) ** 2)
            apart = forecast[part] - mean
            within += weight * float((apart**2).mean() - 2 * (apart * (observed[part] - share)).mean())
    return BrierParts(score, reliability, resolution, uncertainty, within)


def equal_bins(probability: np.ndarray, bins: int) -> list[np.ndarray]:
    """Positions sorted by forecast, in bins of equal count; equal forecasts stay together."""
    order = np.argsort(probability, kind="stable")
    edges = np.quantile(probability, np.arange(1, bins) / bins)
    cuts = np.searchsorted(probability[order], np.unique(edges), side="left")
    return [part for part in np.split(order, np.unique(cuts)) if len(part)]


def reliability_curve(
    probability: np.ndarray, happened: np.ndarray, open_time: np.ndarray, bins: int = BINS
) -> dict[str, list[float]]:
    """Forecast and frequency by bin of equal count, in columns.

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
    for part in equal_bins(probability, bins):
        observed = np.asarray(happened[part], dtype=np.float64)
        columns["forecast"].append(float(probability[part].mean()))
        columns["observed"].append(float(observed.mean()))
        columns["error"].append(block_error(observed, open_time[part]))
        columns["rows"].append(len(part))
    return columns


@dataclass(frozen=True)
class CalibrationLine:
    """Logistic regression of outcomes on forecast log odds; intercept 0 and slope 1 are ideal.

    A slope below 1 means overconfident forecasts, above 1 underconfident ones. A constant forecast gives a slope of 0
    with an error of 0.
    """

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float


def calibration(probability: np.ndarray, happened: np.ndarray, open_time: np.ndarray) -> CalibrationLine:
    """Calibration line with standard errors clustered by day and by week.

    Parameters
    ----------
    probability, happened : ndarray of shape (n_rows,)
        Probability of one class, and 0 or 1.
    open_time : ndarray of shape (n_rows,)
        Milliseconds; errors are clustered by day and by week; the larger one is returned.

    References
    ----------
    Cox, D. R. (1958). Two further applications of a model for binary regression. Biometrika, 45(3/4), 562-565.
    Liang, K.-Y. and Zeger, S. L. (1986). Longitudinal data analysis using generalized linear models. Biometrika, 73(1),
    13-22: the clustered errors.

    Examples
    --------
    >>> forecast = np.repeat([0.25, 0.75], 400)
    >>> observed = np.tile([1, 0, 0, 0], 200)
    >>> observed[400:] = 1 - observed[400:]
    >>> line = calibration(forecast, observed, np.arange(800) * 300_000)
    >>> abs(round(line.intercept, 6)), round(line.slope, 6)
    (0.0, 1.0)
    """
    design = scores.calibration_design(probability)
    if design is None:
        return CalibrationLine(0.0, 0.0, 0.0, 0.0)
    weights = scores.calibration_weights(design, happened)
    fitted = expit(design @ weights)
    inverse = np.linalg.inv(scores.calibration_curvature(design, fitted))
    gradients = design * (np.asarray(happened, dtype=np.float64) - fitted)[:, None]
    errors = np.zeros(2)
    for days in BLOCK_DAYS:
        block = calendar_blocks(open_time, days)
        sums = np.column_stack([np.bincount(block, gradients[:, j]) for j in range(2)])
        spread = inverse @ (sums.T @ sums) @ inverse * len(sums) / max(len(sums) - 1, 1)
        errors = np.maximum(errors, np.sqrt(np.maximum(np.diag(spread), 0.0)))
    return CalibrationLine(float(weights[0]), float(weights[1]), float(errors[0]), float(errors[1]))
