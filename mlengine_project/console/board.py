"""Data of the live board: one card per enabled market, in a fixed number of queries."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Q, Subquery

from indicators.candles import DAY_MS
from marketdata import clock
from marketdata.exchange import closes
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Candle, Market
from marketdata.storage import candles
from mlengine_project.console.drawings import Fan, Quantiles, Range, draw_fan, draw_ranges
from predictions.models import PredictionLog
from signals.models import SignalLog

PAST_CANDLES = 96
STALE_AFTER_MS = 2 * INTERVAL_MS + 30_000


@dataclass(frozen=True)
class Card:
    """The card of one market."""

    market: Market
    price: Decimal | None
    day_change: float | None
    closed_ms: int | None
    """Close of the newest stored candle."""
    stale: bool
    signal: SignalLog | None
    signal_is_current: bool
    ranges: list[Range]
    ranges_time: datetime | None
    """Candle of the newest prediction, valid or expired; only a valid one is drawn."""
    fan: Fan | None

    @property
    def degraded(self) -> list[str]:
        """Reasons why the shown ranges are degraded."""
        return next((row.reasons for row in self.ranges if row.degraded), [])


def cards(symbols: Iterable[str] | None = None) -> list[Card]:
    """Read the cards of all enabled markets, or of those named."""
    markets = Market.objects.enabled()
    if symbols is not None:
        markets = markets.filter(symbol__in=list(symbols))
    past = Q(candle_time__lte=clock.to_datetime(closes.latest_open()))
    signals_of = SignalLog.objects.filter(past, market=OuterRef("pk"))
    newest_signal = signals_of.order_by("-candle_time").values("pk")[:1]
    newest_answer = PredictionLog.objects.filter(past, market=OuterRef("pk")).order_by("-candle_time")
    found: list[Any] = list(
        markets.annotate(
            newest_signal=Subquery(newest_signal),
            newest_answer=Subquery(newest_answer.values("candle_time")[:1]),
        )
    )
    prices = _recent_closes(candles.newest_open(found))
    signals = SignalLog.objects.in_bulk([market.newest_signal for market in found if market.newest_signal])
    answers = newest_quantiles({market.pk: market.newest_answer for market in found if market.newest_answer})
    return [_card(market, prices[market.pk], signals, answers[market.pk]) for market in found]


def newest_quantiles(times: dict[int, datetime]) -> dict[int, list[Quantiles]]:
    """Predictions of each market at a given candle, shortest horizon first."""
    rows = PredictionLog.objects.filter(market_id__in=times, candle_time__in=set(times.values()))
    answers: dict[int, dict[int, Quantiles]] = defaultdict(dict)
    for row in rows.order_by("horizon", "created_at"):
        if times[row.market_id] == row.candle_time:
            # Two sets of champions may have predicted one candle; the newer one is shown.
            answers[row.market_id][row.horizon] = quantiles_of(row)
    return defaultdict(list, {market_id: list(found.values()) for market_id, found in answers.items()})


def quantiles_of(row: PredictionLog) -> Quantiles:
    """Convert a logged prediction to numbers for drawing."""
    return Quantiles(
        horizon=row.horizon,
        high=[float(price) for price in row.high_quantiles],
        low=[float(price) for price in row.low_quantiles],
        predicted_high=row.predicted_high,
        predicted_low=row.predicted_low,
        degraded=row.degraded,
        reasons=row.reasons,
        valid_until_ms=clock.to_ms(row.valid_until),
    )


def _recent_closes(newest_opens: dict[int, int | None]) -> dict[int, list[tuple[int, Decimal]]]:
    """Closes of the last day of every market, oldest first, in one query."""
    prices: dict[int, list[tuple[int, Decimal]]] = defaultdict(list)
    # Each market is read for its own last day, not from the oldest stop of all markets.
    stopped_at: dict[int, list[int]] = defaultdict(list)
    for market_id, newest in newest_opens.items():
        if newest is not None:
            stopped_at[newest].append(market_id)
    if not stopped_at:
        return prices
    days = [Q(market_id__in=ids, open_time__range=(newest - DAY_MS, newest)) for newest, ids in stopped_at.items()]
    rows = Candle.objects.filter(reduce(or_, days)).order_by("open_time")
    for market_id, open_time, close in rows.values_list("market_id", "open_time", "close"):
        prices[market_id].append((open_time, close))
    return prices


def _card(
    market: Any,
    closes: list[tuple[int, Decimal]],
    signals: dict[UUID, SignalLog],
    predicted: list[Quantiles],
) -> Card:
    newest_open, price = closes[-1] if closes else (None, None)
    day_ago = dict(closes).get(newest_open - DAY_MS) if newest_open is not None else None
    closed_ms = None if newest_open is None else newest_open + INTERVAL_MS
    signal = signals.get(market.newest_signal)
    now = clock.market_ms()
    # An expired prediction is withheld, as everywhere else.
    valid = [newest for newest in predicted if newest.valid_until_ms >= now]
    return Card(
        market=market,
        price=price,
        day_change=float(price / day_ago - 1) if price is not None and day_ago else None,
        closed_ms=closed_ms,
        stale=closed_ms is not None and now - closed_ms > STALE_AFTER_MS,
        signal=signal,
        signal_is_current=signal is not None and clock.to_ms(signal.valid_until) >= now,
        ranges=draw_ranges(price, valid) if price is not None else [],
        ranges_time=market.newest_answer,
        fan=draw_fan([float(close) for _, close in closes[-PAST_CANDLES:]], valid),
    )
