"""The candles behind some rows of features, as series without NaN and the means, sums and extremes taken of them.

Everything a feature may look at goes through this window: it ends at the newest row, so no feature can see past it,
and its kernels are finite, so no feature can tell how long the history before it was.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from indicators.arrays import Flags, Floats, Integers
from indicators.candles import CandleGrid
from indicators.kernels import WindowSums, decayed_weight, window_max
from indicators.volatility import PARKINSON, SIGMA_FLOOR

WARMUP = 4104
"""Candles a row of features needs, itself included: 14 days and 72 slots (the seasonal profile of the past 72)."""

SHORT = 72
"""Windows up to this long need every candle, and one more for the first return."""

DAY = 288
LONG_WINDOWS = (DAY, 2016, 4032)
"""Windows that are means over the candles present."""

MIN_PRESENT = 2.0 / 3.0
"""Share of a long window that must be present for the row to be answered."""

RANGE_FLOOR = 1e-5
"""A log range below a tenth of a basis point counts as this one: a flat candle is no surprise and no ln(0)."""

CENTRE = 7.0
"""About -ln of the usual log range of five minutes: added before squaring, so that a spread loses no digits."""

LEVEL_HALF_LIFE = 24

AHEAD = 72
"""Slots of the day after the newest candle that the seasonal profile reaches."""


class Window:
    """Candles of m markets, `rows` newest ones asked about, `WARMUP` - 1 more before them."""

    def __init__(self, grid: CandleGrid, rows: int) -> None:
        grid = grid.tail(rows + WARMUP - 1)
        self.rows = rows
        self.open_time: Integers = grid.open_time[-rows:]
        self.interval_ms = grid.interval_ms
        self.present: Flags = grid.present
        self.complete = bool(self.present.all())
        self._grid = grid
        self._kept: dict[object, Floats] = {}
        self._sums: dict[object, WindowSums] = {}
        self.present_floats: Floats = self.present.astype(np.float64)

    def _once(self, key: object, make: Callable[[], Floats]) -> Floats:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    # Series of shape (m, rows + WARMUP - 1): 0 where there is no candle.

    def price(self, name: str) -> Floats:
        """Log price of a column, 0 where missing."""

        def make() -> Floats:
            column: Floats = getattr(self._grid, name)
            # Contiguous: over strided memory numpy may take another road to a logarithm, one bit away.
            return np.log(np.ascontiguousarray(column) if self.complete else np.where(self.present, column, 1.0))

        return self._once(("price", name), make)

    @property
    def spans(self) -> Floats:
        """ln(high / low) of each candle."""
        return self._once("span", lambda: self.price("high") - self.price("low"))

    @property
    def log_spans(self) -> Floats:
        """Logarithm of the log range, floored."""
        return self._once("log_span", lambda: np.log(np.maximum(self.spans, RANGE_FLOOR)) * self.present_floats)

    @property
    def returns(self) -> Floats:
        """Ln of close over the close before; 0 where either is missing (the move across a hole is not counted)."""

        def make() -> Floats:
            close, moves = self.price("close"), np.zeros(self.present.shape)
            moves[:, 1:] = close[:, 1:] - close[:, :-1]
            return moves if self.complete else moves * self.return_flags

        return self._once("return", make)

    @property
    def return_flags(self) -> Floats:
        """1 where a candle and the one before it are present."""

        def make() -> Floats:
            flags = np.zeros(self.present.shape)
            flags[:, 1:] = self.present[:, 1:] & self.present[:, :-1]
            return flags

        return self._once("return_flag", make)

    @property
    def volumes(self) -> Floats:
        """Traded quantity, 0 where missing."""
        return self._once("volume", lambda: np.where(self.present, self._grid.volume, 0.0))

    def series(self, name: str, make: Callable[[], Floats]) -> Floats:
        """Keep a series some family derived, so that several features share it."""
        return self._once(("series", name), make)

    def previous(self, series: Floats) -> Floats:
        """Values of one candle earlier, 0 before the first."""
        earlier = np.zeros(series.shape)
        earlier[:, 1:] = series[:, :-1]
        return earlier

    def slots_before(self, series: Floats, candles: int, length: int) -> Floats:
        """Values `candles` earlier than the `length` slots that end `AHEAD` after the newest candle."""
        stop = series.shape[1] + AHEAD - candles
        return series[:, stop - length : stop]

    def filled(self, series: Floats, value: float) -> Floats:
        """Return the same number in the shape of a series."""
        return np.full(series.shape, value)

    # Kernels, each of shape (m, rows).

    def sums(self, series: Floats, decay: float = 1.0) -> WindowSums:
        """Sums over windows of a series."""
        return WindowSums(series, self.rows, decay)

    def largest(self, series: Floats, window: int) -> Floats:
        """Largest value of the window, present or not."""
        return window_max(series, window, self.rows)

    def total(self, name: str, series: Floats, window: int, lag: int = 0) -> Floats:
        """Sum of `series` over `window` candles."""
        key = (name, 1.0)
        if key not in self._sums:
            self._sums[key] = self.sums(series)
        return self._sums[key].total(window, lag)

    def count(self, window: int, lag: int = 0, *, of_returns: bool = False) -> Floats | float:
        """How many candles (or returns) of the window are present; at least 1."""
        if self.complete:
            return float(window)
        if of_returns:
            return np.maximum(self.total("return_flag", self.return_flags, window, lag), 1.0)
        return np.maximum(self.total("present", self.present_floats, window, lag), 1.0)

    def mean(self, name: str, series: Floats, window: int, lag: int = 0) -> Floats:
        """Mean of `series` over the candles of the window that are present."""
        return self.total(name, series, window, lag) / self.count(window, lag)

    def decayed_mean(self, series: Floats, half_life: int) -> Floats:
        """Exponentially weighted mean over a finite reach: at least five half-lives, at most 4,096 candles."""
        decay, reach = self.memory(half_life)
        depth = self.rows + reach - 1
        total = WindowSums(series[:, -depth:], self.rows, decay).total(reach)
        if self.complete:
            return total / decayed_weight(reach, decay)
        weights = WindowSums(self.present_floats[:, -depth:], self.rows, decay).total(reach)
        return total / np.maximum(weights, 1e-9)

    @staticmethod
    def memory(half_life: int) -> tuple[float, int]:
        """Weight of a candle over that of the next one, and how many candles are weighed."""
        return 0.5 ** (1.0 / half_life), min(4096, 1 << (5 * half_life - 1).bit_length())

    def highest(self, series: Floats, window: int, lag: int = 0) -> Floats:
        """Largest value of the window among the candles present."""
        if not self.complete:
            series = np.where(self.present, series, -np.inf)
        largest = window_max(series[:, -(self.rows + window + lag - 1) :], window, self.rows, lag)
        return np.where(np.isfinite(largest), largest, 0.0) if not self.complete else largest

    def lowest(self, series: Floats, window: int, lag: int = 0) -> Floats:
        """Smallest value of the window among the candles present."""
        return -self.highest(-series, window, lag)

    def last(self, series: Floats, lag: int = 0) -> Floats:
        """Values of the rows themselves, or of those `lag` candles earlier."""
        stop = series.shape[1] - lag
        return series[:, stop - self.rows : stop]

    # The level every feature of size is measured against.

    @property
    def variances(self) -> Floats:
        """Parkinson variance of each candle."""
        return self._once("variance", lambda: self.spans * self.spans / PARKINSON)

    @property
    def log_level(self) -> Floats:
        """Logarithm of the current volatility per candle, shape (m, rows)."""
        return self._once("log_level", lambda: log_root(self.decayed_mean(self.variances, LEVEL_HALF_LIFE)))

    @property
    def level(self) -> Floats:
        """The current volatility per candle, at least `SIGMA_FLOOR`."""
        return self._once("level", lambda: np.exp(self.log_level))

    def answerable(self) -> Flags:
        """Rows whose last 73 candles are all there and whose long windows are mostly there, shape (m, rows)."""
        if self.complete:
            return np.ones((self.present.shape[0], self.rows), dtype=np.bool_)
        whole: Flags = self.total("present", self.present_floats, SHORT + 1) == SHORT + 1
        for window in LONG_WINDOWS:
            whole &= self.total("present", self.present_floats, window) >= MIN_PRESENT * window
        return whole


def elementwise(function: Callable[..., Floats]) -> Callable[..., Floats]:
    """Mark a function that treats every element by itself: on symbols it is written down as one operation."""

    @wraps(function)
    def apply(*operands: Any) -> Floats:
        for operand in operands:
            if hasattr(operand, "recorder"):
                return operand.apply(function, operands)
        return function(*operands)

    return apply


@elementwise
def log_root(variance: Floats) -> Floats:
    """Half the logarithm of a variance, floored at that of `SIGMA_FLOOR`."""
    return 0.5 * np.log(np.maximum(variance, SIGMA_FLOOR * SIGMA_FLOOR))


@elementwise
def log_range(span: Floats) -> Floats:
    """Logarithm of a log range, floored at `RANGE_FLOOR`."""
    return np.log(np.maximum(span, RANGE_FLOOR))


@elementwise
def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient of two sums, 0 where the denominator is 0 (nothing moved, nothing traded)."""
    empty = denominator <= 0.0
    return np.where(empty, 0.0, numerator / np.where(empty, 1.0, denominator))


@elementwise
def log_price(column: Floats, present: Floats) -> Floats:
    """Logarithm of a price, 0 where there is no candle."""
    return np.log(np.where(present > 0.0, column, 1.0))


@elementwise
def volume_or_zero(volume: Floats, present: Floats) -> Floats:
    """Traded quantity, 0 where there is no candle."""
    return np.where(present > 0.0, volume, 0.0)


@elementwise
def lowest_where_missing(series: Floats, present: Floats) -> Floats:
    """Minus infinity where there is no candle, so that no maximum is found there."""
    return np.where(present > 0.0, series, -np.inf)


@elementwise
def finite_or_zero(values: Floats) -> Floats:
    """0 where a window held no candle at all."""
    return np.where(np.isfinite(values), values, 0.0)
