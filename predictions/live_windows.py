"""Candle windows of the live path in memory, validated against the database.

Filled by one query and extended by the candles stored since, in one statement that also reads the marks of all older
ones (:mod:`marketdata.tails`). The database stays the source of truth: a market whose marks changed is read again, and
anything else unexpected - other markets, a jump in time, a failed comparison - clears the memory. SQLite keeps no
marks; there, and for all but the newest candle of the live path, windows are read from the database.

With an online correction or a guard, the live miss counters are kept beside the windows: marks then reach back as far
as the counted forecasts, and a market that is read again is counted again. Another version has its own counters.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.features import WARMUP, NewestFeatures
from marketdata import tails
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from modelregistry.estimators.counted import lookback_candles, recent_forecasts
from modelregistry.estimators.range_predictor import RangePredictor
from predictions.held_misses import LiveMissCounters

logger = logging.getLogger(__name__)

MAX_CATCH_UP_CANDLES = 48
"""Longest pause, in candles, that is caught up; after a longer one all windows are read again."""
MAX_REREAD_MARKETS = 50
"""Most markets read again one by one; with more, all windows are read again."""
FILL_BATCH_MARKETS = 50
"""Markets per statement when all windows are read."""


@dataclass(frozen=True, eq=False)
class LiveRows:
    """Window of some markets, with features, volatility and adjustment of its newest candle."""

    grid: CandleGrid
    features: npt.NDArray[np.float32]
    sigma: npt.NDArray[np.float64]
    corrections: npt.NDArray[np.float64] | None
    guard_suppresses: npt.NDArray[np.bool_] | None


def read_windows(ids: Sequence[int], open_ms: int, reach: int = 0) -> tuple[CandleGrid, tails.Marks]:
    """Read the windows that end at a candle, `reach` candles longer, and their marks."""
    start = open_ms - (WARMUP + reach - 1) * INTERVAL_MS
    tail = tails.read_tail(ids, start, start, open_ms + INTERVAL_MS)
    times = start + np.arange(WARMUP + reach, dtype=np.int64) * INTERVAL_MS
    return CandleGrid(times, *tail.values, interval_ms=INTERVAL_MS), tail.marks  # type: ignore[misc]


class LiveWindows:
    """In-memory windows of the markets of one source, all ending at one candle."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: list[int] = []
        self._newest: NewestFeatures | None = None
        self._misses: LiveMissCounters | None = None
        self._marks: tails.Marks = {}
        self.counts = dict.fromkeys(("filled", "fed", "reread", "compared", "different"), 0)

    @contextmanager
    def rows(
        self, markets: Sequence[Market], open_ms: int, corrector: RangePredictor | None = None
    ) -> Iterator[LiveRows | None]:
        """Window rows of these markets at a candle, valid inside the block.

        None where the window must be read from the database. `corrector` is the range predictor with an online
        correction or a guard, if any.
        """
        if not tails.is_available() or not markets or not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield self._rows([market.pk for market in markets], open_ms, corrector)
            if self._newest is not None:
                self._newest.settle()
        except Exception:
            self._drop()
            raise
        finally:
            self._lock.release()

    def marks_of(self, market_id: int) -> tails.Marks:
        """Marks of one market at the time its candles were read."""
        return {key: mark for key, mark in self._marks.items() if key[0] == market_id}

    @property
    def reach(self) -> int:
        """Candles before the window that the counters depend on."""
        return lookback_candles(self._misses.predictor) if self._misses is not None else 0

    def reset(self) -> None:
        """Clear the memory; the next candle reads all windows."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        self._ids, self._newest, self._misses, self._marks = [], None, None, {}

    def _rows(self, ids: list[int], open_ms: int, corrector: RangePredictor | None) -> LiveRows | None:
        newest = self._newest
        if newest is not None and open_ms < newest.open_time:
            return None
        too_late = newest is not None and open_ms > newest.open_time + MAX_CATCH_UP_CANDLES * INTERVAL_MS
        if newest is None or too_late or not set(ids) <= set(self._ids) or not self._counters_match(corrector):
            self._fill(sorted(ids), open_ms, corrector)
        else:
            self._feed(open_ms)
        assert self._newest is not None
        features, sigma = self._newest.rows()
        grid = self._newest.grid
        corrections, guard_suppresses = None, None
        if corrector and self._misses:
            number = open_ms // INTERVAL_MS
            corrections, guard_suppresses = self._misses.log_factors(number), self._misses.guard_suppresses(number)
        if ids == self._ids:
            return LiveRows(grid, features, sigma, corrections, guard_suppresses)
        at = [self._ids.index(key) for key in ids]
        columns = {name: getattr(grid, name)[at] for name in CANDLE_COLUMNS}
        chosen = CandleGrid(grid.open_time, interval_ms=INTERVAL_MS, **columns)
        return LiveRows(
            chosen,
            features[at],
            sigma[at],
            None if corrections is None else corrections[at],
            None if guard_suppresses is None else guard_suppresses[at],
        )

    def _counters_match(self, corrector: RangePredictor | None) -> bool:
        """Whether the counters are those of this version; True for one that needs none."""
        return corrector is None or (self._misses is not None and self._misses.predictor is corrector)

    def _fill(self, ids: list[int], open_ms: int, corrector: RangePredictor | None) -> None:
        """Read the windows of these markets and drop all others."""
        self._drop()
        misses = LiveMissCounters(corrector, len(ids)) if corrector is not None else None
        grids: list[CandleGrid] = []
        marks: dict[tuple[int, int], tails.Mark] = {}
        for first in range(0, len(ids), FILL_BATCH_MARKETS):
            grid, found = read_windows(ids[first : first + FILL_BATCH_MARKETS], open_ms, lookback_candles(corrector))
            for market in range(grid.n_markets):
                _count(misses, first + market, grid.select(market))
            grids.append(grid.tail(WARMUP))
            marks |= found
        self._newest = NewestFeatures(CandleGrid.stack(grids) if len(grids) > 1 else grids[0])
        self._misses, self._marks, self._ids = misses, marks, ids
        self.counts["filled"] += 1

    def _feed(self, open_ms: int) -> None:
        """Add the candles stored since, and read markets again whose past changed."""
        newest, misses = self._newest, self._misses
        assert newest is not None
        until = newest.open_time
        first = until - (WARMUP + self.reach - 1) * INTERVAL_MS
        tail = tails.read_tail(self._ids, first, until + INTERVAL_MS, open_ms + INTERVAL_MS)
        changed = tails.changed_markets(_from(self._marks, first), tail.marks, until)
        if len(changed) > MAX_REREAD_MARKETS:
            logger.warning("candles of %d markets changed: all windows are read again", len(changed))
            self._fill(self._ids, open_ms, misses.predictor if misses is not None else None)
            return
        for k in range(tail.values.shape[2]):
            newest.push(until + (k + 1) * INTERVAL_MS, tail.values[:, :, k])
            if misses is not None:
                misses.push(newest)
        self._marks = dict(tail.marks)
        self.counts["fed"] += 1
        for market_id in sorted(changed):
            grid, marks = read_windows([market_id], open_ms, self.reach)
            newest.correct(self._ids.index(market_id), grid.tail(WARMUP))
            _count(misses, self._ids.index(market_id), grid)
            others = {key: mark for key, mark in self._marks.items() if key[0] != market_id}
            self._marks = {**others, **marks}
            self.counts["reread"] += 1
            logger.info("past candles of market %s changed: its window is read again", market_id)


def _count(misses: LiveMissCounters | None, market: int, grid: CandleGrid) -> None:
    """Fill the miss counters of one market from its candles, shape (1, n)."""
    if misses is not None:
        misses.fill(market, recent_forecasts(misses.predictor, grid), int(grid.open_time[-1]) // INTERVAL_MS)


def _from(marks: tails.Marks, first_ms: int) -> tails.Marks:
    """Marks of blocks that overlap a window."""
    return {key: mark for key, mark in marks.items() if key[1] >= first_ms // tails.LENGTH_MS}


_live: dict[str, LiveWindows] = {}


def of_source(source: str) -> LiveWindows:
    """In-memory windows of the markets of a source."""
    return _live.setdefault(source, LiveWindows())


def counts() -> dict[str, int]:
    """Event counts of the windows of this process, summed over all sources."""
    found: Counter[str] = Counter()
    for windows in _live.values():
        found.update(windows.counts)
    return dict(found)


def reset() -> None:
    """Drop the windows of all sources."""
    _live.clear()
