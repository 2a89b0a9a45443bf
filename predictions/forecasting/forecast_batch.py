"""Forecast batches: forecasts for some markets and candles from one window read."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db.models import OuterRef, Q, Subquery

from indicators.candles import CandleGrid
from indicators.features import WARMUP
from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.models import AbsentStretch, Candle, Market
from marketdata.process_state import process_state
from marketdata.storage import candles as store
from modelregistry import registry
from modelregistry.estimators.ensemble import Ensemble
from predictions import reasons as codes
from predictions.forecasting.forecasts import Forecasts, Stretch, forecast_candles
from predictions.live import windows
from predictions.live.online_correction import corrector_of, reach_of
from predictions.live.windows import LiveRows
from predictions.models import PredictionLog

logger = logging.getLogger(__name__)

CHAMPION_WAIT_SECONDS = 4.0
"""Longest wait of a candle for a champion that another thread is loading."""
MAX_BATCH_CANDLES = 288
"""Candles of one batch at most: a backlog is worked off and committed day by day."""

SPAN_BATCH_CANDLES = 2048
"""Candles of one batch of a span, which is not committed."""


class LoggedUncorrected(dict[str, frozenset[str]]):
    """Symbols by source that were last logged as uncorrected."""


@dataclass(frozen=True, eq=False)
class ForecastBatch:
    """Forecasts for the candles of some markets of one source."""

    markets: list[Market]
    ensemble: Ensemble | None
    wanted: npt.NDArray[np.bool_]
    forecasts: Forecasts
    from_memory: bool = False
    """Whether the window came from process memory instead of the database."""

    def candles(self) -> Iterator[tuple[int, int, Market, int]]:
        """Wanted candles as (market index, row, market, open time in ms), oldest first."""
        for row, market in np.argwhere(self.wanted.T):
            yield int(market), int(row), self.markets[market], int(self.forecasts.open_time[row])


def forecast_batches(work: Mapping[Market, Sequence[int]], *, live: bool = False) -> Iterator[ForecastBatch]:
    """Forecast the given open times of the given markets, in as few batches as possible."""
    by_source: dict[str, dict[Market, Sequence[int]]] = {}
    for market, opens in work.items():
        if opens:
            by_source.setdefault(market.source, {})[market] = opens
    for source, part in by_source.items():
        for first, last in spans(sorted({open_ms for opens in part.values() for open_ms in opens})):
            markets = [market for market, opens in part.items() if any(first <= at <= last for at in opens)]
            rows = (last - first) // INTERVAL_MS + 1
            wanted = np.zeros((len(markets), rows), dtype=bool)
            for index, market in enumerate(markets):
                inside = [(at - first) // INTERVAL_MS for at in part[market] if first <= at <= last]
                wanted[index, inside] = True
            ensemble = registry.load_ensemble(source, CHAMPION_WAIT_SECONDS if live else 0.0)
            batch = forecast_from_memory(markets, last, ensemble, wanted) if live and rows == 1 else None
            batch = batch or forecast_batch(markets, last, rows, ensemble, wanted)
            if live:
                _log_uncorrected(source, batch)
            yield batch


def forecast_batch(
    markets: list[Market],
    end_open_ms: int,
    rows: int,
    ensemble: Ensemble | None,
    wanted: npt.NDArray[np.bool_] | None = None,
) -> ForecastBatch:
    """Read one window that ends at `end_open_ms` and forecast its last `rows` candles."""
    grid = store.load_grid(markets, end_open_ms, WARMUP + rows - 1 + reach_of(ensemble))
    if (grid.others or grid.further) and ensemble is not None:
        grid = replace(grid, late=_late_inputs(markets, grid, rows, ensemble))
    return _batch(markets, grid, rows, ensemble, wanted)


def forecast_span(
    markets: list[Market], from_ms: int, until_ms: int, ensemble: Ensemble | None
) -> Iterator[tuple[ForecastBatch, int]]:
    """Forecast every candle of a span block by block; yields each with the close of its last candle, ms."""
    first, end = from_ms // INTERVAL_MS, until_ms // INTERVAL_MS
    for start in range(first, end, SPAN_BATCH_CANDLES):
        stop = min(start + SPAN_BATCH_CANDLES, end)
        yield forecast_batch(markets, (stop - 1) * INTERVAL_MS, stop - start, ensemble), stop * INTERVAL_MS


def forecast_from_memory(
    markets: list[Market], open_ms: int, ensemble: Ensemble | None, wanted: npt.NDArray[np.bool_] | None
) -> ForecastBatch | None:
    """Forecast one candle from the windows in memory; None where they must be read."""
    with windows.of_source(markets[0].source).rows(markets, open_ms, corrector_of(ensemble)) as live:
        return None if live is None else _batch(markets, live.grid, 1, ensemble, wanted, live)


def _batch(
    markets: list[Market],
    grid: CandleGrid,
    rows: int,
    ensemble: Ensemble | None,
    wanted: npt.NDArray[np.bool_] | None,
    live: LiveRows | None = None,
) -> ForecastBatch:
    whole = bool(grid.present.all())
    start, end_open_ms = int(grid.open_time[0]), int(grid.open_time[-1])
    forecasts = forecast_candles(
        grid,
        rows,
        ensemble,
        symbols=[market.symbol for market in markets],
        history=[start] * len(markets) if whole else _history(markets),
        absences=[[]] * len(markets) if whole else _absences(markets, start, end_open_ms),
        max_age_days=settings.MODEL_MAX_AGE_DAYS,
        wanted=wanted,
        newest=None if live is None else live.inputs,
    )
    present = forecasts.present if wanted is None else wanted & forecasts.present
    return ForecastBatch(markets, ensemble, present, forecasts, from_memory=live is not None)


def _late_inputs(
    markets: Sequence[Market], grid: CandleGrid, rows: int, ensemble: Ensemble
) -> dict[str, npt.NDArray[np.bool_]]:
    """What the features of predictions already made did not know, so that they are repeated as they were."""
    late = {name: np.zeros((len(markets), len(grid)), dtype=bool) for name in (*grid.others, *grid.further)}
    made = PredictionLog.objects.filter(
        Q(reason_details__has_key=codes.UNKNOWN_MARKETS) | Q(reason_details__has_key=codes.UNKNOWN_COLUMNS),
        market__in=markets,
        ensemble=ensemble.digest,
        candle_time__gte=clock.to_datetime(int(grid.open_time[-rows])),
        candle_time__lte=clock.to_datetime(int(grid.open_time[-1])),
    )
    places = {market.pk: index for index, market in enumerate(markets)}
    for market_id, candle_time, details in made.order_by().values_list("market_id", "candle_time", "reason_details"):
        at = (clock.to_ms(candle_time) - int(grid.open_time[0])) // grid.interval_ms
        for key in (codes.UNKNOWN_MARKETS, codes.UNKNOWN_COLUMNS):
            for name in details.get(key, "").split(", "):
                if name in late:
                    late[name][places[market_id], at] = True
    return late


def spans(opens: Sequence[int]) -> list[tuple[int, int]]:
    """Group ascending open times into spans that fit into one batch.

    >>> spans([0, 300_000, 90_000_000])
    [(0, 300000), (90000000, 90000000)]
    """
    found: list[tuple[int, int]] = []
    for at in opens:
        if found and at - found[-1][0] < MAX_BATCH_CANDLES * INTERVAL_MS:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def _log_uncorrected(source: str, batch: ForecastBatch) -> None:
    """Log the markets with too little history for online correction, when they change."""
    uncorrected = frozenset(
        market.symbol for index, market in enumerate(batch.markets) if batch.forecasts.uncorrected(index, -1)
    )
    logged = process_state.of(LoggedUncorrected)
    if uncorrected != logged.get(source, frozenset()):
        logger.info("too little history for online correction: %s", ", ".join(sorted(uncorrected)) or "none any more")
    logged[source] = uncorrected


def _history(markets: Sequence[Market]) -> list[int | None]:
    """Open time in ms of the oldest stored candle of each market."""
    oldest = Candle.objects.filter(market=OuterRef("pk")).order_by("open_time").values("open_time")[:1]
    chosen = Market.objects.filter(pk__in=[market.pk for market in markets]).annotate(oldest=Subquery(oldest))
    found = dict(chosen.values_list("pk", "oldest"))
    return [found.get(market.pk) for market in markets]


def _absences(markets: Sequence[Market], from_ms: int, until_ms: int) -> list[list[Stretch]]:
    """Stretches for which the exchange is known to have no candles, per market."""
    found: dict[int, list[Stretch]] = {market.pk: [] for market in markets}
    stretches = AbsentStretch.objects.filter(market__in=markets, end__gt=from_ms, start__lte=until_ms)
    for market_id, start, end in stretches.values_list("market_id", "start", "end"):
        found[market_id].append((start, end))
    return [found[market.pk] for market in markets]
