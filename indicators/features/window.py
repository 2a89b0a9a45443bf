"""What families of features are written with: means, sums and extremes of the candles up to each row.

Every operation looks back through `Window.before` only, and never further than a fixed reach. A feature therefore
depends on nothing after its row, and not on how long the history before it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

from indicators.arrays import Flags, Floats
from indicators.candles import CANDLE_COLUMNS
from indicators.catalog.volatility import PARKINSON, SIGMA_FLOOR, sigma_memory
from indicators.errors import FeatureError

WARMUP = 4104
"""Candles a row of features needs, itself included: 14 days and 72 slots (the seasonal profile of the past 72)."""

SHORT = 72
"""Windows up to this long need every candle, and one more for the first return."""

DAY = 288
LONG_WINDOWS = (DAY, 2016, 4032)
"""Windows that are means over the candles present."""

MIN_PRESENT = 2.0 / 3.0
"""Share of a long window that must be present for a row to be finite."""

RANGE_FLOOR = 1e-5
"""A log range below a tenth of a basis point counts as this one: a flat candle is no surprise and no ln(0)."""

CENTRE = 7.0
"""About -ln of the usual log range of five minutes: added before squaring, so that a spread loses no digits."""

LEVEL_HALF_LIFE = 24

AHEAD = 72
"""Slots of the day after a row that the seasonal profile reaches."""

Made = TypeVar("Made")
Before = Callable[[Floats, int], Floats]
"""(series, lag) to the values of the series `lag` candles earlier, 0 before the first candle."""


class Sums:
    """Sums over windows of one series, the latest candle weighing most.

    By doubling: the window of 2k is the window of k plus the one k candles earlier. The tree of additions is fixed by
    the window alone, as in :class:`indicators.kernels.WindowSums`, so are the bits.

    Parameters
    ----------
    before : callable
    series : float64 array of shape (T, m)
    decay : float
        Each value weighs `decay` times the one after it; 1 is a plain sum.
    """

    def __init__(self, before: Before, series: Floats, decay: float) -> None:
        self._before = before
        self._decay = decay
        self._levels = [series]
        self._totals: dict[tuple[int, int], Floats] = {}

    def total(self, window: int, lag: int = 0) -> Floats:
        """Sum of the `window` values that end `lag` candles before each row."""
        if (window, lag) not in self._totals:
            self._totals[window, lag] = self._total(window, lag)
        return self._totals[window, lag]

    def _total(self, window: int, lag: int) -> Floats:
        total: Floats | None = None
        behind = lag
        for power in range(window.bit_length()):
            if not window >> power & 1:
                continue
            part = self._before(self._level(power), behind)
            if total is None:
                total = part
            else:
                total = total + (part if self._decay == 1.0 else self._decay ** (behind - lag) * part)
            behind += 1 << power
        assert total is not None, "a window holds at least one candle"
        return total

    def _level(self, power: int) -> Floats:
        while len(self._levels) <= power:
            half, width = self._levels[-1], 1 << (len(self._levels) - 1)
            earlier = self._before(half, width)
            self._levels.append(half + (earlier if self._decay == 1.0 else earlier * self._decay**width))
        return self._levels[power]


class Maxima:
    """Largest values of windows of one series, by doubling."""

    def __init__(self, before: Before, series: Floats) -> None:
        self._before = before
        self._levels = [series]

    def largest(self, window: int) -> Floats:
        """Largest of the `window` values that end at each row: two windows of a power of two that overlap."""
        power = window.bit_length() - 1
        while len(self._levels) <= power:
            half, width = self._levels[-1], 1 << (len(self._levels) - 1)
            self._levels.append(np.maximum(half, self._before(half, width)))
        whole, rest = self._levels[power], window - (1 << power)
        return np.maximum(whole, self._before(whole, rest)) if rest else whole


class Window:
    """A block of candles, and operations on each of them together with those before.

    Every series and every result has shape (T, m): a value for each candle of the block and each market. Series hold
    no NaN; where a candle is missing they are 0.

    Parameters
    ----------
    candles : mapping of column to float64 array of shape (T, m)
        Open, high, low, close and volume, and the further columns that features declare.
    is_present : bool array of shape (T, m)
        Where there is a candle; elsewhere its numbers are not read.
    before : callable
        The only access to earlier values; :class:`indicators.features.stream.Stream` provides it.
    others : mapping of symbol to Window of shape (T, 1)
        The same closes of other markets.
    late : mapping of symbol or further column to bool array of shape (T, m)
        Rows that another market's candle, or a column, came too late for.

    Examples
    --------
    >>> from indicators.features.stream import Stream
    >>> window = Stream(1).feed(np.stack([np.array([[1.0], [2.0], [4.0]])] * 5))
    >>> window.total(window.volumes, 2).ravel().tolist(), window.mean(window.volumes, 2).ravel().tolist()
    ([1.0, 3.0, 6.0], [1.0, 1.5, 3.0])
    """

    def __init__(
        self,
        candles: Mapping[str, Floats],
        is_present: Flags,
        before: Before,
        others: Mapping[str, Window] | None = None,
        late: Mapping[str, Flags] | None = None,
    ) -> None:
        self.is_present = is_present
        self.present: Floats = is_present.astype(np.float64)
        self.before = before
        self._candles = candles
        self._others = others or {}
        # At once, so that every block looks back at the same series, whichever of them families read.
        self._series: dict[str, Floats] = {}
        self._derived: dict[tuple[object, int], tuple[Floats, object]] = {}
        self._is_known: dict[str, Flags] = {}
        for symbol, window in self._others.items():
            self._is_known[symbol] = window.total(window.present, WARMUP) == WARMUP
        for name in candles:
            if name not in CANDLE_COLUMNS:
                unknown = (is_present & ~np.isfinite(candles[name])).astype(np.float64)
                self._is_known[name] = self.total(unknown, WARMUP) == 0.0
        for name, flags in (late or {}).items():
            if name in self._is_known:
                self._is_known[name] = self._is_known[name] & ~flags

    def series(self, name: str, make: Callable[[], Floats]) -> Floats:
        """Make a series at its first use, so that several features share it and what is derived of it."""
        if name not in self._series:
            self._series[name] = make()
        return self._series[name]

    def _once(self, kind: object, series: Floats, make: Callable[[Floats], Made]) -> Made:
        """Derive something of a series once."""
        key = kind, id(series)
        if key not in self._derived:
            # Kept with its series: the identity of an array that is gone may be given to another one.
            self._derived[key] = series, make(series)
        return self._derived[key][1]  # type: ignore[return-value]

    # Series that families share.

    def _column(self, name: str, missing: float) -> Floats:
        return self.series(name, lambda: np.where(self.is_present, self._candles[name], missing))

    def price(self, name: str) -> Floats:
        """Log price of a column."""
        return self.series(f"log_{name}", lambda: np.log(self._column(name, 1.0)))

    @property
    def volumes(self) -> Floats:
        """Traded quantity."""
        return self._column("volume", 0.0)

    @cached_property
    def spans(self) -> Floats:
        """ln(high / low) of each candle."""
        return self.price("high") - self.price("low")

    @cached_property
    def log_spans(self) -> Floats:
        """Logarithm of the log range, floored."""
        return log_range(self.spans) * self.present

    @cached_property
    def returns(self) -> Floats:
        """Ln of close over the close before; 0 where either is missing (the move across a hole is not counted)."""
        close = self.price("close")
        return (close - self.before(close, 1)) * (self.present * self.before(self.present, 1))

    @cached_property
    def variances(self) -> Floats:
        """Parkinson variance of each candle."""
        return self.spans * self.spans / PARKINSON

    def further(self, name: str, values: Callable[[Floats], Floats]) -> Floats:
        """Values of a further column of the exchange, shape (T, m).

        They are NaN, which is unknown, where one of the market's last `WARMUP` candles lacks the column, and in rows
        that were computed before it was known.

        Parameters
        ----------
        name : str
            A column the family declares by :func:`indicators.features.reads_columns`.
        values : callable
            From the series of the column, 0 where unknown, to values of shape (T, m).
        """
        if name not in self._candles or name in CANDLE_COLUMNS:
            raise FeatureError(f"{name} is not among the further columns the family reads")
        known = self.is_present & np.isfinite(self._candles[name])
        series = self.series(name, lambda: np.where(known, self._candles[name], 0.0))
        return np.where(self._is_known[name], values(series), np.nan)

    # Windows that end at each row, or `lag` candles before it.

    def total(self, series: Floats, window: int, lag: int = 0) -> Floats:
        """Sum of a series over `window` candles."""
        return self._sums(series, 1.0).total(window, lag)

    def count(self, window: int, lag: int = 0) -> Floats:
        """How many candles of the window are present; at least 1."""
        counted = self.total(self.present, window, lag)
        return self._once("count", counted, lambda counted: np.maximum(counted, 1.0))

    def mean(self, series: Floats, window: int, lag: int = 0) -> Floats:
        """Mean of a series over the candles of the window that are present."""
        return self.total(series, window, lag) / self.count(window, lag)

    def decayed_mean(self, series: Floats, half_life: int) -> Floats:
        """Exponentially weighted mean over a finite reach: at least five half-lives, at most 4,096 candles."""
        decay, reach = 0.5 ** (1.0 / half_life), min(4096, 1 << (5 * half_life - 1).bit_length())
        weights = np.maximum(self._sums(self.present, decay).total(reach), 1e-9)
        return self._sums(series, decay).total(reach) / weights

    def largest(self, series: Floats, window: int) -> Floats:
        """Largest value of the window, that of missing candles included."""
        return self._once("maxima", series, lambda series: Maxima(self.before, series)).largest(window)

    def highest(self, series: Floats, window: int) -> Floats:
        """Largest value of the window among the candles present, 0 if there is none."""
        known = self._once("known", series, lambda series: np.where(self.is_present, series, -np.inf))
        found = self.largest(known, window)
        return np.where(np.isfinite(found), found, 0.0)

    def lowest(self, series: Floats, window: int) -> Floats:
        """Smallest value of the window among the candles present, 0 if there is none."""
        return -self.highest(self._once("negated", series, np.negative), window)

    def _sums(self, series: Floats, decay: float) -> Sums:
        return self._once(("sums", decay), series, lambda series: Sums(self.before, series, decay))

    # What every feature of size is measured against, and what estimators are scaled by.

    @cached_property
    def log_level(self) -> Floats:
        """Logarithm of the current volatility per candle."""
        return log_root(self.decayed_mean(self.variances, LEVEL_HALF_LIFE))

    @cached_property
    def level(self) -> Floats:
        """The current volatility per candle, at least `SIGMA_FLOOR`."""
        return np.exp(self.log_level)

    def sigma(self) -> Floats:
        """Volatility per candle, as `ewm_sigma` computes it; NaN where the candle is missing."""
        span = np.log(self._column("high", 1.0) / self._column("low", 1.0))
        decay, reach = sigma_memory(72)
        weights = np.maximum(self._sums(self.present, decay).total(reach), np.finfo(np.float64).tiny)
        sigma = np.sqrt(self._sums(span * span / PARKINSON, decay).total(reach) / weights)
        return np.where(self.is_present, np.maximum(sigma, SIGMA_FLOOR), np.nan)

    # Other markets, at the same closes.

    def other(self, symbol: str, values: Callable[[Window], Floats]) -> Floats:
        """Values of another market's window, shape (T, m).

        They are NaN, which is unknown, where one of the last `WARMUP` candles of that market is missing, and in rows
        that were computed before its candle came.

        Parameters
        ----------
        symbol : str
            A market the family declares by :func:`indicators.features.reads_markets`.
        values : callable
            From the other market's window to values of shape (T, 1).
        """
        if symbol not in self._others:
            raise FeatureError(f"{symbol} is not among the other markets the family reads: {sorted(self._others)}")
        known = np.broadcast_to(self._is_known[symbol], self.present.shape)
        return np.where(known, values(self._others[symbol]), np.nan)

    def mean_of_others(self, symbols: Sequence[str], values: Callable[[Window], Floats]) -> Floats:
        """Mean of values over the other markets that are known in a row, shape (T, m); NaN where none is."""
        found = np.stack([self.other(symbol, values) for symbol in symbols])
        known = np.isfinite(found)
        total = np.where(known, found, 0.0).sum(axis=0)
        return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)

    def complete(self) -> Flags:
        """Rows whose last 73 candles are all present and whose long windows are mostly present."""
        whole: Flags = self.total(self.present, SHORT + 1) == SHORT + 1
        for window in LONG_WINDOWS:
            whole &= self.total(self.present, window) >= MIN_PRESENT * window
        return whole


def log_root(variance: Floats) -> Floats:
    """Half the logarithm of a variance, floored at that of `SIGMA_FLOOR`."""
    return 0.5 * np.log(np.maximum(variance, SIGMA_FLOOR * SIGMA_FLOOR))


def log_range(span: Floats) -> Floats:
    """Logarithm of a log range, floored at `RANGE_FLOOR`."""
    return np.log(np.maximum(span, RANGE_FLOOR))


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient of two sums, 0 where the denominator is 0 (nothing moved, nothing traded)."""
    empty = denominator <= 0.0
    return np.where(empty, 0.0, numerator / np.where(empty, 1.0, denominator))
