"""Checks of open and close times as whole columns: unclosed, cut short, off the grid. Pure."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from marketdata.intervals import INTERVAL, INTERVAL_MS

Times = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def refuse_unclosed(opens: Times, last_open: int, clock_says: str, refuse: Callable[[Mask, str], None]) -> None:
    """Refuse candles that have not closed by their market's clock."""
    refuse(opens > last_open, f"the candle has not closed: {clock_says}".removesuffix(": "))


OFF_GRID = f"open time is not a multiple of {INTERVAL_MS} ms"
WRONG_CLOSE_TIME = f"close time is not the end of a {INTERVAL} candle"


def accept_halted_rows(opens: Times, closes: Times, reasons: npt.NDArray[Any]) -> tuple[Mask, Mask]:
    """Accept rows of the exchange's own dumps that a halt explains, clearing their refusal reasons.

    Parameters
    ----------
    opens, closes : array of int
        Of all rows, ms; closes rounded down.
    reasons : array of str
        Why each row is refused, empty for a good one; changed in place.

    Returns
    -------
    tuple of two boolean arrays
        Candles that were cut short, which are good, and complete ones off the grid, which are not stored.
    """
    cut = (reasons == WRONG_CLOSE_TIME) & is_cut_short(opens, closes)
    cut &= ~np.isin(opens + INTERVAL_MS, opens)
    # The exchange stops at any millisecond; a close on a whole second is a tool's own arithmetic.
    cut &= ~np.isin(closes % 1000, (0, 999))
    off_grid = (reasons == OFF_GRID) & is_off_grid(opens, closes)
    reasons[cut | off_grid] = ""
    return cut, off_grid


def is_cut_short(opens: Times, closes: Times) -> Mask:
    """Flags of candles that a halt of the exchange ended early.

    Examples
    --------
    >>> is_cut_short(np.array([0, 300_000]), np.array([299_999, 494_787])).tolist()
    [False, True]
    """
    return (closes > opens) & (closes < opens + INTERVAL_MS - 1)


def is_off_grid(opens: Times, closes: Times) -> Mask:
    """Flags of candles that open off the grid after a halt: at no whole second.

    A file shifted by a tool is off by whole seconds or minutes; such rows are an error.

    Examples
    --------
    >>> is_off_grid(np.array([1_518_168_494_789, 60_000]), np.array([1_518_168_794_788, 359_999])).tolist()
    [True, False]
    """
    return (opens % 1000 != 0) & ((closes == opens + INTERVAL_MS - 1) | is_cut_short(opens, closes))
