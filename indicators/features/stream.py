"""The one executor of features: candles go in by blocks of any length, years or a single candle, with the same bits.

A feature is a function of a few series and of the values they had some candles before. Between two blocks nothing is
kept but the newest values of each series that is looked back at, as many as are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from indicators.arrays import Flags, Floats
from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.errors import FeatureError
from indicators.features.window import Window


class History:
    """The newest values of one series; before its first value lie zeros.

    The first block shows how far back is read, which later ones may not exceed.
    """

    def __init__(self) -> None:
        self._kept = 1
        """Newest values that the next block may read."""
        self._rows = 0
        """Length of the newest block."""
        self._values: Floats | None = None
        """After a block of several candles: that block and what is kept of those before, oldest first."""
        self._ring: Floats | None = None
        """After a block of one candle: what is kept, in a circle, so that nothing is moved for the next one."""
        self._newest = 0
        """Row of the newest value in the ring."""
        self._is_learning = True

    def append(self, block: Floats) -> None:
        """Take in the next values, shape (T, m)."""
        if len(block) == 1 and (ring := self._as_ring()) is not None:
            self._newest = (self._newest + 1) % self._kept
            ring[self._newest] = block
            self._is_learning = False
            return
        self._is_learning = self._values is None and self._ring is None
        self._values = block if self._is_learning else np.concatenate([self.tail(), block])
        self._ring, self._rows = None, len(block)

    def before(self, lag: int) -> Floats:
        """Values `lag` candles before each of the newest block, shape (T, m): a view, good until the next block."""
        if lag >= self._kept:
            if not self._is_learning:
                raise FeatureError(f"{self._kept} values are kept, the one of {lag} candles ago is not among them")
            self._kept = lag + 1
        if self._ring is not None:
            at = (self._newest - lag) % self._kept
            return self._ring[at : at + 1]
        assert self._values is not None, "nothing has been appended"
        missing = self._rows + lag - len(self._values)
        if missing > 0:
            self._values = _after_zeros(self._values, missing)
        stop = len(self._values) - lag
        return self._values[stop - self._rows : stop]

    def tail(self) -> Floats:
        """All that the next block may read, oldest first, shape (values kept, m)."""
        if self._ring is not None:
            return np.roll(self._ring, -1 - self._newest, axis=0)
        assert self._values is not None, "nothing has been appended"
        return _after_zeros(self._values, max(0, self._kept - len(self._values)))[-self._kept :]

    def trim(self) -> None:
        """Drop all that the next block does not read."""
        if self._values is not None:
            self._values = self.tail().copy()

    def put(self, market: int, other: History, n_markets: int) -> None:
        """Replace the values of one of the markets by those of a history of that market alone."""
        values = other.tail()[:, 0]
        ring = self._as_ring()
        if ring is None:
            self._ring = ring = np.zeros((len(values), n_markets))
            self._kept, self._newest = len(values), len(values) - 1
        ring[(self._newest + 1 + np.arange(len(ring))) % len(ring), market] = values

    def _as_ring(self) -> Floats | None:
        """Bring what is kept into a circle; None if nothing has been appended."""
        if self._ring is None and self._values is not None:
            self._ring, self._values, self._newest = self.tail().copy(), None, self._kept - 1
        return self._ring


def _after_zeros(values: Floats, count: int) -> Floats:
    return np.concatenate([np.zeros((count, *values.shape[1:])), values]) if count else values


class Stream:
    """The candles of m markets, block after block, in the order of time.

    Parameters
    ----------
    n_markets : int
    others : sequence of str
        Symbols of further markets whose candles of the same closes features may read.
    further : sequence of str
        Further columns of the own candles that features may read.

    Examples
    --------
    >>> candles = np.stack([np.exp(np.arange(4.0))[:, None]] * 5)
    >>> stream = Stream(1)
    >>> [stream.feed(candles[:, rows]).returns.tolist() for rows in (slice(0, 1), slice(1, 4))]
    [[[0.0]], [[1.0], [1.0], [1.0]]]
    """

    def __init__(self, n_markets: int, others: Sequence[str] = (), further: Sequence[str] = ()) -> None:
        self.n_markets = n_markets
        self._columns = (*CANDLE_COLUMNS, *further)
        self._others = {symbol: Stream(1) for symbol in others}
        self._histories: list[History] = []
        self._read: dict[int, tuple[Floats, History]] = {}
        """Series of the newest block that were looked back at, by identity; kept so that it is not given to another."""
        self._is_learning = True
        """Whether the next block shows which series are looked back at."""
        self._is_open = False
        """Whether a window is out that must be computed to its end."""

    def feed_grid(self, grid: CandleGrid) -> Window:
        """Return the window of the candles of a grid; markets and columns it does not hold are unknown."""
        candles = grid.columns(self._columns[len(CANDLE_COLUMNS) :]).swapaxes(1, 2)
        others = {symbol: other.columns().swapaxes(1, 2) for symbol, other in grid.others.items()}
        return self.feed(candles, others, {name: flags.T for name, flags in grid.late.items()})

    def feed(
        self, candles: Floats, others: Mapping[str, Floats] | None = None, late: Mapping[str, Flags] | None = None
    ) -> Window:
        """Return the window of the next candles, on which the same functions must be run as on those before.

        Parameters
        ----------
        candles : float64 array of shape (5 + k, T, m)
            Open, high, low, close and volume, NaN where there is no candle; then the further columns.
        others : mapping of symbol to float64 array of shape (5, T, 1), optional
            Candles of the other markets; one that is not given is unknown.
        late : mapping of symbol or further column to bool array of shape (T, m), optional
            Rows that another market's candle, or a column, came too late for: unknown there, known to later rows.

        Returns
        -------
        Window
            Good until the next candles are fed.

        Raises
        ------
        FeatureError
            If the candles are of other markets, or not all functions were run on the window before.
        """
        expected = len(self._columns)
        if candles.ndim != 3 or len(candles) != expected or candles.shape[2] != self.n_markets:
            raise FeatureError(
                f"candles of {self.n_markets} markets have shape ({expected}, T, m), got {candles.shape}"
            )
        self._finish()
        self._is_open = True
        unknown = np.full((len(CANDLE_COLUMNS), candles.shape[1], 1), np.nan)
        found = {symbol: stream.feed((others or {}).get(symbol, unknown)) for symbol, stream in self._others.items()}
        is_present = np.isfinite(candles[: len(CANDLE_COLUMNS)].sum(axis=0))
        return Window(dict(zip(self._columns, candles, strict=True)), is_present, self._before, found, late or {})

    def trim(self) -> None:
        """Drop all that the next block does not read: after a long block, almost everything."""
        self._finish()
        for history in self._histories:
            history.trim()
        for other in self._others.values():
            other.trim()

    def put(self, market: int, other: Stream) -> None:
        """Replace one of the markets by another stream of it alone that was fed up to the same candle."""
        if self._is_learning:
            self._histories, self._is_learning = [History() for _ in other._histories], False
        for mine, theirs in zip(self._histories, other._histories, strict=True):
            mine.put(market, theirs, self.n_markets)
        for symbol, stream in self._others.items():
            stream.put(0, other._others[symbol])

    def _finish(self) -> None:
        if self._is_open:
            if len(self._read) != len(self._histories):
                raise FeatureError("the window before was not computed to its end: this stream cannot go on")
            self._read, self._is_open, self._is_learning = {}, False, False

    def _before(self, series: Floats, lag: int) -> Floats:
        """Values of a series `lag` candles earlier, 0 before the first candle."""
        if not lag:
            return series
        found = self._read.get(id(series))
        if found is None:
            # Series have no names: the k-th one a block looks back at continues the k-th one of the block before.
            number = len(self._read)
            if number == len(self._histories):
                if not self._is_learning:
                    raise FeatureError(f"this stream has learned to look back at {number} series, not at more")
                self._histories.append(History())
            found = self._read[id(series)] = series, self._histories[number]
            found[1].append(series)
        return found[1].before(lag)
