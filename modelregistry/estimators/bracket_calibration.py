"""Corrections of the closed forms, one set per horizon, and the terms they are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import expit, logit

from modelregistry.estimators import parameters

TOUCH_TERMS = 4
ORDER_TERMS = 3
SIDES = ("buy", "sell")
UNMEASURED_ERROR = 0.02
"""Standard error of the probabilities of a version that stored none."""


@dataclass(frozen=True)
class Calibration:
    """Corrections of the closed forms for one horizon, fitted on purged rows.

    Parameters
    ----------
    level, spread : float
        Log factor from predicted range to deviation, and the log standard deviation of the unknown true scale.
    touch, order : ndarray of shape (4,) and (3,)
        Coefficients of the logistic corrections of "touched at all" and of "which first".
    single : ndarray of shape (4,)
        The same for one price alone.
    middle : float
        What the mean return given neither level was, as a share of the closed form's: measured, drawn to 0.
    errors : tuple of float, one for buys and one for sells
        Standard error of the expected return over a month, in units of the width of the bracket.
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
        """Rebuild from JSON, checking every shape; versions made before the last two were measured lack them."""
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
    """Mean return of a walk without drift that reached neither level.

    By optional stopping all three ends together earn nothing, so this one earns what the other two lose.

    Examples
    --------
    >>> one = np.array([0.01])
    >>> walk_middle(2 * one, one, np.array([0.1]), np.array([0.4])).round(4).tolist()
    [0.004]
    """
    return np.clip((sl * far - tp * near) / np.maximum(1.0 - tp - sl, 1e-9), -far, near)


def touch_terms(chance: np.ndarray, span: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Design of the touch correction, last axis: constant, logit of the closed form, and its bend."""
    bounded = logit(np.clip(chance, 1e-6, 1 - 1e-6))
    # A level at the close itself has no logarithm; a hundredth of the deviation is as near as makes a difference.
    wide = np.log(np.maximum(span / deviation, 0.01))
    ones = np.ones(np.shape(bounded))
    return np.stack(np.broadcast_arrays(ones, bounded, wide, bounded**2 / 10), axis=-1)


def order_terms(tp: np.ndarray, sl: np.ndarray, near: np.ndarray, far: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Design of the which-first correction: constant, logit of the closed form, candle size over bracket size."""
    first = np.clip(tp / np.maximum(tp + sl, 1e-300), 1e-6, 1 - 1e-6)
    return np.stack(
        np.broadcast_arrays(np.ones(np.shape(first)), logit(first), sigma / (near + far)),
        axis=-1,
    )


def calibrated_touch(
    chance: np.ndarray, span: np.ndarray, deviation: np.ndarray, coefficients: np.ndarray
) -> np.ndarray:
    """Closed form of a touch, corrected."""
    return expit((touch_terms(chance, span, deviation) * coefficients).sum(axis=-1))


def calibrated_order(
    tp: np.ndarray, sl: np.ndarray, near: np.ndarray, far: np.ndarray, sigma: np.ndarray, coefficients: np.ndarray
) -> np.ndarray:
    """Closed form of take-profit first given a touch, corrected."""
    return expit((order_terms(tp, sl, near, far, sigma) * coefficients).sum(axis=-1))
