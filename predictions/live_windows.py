"""The windows of the live path, held in this process's memory and checked against the database at every candle.

Filled by one query, fed with the candles stored since, in one statement that also brings the marks of all older
ones (:mod:`marketdata.tails`). The database stays the only truth: a market whose marks changed is read anew, and
whatever else is not as expected - other markets, a jump in time, a comparison that failed - drops everything held.
SQLite keeps no marks; there, and for every question but the newest candle of the live path, windows are read.

Where the ranges correct themselves, what they missed lately is held beside the windows: marks then reach back as far as
the forecasts counted do, and a market that is read anew is counted anew. Another version counts its own.
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
from predictions.held_misses import HeldMisses

logger = logging.getLogger(__name__)

LONGEST_JUMP = 48
"""Candles taken in one after the other at most; after a longer pause all is read anew."""
MOST_REREAD = 50
"""Markets read anew one by one at most."""
READ_AT_ONCE = 50
"""Markets read in one statement when the memory is filled."""


@dataclass(frozen=True, eq=False)
class HeldRows:
    """The window of some markets with the features, volatility, correction and distrust of its newest candle."""

    grid: CandleGrid
    features: npt.NDArray[np.float32]
    sigma: npt.NDArray[np.float64]
    corrections: npt.NDArray[np.float64] | None
    distrusted: npt.NDArray[np.bool_] | None


def read_windows(ids: Sequence[int], open_ms: int, reach: int = 0) -> tuple[CandleGrid, tails.Marks]:
    """Read the windows of markets that end at a candle, `reach` longer, and their marks, in one statement."""
    start = open_ms - (WARMUP + reach - 1) * INTERVAL_MS
    tail = tails.read_tail(ids, start, start, open_ms + INTERVAL_MS)
    times = start + np.arange(WARMUP + reach, dtype=np.int64) * INTERVAL_MS
    return CandleGrid(times, *tail.values, interval_ms=INTERVAL_MS), tail.marks  # type: ignore[misc]


class LiveWindows:
    """Windows of the markets of one source, all ending at one candle."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: list[int] = []
        self._newest: NewestFeatures | None = None
        self._misses: HeldMisses | None = None
        self._marks: tails.Marks = {}
        self.counts = dict.fromkeys(("filled", "fed", "reread", "compared", "different"), 0)

    @contextmanager
    def rows(
        self, markets: Sequence[Market], open_ms: int, corrector: RangePredictor | None = None
    ) -> Iterator[HeldRows | None]:
        """What is held of these markets at a candle, until the end of the block; None where it must be read.

        Its forecasts are corrected by what the `corrector` missed, if there is one.
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
        """Marks of one market as they were when its candles were read."""
        return {key: mark for key, mark in self._marks.items() if key[0] == market_id}

    @property
    def reach(self) -> int:
        """Candles before the window that what is held depends on."""
        return lookback_candles(self._misses.predictor) if self._misses is not None else 0

    def forget(self) -> None:
        """Read everything anew at the next candle."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        self._ids, self._newest, self._misses, self._marks = [], None, None, {}

    def _rows(self, ids: list[int], open_ms: int, corrector: RangePredictor | None) -> HeldRows | None:
        held = self._newest
        if held is not None and open_ms < held.open_time:
            return None
        too_late = held is not None and open_ms > held.open_time + LONGEST_JUMP * INTERVAL_MS
        if held is None or too_late or not set(ids) <= set(self._ids) or not self._counts_for(corrector):
            self._fill(sorted(ids), open_ms, corrector)
        else:
            self._feed(open_ms)
        assert self._newest is not None
        features, sigma = self._newest.rows()
        grid = self._newest.grid
        corrections, distrusted = None, None
        if corrector and self._misses:
            number = open_ms // INTERVAL_MS
            corrections, distrusted = self._misses.log_factors(number), self._misses.distrusted(number)
        if ids == self._ids:
            return HeldRows(grid, features, sigma, corrections, distrusted)
        at = [self._ids.index(key) for key in ids]
        columns = {name: getattr(grid, name)[at] for name in CANDLE_COLUMNS}
        chosen = CandleGrid(grid.open_time, interval_ms=INTERVAL_MS, **columns)
        return HeldRows(
            chosen,
            features[at],
            sigma[at],
            None if corrections is None else corrections[at],
            None if distrusted is None else distrusted[at],
        )

    def _counts_for(self, corrector: RangePredictor | None) -> bool:
        """Whether what is held is what this version missed; one that corrects nothing needs no counts."""
        return corrector is None or (self._misses is not None and self._misses.predictor is corrector)

    def _fill(self, ids: list[int], open_ms: int, corrector: RangePredictor | None) -> None:
        """Read the windows of these markets, and hold no others."""
        self._drop()
        misses = HeldMisses(corrector, len(ids)) if corrector is not None else None
        grids: list[CandleGrid] = []
        marks: dict[tuple[int, int], tails.Mark] = {}
        for first in range(0, len(ids), READ_AT_ONCE):
            grid, found = read_windows(ids[first : first + READ_AT_ONCE], open_ms, lookback_candles(corrector))
            for market in range(grid.n_markets):
                _count(misses, first + market, grid.select(market))
            grids.append(grid.tail(WARMUP))
            marks |= found
        self._newest = NewestFeatures(CandleGrid.stack(grids) if len(grids) > 1 else grids[0])
        self._misses, self._marks, self._ids = misses, marks, ids
        self.counts["filled"] += 1

    def _feed(self, open_ms: int) -> None:
        """Take in what was stored since, and read anew what changed before."""
        held, misses = self._newest, self._misses
        assert held is not None
        until = held.open_time
        first = until - (WARMUP + self.reach - 1) * INTERVAL_MS
        tail = tails.read_tail(self._ids, first, until + INTERVAL_MS, open_ms + INTERVAL_MS)
        doubtful = tails.changed_markets(_from(self._marks, first), tail.marks, until)
        if len(doubtful) > MOST_REREAD:
            logger.warning("candles of %d markets changed: all windows are read anew", len(doubtful))
            self._fill(self._ids, open_ms, misses.predictor if misses is not None else None)
            return
        for k in range(tail.values.shape[2]):
            held.push(until + (k + 1) * INTERVAL_MS, tail.values[:, :, k])
            if misses is not None:
                misses.push(held)
        self._marks = dict(tail.marks)
        self.counts["fed"] += 1
        for market_id in sorted(doubtful):
            grid, marks = read_windows([market_id], open_ms, self.reach)
            held.correct(self._ids.index(market_id), grid.tail(WARMUP))
            _count(misses, self._ids.index(market_id), grid)
            others = {key: mark for key, mark in self._marks.items() if key[0] != market_id}
            self._marks = {**others, **marks}
            self.counts["reread"] += 1
            logger.info("past candles of market %s changed: its window is read anew", market_id)


def _count(misses: HeldMisses | None, market: int, grid: CandleGrid) -> None:
    """Count what a version missed of the candles of one market, shape (1, n)."""
    if misses is not None:
        misses.fill(market, recent_forecasts(misses.predictor, grid), int(grid.open_time[-1]) // INTERVAL_MS)


def _from(marks: tails.Marks, first_ms: int) -> tails.Marks:
    """Marks of blocks that reach into a window."""
    return {key: mark for key, mark in marks.items() if key[1] >= first_ms // tails.LENGTH_MS}


_live: dict[str, LiveWindows] = {}


def of_source(source: str) -> LiveWindows:
    """Windows this process holds of the markets of a source."""
    return _live.setdefault(source, LiveWindows())


def counts() -> dict[str, int]:
    """What this process's windows have been through, all sources together."""
    found: Counter[str] = Counter()
    for windows in _live.values():
        found.update(windows.counts)
    return dict(found)


def forget() -> None:
    """Drop everything held, as a new process would know it."""
    _live.clear()
