"""Calibration of the closed-form bracket probabilities, one set of coefficients per horizon."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import expit, logit

from indicators.barriers import Side
from modelregistry.estimators import parameters

TOUCH_TERMS = 4
ORDER_TERMS = 3
SIDES: tuple[Side, ...] = ("buy", "sell")
SCORING_GRID: dict[str, tuple[float, float]] = {"1x1": (1.0, 1.0), "1.5x0.75": (1.5, 0.75), "0.75x1.5": (0.75, 1.5)}
"""Scored brackets: take-profit and stop-loss in units of EWM sigma times the root of the horizon around the close."""
UNMEASURED_ERROR = 0.02
"""Default standard error, for versions whose artifact stores none."""


@dataclass(frozen=True)
class Calibration:
    """Calibration coefficients of one horizon, fitted on purged rows.

    Parameters
    ----------
    level, spread : float
        Log factor from predicted range to deviation, and the log standard deviation of the unknown true scale.
    touch, order : ndarray of shape (4,) and (3,)
        Coefficients of two logistic regressions: either level touched, and take-profit first given a touch.
    single : ndarray of shape (4,)
        Coefficients of the touch probability of a single price.
    middle : float
        Measured mean return given neither level, as a share of the closed form's, shrunk towards 0.
    errors : tuple of float, for buys and for sells
        Standard error of the expected return over a month, in units of the bracket width.
    """

    level: float
    spread: float
    touch: np.ndarray
    order: np.ndarray
    single: np.ndarray
    middle: float = 1.0
    errors: tuple[float, ...] = (UNMEASURED_ERROR, UNMEASURED_ERROR)

    @classmethod
    def from_parameters(cls, kept: Mapping[str, Any]) -> Self:
        """Rebuild from JSON, checking every shape; older versions lack `middle` and `errors`."""
        return cls(
            float(kept["level"]),
            float(kept["spread"]),
            parameters.array(kept["touch"], TOUCH_TERMS),
            parameters.array(kept["order"], ORDER_TERMS),
            parameters.array(kept["single"], TOUCH_TERMS),
            float(kept.get("middle", 1.0)),
            tuple(parameters.array(kept.get("errors", [UNMEASURED_ERROR] * len(SIDES)), len(SIDES)).tolist()),
        )


def walk_middle(near: np.ndarray, far: np.ndarray, tp: np.ndarray, sl: np.ndarray) -> np.ndarray:
    """Mean return of a driftless random walk that reached neither level.

    By optional stopping the three outcomes have mean zero together, so this one offsets the other two.

    Examples
    --------
    >>> one = np.array([0.01])
    >>> walk_middle(2 * one, one, np.array([0.1]), np.array([0.4])).round(4).tolist()
    [0.004]
    """
    return np.clip((sl * far - tp * near) / np.maximum(1.0 - tp - sl, 1e-9), -far, near)


def expected_return(probabilities: np.ndarray, near: np.ndarray, far: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Expected return of a bracket before costs, as a fraction of the price.

    Parameters
    ----------
    probabilities : ndarray
        Of take-profit, stop-loss and neither on the last axis.
    near, far : ndarray
        Distances from the price to take-profit and to stop-loss, as fractions of it.
    middle : ndarray
        Mean return given neither.

    Examples
    --------
    >>> expected_return(np.array([0.3, 0.5, 0.2]), 0.02, 0.01, 0.005).round(4)
    np.float64(0.002)
    """
    return probabilities[..., 0] * near - probabilities[..., 1] * far + probabilities[..., 2] * middle


def touch_terms(probability: np.ndarray, span: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Design of the touch regression, on the last axis.

    Constant, logit of the closed form, log distance over deviation, and the squared logit over 10.
    """
    bounded = logit(np.clip(probability, 1e-6, 1 - 1e-6))
    # A level at the close itself has no logarithm; below a hundredth of the deviation nothing changes.
    wide = np.log(np.maximum(span / deviation, 0.01))
    ones = np.ones(np.shape(bounded))
    return np.stack(np.broadcast_arrays(ones, bounded, wide, bounded**2 / 10), axis=-1)


def order_terms(tp: np.ndarray, sl: np.ndarray, near: np.ndarray, far: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Design of the order regression: constant, logit of the closed form, sigma over bracket width."""
    first = np.clip(tp / np.maximum(tp + sl, 1e-300), 1e-6, 1 - 1e-6)
    return np.stack(
        np.broadcast_arrays(np.ones(np.shape(first)), logit(first), sigma / (near + far)),
        axis=-1,
    )


def calibrated_touch(
    probability: np.ndarray, span: np.ndarray, deviation: np.ndarray, coefficients: np.ndarray
) -> np.ndarray:
    """Calibrated probability of a touch."""
    return expit((touch_terms(probability, span, deviation) * coefficients).sum(axis=-1))


def calibrated_order(
    tp: np.ndarray, sl: np.ndarray, near: np.ndarray, far: np.ndarray, sigma: np.ndarray, coefficients: np.ndarray
) -> np.ndarray:
    """Calibrated probability of take-profit first, given a touch."""
    return expit((order_terms(tp, sl, near, far, sigma) * coefficients).sum(axis=-1))
