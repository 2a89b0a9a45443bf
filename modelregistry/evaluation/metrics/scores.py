"""Scoring rules of quantiles and probabilities, over the rows of one cell."""

import numpy as np
from scipy.special import expit, logit

from modelregistry.estimators.forecast import BANDS, LEVELS

BOUND = 1e-6
"""Smallest probability whose log odds are used."""
BPS = 1e4
"""Losses are in basis points of the close."""
_LEVELS = np.array(LEVELS)


def pinball(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Pinball loss averaged over the seven levels, shape (n_rows,).

    Examples
    --------
    >>> pinball(np.full((1, 7), 2.0), np.array([2.0])).tolist()
    [0.0]
    >>> pinball(np.zeros((1, 7)), np.array([1.0])).round(6).tolist()  # the mean of the levels
    [0.5]
    """
    error = actual[:, None] - quantiles
    return np.maximum(_LEVELS * error, (_LEVELS - 1.0) * error).mean(axis=1)


def pinball_by_level(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Mean pinball loss of each level, shape (7,); their mean is that of :func:`pinball`.

    Examples
    --------
    >>> pinball_by_level(np.zeros((2, 7)), np.array([1.0, 1.0])).round(6).tolist()
    [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]
    """
    error = actual[:, None] - quantiles
    return np.asarray(np.maximum(_LEVELS * error, (_LEVELS - 1.0) * error).mean(axis=0))


def coverage(quantiles: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Share of rows inside each central band, and below each quantile (ties count half).

    Examples
    --------
    >>> found = coverage(np.tile(np.arange(7.0), (2, 1)), np.array([3.0, 9.0]))
    >>> found["inside_0.8"], found["below_0.50"], found["below_0.95"]
    (0.5, 0.25, 0.5)
    """
    found = {
        f"inside_{share}": float(((actual >= quantiles[:, low]) & (actual <= quantiles[:, high])).mean())
        for share, low, high in BANDS
    }
    for j, level in enumerate(LEVELS):
        below = (actual < quantiles[:, j]).mean() + 0.5 * (actual == quantiles[:, j]).mean()
        found[f"below_{level:.2f}"] = float(below)
    return found


def interval_scores(lower: np.ndarray, upper: np.ndarray, actual: np.ndarray, share: float) -> np.ndarray:
    """Winkler score per row: width plus ``2 / (1 - share)`` times the distance outside.

    Parameters
    ----------
    lower, upper, actual : ndarray of shape (n_rows,)
        Bounds and outcome in one unit.
    share : float
        Nominal coverage of the band, 0.8 for the band between the 10 and 90 % quantiles.

    References
    ----------
    Gneiting, T. and Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and estimation. Journal of the
    American Statistical Association, 102(477), 359-378.

    Examples
    --------
    >>> interval_scores(np.zeros(3), np.ones(3), np.array([0.5, 1.5, -0.25]), 0.75).tolist()
    [1.0, 5.0, 3.0]
    """
    missed = np.maximum(lower - actual, 0.0) + np.maximum(actual - upper, 0.0)
    return upper - lower + 2.0 / (1.0 - share) * missed


def interval_score(quantiles: np.ndarray, actual: np.ndarray, share: float = 0.8) -> float:
    """Mean Winkler score of a central band: its width plus a penalty for every miss."""
    _, low, high = next(band for band in BANDS if band[0] == share)
    return float(interval_scores(quantiles[:, low], quantiles[:, high], actual, share).mean())


def brier(probabilities: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Squared error summed over classes, shape (n_rows,).

    Examples
    --------
    >>> brier(np.array([[0.5, 0.5, 0.0]]), np.array([[1.0, 0.0, 0.0]])).tolist()
    [0.5]
    """
    return ((probabilities - outcomes) ** 2).sum(axis=1)


def log_loss(probabilities: np.ndarray, outcomes: np.ndarray) -> float:
    """Mean negative log probability of the outcomes, in nats."""
    return float(-np.log(np.clip((probabilities * outcomes).sum(axis=1), 1e-9, 1.0)).mean())


def calibration_error(probability: np.ndarray, happened: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over bins of equal count.

    Examples
    --------
    >>> calibration_error(np.full(100, 0.5), np.arange(100) % 2 == 0, bins=1)
    0.0
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(
        sum(abs(probability[part].mean() - happened[part].mean()) * len(part) for part in parts) / len(probability)
    )


def calibration_line(probability: np.ndarray, happened: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of a logistic regression on forecast log odds; ideal is (0, 1).

    A constant forecast gives (0, 0), never NaN.
    """
    design = calibration_design(probability)
    if design is None:
        return 0.0, 0.0
    intercept, slope = calibration_weights(design, happened)
    return float(intercept), float(slope)


def calibration_design(probability: np.ndarray) -> np.ndarray | None:
    """Columns of ones and of forecast log odds, shape (n_rows, 2); None for a constant forecast."""
    odds = logit(np.clip(probability, BOUND, 1 - BOUND))
    return None if odds.std() < 1e-9 else np.column_stack([np.ones(len(odds)), odds])


def calibration_weights(design: np.ndarray, happened: np.ndarray) -> np.ndarray:
    """Intercept and slope of the logistic regression, by limited Newton steps."""
    observed = np.asarray(happened, dtype=np.float64)
    weights = np.array([0.0, 1.0])
    for _ in range(30):
        fitted = expit(design @ weights)
        step = np.linalg.solve(calibration_curvature(design, fitted), design.T @ (observed - fitted))
        weights = weights + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    return weights


def calibration_curvature(design: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Matrix of second derivatives of the negative log likelihood, shape (2, 2)."""
    curvature: np.ndarray = design.T @ (design * (fitted * (1 - fitted) + 1e-9)[:, None])
    return curvature
