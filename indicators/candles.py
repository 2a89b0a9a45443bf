"""The candle grid: closed candles of markets on one regular time axis, with NaN holes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from indicators.arrays import Flags, Floats, Integers
from indicators.errors import FeatureError

if TYPE_CHECKING:
    import pandas as pd  # importing it takes half the start time of a serving process, which reads no frame

INTERVAL_MS = 300_000
"""Length of a candle in milliseconds: five minutes."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
MONTH_MS = 30 * DAY_MS
DAY_CANDLES = DAY_MS // INTERVAL_MS
EPOCH_MONDAY_MS = 4 * DAY_MS
"""Monday 1970-01-05 00:00 UTC, from which days, weeks and blocks are counted."""

PRICE_COLUMNS = ("open", "high", "low", "close")
CANDLE_COLUMNS = (*PRICE_COLUMNS, "volume")
FURTHER_COLUMNS = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
"""Columns of the exchange that a candle may lack; only features that declare them read them."""


@dataclass(frozen=True, eq=False)
class CandleGrid:
    """Closed candles of m markets on n regular instants, oldest first.

    Parameters
    ----------
    open_time : int64 array of shape (n,)
        Open times in milliseconds since 1970 UTC, each `interval_ms` after the one before.
    open, high, low, close, volume : float64 arrays of shape (m, n)
        One row per market. A candle that does not exist is NaN in all five.
    interval_ms : int
        Length of a candle.
    others : mapping of symbol to CandleGrid of one market
        Other markets that features read, on the same instants.
    late : mapping of symbol or further column to bool array of shape (m, n)
        Instants at which a row was computed before the candle of another market, or the column, was known.
    further : mapping of name in `FURTHER_COLUMNS` to float64 array of shape (m, n)
        Columns that features declare; NaN where unknown. A candle exists without them.

    Raises
    ------
    FeatureError
        If shapes disagree or the time axis is not regular.
    """

    open_time: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    interval_ms: int = INTERVAL_MS
    others: Mapping[str, CandleGrid] = field(default_factory=dict)
    late: Mapping[str, Flags] = field(default_factory=dict)
    further: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.close.shape
        if len(shape) != 2 or shape[1] != len(self.open_time):
            raise FeatureError(f"candle columns must have shape (markets, {len(self.open_time)}), got {shape}")
        for name in CANDLE_COLUMNS:
            if getattr(self, name).shape != shape:
                raise FeatureError(f"column {name} has shape {getattr(self, name).shape}, close has {shape}")
        for name, values in self.further.items():
            if name not in FURTHER_COLUMNS or values.shape != shape:
                raise FeatureError(f"further column {name} has shape {values.shape}, close has {shape}")
        if len(self.open_time) > 1 and not (np.diff(self.open_time) == self.interval_ms).all():
            raise FeatureError(f"open times must be {self.interval_ms} ms apart; a hole is a NaN candle")
        for symbol, other in self.others.items():
            if other.close.shape != (1, len(self)) or not np.array_equal(other.open_time, self.open_time):
                raise FeatureError(f"{symbol} is one market on other instants than the grid that reads it")

    def __len__(self) -> int:
        return len(self.open_time)

    @property
    def n_markets(self) -> int:
        """Number of markets, the first axis of every column."""
        return int(self.close.shape[0])

    @cached_property
    def present(self) -> Flags:
        """Where a candle exists, shape (m, n): all five of its numbers are finite."""
        return np.isfinite(self.open + self.high + self.low + self.close + self.volume)

    def tail(self, n: int) -> CandleGrid:
        """Return the newest `n` instants (a view)."""
        return self.span(max(len(self) - n, 0), len(self))

    def span(self, start: int, stop: int) -> CandleGrid:
        """Return the instants from position `start` up to `stop`, exclusive (a view)."""
        columns = {name: getattr(self, name)[:, start:stop] for name in CANDLE_COLUMNS}
        others = {symbol: other.span(start, stop) for symbol, other in self.others.items()}
        late = {name: flags[:, start:stop] for name, flags in self.late.items()}
        further = {name: values[:, start:stop] for name, values in self.further.items()}
        return CandleGrid(
            self.open_time[start:stop],
            interval_ms=self.interval_ms,
            others=others,
            late=late,
            further=further,
            **columns,
        )

    def select(self, i: int) -> CandleGrid:
        """Return market `i` alone, still of shape (1, n), beside the others it may read."""
        return self.take([i])

    def take(self, markets: Sequence[int] | Integers) -> CandleGrid:
        """Return some of the markets, beside the others they may read."""
        # A slice is a view; candles of years are not copied for each market.
        rows = slice(int(markets[0]), int(markets[0]) + 1) if len(markets) == 1 else np.asarray(markets)
        columns = {name: getattr(self, name)[rows] for name in CANDLE_COLUMNS}
        late = {name: flags[rows] for name, flags in self.late.items()}
        further = {name: values[rows] for name, values in self.further.items()}
        return CandleGrid(
            self.open_time, interval_ms=self.interval_ms, others=self.others, late=late, further=further, **columns
        )

    @classmethod
    def from_columns(
        cls, open_time: Integers | Sequence[int], columns: Mapping[str, object], interval_ms: int = INTERVAL_MS
    ) -> CandleGrid:
        """Place candles on a regular grid from the first to the last open time.

        Parameters
        ----------
        open_time : int array of shape (k,)
            Increasing, multiples of `interval_ms`; holes are allowed and become NaN.
        columns : mapping of "open", "high", "low", "close", "volume" to arrays
            Of shape (k,) for one market or (m, k) for several; those of `FURTHER_COLUMNS` are taken if given.
        interval_ms : int, default 300000
            Length of a candle.

        Raises
        ------
        FeatureError
            If times are not increasing or not aligned, or a column is missing.

        Examples
        --------
        >>> hole = CandleGrid.from_columns([0, 600_000], {name: [1.0, 2.0] for name in CANDLE_COLUMNS})
        >>> hole.close.tolist()
        [[1.0, nan, 2.0]]
        """
        times = np.asarray(open_time, dtype=np.int64)
        missing = [name for name in CANDLE_COLUMNS if name not in columns]
        if missing:
            raise FeatureError(f"candles lack the columns {', '.join(missing)}")
        steps = np.diff(times)
        if len(times) and (times % interval_ms).any():
            raise FeatureError(f"open times must be multiples of {interval_ms} ms")
        if (steps <= 0).any():
            raise FeatureError("open times must increase")
        if len(times) == 0 or (steps == interval_ms).all():
            grid_times, positions = times, None
        else:
            grid_times = np.arange(times[0], times[-1] + interval_ms, interval_ms, dtype=np.int64)
            positions = (times - times[0]) // interval_ms
        columns_on_grid: dict[str, Any] = {}
        further = [name for name in FURTHER_COLUMNS if name in columns]
        for name in (*CANDLE_COLUMNS, *further):
            values = np.atleast_2d(np.asarray(columns[name], dtype=np.float64))
            if positions is None:
                columns_on_grid[name] = np.ascontiguousarray(values)
                continue
            columns_on_grid[name] = np.full((values.shape[0], len(grid_times)), np.nan)
            columns_on_grid[name][:, positions] = values
        beside = {name: columns_on_grid.pop(name) for name in further}
        return cls(grid_times, interval_ms=interval_ms, further=beside, **columns_on_grid)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> CandleGrid:
        """Grid of one market from a frame with `open_time` and the candle columns."""
        names = (*CANDLE_COLUMNS, *FURTHER_COLUMNS)
        columns = {name: frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in names if name in frame}
        return cls.from_columns(frame["open_time"].to_numpy(dtype=np.int64), columns)

    def columns(self, further: Sequence[str] = ()) -> Floats:
        """Candle columns and further ones, shape (5 + k, m, n); NaN where the grid lacks one."""
        unknown = np.full(self.close.shape, np.nan)
        own = [getattr(self, name) for name in CANDLE_COLUMNS]
        return np.stack([*own, *(self.further.get(name, unknown) for name in further)])

    @classmethod
    def stack(cls, grids: Sequence[CandleGrid]) -> CandleGrid:
        """Combine several grids on one common time axis; missing candles are NaN.

        Examples
        --------
        >>> early = CandleGrid.from_columns([0], {name: [1.0] for name in CANDLE_COLUMNS})
        >>> late = CandleGrid.from_columns([300_000], {name: [2.0] for name in CANDLE_COLUMNS})
        >>> CandleGrid.stack([early, late]).close.tolist()
        [[1.0, nan], [nan, 2.0]]
        """
        filled = [grid for grid in grids if len(grid)]
        if not filled:
            raise FeatureError("there are no candles to stack")
        interval_ms = filled[0].interval_ms
        first = min(int(grid.open_time[0]) for grid in filled)
        last = max(int(grid.open_time[-1]) for grid in filled)
        times = np.arange(first, last + interval_ms, interval_ms, dtype=np.int64)
        markets = sum(grid.n_markets for grid in grids)
        further = [name for name in FURTHER_COLUMNS if any(name in grid.further for grid in grids)]
        columns_on_grid: dict[str, Any] = {
            name: np.full((markets, len(times)), np.nan) for name in (*CANDLE_COLUMNS, *further)
        }
        row = 0
        for grid in grids:
            if len(grid):
                start = (int(grid.open_time[0]) - first) // interval_ms
                for name in CANDLE_COLUMNS:
                    columns_on_grid[name][row : row + grid.n_markets, start : start + len(grid)] = getattr(grid, name)
                for name, values in grid.further.items():
                    columns_on_grid[name][row : row + grid.n_markets, start : start + len(grid)] = values
            row += grid.n_markets
        beside = {name: columns_on_grid.pop(name) for name in further}
        return cls(times, interval_ms=interval_ms, further=beside, **columns_on_grid)
