"""Keeping markets complete: seed them, bring them up to date, fill their history, re-read what is doubtful."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from marketdata import absences, quarantine, store
from marketdata.errors import ExchangeUnavailable, MarketDataError, MarketDisabled, UnknownSymbol
from marketdata.exchange import source_of_settings
from marketdata.intervals import INTERVAL_MS, Gap, count_between, find_gaps, last_closed_open, subtract
from marketdata.models import Candle, Market
from marketdata.parsing import CandleRow
from marketdata.rest import Answer, RestLine, pages_of
from marketdata.store import SaveResult

LIVE_WINDOW = 5_000
"""Candles back from now that the feed itself repairs; older holes are `backfill`'s."""
DOUBTFUL = 288
"""Candles back from now whose holes are looked for at every sync."""
LATE_MS = 2_500
"""A close not delivered after this much market time is fetched."""
SETTLED_MS = 60_000
RE_READ = 3

log = structlog.get_logger(__name__)


@dataclass
class SyncReport:
    """What bringing markets up to date did."""

    saved: SaveResult = field(default_factory=SaveResult)
    requests: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    newest: dict[int, int | None] = field(default_factory=dict)
    absent: int = 0


def seed_markets(symbols: Sequence[str], source: str) -> list[Market]:
    """Create missing markets, enabled unless their symbol already has an enabled one; returns the new ones."""
    seeded = []
    for symbol in symbols:
        taken = Market.objects.enabled().filter(symbol=symbol).exists()
        market, created = Market.objects.get_or_create(symbol=symbol, source=source, defaults={"enabled": not taken})
        if created:
            seeded.append(market)
    return seeded


def enabled_markets() -> list[Market]:
    """Markets that are followed, predicted and signalled."""
    return list(Market.objects.enabled())


def market_of(symbol: str) -> Market:
    """Find the enabled market of a symbol."""
    market = Market.objects.enabled().filter(symbol=symbol).first()
    if market is not None:
        return market
    if Market.objects.filter(symbol=symbol).exists():
        raise MarketDisabled(f"the market {symbol} is known but not enabled")
    raise UnknownSymbol(f"no market of this engine is called {symbol[:20]}")


def sync_candles(
    markets: Sequence[Market], frames: Mapping[str, Sequence[CandleRow]] | Sequence[tuple[str, CandleRow]] = ()
) -> SyncReport:
    """Bring markets up to date: closed frames are stored as they are, REST fills only what is missing.

    Failures belong to their symbol and are reported, never raised; only the database's own errors are.
    """
    report = SyncReport()
    fed = _fed_here(markets, report)
    by_symbol = _by_symbol(frames)
    delivered = {market: by_symbol[market.symbol] for market in fed if by_symbol.get(market.symbol)}
    report.saved = store.save_all(delivered, Candle.Origin.STREAM)
    if delivered and len(delivered) == len(fed) and _is_contiguous(delivered):
        report.newest = store.newest_open(markets)
        return report
    try:
        with RestLine() as line:
            head = last_closed_open(line.market_ms() - LATE_MS)
            gaps = {market: _open_gaps(market, newest, head) for market, newest in _newest(fed)}
            _fill(line, {market: holes for market, holes in gaps.items() if holes}, report)
    except ExchangeUnavailable as error:
        report.failures["exchange"] = str(error)
    report.newest = store.newest_open(markets)
    if report.failures:
        log.warning("candles_not_synced", **report.failures)
    return report


def sweep_quality(markets: Sequence[Market]) -> SyncReport:
    """Re-read the newest candles a minute after their close, look for holes, ask again for suspected ones."""
    report = SyncReport()
    fed = _fed_here(markets, report)
    try:
        with RestLine() as line:
            settled = last_closed_open(line.market_ms() - SETTLED_MS)
            wanted: dict[Market, list[Gap]] = {}
            for market, newest in _newest(fed):
                if newest is None:
                    continue
                recent = Gap(settled - (RE_READ - 1) * INTERVAL_MS, settled + INTERVAL_MS)
                start = settled - LIVE_WINDOW * INTERVAL_MS
                holes = [*_holes(market, start, min(newest, settled)), *absences.suspicions(market)]
                doubtful = subtract([*holes, *absences.due_again(market, start)], [recent])
                wanted[market] = [*_merged(doubtful), recent]
            _fill(line, wanted, report)
    except ExchangeUnavailable as error:
        report.failures["exchange"] = str(error)
    report.newest = store.newest_open(markets)
    return report


def backfill(
    market: Market,
    from_ms: int,
    until_ms: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> SyncReport:
    """Fetch every candle opening in ``[from_ms, until_ms)`` that is not stored, a page a transaction.

    Ended at any point it continues where it was: what is stored is not asked for again.
    """
    report = SyncReport()
    if not _fed_here([market], report):
        raise MarketDataError(report.failures[market.symbol])
    with RestLine(patient=True) as line:
        until_ms = min(until_ms, last_closed_open(line.market_ms() - LATE_MS) + INTERVAL_MS)
        pages = pages_of(market.symbol, _holes(market, from_ms, until_ms - INTERVAL_MS))
        total = sum(count_between(page.from_ms, page.until_ms) for page in pages)
        done = 0
        progress(done, total)
        for page in pages:
            if cancelled():
                break
            answer = line.ask([page], cancelled)[0]
            report.requests += 1
            if answer.error is not None:
                raise answer.error
            _keep(market, answer, report)
            done += count_between(page.from_ms, page.until_ms)
            progress(done, total)
    report.newest = store.newest_open([market])
    return report


def _fed_here(markets: Sequence[Market], report: SyncReport) -> list[Market]:
    """Markets the configured exchange may feed; real and simulated candles never mix."""
    source = source_of_settings()
    for market in markets:
        if market.source != source:
            report.failures[market.symbol] = f"the feed is {source}, the market is {market.source}"
    return [market for market in markets if market.source == source]


def _by_symbol(
    frames: Mapping[str, Sequence[CandleRow]] | Sequence[tuple[str, CandleRow]] | None,
) -> dict[str, list[CandleRow]]:
    if isinstance(frames, Mapping):
        return {symbol: list(rows) for symbol, rows in frames.items()}
    grouped: dict[str, list[CandleRow]] = {}
    for symbol, row in frames or ():
        grouped.setdefault(symbol, []).append(row)
    return grouped


def _is_contiguous(delivered: Mapping[Market, Sequence[CandleRow]]) -> bool:
    """Whether every market now ends at the candle just delivered with nothing missing before: no request is needed."""
    head = max(row.open_time for rows in delivered.values() for row in rows)
    return not any(_open_gaps(market, newest, head) for market, newest in _newest(list(delivered)))


def _newest(markets: Sequence[Market]) -> list[tuple[Market, int | None]]:
    newest = store.newest_open(markets)
    return [(market, newest[market.pk]) for market in markets]


def _open_gaps(market: Market, newest: int | None, head: int) -> list[Gap]:
    """What is missing up to `head`, in the window the live path needs."""
    start = head - (LIVE_WINDOW - 1) * INTERVAL_MS
    if newest is None or newest < start:
        return [Gap(start, head + INTERVAL_MS)]
    holes = _holes(market, newest - (DOUBTFUL - 1) * INTERVAL_MS, newest)
    return [*holes, Gap(newest + INTERVAL_MS, head + INTERVAL_MS)] if newest < head else holes


def _holes(market: Market, from_ms: int, last_open: int) -> list[Gap]:
    """Stretches neither stored nor known to be absent, up to and including `last_open`."""
    until_ms = last_open + INTERVAL_MS
    if store.count_stored(market, from_ms, until_ms) == count_between(from_ms, until_ms):
        return []
    gaps = find_gaps(store.stored_opens(market, from_ms, until_ms), from_ms, until_ms)
    return subtract(gaps, absences.known_absences(market, from_ms, until_ms))


def _merged(gaps: Sequence[Gap]) -> list[Gap]:
    merged: list[Gap] = []
    for gap in sorted(gaps):
        if merged and gap.start <= merged[-1].end:
            merged[-1] = Gap(merged[-1].start, max(merged[-1].end, gap.end))
        else:
            merged.append(gap)
    return merged


def _fill(line: RestLine, wanted: Mapping[Market, Sequence[Gap]], report: SyncReport) -> None:
    """Ask for gaps of many markets at once and keep what comes; an error stays with its market."""
    waiting = {market: gaps for market, gaps in wanted.items() if not quarantine.is_set_aside(market)}
    by_symbol = {market.symbol: market for market in waiting}
    asks = [page for market, gaps in waiting.items() for page in pages_of(market.symbol, gaps)]
    report.requests += len(asks)
    for answer in line.ask(asks):
        market = by_symbol[answer.ask.symbol]
        if isinstance(answer.error, ExchangeUnavailable):
            report.failures[market.symbol] = str(answer.error)
        elif answer.error is not None:
            report.failures[market.symbol] = str(answer.error)
            quarantine.keep(market, Candle.Origin.REST, answer.rejected)
            quarantine.set_aside(market, str(answer.error))
        else:
            _keep(market, answer, report)


def _keep(market: Market, answer: Answer, report: SyncReport) -> None:
    """Store one page, quarantine its bad rows, and suspect what an answer with later candles left out."""
    asked = Gap(answer.ask.from_ms, answer.ask.until_ms)
    report.saved += store.save_candles(market, answer.rows, Candle.Origin.REST)
    if answer.rejected:
        quarantine.keep(market, Candle.Origin.REST, answer.rejected)
        report.failures[market.symbol] = f"{len(answer.rejected)} rows refused: {answer.rejected[0][1]}"
        return
    quarantine.take_back(market)
    newest = store.newest_open([market])[market.pk]
    if newest is None:
        return
    opens = [row.open_time for row in answer.rows]
    absences.review(market, asked, opens)
    holes = subtract(find_gaps(opens, *asked), absences.known_absences(market, *asked))
    holes = [hole for hole in holes if hole.end <= newest]
    report.absent += absences.note_vain_read(market, holes, asked, newest)
