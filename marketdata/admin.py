"""Admin pages of markets, candles, revisions, absences and quarantined messages."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from indicators.candles import DAY_CANDLES
from marketdata import clock
from marketdata.admin_pages import LargeLogAdmin, ReadOnlyAdmin, column, cut, plain, significant, utc_of_ms
from marketdata.exchange import closes
from marketdata.intervals import INTERVAL_MS, floor_open
from marketdata.models import (
    AbsentStretch,
    Candle,
    CandleBlock,
    CandleRevision,
    CutShortCandle,
    ExchangeState,
    Market,
    QuarantinedMessage,
    Source,
    SuspectedStretch,
)

BLOCK_DAYS = 30
SOURCE_LABELS = {Source.EXCHANGE.label: "default", Source.SIMULATED.label: "warning"}


def _count(rows: QuerySet) -> Coalesce:
    """Count rows of a market in a subquery, so that counts do not multiply."""
    counted = rows.filter(market=OuterRef("pk")).order_by().values("market").annotate(n=Count("pk"))
    return Coalesce(Subquery(counted.values("n")), 0)


@admin.register(Market)
class MarketAdmin(ModelAdmin):
    """Markets, enabled and disabled here, with figures on the quality of their candles."""

    list_display = [
        "symbol",
        "source_label",
        "enabled",
        "newest",
        "last_day",
        "holes",
        "revised",
        "quarantined",
        column("status", cut),
    ]
    list_filter = ["enabled", "source"]
    search_fields = ["symbol"]
    list_fullwidth = True
    fieldsets = [
        (None, {"fields": ["symbol", "interval", "source", "enabled"]}),
        ("Quality", {"fields": ["newest", "last_day", "holes", "revised", "quarantined"]}),
        ("Feed", {"fields": ["status", "trading", "live_since", "quarantined_until", "created_at"]}),
    ]
    quality_fields = ["newest", "last_day", "holes", "revised", "quarantined"]
    feed_fields = ["status", "trading", "live_since", "quarantined_until", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Market]:
        """Markets with their quality counted."""
        day_ago = floor_open(clock.market_ms()) - DAY_CANDLES * INTERVAL_MS
        newest = Candle.objects.filter(market=OuterRef("pk")).order_by("-open_time").values("open_time")[:1]
        annotated: QuerySet[Market] = (
            super()
            .get_queryset(request)
            .annotate(
                newest_open=Subquery(newest),
                day_count=_count(Candle.objects.filter(open_time__range=(day_ago, closes.latest_open()))),
                hole_count=_count(AbsentStretch.objects.all()),
                revision_count=_count(CandleRevision.objects.all()),
                quarantine_count=_count(QuarantinedMessage.objects.all()),
            )
        )
        return annotated

    def get_readonly_fields(self, request: HttpRequest, obj: Market | None = None) -> list[str]:  # noqa: ARG002
        """Symbol, interval and source cannot change once candles point to a market."""
        fixed = ["symbol", "interval", "source"] if obj else ["interval"]
        return [*fixed, *self.quality_fields, *self.feed_fields]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Logs refer to markets; disable one instead."""
        return False

    @display(description="Source", ordering="source", label=SOURCE_LABELS)
    def source_label(self, market: Market) -> str:
        """Real or simulated, as a label."""
        return str(Source(market.source).label)

    @display(description="Newest candle")
    def newest(self, market: Any) -> str:
        """Open time of the newest stored candle."""
        return utc_of_ms(getattr(market, "newest_open", None))

    @display(description="Last 24 h")
    def last_day(self, market: Any) -> str:
        """Stored candles of the last day, out of all."""
        stored = min(getattr(market, "day_count", 0), DAY_CANDLES)
        return f"{stored} of {DAY_CANDLES}" + ("" if stored == DAY_CANDLES else f" ({stored / DAY_CANDLES:.1%})")

    @display(description="Absent stretches")
    def holes(self, market: Any) -> int:
        """Number of stretches the exchange itself lacks."""
        return getattr(market, "hole_count", 0)

    @display(description="Revisions")
    def revised(self, market: Any) -> int:
        """Number of closed candles the exchange changed."""
        return getattr(market, "revision_count", 0)

    @display(description="Quarantined")
    def quarantined(self, market: Any) -> int:
        """Number of messages that broke a rule."""
        return getattr(market, "quarantine_count", 0)


@admin.register(Candle)
class CandleAdmin(LargeLogAdmin):
    """Closed candles, newest first."""

    list_display = [
        "market",
        "opened",
        *(column(name, plain) for name in ("open", "high", "low", "close")),
        column("volume", significant),
        "trades",
        "origin",
        "revision",
    ]
    list_filter = ["market"]
    list_select_related = ["market"]
    symbol_lookup = "market__symbol"

    def get_ordering(self, request: HttpRequest) -> list[str]:
        """Order by time within one market (indexed), else by id, which needs no sort."""
        return ["-open_time"] if {"market__id__exact", SEARCH_VAR} & request.GET.keys() else ["-id"]

    @display(description="Open time")
    def opened(self, candle: Candle) -> str:
        """Open time in UTC."""
        return utc_of_ms(candle.open_time)


@admin.register(CandleBlock)
class CandleBlockAdmin(ReadOnlyAdmin):
    """Stamps that show whether a cached copy of thirty days of candles is current."""

    list_display = ["market", "from_time", "stamp"]
    list_filter = ["market"]
    list_select_related = ["market"]
    ordering = ["-block", "market"]

    @display(description="From", ordering="block")
    def from_time(self, block: CandleBlock) -> str:
        """Start of the thirty days."""
        return utc_of_ms(block.block * BLOCK_DAYS * DAY_CANDLES * INTERVAL_MS)


class NoteAdmin(ReadOnlyAdmin):
    """Notes about single stored candles."""

    list_filter = ["market", "origin"]
    list_select_related = ["market"]

    @display(description="Open time", ordering="open_time")
    def opened(self, note: CandleRevision | CutShortCandle) -> str:
        """Open time in UTC."""
        return utc_of_ms(note.open_time)


@admin.register(CandleRevision)
class CandleRevisionAdmin(NoteAdmin):
    """Changes the exchange made after the close."""

    list_display = ["market", "opened", "changed", "origin", "seen_at"]

    @display(description="Changed")
    def changed(self, revision: CandleRevision) -> str:
        """The columns that differ, before and after."""
        names = [name for name in revision.after if revision.before.get(name) != revision.after[name]]
        return cut("; ".join(f"{name} {revision.before.get(name)} → {revision.after[name]}" for name in names))


class StretchAdmin(ReadOnlyAdmin):
    """A run of missing candles."""

    list_filter = ["market"]
    list_select_related = ["market"]

    @display(description="From", ordering="start")
    def from_time(self, stretch: AbsentStretch | SuspectedStretch) -> str:
        """First candle of it."""
        return utc_of_ms(stretch.start)

    @display(description="Until", ordering="end")
    def until_time(self, stretch: AbsentStretch | SuspectedStretch) -> str:
        """First candle after it."""
        return utc_of_ms(stretch.end)

    @display(description="Candles")
    def candles(self, stretch: AbsentStretch | SuspectedStretch) -> int:
        """Number of missing candles."""
        return (stretch.end - stretch.start) // INTERVAL_MS


@admin.register(AbsentStretch)
class AbsentStretchAdmin(StretchAdmin):
    """Candles the exchange itself lacks, with the evidence."""

    list_display = ["market", "from_time", "until_time", "candles", "recorded_at"]


@admin.register(CutShortCandle)
class CutShortCandleAdmin(NoteAdmin):
    """Candles ended early by a halt of the exchange."""

    list_display = ["market", "opened", "closed", "origin", "seen_at"]

    @display(description="Closed")
    def closed(self, mark: CutShortCandle) -> str:
        """Its last millisecond, in UTC."""
        return utc_of_ms(mark.close_time)


@admin.register(SuspectedStretch)
class SuspectedStretchAdmin(StretchAdmin):
    """Candles requested without result, not yet recorded as absent."""

    list_display = ["market", "from_time", "until_time", "candles", "tries"]

    @display(description="Tries")
    def tries(self, stretch: SuspectedStretch) -> int:
        """Number of requests for them."""
        return len(stretch.attempts)


@admin.register(QuarantinedMessage)
class QuarantinedMessageAdmin(ReadOnlyAdmin):
    """Raw messages and rows that broke a rule."""

    list_display = ["seen_at", "market", "origin", column("reason", cut)]
    list_filter = ["market", "origin"]
    list_select_related = ["market"]
    search_fields = ["reason"]


@admin.register(ExchangeState)
class ExchangeStateAdmin(ReadOnlyAdmin):
    """The exchange's clock, request weight and bans, shared by all processes."""

    list_display = [
        "base_url",
        column("clock_rate", significant),
        "weight",
        "reconnects",
        "last_message_at",
        "banned_until",
    ]

    @display(description="Used weight")
    def weight(self, state: ExchangeState) -> str:
        """Request weight used of the minute's budget."""
        return f"{state.used_weight} of {state.weight_limit}"

    @display(description="Banned until")
    def banned_until(self, state: ExchangeState) -> str:
        """Wall time until which the exchange refuses requests."""
        return utc_of_ms(state.banned_until_ms)
