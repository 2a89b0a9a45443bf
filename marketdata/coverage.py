"""The coverage ledger: every candle of a span is stored, missing, or absent at the exchange with evidence."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, Min

from marketdata import absences, clock, store
from marketdata.intervals import Gap, count_between, find_gaps, interval_ms, subtract
from marketdata.models import Candle, CandleRevision, Market, QuarantinedMessage

MOST_HOLES = 100


@dataclass(frozen=True)
class Stretch:
    """A run of candles by open time, `end` exclusive."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Coverage:
    """What is known of every candle of one market in a span."""

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
    share: float | None
    holes: list[Stretch]
    absences: list[Stretch]


def coverage_of(market: Market, from_ms: int | None = None, until_ms: int | None = None) -> Coverage:
    """Account for every candle of a market in ``[from_ms, until_ms)``; by default from its first to its last."""
    length_ms = interval_ms(market.interval)
    edges = Candle.objects.filter(market=market).aggregate(first=Min("open_time"), last=Max("open_time"))
    start = from_ms if from_ms is not None else edges["first"]
    until = until_ms if until_ms is not None else (None if edges["last"] is None else edges["last"] + length_ms)
    revised = CandleRevision.objects.filter(market=market)
    quarantined = QuarantinedMessage.objects.filter(market=market)
    if start is None or until is None or until <= start:
        return Coverage(
            market.symbol, market.interval, market.simulated, _instant(start), _instant(until),
            0, 0, 0, 0, revised.count(), quarantined.count(), None, [], [],
        )  # fmt: skip
    expected = count_between(start, until, length_ms)
    stored = store.count_stored(market, start, until)
    opens = [] if stored == expected else store.stored_opens([market], start, until)[market.pk]
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
        share=stored / expected if expected else None,
        holes=_newest_first(holes),
        absences=_newest_first(absent),
    )


def _newest_first(gaps: list[Gap]) -> list[Stretch]:
    return [Stretch(clock.to_datetime(gap.start), clock.to_datetime(gap.end)) for gap in reversed(gaps)][:MOST_HOLES]


def _instant(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else clock.to_datetime(milliseconds)
