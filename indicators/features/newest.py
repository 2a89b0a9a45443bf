"""Features of the newest candle of many markets: a stream fed one candle of each market at every close."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from indicators.arrays import Float32s, Floats
from indicators.candles import CANDLE_COLUMNS, INTERVAL_MS, CandleGrid
from indicators.errors import FeatureError
from indicators.features.build import calendar_features, write_features
from indicators.features.feature_set import FeatureSet, installed
from indicators.features.stream import Stream
from indicators.features.window import WARMUP, Window

CALENDAR_AHEAD = 288
"""Candles whose calendar is computed at once: it depends on the clock alone."""
ROOM = 288
"""Candles taken in before the oldest are dropped at once, so that the window is always one piece of memory."""


class NewestFeatures:
    """Features of the newest candle of m markets, one candle after the other.

    Backward-looking, the bits of :func:`indicators.features.build_features` of the last `WARMUP` candles: with holes,
    late starts and markets that miss the newest candle.

    Parameters
    ----------
    n_markets : int
        Markets, all candles of which are missing until they are replaced.
    open_time : int
        Open in ms of the newest candle.
    interval_ms : int, default 300000
        Length of a candle.
    features : FeatureSet, optional
        What to compute; by default what is installed.

    Examples
    --------
    >>> from indicators.features import build_features
    >>> prices = np.exp(np.cumsum(np.sin(np.arange(WARMUP + 1.0)) / 1e3))[None]
    >>> times = np.arange(WARMUP + 1) * 300_000
    >>> grid = CandleGrid(times, open=prices, high=prices, low=prices, close=prices, volume=prices)
    >>> newest = NewestFeatures.from_grid(grid.span(0, WARMUP))
    >>> newest.push(int(times[-1]), np.stack([prices[:, -1]] * 5))
    >>> bool((newest.rows()[0] == build_features(grid, 1)[:, 0]).all())
    True
    """

    def __init__(
        self, n_markets: int, open_time: int, interval_ms: int = INTERVAL_MS, features: FeatureSet | None = None
    ) -> None:
        self.features = features or installed()
        self.n_markets = n_markets
        self.open_time = open_time
        self.interval_ms = interval_ms
        self._further = self.features.further_columns
        self._stream = Stream(n_markets, self.features.other_markets, self._further)
        self._features = np.full((n_markets, len(self.features.names)), np.nan, dtype=np.float32)
        self._sigma = np.full(n_markets, np.nan)
        self._candles = np.full((len(CANDLE_COLUMNS) + len(self._further), n_markets, WARMUP + ROOM), np.nan)
        self._present = np.zeros((n_markets, WARMUP + ROOM), dtype=np.bool_)
        one = np.full((len(CANDLE_COLUMNS), 1, WARMUP + ROOM), np.nan)
        self._others = {symbol: one.copy() for symbol in self.features.other_markets}
        self._stop = WARMUP
        self._calendar_from, self._calendar = 0, np.empty((0, 0), dtype=np.float32)

    @classmethod
    def from_grid(cls, grid: CandleGrid, features: FeatureSet | None = None) -> NewestFeatures:
        """Start with the newest `WARMUP` candles of a grid.

        Raises
        ------
        FeatureError
            If the grid is too short.
        """
        if len(grid) < WARMUP:
            raise FeatureError(f"newest features need {WARMUP} candles, there are {len(grid)}")
        newest = cls(grid.n_markets, int(grid.open_time[-1]), grid.interval_ms, features)
        for market in range(grid.n_markets):
            newest.replace(market, grid.tail(WARMUP).select(market))
        return newest

    @property
    def grid(self) -> CandleGrid:
        """The `WARMUP` candles held: views, good until the next candle is taken in."""
        times = self.open_time + np.arange(1 - WARMUP, 1, dtype=np.int64) * self.interval_ms
        window = slice(self._stop - WARMUP, self._stop)
        columns = dict(zip((*CANDLE_COLUMNS, *self._further), self._candles[:, :, window], strict=True))
        further = {name: columns.pop(name) for name in self._further}
        others = {
            symbol: CandleGrid(times, *candles[:, :, window], interval_ms=self.interval_ms)  # type: ignore[misc]
            for symbol, candles in self._others.items()
        }
        grid = CandleGrid(times, interval_ms=self.interval_ms, others=others, further=further, **columns)
        # Known already; to find it again would cost more than all features.
        vars(grid)["present"] = self._present[:, window]
        return grid

    def push(self, open_time: int, columns: Floats, others: Mapping[str, Floats] | None = None) -> None:
        """Take in the next candle of every market, and of the other markets that features read.

        Parameters
        ----------
        open_time : int
            Its open in ms: one interval after the newest one.
        columns : float64 array of shape (5 + k, m)
            Open, high, low, close and volume, NaN for a market that misses it; then the further columns.
        others : mapping of symbol to float64 array of shape (5, 1), optional
            The same candle of other markets; one that is not given is missing.

        Raises
        ------
        FeatureError
            If it is not the next candle, or of other markets.
        """
        if open_time != self.open_time + self.interval_ms:
            raise FeatureError(f"the candle after {self.open_time} opens {self.interval_ms} ms later, not {open_time}")
        if columns.shape != (len(self._candles), self.n_markets):
            expected = f"({len(self._candles)}, m)"
            raise FeatureError(f"a candle of {self.n_markets} markets has shape {expected}, got {columns.shape}")
        self.open_time = open_time
        if self._stop == WARMUP + ROOM:
            for kept in (self._candles, self._present, *self._others.values()):
                kept[..., :WARMUP] = kept[..., ROOM:].copy()
            self._stop = WARMUP
        self._candles[:, :, self._stop] = columns
        self._present[:, self._stop] = np.isfinite(columns[: len(CANDLE_COLUMNS)].sum(axis=0))
        beside = {
            symbol: (others or {}).get(symbol, np.full((len(CANDLE_COLUMNS), 1), np.nan)) for symbol in self._others
        }
        for symbol, candle in beside.items():
            self._others[symbol][:, :, self._stop] = candle
        self._stop += 1
        window = self._stream.feed(columns[:, None], {symbol: candle[:, None] for symbol, candle in beside.items()})
        self._features, self._sigma = self._compute(window)

    def rows(self) -> tuple[Float32s, Floats]:
        """Features and volatility of the newest candle of every market.

        Returns
        -------
        features : float32 array of shape (m, len(self.features.names))
            Row ``i`` as ``build_features(grid, 1)[i, 0]``.
        sigma : float64 array of shape (m,)
            As ``ewm_sigma(grid, 1)[:, 0]``.
        """
        return self._features.copy(), self._sigma.copy()

    def replace(self, market: int, grid: CandleGrid) -> None:
        """Take other candles for one market: those of the newest `WARMUP` instants, shape (1, WARMUP).

        The other markets that features read are replaced with it, by those the grid holds.

        Raises
        ------
        FeatureError
            If they are of other instants or several markets.
        """
        if grid.n_markets != 1 or len(grid) != WARMUP or int(grid.open_time[-1]) != self.open_time:
            raise FeatureError("a replacement gives one market all the candles that are held")
        candles = grid.columns(self._further)
        window = slice(self._stop - WARMUP, self._stop)
        self._candles[:, market, window], self._present[market, window] = candles[:, 0], grid.present[0]
        for symbol, kept in self._others.items():
            other = grid.others.get(symbol)
            kept[:, :, window] = np.nan if other is None else other.columns()
        alone = Stream(1, self.features.other_markets, self._further)
        features, sigma = self._compute(alone.feed_grid(grid))
        self._stream.put(market, alone)
        self._features[market], self._sigma[market] = features[0], sigma[0]

    def _compute(self, window: Window) -> tuple[Float32s, Floats]:
        """Features and volatility of the newest candle of a window."""
        n_markets = window.present.shape[1]
        built = np.empty((n_markets, 1, len(self.features.names)), dtype=np.float32)
        write_features(window, self._calendar_row()[None], built, self.features)
        return built[:, 0], window.sigma()[-1]

    def _calendar_row(self) -> Float32s:
        at = (self.open_time - self._calendar_from) // self.interval_ms
        if not 0 <= at < len(self._calendar):
            self._calendar_from, at = self.open_time, 0
            times = self.open_time + np.arange(CALENDAR_AHEAD, dtype=np.int64) * self.interval_ms
            self._calendar = calendar_features(times, self.interval_ms, self.features)
        return self._calendar[at]
