"""First passage of a driftless Brownian motion between two barriers: closed forms, no fitting."""

from functools import lru_cache

import numpy as np
from scipy.special import erfc

_SWITCH = 1.0
_IMAGES = range(4)
_WAVES = range(1, 7)
_NODES = 5


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
    span = near + far
    ratio = deviation / span
    is_wide = ratio < _SWITCH
    # Usually all barriers of a bracket are wide or all narrow; a series that no element takes costs as much.
    if is_wide.all():
        return np.clip(_images(near, far, span, deviation), 0.0, 1.0)
    waves = _waves(far, span, ratio)
    if is_wide.any():
        waves = np.where(is_wide, _images(near, far, span, deviation), waves)
    return np.clip(waves, 0.0, 1.0)


def _images(near: np.ndarray, far: np.ndarray, span: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Method of images, for barriers that are wide against the deviation."""
    unit = deviation * np.sqrt(2.0)
    images = np.zeros(np.shape(unit))
    for n in _IMAGES:
        images = images + (erfc((near + 2 * n * span) / unit) - erfc((near + 2 * far + 2 * n * span) / unit))
    return images


def _waves(far: np.ndarray, span: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Eigenfunction series, for barriers that are narrow against the deviation."""
    waves = far / span
    decay = 0.5 * (np.pi * np.maximum(ratio, _SWITCH / 2)) ** 2
    for k in _WAVES:
        waves = waves + (2 / np.pi) * ((-1) ** k / k) * np.sin(k * np.pi * far / span) * np.exp(-(k**2) * decay)
    return waves


@lru_cache(maxsize=256)
def mixture_nodes(spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Factors and weights of a lognormal of log standard deviation `spread` (Gauss-Hermite).

    Examples
    --------
    >>> factors, weights = mixture_nodes(0.3)
    >>> round(float(weights.sum()), 9), abs(float((weights * np.log(factors)).sum())) < 1e-12
    (1.0, True)
    """
    points, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return np.exp(spread * points), weights / weights.sum()
