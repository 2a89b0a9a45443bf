"""Services that create markets, bring them up to date and check recent candles again."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import structlog
from django.db import connection

from marketdata.coverage import absences, halts, quarantine
from marketdata.coverage.backfill import backfill, re_read
from marketdata.coverage.gap_filling import LATE_MS, SyncReport, fed_markets, fill, holes_of_all
from marketdata.errors import ExchangeUnavailable, MarketDisabled, UnknownSymbol, unknown_symbol_message
from marketdata.exchange import closes
from marketdata.exchange.parsing import CandleRow
from marketdata.exchange.rest import RestSession
from marketdata.intervals import INTERVAL_MS, Gap, last_closed_open, subtract
from marketdata.models import Candle, Market
from marketdata.process_state import process_state
from marketdata.storage import candles

__all__ = [
    "SyncReport",
    "backfill",
    "enabled_markets",
    "enabled_symbols",
    "market_of",
    "re_read",
    "seed_markets",
    "sweep_quality",
    "sync_candles",
]

LIVE_WINDOW = 5_000
"""Number of newest candles whose holes the feed fills; older ones are filled by `backfill`."""
CHECKED_CANDLES = 288
"""Number of newest candles checked for holes at every sync."""
READ_COLUMNS = ("id", "symbol", "interval", "source")
"""Columns of a market that a read needs; the others are loaded when they are used."""
SETTLED_MS = 60_000
RE_READ = 3

log = structlog.get_logger(__name__)


class CheckedUntil(dict[int, int]):
    """Open, by market id, of the candle up to which this process found no holes."""


def seed_markets(symbols: Sequence[str], source: str) -> list[Market]:
    """Create missing markets and return them; enabled unless their symbol has an enabled one."""
    seeded = []
    for symbol in symbols:
        taken = Market.objects.enabled().filter(symbol=symbol).exists()
        market, created = Market.objects.get_or_create(symbol=symbol, source=source, defaults={"enabled": not taken})
        if created:
            seeded.append(market)
    return seeded


def enabled_markets() -> list[Market]:
    """All enabled markets."""
    return list(Market.objects.enabled())


def enabled_symbols() -> list[str]:
    """Symbols of all enabled markets."""
    return list(Market.objects.enabled().values_list("symbol", flat=True))


def market_of(symbol: str) -> Market:
    """Find the enabled market of a symbol."""
    # Written out, since Django takes four times as long to write it, for every read of candles.
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(READ_COLUMNS)} FROM markets WHERE symbol = %s AND enabled",  # noqa: S608
            [symbol],
        )
        found = cursor.fetchone()
    if found is not None:
        return Market.from_db(connection.alias, (*READ_COLUMNS, "enabled"), (*found, True))
    if Market.objects.filter(symbol=symbol).exists():
        raise MarketDisabled(f"the market {symbol} is known but not enabled")
    raise UnknownSymbol(unknown_symbol_message(symbol, enabled_symbols()))


def sync_candles(
    markets: Sequence[Market], frames: Mapping[str, Sequence[CandleRow]] = MappingProxyType({})
) -> SyncReport:
    """Bring markets up to date: store closed frames and fetch missing candles over REST.

    Failures are reported by symbol, never raised; only database errors are.
    """
    report = SyncReport()
    fed = fed_markets(markets, report)
    delivered = _closed({market: list(rows) for market in fed if (rows := frames.get(market.symbol))}, report)
    report.saved = candles.save_all(delivered, Candle.Origin.STREAM)
    halts.mark_trading(list(delivered))
    trading = [market for market in fed if not market.is_halted]
    report.newest = candles.newest_open(markets)
    if delivered and len(delivered) == len(trading) and _is_contiguous(delivered, report.newest):
        return report
    try:
        with RestSession() as session:
            head = last_closed_open(session.market_ms() - LATE_MS)
            gaps = _open_gaps(trading, head, report.newest)
            fill(session, {market: holes for market, holes in gaps.items() if holes}, report)
    except ExchangeUnavailable as error:
        report.failures["exchange"] = str(error)
    report.newest = candles.newest_open(markets)
    if report.failures:
        log.warning("candles_not_synced", **report.failures)
    return report


def sweep_quality(markets: Sequence[Market]) -> SyncReport:
    """Re-read the newest candles a minute after their close, and request holes and suspected ones."""
    report = SyncReport()
    fed = fed_markets(markets, report)
    try:
        with RestSession() as session:
            settled = last_closed_open(session.market_ms() - SETTLED_MS)
            recent = Gap(settled - (RE_READ - 1) * INTERVAL_MS, settled + INTERVAL_MS)
            start = settled - LIVE_WINDOW * INTERVAL_MS
            newest = candles.newest_open(fed)
            stored = {market: at for market in fed if (at := newest[market.pk]) is not None}
            holes = holes_of_all({market: (start, min(at, settled)) for market, at in stored.items()})
            wanted: dict[Market, list[Gap]] = {}
            suspected, old = absences.suspected_gaps(stored), absences.due_for_recheck(stored, start)
            for market, at in stored.items():
                unconfirmed = [*holes[market], *suspected[market.pk], *old[market.pk]]
                if market.is_halted and at < recent.start:  # its last candles may be missing
                    unconfirmed.append(Gap(max(start, at + INTERVAL_MS), recent.start))
                wanted[market] = [*_merged(subtract(unconfirmed, [recent])), recent]
            fill(session, wanted, report)
    except ExchangeUnavailable as error:
        report.failures["exchange"] = str(error)
    report.newest = candles.newest_open(markets)
    return report


def _closed(delivered: dict[Market, list[CandleRow]], report: SyncReport) -> dict[Market, list[CandleRow]]:
    """Frames of candles that have closed by the market's clock, re-read if one seems early."""
    if not _early(delivered):
        return delivered
    try:
        with RestSession() as session:
            session.read_clock()
    except ExchangeUnavailable as error:
        report.failures["exchange"] = str(error)
    kept = dict(delivered)
    for market, rows in _early(delivered).items():
        reason = f"called closed before its end: {closes.describe_clock(market.source)}"
        early = [({"open_time": row.open_time, **candles.json_values(row)}, reason) for row in rows]
        quarantine.store(market, Candle.Origin.STREAM, early)
        report.failures[market.symbol] = reason
        kept[market] = [row for row in delivered[market] if row not in rows]
    return {market: rows for market, rows in kept.items() if rows}


def _early(delivered: Mapping[Market, Sequence[CandleRow]]) -> dict[Market, list[CandleRow]]:
    last = {source: closes.last_open_to_follow(source) for source in {market.source for market in delivered}}
    early = {market: [row for row in rows if row.open_time > last[market.source]] for market, rows in delivered.items()}
    return {market: rows for market, rows in early.items() if rows}


def _is_contiguous(delivered: Mapping[Market, Sequence[CandleRow]], newest: Mapping[int, int | None]) -> bool:
    """Whether every market ends at the delivered candle without holes, so no request is needed.

    A market checked up to the candle before is not counted again: later holes are found by `sweep_quality`.
    """
    head = max(row.open_time for rows in delivered.values() for row in rows)
    checked = process_state.of(CheckedUntil)
    unchecked = [
        market
        for market in delivered
        if newest[market.pk] != head or checked.get(market.pk) not in (head, head - INTERVAL_MS)
    ]
    if any(_open_gaps(unchecked, head, newest).values()):
        return False
    checked.update({market.pk: head for market in delivered})
    return True


def _open_gaps(markets: Sequence[Market], head: int, newest: Mapping[int, int | None]) -> dict[Market, list[Gap]]:
    """Missing candles of each market up to `head`, in the window of the live path."""
    start = head - (LIVE_WINDOW - 1) * INTERVAL_MS
    begun = {market: at for market in markets if (at := newest[market.pk]) is not None and at >= start}
    holes = holes_of_all({market: (at - (CHECKED_CANDLES - 1) * INTERVAL_MS, at) for market, at in begun.items()})
    gaps: dict[Market, list[Gap]] = {}
    for market in markets:
        if market not in begun:
            gaps[market] = [Gap(start, head + INTERVAL_MS)]
        else:
            fresh = Gap(begun[market] + INTERVAL_MS, head + INTERVAL_MS)
            gaps[market] = [*holes[market], fresh] if begun[market] < head else holes[market]
    return gaps


def _merged(gaps: Sequence[Gap]) -> list[Gap]:
    merged: list[Gap] = []
    for gap in sorted(gaps):
        if merged and gap.start <= merged[-1].end:
            merged[-1] = Gap(merged[-1].start, max(merged[-1].end, gap.end))
        else:
            merged.append(gap)
    return merged
