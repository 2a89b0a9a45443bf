"""Data of the chart of one market as plain lists; prices are decimal strings."""

from decimal import Decimal
from typing import Any

from marketdata import clock
from marketdata.api.reading import candles_between
from marketdata.decimals import plain_text
from marketdata.exchange import closes
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from mlengine_project.console.card_drawing import LOWER, MEDIAN, UPPER
from predictions.models import PredictionLog
from signals.models import SignalLog

CANDLES = 1_152
"""Four days."""


def series(symbol: str, horizon: int, since_ms: int | None) -> dict[str, Any] | None:
    """Candles, newest fan, past predictions of one horizon, and signals; None for an unknown market.

    With `since_ms` only entries that can have changed since the candle opened at that time.
    """
    market = Market.objects.enabled().filter(symbol=symbol).first()
    if market is None:
        return None
    candles = _candles(market, since_ms)
    first_ms = candles[0][0] * 1000 if candles else clock.market_ms()
    # Outcomes of the last `horizon` candles fall due while the page is open.
    reach_ms = first_ms - (horizon + 2) * INTERVAL_MS if since_ms is not None else first_ms
    return {
        "symbol": market.symbol,
        "horizon": horizon,
        "simulated": market.simulated,
        "candles": candles,
        "ahead": _ahead(market),
        "past": _past(market, horizon, reach_ms),
        "signals": _signals(market, reach_ms),
    }


def _candles(market: Market, since_ms: int | None) -> list[list[Any]]:
    rows = candles_between(market, None, None)
    if since_ms is not None:
        rows = rows.filter(open_time__gte=since_ms)
    newest = rows.order_by("-open_time").values_list("open_time", "open", "high", "low", "close", "volume")[:CANDLES]
    return [[open_time // 1000, *map(_plain, numbers)] for open_time, *numbers in reversed(list(newest))]


def _ahead(market: Market) -> dict[str, Any] | None:
    until = clock.to_datetime(closes.last_open_to_follow(market.source))
    logged = PredictionLog.objects.filter(market=market, candle_time__lte=until)
    newest = logged.order_by("-candle_time", "-created_at").first()
    if newest is None or newest.valid_until < clock.market_now():
        return None
    rows = PredictionLog.objects.filter(market=market, candle_time=newest.candle_time, ensemble=newest.ensemble)
    return {
        "time": clock.to_ms(newest.candle_time) // 1000,
        "price": _plain(newest.current_price),
        "horizons": [
            {"horizon": row.horizon, "high": _three(row.high_quantiles), "low": _three(row.low_quantiles)}
            for row in rows.order_by("horizon")
        ],
    }


def _past(market: Market, horizon: int, from_ms: int) -> list[list[Any]]:
    rows = PredictionLog.objects.filter(
        market=market, horizon=horizon, candle_time__gte=clock.to_datetime(from_ms)
    ).order_by("candle_time", "created_at")
    columns = rows.values_list("candle_time", "high_quantiles", "low_quantiles", "actual_high", "actual_low")
    return [
        [clock.to_ms(time) // 1000, *_three(high), *_three(low), _plain(actual_high), _plain(actual_low)]
        for time, high, low, actual_high, actual_low in columns
    ]


def _signals(market: Market, from_ms: int) -> list[dict[str, Any]]:
    rows = SignalLog.objects.filter(market=market, candle_time__gte=clock.to_datetime(from_ms)).exclude(
        signal_type=SignalLog.Type.HOLD
    )
    return [
        {
            "time": clock.to_ms(row.candle_time) // 1000,
            "type": row.signal_type,
            "outcome": row.outcome,
            "take_profit": _plain(row.take_profit),
            "stop_loss": _plain(row.stop_loss),
        }
        for row in rows.order_by("candle_time")
    ]


def _three(quantiles: list[str]) -> list[str]:
    return [plain_text(quantiles[place]) for place in (LOWER, MEDIAN, UPPER)]


def _plain(price: Decimal | str | None) -> str | None:
    return None if price is None else plain_text(price)
