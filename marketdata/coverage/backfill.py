"""History from the exchange: filling missing candles and re-reading stored ones."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import zip_longest

from django.db.models import Min

from indicators.candles import DAY_MS
from marketdata import clock
from marketdata.coverage import absences
from marketdata.coverage.gap_filling import (
    LATE_MS,
    SyncReport,
    fed_markets,
    fill,
    holes_of,
    quarantine_refused,
    store_results,
)
from marketdata.errors import ExchangeUnavailable, MarketDataError, UnknownSymbol
from marketdata.exchange.client import KLINES_WEIGHT
from marketdata.exchange.parsing import PAGE
from marketdata.exchange.rate_limit import SHARE
from marketdata.exchange.rest import PageRequest, RestSession, pages_of
from marketdata.intervals import INTERVAL_MS, Gap, count_between, last_closed_open, subtract
from marketdata.models import TRADING, Candle, Market
from marketdata.storage import candles

BATCH_PAGES = 32
"""Pages requested before their candles are stored: at most these are lost if the process is killed."""
RE_READ_MS = PAGE * INTERVAL_MS
OLD_HOLE_PAGES = 200
"""Pages of old holes requested per day, all markets together; holes that remain are requested at every sweep."""


def backfill(
    markets: Market | Sequence[Market],
    from_ms: int,
    until_ms: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> SyncReport:
    """Fetch every missing candle opening in ``[from_ms, until_ms)``, one page per transaction.

    Pages of the markets alternate, some at once, within the request budget. Interrupted at any point, it can be
    continued: stored candles are not requested again. A market refused by the exchange is reported, the others go on.

    Raises
    ------
    ExchangeUnavailable
        When the exchange does not respond; candles fetched before are stored.
    MarketDataError
        If no market belongs to the configured exchange, or a single one is refused.
    """
    wanted = [markets] if isinstance(markets, Market) else list(markets)
    report = SyncReport()
    fed = fed_markets(wanted, report)
    if wanted and not fed:
        raise MarketDataError(report.failures[wanted[0].symbol])
    by_symbol = {market.symbol: market for market in fed}
    with RestSession(patient=True) as session:
        read_weight_limit(session, fed)
        until_ms = min(until_ms, last_closed_open(session.market_ms() - LATE_MS) + INTERVAL_MS)
        pages = plan(fed, from_ms, until_ms)
        total = sum(count_between(page.from_ms, page.until_ms) for page in pages)
        done = 0
        progress(done, total)
        for start in range(0, len(pages), BATCH_PAGES):
            if cancelled():
                break
            requests = [page for page in pages[start : start + BATCH_PAGES] if page.symbol not in report.failures]
            report.requests += len(requests)
            outage = None
            for result in session.fetch(requests, cancelled):
                quarantine_refused(by_symbol[result.request.symbol], result)
                if isinstance(result.error, ExchangeUnavailable):
                    outage = result.error
                elif result.error is not None:
                    if len(wanted) == 1:
                        raise result.error
                    report.failures[result.request.symbol] = str(result.error)
                else:
                    store_results([(by_symbol[result.request.symbol], result)], report)
            if outage is not None:
                raise outage
            done += sum(count_between(page.from_ms, page.until_ms) for page in pages[start : start + BATCH_PAGES])
            progress(done, total)
        _record_ends(session, [] if cancelled() else fed, Gap(from_ms, until_ms), report)
    report.newest = candles.newest_open(fed)
    return report


def _record_ends(session: RestSession, markets: Sequence[Market], requested: Gap, report: SyncReport) -> None:
    for market in markets:
        if market.symbol not in report.failures:
            _record_ends_of(session, market, requested, report)


def _record_ends_of(session: RestSession, market: Market, requested: Gap, report: SyncReport) -> None:
    """Record absences before the listing and after the delisting of a market.

    The exchange is queried only where the span begins or ends with a hole that is not recorded yet.
    """
    holes = holes_of(market, requested.start, requested.end - INTERVAL_MS) if requested.start < requested.end else []
    if not holes:
        return
    if holes[0].start - INTERVAL_MS < requested.start:
        first = session.first_open(market.symbol)
        if first is not None and first > holes[0].start:
            why = f"the exchange lists it since {_minute(first)} UTC: there is nothing before"
            before = Gap(holes[0].start, min(holes[0].end, first))
            report.absent += absences.record_explained(
                market, [before], requested, first, {"reason": why, "listed": first}
            )
    if holes[-1].end >= requested.end:
        last, trading = session.last_open(market.symbol), _trading(session, market)
        if last is not None and last < holes[-1].start and trading != TRADING:
            why = f"the exchange stopped it ({trading}): its last candle opened at {_minute(last)} UTC"
            report.ends[market.symbol] = why
            if session.market_ms() - last > DAY_MS:
                report.absent += absences.record_explained(
                    market, [holes[-1]], requested, last, {"reason": why, "ended": last}
                )


def _trading(session: RestSession, market: Market) -> str:
    try:
        return session.describe([market.symbol]).get(market.symbol, "not listed")
    except UnknownSymbol:
        return "not listed"


def _minute(open_ms: int) -> str:
    return f"{clock.to_datetime(open_ms):%Y-%m-%d %H:%M}"


def plan(markets: Sequence[Market], from_ms: int, until_ms: int) -> list[PageRequest]:
    """Pages to request, oldest first, alternating between markets."""
    by_market = [pages_of(market.symbol, holes_of(market, from_ms, until_ms - INTERVAL_MS)) for market in markets]
    return [page for turn in zip_longest(*by_market) for page in turn if page is not None]


def read_weight_limit(session: RestSession, markets: Sequence[Market]) -> None:
    """Read the exchange's weight limit per minute, which is part of any symbol's description.

    Without a running feed it has not been read yet.
    """
    for market in markets:
        with suppress(UnknownSymbol):
            session.describe([market.symbol])
            return


def minutes_of(n_requests: int, weight_limit: int) -> float:
    """Minimum minutes that so many pages take within this engine's share of the weight limit.

    Examples
    --------
    >>> minutes_of(3_000, 6_000)
    2.0
    """
    return n_requests * KLINES_WEIGHT / (weight_limit * SHARE)


def re_read(markets: Sequence[Market]) -> SyncReport:
    """Re-read the newest page of each market and one older page, another one every day.

    An exchange may correct published candles; whatever differs becomes a revision. All of the history is re-read in
    turn: a year of one market takes 106 days. Old holes, such as those of an imported file, are requested as well:
    what the exchange lacks too is suspected now and becomes an absence at the following sweeps.
    """
    report = SyncReport()
    with RestSession(patient=True) as session:
        now = session.market_ms()
        end = last_closed_open(now - LATE_MS) + INTERVAL_MS
        wanted: dict[Market, list[Gap]] = {}
        left = OLD_HOLE_PAGES
        for market in fed_markets(markets, report):
            first = Candle.objects.filter(market=market).aggregate(first=Min("open_time"))["first"]
            if first is None or first >= end:
                continue
            newest = Gap(max(first, end - RE_READ_MS), end)
            wanted[market] = [newest]
            older = pages_of(market.symbol, [Gap(first, newest.start)] if first < newest.start else [])
            if older:
                page = older[now // DAY_MS % len(older)]
                wanted[market].append(Gap(page.from_ms, page.until_ms))
            holes = subtract(holes_of(market, first, newest.start - INTERVAL_MS), wanted[market])
            unexplained = pages_of(market.symbol, holes)[:left]
            wanted[market] += [Gap(page.from_ms, page.until_ms) for page in unexplained]
            left -= len(unexplained)
        fill(session, wanted, report)
    report.newest = candles.newest_open(markets)
    return report
