"""History from the exchange: fill what is missing, and read again what was believed long ago."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import zip_longest

from django.db.models import Min

from marketdata import absences, clock, store
from marketdata.errors import ExchangeUnavailable, MarketDataError, UnknownSymbol
from marketdata.exchange import KLINES_WEIGHT
from marketdata.filling import LATE_MS, SyncReport, fed_here, fill, holes_of, keep_answers, keep_refused
from marketdata.intervals import INTERVAL_MS, Gap, count_between, last_closed_open, subtract
from marketdata.models import TRADING, Candle, Market
from marketdata.parsing import PAGE
from marketdata.rest import Ask, RestLine, pages_of
from marketdata.weight import SHARE

AT_ONCE = 32
"""Pages asked for before what came is kept: a kill costs at most these."""
RE_READ_MS = PAGE * INTERVAL_MS
DAY_MS = 86_400_000
OLD_HOLES = 200
"""Pages of old holes asked for a day, all markets together: what stays open is asked again at every sweep."""


def backfill(
    markets: Market | Sequence[Market],
    from_ms: int,
    until_ms: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> SyncReport:
    """Fetch every candle opening in ``[from_ms, until_ms)`` that is not stored, a page a transaction.

    Markets take turns, some pages at once, within the budget. Ended at any point it continues where it was: what
    is stored is not asked for again. A market the exchange refuses is reported and the others go on.

    Raises
    ------
    ExchangeUnavailable
        When the exchange does not answer; what came before is kept.
    MarketDataError
        If no market can be fed from here, or a single one is refused.
    """
    wanted = [markets] if isinstance(markets, Market) else list(markets)
    report = SyncReport()
    fed = fed_here(wanted, report)
    if wanted and not fed:
        raise MarketDataError(report.failures[wanted[0].symbol])
    by_symbol = {market.symbol: market for market in fed}
    with RestLine(patient=True) as line:
        learn_limit(line, fed)
        until_ms = min(until_ms, last_closed_open(line.market_ms() - LATE_MS) + INTERVAL_MS)
        pages = plan(fed, from_ms, until_ms)
        total = sum(count_between(page.from_ms, page.until_ms) for page in pages)
        done = 0
        progress(done, total)
        for start in range(0, len(pages), AT_ONCE):
            if cancelled():
                break
            asks = [page for page in pages[start : start + AT_ONCE] if page.symbol not in report.failures]
            report.requests += len(asks)
            silence = None
            for answer in line.ask(asks, cancelled):
                keep_refused(by_symbol[answer.ask.symbol], answer)
                if isinstance(answer.error, ExchangeUnavailable):
                    silence = answer.error
                elif answer.error is not None:
                    if len(wanted) == 1:
                        raise answer.error
                    report.failures[answer.ask.symbol] = str(answer.error)
                else:
                    keep_answers([(by_symbol[answer.ask.symbol], answer)], report)
            if silence is not None:
                raise silence
            done += sum(count_between(page.from_ms, page.until_ms) for page in pages[start : start + AT_ONCE])
            progress(done, total)
        _note_ends(line, [] if cancelled() else fed, Gap(from_ms, until_ms), report)
    report.newest = store.newest_open(fed)
    return report


def _note_ends(line: RestLine, markets: Sequence[Market], asked: Gap, report: SyncReport) -> None:
    for market in markets:
        if market.symbol not in report.failures:
            _note_ends_of(line, market, asked, report)


def _note_ends_of(line: RestLine, market: Market, asked: Gap, report: SyncReport) -> None:
    """Where a span begins or ends with a hole, ask since when the exchange lists the market, and whether it still does.

    Nothing is asked of a span that is complete, nor again once what lies outside is on record.
    """
    holes = holes_of(market, asked.start, asked.end - INTERVAL_MS) if asked.start < asked.end else []
    if not holes:
        return
    if holes[0].start - INTERVAL_MS < asked.start:
        first = line.first_open(market.symbol)
        if first is not None and first > holes[0].start:
            why = f"the exchange lists it since {_minute(first)} UTC: there is nothing before"
            before = Gap(holes[0].start, min(holes[0].end, first))
            report.absent += absences.note_explained(market, [before], asked, first, {"reason": why, "listed": first})
    if holes[-1].end >= asked.end:
        last, trading = line.last_open(market.symbol), _trading(line, market)
        if last is not None and last < holes[-1].start and trading != TRADING:
            why = f"the exchange stopped it ({trading}): its last candle opened at {_minute(last)} UTC"
            report.ends[market.symbol] = why
            if line.market_ms() - last > DAY_MS:
                report.absent += absences.note_explained(
                    market, [holes[-1]], asked, last, {"reason": why, "ended": last}
                )


def _trading(line: RestLine, market: Market) -> str:
    try:
        return line.describe([market.symbol]).get(market.symbol, "not listed")
    except UnknownSymbol:
        return "not listed"


def _minute(open_ms: int) -> str:
    return f"{clock.to_datetime(open_ms):%Y-%m-%d %H:%M}"


def plan(markets: Sequence[Market], from_ms: int, until_ms: int) -> list[Ask]:
    """Pages to ask for, oldest first, markets taking turns."""
    by_market = [pages_of(market.symbol, holes_of(market, from_ms, until_ms - INTERVAL_MS)) for market in markets]
    return [page for turn in zip_longest(*by_market) for page in turn if page is not None]


def learn_limit(line: RestLine, markets: Sequence[Market]) -> None:
    """Have the exchange say what a minute may cost: without a feed nobody has asked. It says so beside any symbol."""
    for market in markets:
        with suppress(UnknownSymbol):
            line.describe([market.symbol])
            return


def minutes_of(n_requests: int, weight_limit: int) -> float:
    """Least minutes so many pages take within this engine's share of the exchange's limit.

    Examples
    --------
    >>> minutes_of(3_000, 6_000)
    2.0
    """
    return n_requests * KLINES_WEIGHT / (weight_limit * SHARE)


def re_read(markets: Sequence[Market]) -> SyncReport:
    """Read older candles again: the newest page of each market, and one page more that moves on every day.

    An exchange corrects what it published; whatever differs becomes a revision. In turn all of the history is
    read again: a year of one market takes 106 days. Old holes, such as those of an imported file, are asked for
    as well: what the exchange does not have either is suspected now and becomes an absence at the sweeps that follow.
    """
    report = SyncReport()
    with RestLine(patient=True) as line:
        now = line.market_ms()
        end = last_closed_open(now - LATE_MS) + INTERVAL_MS
        wanted: dict[Market, list[Gap]] = {}
        left = OLD_HOLES
        for market in fed_here(markets, report):
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
        fill(line, wanted, report)
    report.newest = store.newest_open(markets)
    return report
