"""What research reads: candles, values by market and candle, and forecasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from indicators.arrays import Floats, Integers
from indicators.candles import CANDLE_COLUMNS, CandleGrid
from modelregistry.estimators.forecast import LEVELS

if TYPE_CHECKING:
    import pandas as pd

SIDES = ("high", "low")

Axis = tuple[str, Sequence[object]]
"""Name of an axis, and a label for each position on it."""


def index_of(symbol: npt.NDArray[np.object_], open_time: Integers, **levels: npt.ArrayLike) -> pd.MultiIndex:
    """Index by symbol, open time (UTC) and further levels."""
    import pandas as pd  # not before a frame is wanted

    times = pd.to_datetime(open_time, unit="ms", utc=True)
    names = ["symbol", "open_time", *levels]
    return pd.MultiIndex.from_arrays([symbol, times, *levels.values()], names=names)


@dataclass(frozen=True, eq=False)
class Values:
    """Values by market and candle, market by market, oldest first.

    Parameters
    ----------
    symbol : object ndarray of shape (n,)
        Market of each row.
    open_time : int64 ndarray of shape (n,)
        Open of each row's candle, ms since 1970 UTC.
    array : ndarray of shape (n, ...)
        NaN where unknown.
    axes : tuple of (name, labels)
        The axes of `array` after the first.

    Examples
    --------
    >>> symbol = np.array(["BTCUSDT"], dtype=object)
    >>> found = Values(symbol, np.array([0]), np.array([[[1.0, 2.0]]]), (("horizon", (6,)), ("side", SIDES)))
    >>> len(found), found.to_pandas()[6, "low"].tolist()
    (1, [2.0])
    """

    symbol: npt.NDArray[np.object_]
    open_time: Integers
    array: npt.NDArray[np.floating]
    axes: tuple[Axis, ...]

    def __len__(self) -> int:
        return len(self.open_time)

    def to_pandas(self) -> pd.DataFrame:
        """Frame with one row per market and candle, and a column level for each axis."""
        import pandas as pd

        names, labels = [name for name, _ in self.axes], [list(axis) for _, axis in self.axes]
        if len(labels) == 1:
            columns: pd.Index = pd.Index(labels[0], name=names[0])
        else:
            columns = pd.MultiIndex.from_product(labels, names=names)
        return pd.DataFrame(self.array.reshape(len(self), -1), index_of(self.symbol, self.open_time), columns)


@dataclass(frozen=True, eq=False)
class Candles:
    """Closed candles of some markets on one time axis, with the history that features need.

    Parameters
    ----------
    symbols : tuple of str
    grid : CandleGrid
        One row per symbol; a candle that does not exist is NaN.
    start : int
        Position of the first candle of the period; those before are history.

    Examples
    --------
    >>> prices = np.array([[1.0, 2.0, np.nan]])
    >>> grid = CandleGrid(np.arange(3) * 300_000, prices, prices, prices, prices, prices)
    >>> found = Candles(("BTCUSDT",), grid, start=1)
    >>> found.close.tolist(), found.to_pandas().close.tolist()
    ([[2.0, nan]], [2.0])
    """

    symbols: tuple[str, ...]
    grid: CandleGrid
    start: int = 0

    @property
    def period(self) -> CandleGrid:
        """The candles of the period alone."""
        return self.grid.span(self.start, len(self.grid))

    @property
    def open_time(self) -> Integers:
        """Opens of the period, ms since 1970 UTC, shape (n,)."""
        return self.grid.open_time[self.start :]

    @property
    def open(self) -> Floats:
        """Shape (m, n), as `high`, `low`, `close` and `volume`."""
        return self.period.open

    @property
    def high(self) -> Floats:
        """Highest prices."""
        return self.period.high

    @property
    def low(self) -> Floats:
        """Lowest prices."""
        return self.period.low

    @property
    def close(self) -> Floats:
        """Closing prices."""
        return self.period.close

    @property
    def volume(self) -> Floats:
        """Traded quantities."""
        return self.period.volume

    def at(self, values: npt.NDArray[np.floating], axes: tuple[Axis, ...]) -> Values:
        """Values of the candles that exist, from those of all instants of the period, shape (m, n, ...)."""
        market, row = np.nonzero(self.period.present)
        symbol = np.array(self.symbols, dtype=object)[market]
        return Values(symbol, self.open_time[row], values[market, row], axes)

    def to_pandas(self) -> pd.DataFrame:
        """Frame of the candles that exist, one row per market and candle."""
        period = self.period
        columns = np.moveaxis(period.columns(tuple(period.further)), 0, 2)
        return self.at(columns, (("column", (*CANDLE_COLUMNS, *period.further)),)).to_pandas().rename_axis(columns=None)


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Forecasts of ranges as served, with their outcomes; prices unless stated.

    Parameters
    ----------
    symbol : object ndarray of shape (n,)
    open_time : int64 ndarray of shape (n,)
        Open of the last closed candle, ms since 1970 UTC; market by market, oldest first.
    close : ndarray of shape (n,)
        Its close.
    horizons : tuple of int
        Candles.
    quantiles : ndarray of shape (n, n_horizons, 2, 7)
        Of the highest high and the lowest low for the levels 5, 10, 25, 50, 75, 90 and 95 %; NaN where refused.
    scale : ndarray of shape (n, n_horizons)
        The forecast ``ln(H / L)``, before quantiles and online correction.
    outcomes : ndarray of shape (n, n_horizons, 2)
        Highest high and lowest low; NaN where a candle is missing or not closed yet.
    reasons : object ndarray of shape (n,)
        Reason codes joined by commas, empty for a plain forecast.
    """

    symbol: npt.NDArray[np.object_]
    open_time: Integers
    close: Floats
    horizons: tuple[int, ...]
    quantiles: Floats
    scale: Floats
    outcomes: Floats
    reasons: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.open_time)

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of the quantiles."""
        return LEVELS

    def to_pandas(self) -> pd.DataFrame:
        """Frame with one row per market, candle and horizon."""
        import pandas as pd

        each = len(self.horizons)
        columns: Mapping[str, npt.NDArray] = {
            "close": np.repeat(self.close, each),
            "scale": self.scale.ravel(),
            **{
                f"{side}_q{round(100 * level):02d}": self.quantiles[:, :, at, place].ravel()
                for at, side in enumerate(SIDES)
                for place, level in enumerate(LEVELS)
            },
            **{f"actual_{side}": self.outcomes[:, :, at].ravel() for at, side in enumerate(SIDES)},
            "reasons": np.repeat(self.reasons, each),
        }
        horizon = np.tile(np.array(self.horizons, dtype=np.int64), len(self))
        index = index_of(np.repeat(self.symbol, each), np.repeat(self.open_time, each), horizon=horizon)
        return pd.DataFrame(columns, index)
