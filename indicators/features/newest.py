"""Features of the newest candle out of memory, for all markets in one call, with the bits of the batch."""

from __future__ import annotations

import numpy as np

from indicators.arrays import Float32s, Floats
from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.errors import FeatureError
from indicators.features.build import FEATURE_NAMES, calendar_features
from indicators.features.held import HeldSums
from indicators.features.window import WARMUP

CALENDAR_AHEAD = 288
"""Candles whose calendar is computed at once: it depends on the clock alone."""
ROOM = 288
"""Candles taken in before the oldest are dropped at once, so that the window is always one piece of memory."""


class NewestFeatures:
    """Features of the newest candle of m markets, one candle after the other.

    Backward-looking, the bits of :func:`indicators.features.build_features` of the last `WARMUP` candles: with holes,
    late starts and markets that miss the newest candle. The memory is about 0.4 MB a market, 0.75 MB for one with a
    hole in its window.

    Parameters
    ----------
    grid : CandleGrid
        At least `WARMUP` candles of m markets, missing ones NaN.

    Raises
    ------
    FeatureError
        If the grid is too short.

    Examples
    --------
    >>> from indicators.features import build_features
    >>> prices = np.exp(np.cumsum(np.sin(np.arange(WARMUP + 1.0)) / 1e3))[None]
    >>> times = np.arange(WARMUP + 1) * 300_000
    >>> grid = CandleGrid(times, open=prices, high=prices, low=prices, close=prices, volume=prices)
    >>> newest = NewestFeatures(grid.span(0, WARMUP))
    >>> newest.push(int(times[-1]), np.stack([prices[:, -1]] * 5))
    >>> bool((newest.rows()[0] == build_features(grid, 1)[:, 0]).all())
    True
    """

    def __init__(self, grid: CandleGrid) -> None:
        if len(grid) < WARMUP:
            raise FeatureError(f"newest features need {WARMUP} candles, there are {len(grid)}")
        grid = grid.tail(WARMUP)
        self.n_markets = grid.n_markets
        self.interval_ms = grid.interval_ms
        self.open_time = int(grid.open_time[-1])
        self._candles = np.empty((len(CANDLE_COLUMNS), grid.n_markets, WARMUP + ROOM))
        self._present = np.empty((grid.n_markets, WARMUP + ROOM), dtype=np.bool_)
        self._stop = WARMUP
        for column, name in zip(self._candles, CANDLE_COLUMNS, strict=True):
            column[:, :WARMUP] = getattr(grid, name)
        self._present[:, :WARMUP] = grid.present
        self._n_present = grid.present.sum(axis=1)
        self._whole = HeldSums(grid, complete=True)
        self._holed: HeldSums | None = None
        self._holed_markets: list[int] = []
        self._calendar_from, self._calendar = 0, np.empty((0, 0), dtype=np.float32)
        self._mind_holes()

    def __len__(self) -> int:
        return WARMUP

    @property
    def n_bytes(self) -> int:
        """Memory held."""
        return (
            self._candles.nbytes
            + self._present.nbytes
            + self._whole.n_bytes
            + (self._holed.n_bytes if self._holed else 0)
        )

    @property
    def grid(self) -> CandleGrid:
        """The `WARMUP` candles held: views, good until the next candle is taken in."""
        window = slice(self._stop - WARMUP, self._stop)
        times = self.open_time + np.arange(1 - WARMUP, 1, dtype=np.int64) * self.interval_ms
        columns = dict(zip(CANDLE_COLUMNS, self._candles[:, :, window], strict=True))
        grid = CandleGrid(times, interval_ms=self.interval_ms, **columns)
        # Known already; to find it again would cost more than all features.
        vars(grid)["present"] = self._present[:, window]
        return grid

    def push(self, open_time: int, columns: Floats) -> None:
        """Take in the next candle of every market.

        Parameters
        ----------
        open_time : int
            Its open in ms: one interval after the newest one.
        columns : float64 array of shape (5, m)
            Open, high, low, close and volume; NaN for a market that misses it.

        Raises
        ------
        FeatureError
            If it is not the next candle, or of other markets.
        """
        if open_time != self.open_time + self.interval_ms:
            raise FeatureError(f"the candle after {self.open_time} opens {self.interval_ms} ms later, not {open_time}")
        if columns.shape != (len(CANDLE_COLUMNS), self.n_markets):
            raise FeatureError(f"a candle of {self.n_markets} markets has shape (5, m), got {columns.shape}")
        self.open_time = open_time
        if self._stop == WARMUP + ROOM:
            self._candles[:, :, :WARMUP] = self._candles[:, :, ROOM:].copy()
            self._present[:, :WARMUP] = self._present[:, ROOM:].copy()
            self._stop = WARMUP
        present = np.isfinite(columns.sum(axis=0))
        self._candles[:, :, self._stop] = columns
        self._present[:, self._stop] = present
        self._n_present += present
        self._n_present -= self._present[:, self._stop - WARMUP]
        self._stop += 1
        with np.errstate(all="ignore"):
            self._whole.push(columns, present)
            if self._holed is not None:
                self._holed.push(columns[:, self._holed_markets], present[self._holed_markets])
        self._mind_holes()

    def rows(self) -> tuple[Float32s, Floats]:
        """Features and volatility of the newest candle of every market.

        Returns
        -------
        features : float32 array of shape (m, len(FEATURE_NAMES))
            Row ``i`` as ``build_features(grid, 1)[i, 0]``.
        sigma : float64 array of shape (m,)
            As ``ewm_sigma(grid, 1)[:, 0]``.
        """
        with np.errstate(all="ignore"):
            built, sigma = self._whole.rows()
        features = np.empty((self.n_markets, len(FEATURE_NAMES)), dtype=np.float32)
        features[:, : len(built)] = built.T
        features[:, len(built) :] = self._calendar_row()
        sigma = sigma.copy()
        if self._holed is not None:
            with np.errstate(all="ignore"):
                holed, sigma[self._holed_markets] = self._holed.rows()
            features[self._holed_markets, : len(holed)] = holed.T
            blank = np.isnan(holed[0])
            features[np.array(self._holed_markets)[blank]] = np.nan
            sigma[~self._present[:, self._stop - 1]] = np.nan
        return features, sigma

    def settle(self) -> None:
        """Do what the next candle will need that is known already: to be called once the answers are out.

        Nothing depends on it but how soon the row of the next candle is there.
        """
        with np.errstate(all="ignore"):
            for held in (self._whole, self._holed):
                if held is not None:
                    held.settle()

    def correct(self, market: int, grid: CandleGrid) -> None:
        """Take other candles for one market: its own, of the same `WARMUP` instants, shape (1, WARMUP)."""
        if grid.n_markets != 1 or len(grid) != WARMUP or int(grid.open_time[-1]) != self.open_time:
            raise FeatureError("a correction gives one market all the candles that are held")
        window = slice(self._stop - WARMUP, self._stop)
        for column, name in zip(self._candles, CANDLE_COLUMNS, strict=True):
            column[market, window] = getattr(grid, name)[0]
        self._present[market, window] = grid.present[0]
        self._n_present[market] = int(grid.present.sum())
        with np.errstate(all="ignore"):
            self._whole.replace(market, HeldSums(grid, complete=True))
        self._holed, self._holed_markets = None, []
        self._mind_holes()

    def _mind_holes(self) -> None:
        """Keep the memory that counts candles for the markets that lack one, and only for them."""
        holed = np.flatnonzero(self._n_present < WARMUP).tolist()
        if holed == self._holed_markets:
            return
        self._holed_markets = holed
        self._holed = HeldSums(self._grid_of(holed), complete=False) if holed else None

    def _grid_of(self, markets: list[int]) -> CandleGrid:
        grid = self.grid
        columns = {name: getattr(grid, name)[markets] for name in CANDLE_COLUMNS}
        return CandleGrid(grid.open_time, interval_ms=grid.interval_ms, **columns)

    def _calendar_row(self) -> Float32s:
        at = (self.open_time - self._calendar_from) // self.interval_ms
        if not 0 <= at < len(self._calendar):
            self._calendar_from, at = self.open_time, 0
            times = self.open_time + np.arange(CALENDAR_AHEAD, dtype=np.int64) * self.interval_ms
            self._calendar = calendar_features(times, self.interval_ms)
        return self._calendar[at]
