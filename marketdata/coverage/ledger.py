"""Coverage ledger: numbers of stored, missing and absent candles of a span."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Min

from marketdata import clock
from marketdata.coverage import absences
from marketdata.coverage.future_rows import rows_ahead
from marketdata.exchange import closes
from marketdata.intervals import Gap, count_between, find_gaps, interval_ms, subtract
from marketdata.models import Candle, CandleRevision, CutShortCandle, Market, QuarantinedMessage
from marketdata.storage import candles as store

MAX_HOLES = 100


@dataclass(frozen=True)
class Stretch:
    """A run of candles by open time, `end` exclusive."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Coverage:
    """Counts and stretches of stored, missing and absent candles of one market in a span."""

    symbol: str
    interval: str
    simulated: bool
    start: datetime | None
    end: datetime | None
    expected: int
    stored: int
    missing: int
    absent: int
    revised: int
    quarantined: int
    cut_short: int
    """Stored candles a halt of the exchange ended early."""
    ahead: int
    """Rows later than the market's clock, wherever the span ends: not used, not counted as stored."""
    share: float | None
    holes: list[Stretch]
    absences: list[Stretch]


def coverage_of(market: Market, from_ms: int | None = None, until_ms: int | None = None) -> Coverage:
    """Coverage of a market in ``[from_ms, until_ms)``, by default from its first to last candle."""
    length_ms = interval_ms(market.interval)
    followed, ahead = closes.last_open_to_follow(market.source), rows_ahead(market)
    candles = Candle.objects.filter(market=market, open_time__lte=followed)
    start = from_ms if from_ms is not None else candles.aggregate(first=Min("open_time"))["first"]
    if until_ms is not None:
        until: int | None = until_ms
    else:
        last = candles.order_by("-open_time").values_list("open_time", flat=True).first()
        until = None if last is None else last + length_ms
    cut_short = CutShortCandle.objects.filter(market=market)
    revised = CandleRevision.objects.filter(market=market)
    quarantined = QuarantinedMessage.objects.filter(market=market)
    if start is None or until is None or until <= start:
        return Coverage(
            market.symbol, market.interval, market.simulated, _instant(start), _instant(until),
            0, 0, 0, 0, revised.count(), quarantined.count(), cut_short.count(), ahead.count(), None, [], [],
        )  # fmt: skip
    expected = count_between(start, until, length_ms)
    end = min(until, followed + length_ms)
    stored = store.count_stored(market, start, end)
    opens = [] if stored == expected else store.stored_opens([market], start, end)[market.pk]
    gaps = [] if stored == expected else find_gaps(opens, start, until, length_ms)
    holes = subtract(gaps, absences.known_absences([market], start, until)[market.pk])
    absent = subtract(gaps, holes)
    missing = sum(hole.n_candles for hole in holes)
    return Coverage(
        symbol=market.symbol,
        interval=market.interval,
        simulated=market.simulated,
        start=_instant(start),
        end=_instant(until),
        expected=expected,
        stored=stored,
        missing=missing,
        absent=expected - stored - missing,
        revised=revised.filter(open_time__gte=start, open_time__lt=until).count(),
        quarantined=quarantined.count(),
        cut_short=cut_short.filter(open_time__gte=start, open_time__lt=until).count(),
        ahead=ahead.count(),
        share=stored / expected if expected else None,
        holes=_newest_first(holes),
        absences=_newest_first(absent),
    )


def _newest_first(gaps: list[Gap]) -> list[Stretch]:
    return [Stretch(clock.to_datetime(gap.start), clock.to_datetime(gap.end)) for gap in reversed(gaps)][:MAX_HOLES]


def _instant(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else clock.to_datetime(milliseconds)
