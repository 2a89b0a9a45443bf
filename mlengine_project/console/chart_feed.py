"""Data of the chart of one market as plain lists; prices are decimal strings."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.db.models import QuerySet

from indicators.catalog import lookup
from marketdata import clock
from marketdata.api.reading import candles_between
from marketdata.decimals import plain_text
from marketdata.exchange import closes
from marketdata.intervals import INTERVAL, INTERVAL_MS, interval_ms
from marketdata.models import AbsentStretch, CandleRevision, Market
from marketdata.storage import aggregation
from marketdata.storage import candles as store
from mlengine_project.console.card_drawing import LOWER, MEDIAN, UPPER
from predictions.models import PredictionLog
from signals.models import SignalLog

CANDLES = 1_152
"""Candles of an answer: four days of five minutes; older ones are asked for as the chart is scrolled."""
MAX_CANDLES = 16 * CANDLES
"""Limit of one answer: a chart that is scrolled back asks for as many more as it has."""
MAX_INDICATOR_ROWS = 100_000
FORECAST_REACH = timedelta(days=1)
"""How far before the requested instant a forecast is looked for."""


def series(
    market: Market,
    interval: str = INTERVAL,
    *,
    horizon: int | None = None,
    since_ms: int | None = None,
    before_ms: int | None = None,
    count: int = CANDLES,
) -> dict[str, Any]:
    """Candles of one interval with everything drawn on them.

    Parameters
    ----------
    market : Market
    interval : str
        One of :data:`marketdata.intervals.INTERVALS`.
    horizon : int, optional
        Adds the forecasts of this horizon, in candles of five minutes.
    since_ms : int, optional
        Only what can have changed since the candle opened at that time.
    before_ms : int, optional
        Only what lies before it: the next older stretch.
    count : int
        Candles at most, up to :data:`MAX_CANDLES`.
    """
    length_ms = interval_ms(interval)
    candles = _candles(market, length_ms, since_ms, before_ms, min(count, MAX_CANDLES))
    first_ms = candles[0][0] * 1000 if candles else clock.market_ms()
    until_ms = candles[-1][0] * 1000 + length_ms if candles else clock.market_ms()
    # Outcomes of the last `horizon` candles fall due while the page is open.
    reach_ms = first_ms - ((horizon or 0) + 2) * INTERVAL_MS if since_ms is not None else first_ms
    return {
        "symbol": market.symbol,
        "interval": interval,
        "step": length_ms // 1000,
        "simulated": market.simulated,
        "candles": candles,
        "ahead": _ahead(market) if before_ms is None else None,
        "past": [] if horizon is None else _past(market, horizon, reach_ms, until_ms),
        "signals": _signals(market, reach_ms, until_ms),
        "absences": _absences(market, first_ms, until_ms),
        "revisions": _revisions(market, first_ms, until_ms),
    }


def forecast(market: Market, at_ms: int) -> dict[str, Any] | None:
    """The forecast that was newest at an instant, with what came of it; None if there is none."""
    until = clock.to_datetime(min(at_ms, closes.last_open_to_follow(market.source)))
    rows = newest_forecast(market, until)
    if not rows:
        return None
    return {
        "time": clock.to_ms(rows[0].candle_time) // 1000,
        "price": _plain(rows[0].current_price),
        "late": rows[0].late,
        "valid_until": clock.to_ms(rows[0].valid_until),
        "horizons": [
            {
                "id": str(row.pk),
                "horizon": row.horizon,
                "high": [plain_text(price) for price in row.high_quantiles],
                "low": [plain_text(price) for price in row.low_quantiles],
                "actual_high": _plain(row.actual_high),
                "actual_low": _plain(row.actual_low),
                "final": row.outcome_final,
            }
            for row in rows
        ],
    }


def newest_forecast(market: Market, until: datetime) -> list[PredictionLog]:
    """All horizons of the newest forecast made from a candle that opened at `until` or before."""
    logged = PredictionLog.objects.filter(
        market=market, candle_time__lte=until, candle_time__gte=until - FORECAST_REACH
    )
    newest = logged.order_by("-candle_time", "-created_at").first()
    if newest is None:
        return []
    same = PredictionLog.objects.filter(market=market, candle_time=newest.candle_time, ensemble=newest.ensemble)
    return list(same.order_by("horizon"))


def indicators(market: Market, interval: str, names: Sequence[str], rows: int) -> dict[str, Any]:
    """Values of named indicators at the newest `rows` candles of an interval, null where there is none.

    Raises
    ------
    UnknownIndicator
        If a name is not in the catalogue.
    """
    wanted = lookup.resolve(names)
    length_ms = interval_ms(interval)
    rows = min(rows, MAX_INDICATOR_ROWS)
    needed = rows + lookup.warm_up(wanted, length_ms)
    if interval == INTERVAL:
        newest = store.newest_open([market])[market.pk]
        grid = None if newest is None else store.load_grid([market], newest, needed)
    else:
        grid = aggregation.load_grid(market, length_ms, needed)
    if grid is None:
        return {"times": [], "values": {name: [] for name in wanted}}
    values = lookup.compute_indicators(grid, wanted, rows=rows)
    return {
        "times": [int(open_ms) // 1000 for open_ms in grid.tail(rows).open_time],
        "values": {name: [float(x) if np.isfinite(x) else None for x in column] for name, column in values.items()},
    }


def _candles(
    market: Market, length_ms: int, since_ms: int | None, before_ms: int | None, count: int
) -> list[list[Any]]:
    if length_ms != INTERVAL_MS:
        return _longer_candles(market, length_ms, since_ms, before_ms, count)
    rows = candles_between(market, None, None).rows
    if since_ms is not None:
        rows = rows.filter(open_time__gte=since_ms)
    if before_ms is not None:
        rows = rows.filter(open_time__lt=before_ms)
    newest = rows.order_by("-open_time").values_list("open_time", "open", "high", "low", "close", "volume")[:count]
    return [[open_time // 1000, *map(_plain, numbers), 0] for open_time, *numbers in reversed(list(newest))]


def _longer_candles(
    market: Market, length_ms: int, since_ms: int | None, before_ms: int | None, count: int
) -> list[list[Any]]:
    until_ms = aggregation.closed_until(market, length_ms)
    if before_ms is not None:
        until_ms = min(until_ms, before_ms - before_ms % length_ms)
    from_ms = 0 if since_ms is None else since_ms - since_ms % length_ms
    found = aggregation.read_first(market, length_ms, from_ms, until_ms, count, newest_first=True)
    return [
        [
            candle.open_time // 1000,
            *map(_plain, (candle.open, candle.high, candle.low, candle.close, candle.volume)),
            candle.missing,
        ]
        for candle in reversed(found)
    ]


def _ahead(market: Market) -> dict[str, Any] | None:
    newest = forecast(market, closes.last_open_to_follow(market.source))
    return newest if newest is not None and newest["valid_until"] >= clock.market_ms() else None


def _past(market: Market, horizon: int, from_ms: int, until_ms: int) -> list[list[Any]]:
    rows = _within(PredictionLog.objects.filter(market=market, horizon=horizon), from_ms, until_ms)
    columns = rows.order_by("candle_time", "created_at").values_list(
        "candle_time", "high_quantiles", "low_quantiles", "actual_high", "actual_low"
    )
    return [
        [clock.to_ms(time) // 1000, *_three(high), *_three(low), _plain(actual_high), _plain(actual_low)]
        for time, high, low, actual_high, actual_low in columns
    ]


def _signals(market: Market, from_ms: int, until_ms: int) -> list[dict[str, Any]]:
    rows = _within(SignalLog.objects.filter(market=market), from_ms, until_ms)
    return [
        {
            "time": clock.to_ms(row.candle_time) // 1000,
            "type": row.signal_type,
            "outcome": row.outcome,
            "take_profit": _plain(row.take_profit),
            "stop_loss": _plain(row.stop_loss),
        }
        for row in rows.exclude(signal_type=SignalLog.Type.HOLD).order_by("candle_time")
    ]


def _absences(market: Market, from_ms: int, until_ms: int) -> list[list[int]]:
    """Stretches that the exchange itself lacks, as first and end times in seconds."""
    stretches = AbsentStretch.objects.filter(market=market, start__lt=until_ms, end__gt=from_ms)
    return [[start // 1000, end // 1000] for start, end in stretches.values_list("start", "end")]


def _revisions(market: Market, from_ms: int, until_ms: int) -> list[int]:
    """Opens of candles that the exchange has changed after their close, in seconds."""
    changed = CandleRevision.objects.filter(market=market, open_time__gte=from_ms, open_time__lt=until_ms)
    return sorted({open_ms // 1000 for open_ms in changed.values_list("open_time", flat=True)})


def _within(rows: QuerySet[Any], from_ms: int, until_ms: int) -> QuerySet[Any]:
    return rows.filter(candle_time__gte=clock.to_datetime(from_ms), candle_time__lt=clock.to_datetime(until_ms))


def _three(quantiles: list[str]) -> list[str]:
    return [plain_text(quantiles[place]) for place in (LOWER, MEDIAN, UPPER)]


def _plain(price: Decimal | str | None) -> str | None:
    return None if price is None else plain_text(price)
