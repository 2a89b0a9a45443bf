"""Parity check at run time: live rows are computed again from the database.

After a candle is forecast and recorded, one random market and the next ones of the round are read from the database
and their rows are computed by the batch. Every market is checked once a day. A difference is an error of this engine:
it is counted and logged, and the windows in memory are dropped.
"""

import logging
from collections.abc import Sequence

import numpy as np

from indicators.candles import DAY_CANDLES
from indicators.features import installed
from indicators.proofs.leakage import same_bits
from marketdata import randomness
from marketdata.intervals import INTERVAL_MS
from predictions.forecasting.forecast_batch import ForecastBatch
from predictions.live import windows as live_windows
from predictions.live.online_correction import reach_of, window_inputs
from predictions.live.windows import LiveWindows, read_windows

logger = logging.getLogger(__name__)

"""Candles within which every market is checked once."""


def compare(batch: ForecastBatch) -> list[int]:
    """Check rows of a batch computed from memory and return the ids of differing markets."""
    forecast = [index for index in range(len(batch.markets)) if batch.forecasts.position[index, -1] >= 0]
    if not batch.from_memory or not forecast:
        return []
    open_ms = int(batch.forecasts.open_time[-1])
    windows = live_windows.of_source(batch.markets[0].source)
    different = []
    for index in _sampled_markets(forecast, open_ms // INTERVAL_MS):
        market = batch.markets[index]
        found = _differences(batch, index, windows)
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
        windows.reset()
    return different


def _sampled_markets(markets: Sequence[int], candle: int) -> list[int]:
    """One random market, and those due at this candle."""
    each = -(-len(markets) // DAY_CANDLES)
    first = candle % DAY_CANDLES * each
    return sorted({randomness.default_rng().choice(markets), *markets[first : first + each]})


def _differences(batch: ForecastBatch, index: int, windows: LiveWindows) -> list[str] | None:
    """Columns in which live and batch differ; None if the candles changed in between."""
    market, open_ms = batch.markets[index], int(batch.forecasts.open_time[-1])
    # The counters in memory may belong to another version by now.
    reach = max(windows.reach, reach_of(batch.ensemble))
    grid, marks = read_windows([market.pk], open_ms, reach, windows.others)
    if marks != windows.marks_of(market.pk):
        return None
    live = batch.forecasts.inputs.take(batch.forecasts.position[index, -1:])
    again = window_inputs(grid, 1, batch.ensemble, np.ones((1, 1), dtype=np.bool_))
    same = same_bits(live.features[0], again.features[0])
    found = [installed().names[column] for column in np.flatnonzero(~same)]
    for name, kept, computed in (
        ("sigma", live.sigma, again.sigma),
        ("correction", live.log_factors, again.log_factors),
        ("guard", live.guard_suppresses, again.guard_suppresses),
    ):
        if kept is not None and (computed is None or not same_bits(kept, computed).all()):
            found.append(name)
    return found
