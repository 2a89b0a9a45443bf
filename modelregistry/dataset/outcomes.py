"""Outcomes of brackets and direction labels for selected rows."""

import numpy as np

from indicators.barriers import Side
from indicators.catalog.volatility import ewm_sigma
from indicators.labels import three_way_label
from indicators.lookahead import judge_rows
from modelregistry.dataset.rows import Dataset

BARRIER = 1.0
"""Distance of both barriers of the three-way label, in units of ``sigma * sqrt(h)``."""


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

    Returns
    -------
    outcome : int8 ndarray of shape (n_rows,)
        Of :class:`indicators.barriers.Touch`.
    gross : ndarray of shape (n_rows,)
        Fraction of the entry price; NaN where void or unknown.
    """
    found = judge_rows(
        rows.grid, rows.market, rows.position, horizon, side=side, take_profit=take_profit, stop_loss=stop_loss
    )
    return found.outcome, found.gross_return(side)


def direction_labels(rows: Dataset, horizon: int, costs: float) -> np.ndarray:
    """Class of every row (buy, sell, hold); -1 where the outcome is unknown."""
    return direction_spans(rows, horizon, costs)[0]


def direction_spans(rows: Dataset, horizon: int, costs: float) -> tuple[np.ndarray, np.ndarray]:
    """Class of every row, and the candles up to its first touch or the horizon."""
    width = BARRIER * ewm_sigma(rows.grid, len(rows.grid)) * np.sqrt(horizon)
    label, candles = three_way_label(rows.grid, horizon, width=width, costs=costs)
    return label[rows.market, rows.position], candles[rows.market, rows.position]
