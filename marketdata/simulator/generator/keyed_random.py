"""Random numbers as a pure function of a key, independent of order and process.

Raw Philox words are converted to uniforms and normals here instead of by numpy's generators, whose methods may
change between versions while the raw stream may not.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


def uniforms(count: int, *key: str | int) -> NDArray[np.float64]:
    """Uniform numbers strictly between 0 and 1 for a key.

    Parameters
    ----------
    count : int
        How many; a longer array begins with the shorter one.
    *key : str or int
        Parts of the key, for example a seed, a symbol and a week.

    Examples
    --------
    >>> bool((uniforms(3, 7, "BTCUSDT") == uniforms(5, 7, "BTCUSDT")[:3]).all())
    True
    >>> bool((uniforms(3, 7, "BTCUSDT") == uniforms(3, 8, "BTCUSDT")).any())
    False
    """
    digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    words = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(count)
    return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(count: int, *key: str | int) -> NDArray[np.float64]:
    """Standard normal numbers for a key.

    Examples
    --------
    >>> abs(float(normals(10_000, "demo").mean())) < 0.05
    True
    """
    drawn: NDArray[np.float64] = ndtri(uniforms(count, *key))
    return drawn


def uniform(*key: str | int) -> float:
    """One uniform number strictly between 0 and 1 for a key, faster than an array.

    Examples
    --------
    >>> uniform("a") == uniform("a"), 0 < uniform("b") < 1
    (True, True)
    """
    digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    return ((int.from_bytes(digest[:8], "little") >> 11) + 0.5) * 2.0**-53


def autoregression(innovations: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """First-order autoregression: each value is the innovation plus `decay` times the one before.

    It starts from 0.

    Parameters
    ----------
    innovations : array of shape (n,)
        Oldest first.
    decay : float
        Between 0 and 1.

    Returns
    -------
    array of shape (n,)
        Computed by doubling the window, so neither a loop nor a filter library is needed.

    Examples
    --------
    >>> autoregression(np.array([1.0, 0.0, 0.0, 2.0]), 0.5).tolist()
    [1.0, 0.5, 0.25, 2.125]
    """
    total = innovations.copy()
    stretch = 1
    while stretch < len(innovations) and decay**stretch > 1e-12:
        earlier = total[:-stretch] * decay**stretch
        total[stretch:] += earlier
        stretch *= 2
    return total
