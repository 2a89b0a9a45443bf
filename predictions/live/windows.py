"""Candles and features of the live path, kept in this process and checked against the database at every candle.

One statement brings the candles stored since the newest one held, and marks that say whether an older one was changed
(:mod:`marketdata.storage.tails`). Where everything continues at the last candle, one candle is fed; the window of a
market whose marks changed is read again; other markets, a long pause or an error read everything again. The database
stays the only truth. SQLite keeps no marks: there, and for any candle but the newest, callers read the window.

Where ranges are corrected online, the misses of recent forecasts are kept beside the windows, for one version.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.features import WARMUP, NewestFeatures
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from marketdata.process_state import process_state
from marketdata.storage import candles, tails
from marketdata.storage.columns import COLUMNS
from marketdata.storage.feature_inputs import feature_columns, other_market_ids
from modelregistry.estimators.counters import lookback_candles, recent_forecasts
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.range_predictor import RangePredictor
from predictions.live.miss_counters import LiveMissCounters

logger = logging.getLogger(__name__)

MAX_CATCH_UP_CANDLES = 48
"""Candles fed one after the other at most; after a longer pause everything is read again."""
FILL_BATCH_MARKETS = 50
"""Markets whose windows are read in one statement."""


@dataclass(frozen=True, eq=False)
class LiveRows:
    """The window of m markets, and the inputs of its newest candle."""

    grid: CandleGrid
    inputs: ModelInputs


def read_windows(
    ids: Sequence[int], open_ms: int, reach: int = 0, others: Mapping[str, int] | None = None
) -> tuple[CandleGrid, tails.Marks]:
    """Read the windows that end at a candle, `reach` candles longer, and their marks, beside other markets."""
    start = open_ms - (WARMUP + reach - 1) * INTERVAL_MS
    read = list(dict.fromkeys([*ids, *(others or {}).values()]))
    columns = feature_columns()
    tail = tails.read_tail(read, start, start, open_ms + INTERVAL_MS, columns)
    times = start + np.arange(WARMUP + reach, dtype=np.int64) * INTERVAL_MS
    return candles.as_grid(times, tail.values, read, ids, others or {}, columns=columns), tail.marks


class LiveWindows:
    """In-memory windows of the markets of one source that end at the same candle."""

    def __init__(self, source: str = "") -> None:
        self._source = source
        self._lock = threading.Lock()
        self._ids: list[int] = []
        self.others: dict[str, int] = {}
        """Other markets that features read, by symbol."""
        self._newest: NewestFeatures | None = None
        self._misses: LiveMissCounters | None = None
        self._marks: tails.Marks = {}
        self.counts = dict.fromkeys(("filled", "fed", "reread", "compared", "different"), 0)

    @contextmanager
    def rows(
        self, markets: Sequence[Market], open_ms: int, corrector: RangePredictor | None = None
    ) -> Iterator[LiveRows | None]:
        """Yield what is held of these markets at a candle, or None where the caller must read the window.

        Yields
        ------
        LiveRows or None
            Views, good until the end of the ``with`` block: no other thread gets rows before.
        """
        if not tails.is_available() or not markets or not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield self._rows([market.pk for market in markets], open_ms, corrector)
        except Exception:
            self._drop()
            raise
        finally:
            self._lock.release()

    def marks_of(self, market_id: int) -> tails.Marks:
        """Marks of one market, and of the others its features read, at the time their candles were read."""
        return {key: mark for key, mark in self._marks.items() if key[0] in {market_id, *self.others.values()}}

    @property
    def reach(self) -> int:
        """Candles before the window that the recent misses depend on."""
        return lookback_candles(self._misses.predictor) if self._misses is not None else 0

    def reset(self) -> None:
        """Read everything again at the next candle."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        self._ids, self._newest, self._misses, self._marks = [], None, None, {}

    def _rows(self, ids: list[int], open_ms: int, corrector: RangePredictor | None) -> LiveRows | None:
        if self._newest is not None and open_ms < self._newest.open_time:
            return None
        newest = self._continued(ids, open_ms, corrector) or self._started(sorted(ids), open_ms, corrector)
        features, sigma = newest.rows()
        inputs = ModelInputs(features, newest.grid.close[:, -1], sigma)
        if corrector and self._misses:
            inputs = self._misses.corrected(inputs, open_ms // INTERVAL_MS)
        held = LiveRows(newest.grid, inputs)
        return held if ids == self._ids else _chosen(held, np.array([self._ids.index(key) for key in ids]))

    def _continued(self, ids: list[int], open_ms: int, corrector: RangePredictor | None) -> NewestFeatures | None:
        """Feed the candles stored since, and read again what changed before; None if that is not possible."""
        newest, misses = self._newest, self._misses
        if newest is None or not set(ids) <= set(self._ids):
            return None
        if corrector is not None and (misses is None or misses.predictor is not corrector):
            return None
        until = newest.open_time
        if open_ms > until + MAX_CATCH_UP_CANDLES * INTERVAL_MS:
            return None
        first = until - (WARMUP + self.reach - 1) * INTERVAL_MS
        read = list(dict.fromkeys([*self._ids, *self.others.values()]))
        tail = tails.read_tail(read, first, until + INTERVAL_MS, open_ms + INTERVAL_MS, feature_columns())
        before = {key: mark for key, mark in self._marks.items() if key[1] >= first // tails.LENGTH_MS}
        changed = sorted(tails.changed_markets(before, tail.marks, until))
        for k in range(tail.values.shape[2]):
            beside = {symbol: tail.values[: len(COLUMNS), [read.index(key)], k] for symbol, key in self.others.items()}
            newest.push(until + (k + 1) * INTERVAL_MS, tail.values[:, : len(self._ids), k], beside)
            if misses is not None:
                misses.push(newest)
        self._marks = dict(tail.marks)
        self.counts["fed"] += 1
        if set(changed) & set(self.others.values()):
            changed = list(self._ids)  # features of every market read it
        if changed:
            logger.info("past candles of markets %s changed: their windows are read again", changed)
            self._read(changed, newest)
            self.counts["reread"] += len(changed)
        return newest

    def _started(self, ids: list[int], open_ms: int, corrector: RangePredictor | None) -> NewestFeatures:
        """Read the windows of these markets, and keep no others."""
        self._drop()
        self._ids, self._newest = ids, NewestFeatures(len(ids), open_ms)
        self.others = other_market_ids(self._source)
        self._misses = LiveMissCounters(corrector, len(ids)) if corrector is not None else None
        self._read(ids, self._newest)
        self.counts["filled"] += 1
        return self._newest

    def _read(self, ids: Sequence[int], newest: NewestFeatures) -> None:
        """Replace all that is held of some markets by what the database holds."""
        for first in range(0, len(ids), FILL_BATCH_MARKETS):
            some = ids[first : first + FILL_BATCH_MARKETS]
            grid, marks = read_windows(some, newest.open_time, self.reach, self.others)
            for row, market_id in enumerate(some):
                at, alone = self._ids.index(market_id), grid.select(row)
                newest.replace(at, alone.tail(WARMUP))
                if self._misses is not None:
                    counted = recent_forecasts(self._misses.predictor, alone)
                    self._misses.fill(at, counted, newest.open_time // INTERVAL_MS)
            replaced = {*some, *self.others.values()}
            self._marks = {key: mark for key, mark in self._marks.items() if key[0] not in replaced} | dict(marks)


def _chosen(held: LiveRows, at: npt.NDArray[np.int64]) -> LiveRows:
    """Rows of some of the markets."""
    return LiveRows(held.grid.take(at), held.inputs.take(at))


class WindowsBySource(dict[str, LiveWindows]):
    """Windows of the markets of each source."""

    def __missing__(self, source: str) -> LiveWindows:
        return self.setdefault(source, LiveWindows(source))


def of_source(source: str) -> LiveWindows:
    """Windows this process keeps of the markets of a source."""
    return process_state.of(WindowsBySource)[source]


def counts() -> dict[str, int]:
    """Number of events by kind since the process started, all sources together."""
    found: Counter[str] = Counter()
    for windows in process_state.of(WindowsBySource).values():
        found.update(windows.counts)
    return dict(found)
