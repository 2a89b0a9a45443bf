"""Chance as a pure function of a name: the same key gives the same numbers, in any order, in any process.

Raw Philox words are turned into uniforms and normals here instead of by numpy's generators, whose methods may
change between versions while the raw stream may not.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


def uniforms(count: int, *name: str | int) -> NDArray[np.float64]:
    """Numbers strictly between 0 and 1 that belong to `name`.

    Parameters
    ----------
    count : int
        How many; a longer draw begins with the shorter one.
    *name : str or int
        What the numbers are for, for example a seed, a symbol and a week.

    Returns
    -------
    array of shape (count,)

    Examples
    --------
    >>> bool((uniforms(3, 7, "BTCUSDT") == uniforms(5, 7, "BTCUSDT")[:3]).all())
    True
    >>> bool((uniforms(3, 7, "BTCUSDT") == uniforms(3, 8, "BTCUSDT")).any())
    False
    """
    digest = hashlib.sha256("|".join(map(str, name)).encode()).digest()
    words = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(count)
    return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(count: int, *name: str | int) -> NDArray[np.float64]:
    """Standard normal numbers that belong to `name`.

    Examples
    --------
    >>> abs(float(normals(10_000, "demo").mean())) < 0.05
    True
    """
    drawn: NDArray[np.float64] = ndtri(uniforms(count, *name))
    return drawn


def chance(*name: str | int) -> float:
    """One number strictly between 0 and 1 that belongs to `name`, without the price of an array.

    Examples
    --------
    >>> chance("a") == chance("a"), 0 < chance("b") < 1
    (True, True)
    """
    digest = hashlib.sha256("|".join(map(str, name)).encode()).digest()
    return ((int.from_bytes(digest[:8], "little") >> 11) + 0.5) * 2.0**-53


def remembered(news: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """A first-order memory of `news` that begins empty: each value is the news plus `decay` times the value before.

    Parameters
    ----------
    news : array of shape (n,)
        Oldest first.
    decay : float
        Between 0 and 1.

    Returns
    -------
    array of shape (n,)
        Computed by doubling the stretch that is remembered, so no loop and no filter library is needed.

    Examples
    --------
    >>> remembered(np.array([1.0, 0.0, 0.0, 2.0]), 0.5).tolist()
    [1.0, 0.5, 0.25, 2.125]
    """
    total = news.copy()
    stretch = 1
    while stretch < len(news) and decay**stretch > 1e-12:
        earlier = total[:-stretch] * decay**stretch
        total[stretch:] += earlier
        stretch *= 2
    return total
