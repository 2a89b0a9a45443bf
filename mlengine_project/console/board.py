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

import numpy as np
from django.db.models import OuterRef, Q, Subquery

from indicators.arrays import Floats
from indicators.candles import DAY_MS
from marketdata import clock
from marketdata.exchange import closes
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Candle, Market
from marketdata.storage import candles
from mlengine_project.console.card_drawing import Fan, Held, Quantiles, Range, draw_fan, draw_ranges
from predictions.models import PredictionLog
from signals.models import SignalLog

PAST_CANDLES = 96
MIN_CANDLES_FOR_PLACES = 12
"""With fewer candles the decimals of a market's prices are not known."""
MAX_PLACES = 8
LATE_AFTER_MS = INTERVAL_MS + 15_000
"""Age of the newest candle from which the next one is late; predictions expire at the same instant."""


@dataclass(frozen=True)
class Card:
    """The card of one market."""

    market: Market
    price: Decimal | None
    places: int | None
    """Decimals of the market's prices; None before enough candles are stored."""
    day_change: float | None
    closed_ms: int | None
    """Close of the newest stored candle."""
    late: bool
    signal: SignalLog | None
    signal_is_current: bool
    ranges: list[Range]
    ranges_time: datetime | None
    """Candle of the newest prediction, valid or expired; only a valid one is drawn."""
    ranges_valid_ms: int | None
    """Instant until which the drawn ranges are valid."""
    fan: Fan | None

    @property
    def width(self) -> float | None:
        """Width of the longest horizon's 80 % range, as a share of the price."""
        return self.ranges[-1].relative_width if self.ranges else None

    @property
    def held(self) -> Held | None:
        """Live coverage of the shortest horizon, which has the most outcomes."""
        return next((row.held for row in self.ranges if row.held), None)

    @property
    def degraded(self) -> list[str]:
        """Reasons why the shown ranges are degraded."""
        return next((row.reasons for row in self.ranges if row.degraded), [])


def cards(symbols: Iterable[str]) -> list[Card]:
    """Read the cards of the named markets that are enabled."""
    markets = Market.objects.enabled().filter(symbol__in=list(symbols))
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
    newest_opens = candles.newest_open(found)
    recent, prices = recent_prices(found, newest_opens), _closes_at(newest_opens)
    day_ago = _closes_at(newest_opens, earlier_ms=DAY_MS)
    signals = SignalLog.objects.in_bulk([market.newest_signal for market in found if market.newest_signal])
    answers = newest_quantiles({market.pk: market.newest_answer for market in found if market.newest_answer})
    return [
        _card(
            market,
            newest_opens[market.pk],
            prices.get(market.pk),
            day_ago.get(market.pk),
            recent.get(market.pk),
            signals,
            answers[market.pk],
        )
        for market in found
    ]


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
    """The quantiles of a logged prediction."""
    return Quantiles(
        horizon=row.horizon,
        high=[Decimal(price) for price in row.high_quantiles],
        low=[Decimal(price) for price in row.low_quantiles],
        degraded=row.degraded,
        reasons=row.reasons,
        valid_until_ms=clock.to_ms(row.valid_until),
        coverage=row.coverage,
    )


@dataclass(frozen=True, eq=False)
class RecentPrices:
    """Closes of a market's newest candles, oldest first, and the decimals of its prices."""

    closes: Floats
    places: int | None


def recent_prices(markets: list[Market], newest_opens: dict[int, int | None]) -> dict[int, RecentPrices]:
    """Prices up to each market's newest candle."""
    # Each market is read for its own last hours, not from the oldest stop of all markets.
    stopped_at: dict[int, list[Market]] = defaultdict(list)
    for market in markets:
        newest = newest_opens[market.pk]
        if newest is not None:
            stopped_at[newest].append(market)
    recent: dict[int, RecentPrices] = {}
    for newest, stopped in stopped_at.items():
        grid = candles.load_grid(stopped, newest, PAST_CANDLES)
        for row, market in enumerate(stopped):
            prices = np.concatenate([grid.open[row], grid.high[row], grid.low[row], grid.close[row]])
            closes = grid.close[row]
            recent[market.pk] = RecentPrices(closes[np.isfinite(closes)], places_of(prices[np.isfinite(prices)]))
    return recent


def places_of(prices: Floats) -> int | None:
    """Fewest decimals in which every price can be written: those of the market's tick.

    >>> places_of(np.linspace(0.5, 30.0, 60)), places_of(np.full(60, 1.25)), places_of(np.ones(3))
    (1, 2, None)
    """
    if len(prices) < 4 * MIN_CANDLES_FOR_PLACES:
        return None
    for places in range(MAX_PLACES):
        if np.allclose(np.round(prices, places), prices, rtol=1e-13, atol=0.0):
            return places
    return MAX_PLACES


def _closes_at(opens: dict[int, int | None], earlier_ms: int = 0) -> dict[int, Decimal]:
    """Exact close of each market's candle at an open, or so much earlier, in one query."""
    by_open: dict[int, list[int]] = defaultdict(list)
    for market_id, open_ms in opens.items():
        if open_ms is not None:
            by_open[open_ms - earlier_ms].append(market_id)
    if not by_open:
        return {}
    wanted = reduce(or_, (Q(open_time=open_ms, market_id__in=ids) for open_ms, ids in by_open.items()))
    return dict(Candle.objects.filter(wanted).values_list("market_id", "close"))


def _card(
    market: Any,
    newest_open: int | None,
    price: Decimal | None,
    day_ago: Decimal | None,
    recent: RecentPrices | None,
    signals: dict[UUID, SignalLog],
    predicted: list[Quantiles],
) -> Card:
    closed_ms = None if newest_open is None else newest_open + INTERVAL_MS
    signal = signals.get(market.newest_signal)
    now = clock.market_ms()
    # An expired prediction is withheld, as everywhere else.
    valid = [newest for newest in predicted if newest.valid_until_ms >= now]
    past = [] if recent is None else recent.closes.tolist()
    return Card(
        market=market,
        price=price,
        places=None if recent is None else recent.places,
        day_change=float(price / day_ago) - 1 if price is not None and day_ago else None,
        closed_ms=closed_ms,
        late=closed_ms is not None and now - closed_ms > LATE_AFTER_MS,
        signal=signal,
        signal_is_current=signal is not None and clock.to_ms(signal.valid_until) >= now,
        ranges=draw_ranges(price, valid) if price is not None else [],
        ranges_time=market.newest_answer,
        ranges_valid_ms=min((newest.valid_until_ms for newest in valid), default=None),
        fan=draw_fan(past, valid),
    )
