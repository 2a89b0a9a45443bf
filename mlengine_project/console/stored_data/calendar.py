"""Stored candles of one market day by day, with what happened to them."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Count, F, Q

from indicators.candles import DAY_MS
from marketdata import clock
from marketdata.coverage.absences import known_absences
from marketdata.exchange import closes
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Candle, CandleRevision, Market, QuarantinedMessage

DAYS = 366
CANDLES_A_DAY = DAY_MS // INTERVAL_MS


class DayState(StrEnum):
    """The most serious thing that is so of a day, in rising order."""

    COMPLETE = "complete"
    REPAIRED = "repaired"
    REVISED = "revised"
    QUARANTINED = "quarantined"
    ABSENT = "absent"
    MISSING = "missing"


@dataclass(frozen=True)
class Day:
    """Counts of one UTC day of one market."""

    day: date
    expected: int
    stored: int
    repaired: int
    """Candles that were followed live and came by REST: the feed had missed them."""
    absent: int
    revised: int
    quarantined: int
    """Messages refused that day, by wall time."""

    @property
    def missing(self) -> int:
        """Candles neither stored nor known to be absent at the exchange."""
        return max(0, self.expected - self.stored - self.absent)

    @property
    def state(self) -> DayState:
        """The most serious thing that is so.

        Examples
        --------
        >>> Day(date(2025, 1, 1), 288, 288, 0, 0, 1, 0).state, Day(date(2025, 1, 1), 288, 285, 2, 3, 0, 0).state
        (<DayState.REVISED: 'revised'>, <DayState.ABSENT: 'absent'>)
        """
        happened = {
            DayState.MISSING: self.missing,
            DayState.ABSENT: self.absent,
            DayState.QUARANTINED: self.quarantined,
            DayState.REVISED: self.revised,
            DayState.REPAIRED: self.repaired,
        }
        return next((state for state, count in happened.items() if count), DayState.COMPLETE)

    def as_json(self) -> dict[str, Any]:
        """The day as JSON values."""
        counts = {name: getattr(self, name) for name in ("expected", "stored", "missing", "repaired", "absent")}
        return {
            "day": self.day.isoformat(),
            "state": self.state.value,
            **counts,
            "revised": self.revised,
            "quarantined": self.quarantined,
        }


def days_of(market: Market) -> list[Day]:
    """The last days of a market from its first candle on, oldest first; three grouped queries."""
    end = closes.last_open_to_follow(market.source) + INTERVAL_MS
    begin = (end - 1) // DAY_MS * DAY_MS - (DAYS - 1) * DAY_MS
    candles = Candle.objects.filter(market=market, open_time__lt=end)
    first = candles.order_by("open_time").values_list("open_time", flat=True).first()
    if first is None:
        return []
    begin = max(begin, first // DAY_MS * DAY_MS)
    # A live market's candles come by the feed: one that came by REST was missed there and repaired.
    live_ms = end if market.live_since is None else clock.to_ms(market.live_since)
    repaired = Count("pk", filter=Q(origin=Candle.Origin.REST, open_time__gte=live_ms))
    grouped = candles.filter(open_time__gte=begin).annotate(day=F("open_time") / DAY_MS).values("day").order_by("day")
    stored = {row["day"]: row for row in grouped.annotate(stored=Count("pk"), repaired=repaired)}
    revised = Counter(
        at // DAY_MS
        for at in CandleRevision.objects.filter(market=market, open_time__gte=begin).values_list("open_time", flat=True)
    )
    refused = QuarantinedMessage.objects.filter(market=market, seen_at__gte=clock.to_datetime(begin))
    quarantined = Counter(at.date() for at in refused.values_list("seen_at", flat=True))
    absent: Counter[int] = Counter()
    for gap in known_absences([market], begin, end)[market.pk]:
        absent.update(open_ms // DAY_MS for open_ms in range(max(gap.start, begin), min(gap.end, end), INTERVAL_MS))
    found = []
    for number in range(begin // DAY_MS, (end - 1) // DAY_MS + 1):
        since, until = max(number * DAY_MS, first), min((number + 1) * DAY_MS, end)
        row = stored.get(number, {"stored": 0, "repaired": 0})
        day = date(1970, 1, 1) + timedelta(days=number)
        expected = (until - since) // INTERVAL_MS
        found.append(
            Day(day, expected, row["stored"], row["repaired"], absent[number], revised[number], quarantined[day])
        )
    return found
