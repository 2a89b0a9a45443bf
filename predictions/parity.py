"""Live equals batch, measured while it runs: rows of the live path are computed again from the database.

After a candle is answered and recorded, one market at random and the next ones of the round are read whole and their
row is computed by the batch. Every market's turn comes once a day. A difference is an error of this engine: it is
counted, logged, and everything held in memory is dropped.
"""

import logging
from collections.abc import Sequence

import numpy as np

from indicators.features import FEATURE_NAMES, build_features
from indicators.leakage import same_bits
from indicators.volatility import ewm_sigma
from marketdata import chance
from marketdata.intervals import INTERVAL_MS
from predictions import live_windows
from predictions.correcting import lately, reach_of
from predictions.live_windows import LiveWindows, read_windows
from predictions.passes import Pass

logger = logging.getLogger(__name__)

A_DAY = 288
"""Candles within which every market is compared."""


def compare(done: Pass) -> list[int]:
    """Compare rows of a pass that came out of memory; the ids of markets that differ."""
    answered = [index for index in range(len(done.markets)) if done.answers.position[index, -1] >= 0]
    if not done.held or not answered:
        return []
    open_ms = int(done.answers.open_time[-1])
    windows = live_windows.of_source(done.markets[0].source)
    different = []
    for index in _turns(answered, open_ms // INTERVAL_MS):
        market = done.markets[index]
        found = _differences(done, index, windows)
        if found is None:
            continue
        windows.counts["compared"] += 1
        if found:
            windows.counts["different"] += 1
            different.append(market.pk)
            logger.error(
                "%s at %d: live and batch differ in %s; the windows in memory are dropped", market, open_ms, found
            )
    if different:
        windows.forget()
    return different


def _turns(answered: Sequence[int], candle: int) -> list[int]:
    """One at random, and those whose turn it is."""
    each = -(-len(answered) // A_DAY)
    first = candle % A_DAY * each
    return sorted({chance.default_rng().choice(answered), *answered[first : first + each]})


def _differences(done: Pass, index: int, windows: LiveWindows) -> list[str] | None:
    """Columns in which the row in memory is not that of the batch; None if its candles changed in between."""
    market, open_ms = done.markets[index], int(done.answers.open_time[-1])
    # What is held may count for another version by now.
    grid, marks = read_windows([market.pk], open_ms, max(windows.reach, reach_of(done.ensemble)))
    if marks != windows.marks_of(market.pk):
        return None
    position = done.answers.position[index, -1]
    same = same_bits(done.answers.features[position], build_features(grid, 1)[0, 0])
    found = [FEATURE_NAMES[column] for column in np.flatnonzero(~same)]
    if not same_bits(done.answers.sigma[position : position + 1], ewm_sigma(grid, 1)[0]).all():
        found.append("sigma")
    corrections, distrusted = done.answers.corrections, done.answers.distrusted
    if done.ensemble is not None and (corrections is not None or distrusted is not None):
        factors, doubted = lately(grid, 1, done.ensemble, np.ones((1, 1), dtype=np.bool_))
        if corrections is not None and (factors is None or not same_bits(corrections[position], factors[0]).all()):
            found.append("correction")
        if distrusted is not None and (doubted is None or doubted[0] != distrusted[position]):
            found.append("distrust")
    return found
