"""HAR baseline with time of day, stored in the report of a version."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from indicators.arrays import Floats
from modelregistry.evaluation.baselines.regressions import HAR_WINDOWS, SEASON_DAYS, SLOTS, Baselines

BASELINE_KEY = "kept_baseline"
"""Key in the report of a range predictor; older versions lack it."""
HISTORY_CANDLES = SEASON_DAYS * SLOTS + 2016 + SLOTS
"""Candles before the first complete row of `har_inputs`."""


def fit_stored_baseline(
    horizons: Sequence[int], har: np.ndarray, sigma: Floats, up: Floats, down: Floats
) -> list[dict[str, Any]]:
    """Fit the baseline on training rows; return its parameters as JSON values.

    Parameters
    ----------
    horizons : sequence of int
        Candles, ascending.
    har : ndarray of shape (n_rows, 5 + n_horizons)
        From `har_inputs`.
    sigma : ndarray of shape (n_rows,)
        EWM volatility per candle.
    up, down : ndarray of shape (n_rows, n_horizons)
        ``log(H / C)`` and ``log(C / L)``; looks ahead, so training rows only.
    """
    kept = []
    for k, horizon in enumerate(horizons):
        fitted = Baselines.fit(horizon, k, har, sigma, np.expm1(up[:, k]), -np.expm1(-down[:, k]))
        weights, quantiles = fitted.season_weights.tolist(), fitted.quantiles["har_season"].tolist()
        kept.append({"horizon": horizon, "weights": weights, "quantiles": quantiles})
    return kept


def stored_quantiles(kept: Mapping[str, Any], har: np.ndarray, season: int) -> tuple[Floats, Floats]:
    """Log quantiles of highest high and lowest low over the close; NaN inputs give NaN.

    Parameters
    ----------
    kept : mapping
        One horizon of `fit_stored_baseline`.
    har : ndarray of shape (n_rows, 5 + n_horizons)
        Looks back only.
    season : int
        Index of the horizon in `har`.

    Returns
    -------
    up, down : ndarray of shape (n_rows, 7)
        Ascending in the level.

    Examples
    --------
    >>> flat = {"weights": [np.log(0.01), 0, 0, 0, 0, 0, 0], "quantiles": [[0.5, 1.0], [0.5, 1.0]]}
    >>> up, down = stored_quantiles(flat, np.zeros((1, 6)), 0)
    >>> np.expm1(up).round(6).tolist(), np.expm1(down).round(6).tolist()
    ([[0.005, 0.01]], [[-0.01, -0.005]])
    """
    width = len(HAR_WINDOWS)
    design = np.column_stack([np.ones(len(har)), har[:, :width], har[:, width + season]])
    # The order of summation must not depend on the number of rows.
    scale = np.exp((design * np.array(kept["weights"])).sum(axis=1))[:, None]
    high, low = np.array(kept["quantiles"])
    return np.log1p(scale * high), np.log1p(-np.minimum(scale * low[::-1], 1 - 1e-9))
