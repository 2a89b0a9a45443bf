"""First passage of a driftless Brownian motion between two barriers: closed forms, no fitting."""

import numpy as np
from scipy.special import erfc

_SWITCH = 1.0
_IMAGES = range(4)
_WAVES = range(1, 7)


def reach(distance: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Probability that the path reaches `distance` on one given side.

    Parameters
    ----------
    distance : ndarray
        Log distance to the level, at least 0.
    deviation : ndarray
        Standard deviation of the path's end point, ``sigma * sqrt(h)``.

    Examples
    --------
    >>> reach(np.array([0.0, 1.0]), np.array([1.0, 1.0])).round(4).tolist()
    [1.0, 0.3173]
    """
    return erfc(distance / (deviation * np.sqrt(2.0)))


def first_exit(near: np.ndarray, far: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Probability that the level at `near` is reached first, before the horizon ends.

    Uses the method of images for wide barriers and the eigenfunction series for narrow ones; both agree to
    1e-9 where they meet.

    Parameters
    ----------
    near, far : ndarray
        Log distances to the level in question and to the opposite one, above 0.
    deviation : ndarray
        Standard deviation of the path's end point.

    References
    ----------
    Borodin, A. N. and Salminen, P. (2002). Handbook of Brownian Motion, 3.0.6.

    Examples
    --------
    >>> one = np.array([1.0])
    >>> first_exit(one, one, np.array([100.0])).round(4).tolist()
    [0.5]
    >>> first_exit(one, 2 * one, np.array([100.0])).round(4).tolist()
    [0.6667]
    """
    near, far, deviation = np.broadcast_arrays(near, far, deviation)
    span = near + far
    ratio = deviation / span
    images = np.zeros(near.shape)
    unit = deviation * np.sqrt(2.0)
    for n in _IMAGES:
        images += erfc((near + 2 * n * span) / unit) - erfc((near + 2 * far + 2 * n * span) / unit)
    waves = far / span
    decay = 0.5 * (np.pi * np.maximum(ratio, _SWITCH / 2)) ** 2
    for k in _WAVES:
        waves = waves + (2 / np.pi) * ((-1) ** k / k) * np.sin(k * np.pi * far / span) * np.exp(-(k**2) * decay)
    return np.clip(np.where(ratio < _SWITCH, images, waves), 0.0, 1.0)


def mixture_nodes(spread: float, count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Factors and weights of a lognormal of log standard deviation `spread` (Gauss-Hermite).

    Examples
    --------
    >>> factors, weights = mixture_nodes(0.3)
    >>> round(float(weights.sum()), 9), abs(float((weights * np.log(factors)).sum())) < 1e-12
    (1.0, True)
    """
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    return np.exp(spread * points), weights / weights.sum()
