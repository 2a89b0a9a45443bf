"""What brackets and directions came to: outcomes of chosen rows, without touching the rest of the grid."""

import numpy as np

from indicators.barriers import Side, Touch, first_touch
from indicators.labels import three_way_label
from indicators.volatility import ewm_sigma
from modelregistry.training.dataset import Dataset

BARRIER = 1.0
"""Distance of both barriers of the three-way label, in units of ``sigma * sqrt(h)``."""
CHUNK = 8192


def bracket_levels(
    rows: Dataset, horizon: int, side: Side, shape: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Take-profit and stop-loss prices, `shape` units of ``sigma * sqrt(h)`` away from the close."""
    sign = 1.0 if side == "buy" else -1.0
    unit = rows.sigma * np.sqrt(horizon)
    return rows.close * (1 + sign * shape[0] * unit), rows.close * (1 - sign * shape[1] * unit)


def window_outcomes(
    rows: Dataset, horizon: int, side: Side, take_profit: np.ndarray, stop_loss: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Outcome of one bracket per row, and its gross return.

    Parameters
    ----------
    rows : Dataset
    horizon : int
        Candles.
    side : {"buy", "sell"}
    take_profit, stop_loss : ndarray of shape (n_rows,)
        Prices.

    Returns
    -------
    outcome : int8 ndarray of shape (n_rows,)
        Of :class:`indicators.barriers.Touch`.
    gross : ndarray of shape (n_rows,)
        Fraction of the entry price; NaN where void or unknown.
    """
    outcome = np.full(len(rows), Touch.UNKNOWN, dtype=np.int8)
    gross = np.full(len(rows), np.nan)
    grid = rows.grid
    for code in np.unique(rows.market):
        mine = np.flatnonzero((rows.market == code) & (rows.position + horizon < len(grid)))
        if not len(mine):
            continue
        views = [
            np.lib.stride_tricks.sliding_window_view(column[code, 1:], horizon)
            for column in (grid.open, grid.high, grid.low, grid.close)
        ]
        for start in range(0, len(mine), CHUNK):
            part = mine[start : start + CHUNK]
            windows = [view[rows.position[part]] for view in views]
            found = first_touch(*windows, side=side, take_profit=take_profit[part], stop_loss=stop_loss[part])
            outcome[part], gross[part] = found.outcome, found.gross_return(side)
    return outcome, gross


def direction_labels(rows: Dataset, horizon: int, costs: float) -> np.ndarray:
    """Class of every row in the order buy, sell, hold; -1 where the future is unknown."""
    width = BARRIER * ewm_sigma(rows.grid, len(rows.grid)) * np.sqrt(horizon)
    label, _ = three_way_label(rows.grid, horizon, width=width, costs=costs)
    return label[rows.market, rows.position]
