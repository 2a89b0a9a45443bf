"""Context of the market page beside its chart."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Min

from indicators.candles import DAY_MS
from marketdata.coverage.ledger import Coverage, coverage_of
from marketdata.models import Candle, Market
from mlengine_project.console import board
from signals.models import SignalLog

MAX_SIGNALS = 288
MAX_ENTRIES = 16
QUALITY_DAYS = 30


@dataclass(frozen=True)
class Entry:
    """One line of the recent signals: a signal, or consecutive holds for the same reason."""

    newest: SignalLog
    count: int
    since: datetime


def context(symbol: str) -> dict[str, Any] | None:
    """Context of the market page; None when no enabled market has the symbol."""
    found = board.cards([symbol])
    if not found:
        return None
    card = found[0]
    horizons = [row.horizon for row in card.ranges] or list(settings.DEFAULT_HORIZONS)
    return {
        "card": card,
        "horizons": horizons,
        "others": list(Market.objects.enabled().exclude(pk=card.market.pk).values_list("symbol", flat=True)[:24]),
        "recent": _recent(card.market),
        "quality": _quality(card),
        "quality_days": QUALITY_DAYS,
    }


def _quality(card: board.Card) -> Coverage:
    """Candle coverage of the last month; older gaps do not affect current predictions."""
    if card.closed_ms is None:
        return coverage_of(card.market)
    month_ago = card.closed_ms - QUALITY_DAYS * DAY_MS
    first_ms = Candle.objects.filter(market=card.market).aggregate(first=Min("open_time"))["first"]
    return coverage_of(card.market, max(first_ms, month_ago), card.closed_ms)


def _recent(market: Market) -> list[Entry]:
    newest_first = SignalLog.objects.filter(market=market).order_by("-candle_time")[:MAX_SIGNALS]
    entries: list[Entry] = []
    for row in newest_first:
        last = entries[-1] if entries else None
        if last is not None and _same_refusal(last.newest, row):
            entries[-1] = replace(last, count=last.count + 1, since=row.candle_time)
        elif len(entries) == MAX_ENTRIES:
            break
        else:
            entries.append(Entry(row, 1, row.candle_time))
    return entries


def _same_refusal(one: SignalLog, other: SignalLog) -> bool:
    hold = SignalLog.Type.HOLD
    return one.signal_type == other.signal_type == hold and one.reasons == other.reasons
