"""HAR with time of day as a version keeps it: fitted on the version's own rows, applied to candles that came later."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelregistry.evaluation.baselines import HAR_WINDOWS, SEASON_DAYS, SLOTS, Baselines

Floats = npt.NDArray[np.float64]
BASELINE_KEY = "kept_baseline"
"""Its place in the report of a range predictor; a version from before it was kept has none."""
HISTORY_CANDLES = SEASON_DAYS * SLOTS + 2016 + SLOTS
"""Candles of history behind the first row of `har_inputs` that is whole."""


def fit_stored_baseline(
    horizons: Sequence[int], har: np.ndarray, sigma: Floats, up: Floats, down: Floats
) -> list[dict[str, Any]]:
    """Fit on training rows and write down what a later reader needs; numbers a JSON column holds exactly.

    Parameters
    ----------
    horizons : sequence of int
        Candles, ascending.
    har : ndarray of shape (n_rows, 5 + n_horizons)
        As `har_inputs` gives them.
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
    """Log quantiles of the highest high and of the lowest low over the close, NaN where an input is.

    Parameters
    ----------
    kept : mapping
        One horizon of `fit_stored_baseline`.
    har : ndarray of shape (n_rows, 5 + n_horizons)
        Looks back only.
    season : int
        Which of the horizons of `har` this one is.

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
    # One order of summation whatever the number of rows.
    scale = np.exp((design * np.array(kept["weights"])).sum(axis=1))[:, None]
    high, low = np.array(kept["quantiles"])
    return np.log1p(scale * high), np.log1p(-np.minimum(scale * low[::-1], 1 - 1e-9))
