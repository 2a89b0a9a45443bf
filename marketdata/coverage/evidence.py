"""Evidence behind the counts of the coverage ledger: absences with attempts, revisions, refusals."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marketdata import clock
from marketdata.coverage.future_rows import rows_ahead
from marketdata.models import (
    AbsentStretch,
    CandleRevision,
    CutShortCandle,
    Market,
    QuarantinedMessage,
    SuspectedStretch,
)

MAX_STRETCHES = 100
MAX_DETAILS = 20
MAX_CHARACTERS = 500


@dataclass(frozen=True)
class UnansweredStretch:
    """A stretch of candles that was requested without result, with times in market time."""

    start: datetime
    end: datetime
    tries: int
    first_asked: datetime | None
    last_asked: datetime | None
    reason: str = ""
    """Why it is absent, if known from the exchange: a halt, not listed yet, no longer traded."""


@dataclass(frozen=True)
class CutShort:
    """A stored candle that a halt of the exchange ended early."""

    open_time: datetime
    closed_at: datetime
    origin: str
    seen_at: datetime


@dataclass(frozen=True)
class Ahead:
    """A stored row that opens after the market's clock; it is not used."""

    open_time: datetime
    origin: str
    stored_at: datetime


@dataclass(frozen=True)
class Revision:
    """A closed candle the exchange changed."""

    open_time: datetime
    seen_at: datetime
    origin: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True)
class Refusal:
    """A refused message with its first characters."""

    seen_at: datetime
    origin: str
    reason: str
    raw: str


@dataclass(frozen=True)
class Evidence:
    """Evidence of one market, newest first, each list limited; admin pages show all of it."""

    absences: list[UnansweredStretch]
    suspicions: list[UnansweredStretch]
    revisions: list[Revision]
    refusals: list[Refusal]
    cut_short: list[CutShort]
    ahead: list[Ahead]


def evidence_of(market: Market, from_ms: int | None = None, until_ms: int | None = None) -> Evidence:
    """Collect the evidence on a market's candles opening in ``[from_ms, until_ms)``.

    Refused messages have no reliable time of their own, so the newest are given whatever the span.
    """
    absent, suspected = AbsentStretch.objects.filter(market=market), SuspectedStretch.objects.filter(market=market)
    revised = CandleRevision.objects.filter(market=market)
    if from_ms is not None:
        absent, suspected = absent.filter(end__gt=from_ms), suspected.filter(end__gt=from_ms)
        revised = revised.filter(open_time__gte=from_ms)
    if until_ms is not None:
        absent, suspected = absent.filter(start__lt=until_ms), suspected.filter(start__lt=until_ms)
        revised = revised.filter(open_time__lt=until_ms)
    cut = CutShortCandle.objects.filter(market=market, open_time__gte=from_ms or 0)
    if until_ms is not None:
        cut = cut.filter(open_time__lt=until_ms)
    ahead = rows_ahead(market).order_by("-open_time")
    refused = QuarantinedMessage.objects.filter(market=market).order_by("-id")
    return Evidence(
        absences=[
            _unanswered(one, one.evidence.get("attempts", [])) for one in absent.order_by("-start")[:MAX_STRETCHES]
        ],
        suspicions=[_unanswered(one, one.attempts) for one in suspected.order_by("-start")[:MAX_STRETCHES]],
        revisions=[
            Revision(clock.to_datetime(one.open_time), one.seen_at, one.origin, one.before, one.after)
            for one in revised.order_by("-id")[:MAX_DETAILS]
        ],
        refusals=[
            Refusal(one.seen_at, one.origin, one.reason, one.raw[:MAX_CHARACTERS]) for one in refused[:MAX_DETAILS]
        ],
        cut_short=[
            CutShort(clock.to_datetime(one.open_time), clock.to_datetime(one.close_time), one.origin, one.seen_at)
            for one in cut[:MAX_DETAILS]
        ],
        ahead=[Ahead(clock.to_datetime(one.open_time), one.origin, one.received_at) for one in ahead[:MAX_DETAILS]],
    )


def _unanswered(stretch: AbsentStretch | SuspectedStretch, attempts: list[dict[str, Any]]) -> UnansweredStretch:
    requested = [clock.to_datetime(attempt["market_ms"]) for attempt in attempts]
    return UnansweredStretch(
        start=clock.to_datetime(stretch.start),
        end=clock.to_datetime(stretch.end),
        tries=len(attempts),
        first_asked=min(requested, default=None),
        last_asked=max(requested, default=None),
        reason=stretch.evidence.get("reason", "") if isinstance(stretch, AbsentStretch) else "",
    )
