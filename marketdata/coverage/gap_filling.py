"""Finding the holes of markets, requesting them from the exchange and storing the results."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from marketdata.coverage import absences, halts, quarantine
from marketdata.errors import ExchangeUnavailable
from marketdata.exchange.client import source_of_settings
from marketdata.exchange.parsing import CandleRow
from marketdata.exchange.rest import PageResult, RestSession, pages_of
from marketdata.intervals import INTERVAL_MS, Gap, count_between, find_gaps, floor_open, subtract
from marketdata.models import Candle, Market
from marketdata.storage import candles
from marketdata.storage.candles import SaveResult

LATE_MS = 2_500
"""A closed candle not delivered after this much market time is fetched."""
MAX_BATCH_CANDLES = 5_000
"""Maximum candles of one transaction: enough for the newest ones of all markets, few enough to lose if killed."""


@dataclass
class SyncReport:
    """Result of bringing markets up to date."""

    saved: SaveResult = field(default_factory=SaveResult)
    requests: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    newest: dict[int, int | None] = field(default_factory=dict)
    absent: int = 0
    ends: dict[str, str] = field(default_factory=dict)
    """For markets the exchange stopped recently: a sentence that says since when."""


def fed_markets(markets: Sequence[Market], report: SyncReport) -> list[Market]:
    """Markets of the configured exchange's source; the others are reported as failures."""
    source = source_of_settings()
    for market in markets:
        if market.source != source:
            report.failures[market.symbol] = f"the feed is {source}, the market is {market.source}"
    return [market for market in markets if market.source == source]


def holes_of(market: Market, from_ms: int, last_open: int) -> list[Gap]:
    """Stretches neither stored nor recorded as absent, up to and including `last_open`.

    A new candle of a file counts as missing until the exchange confirms it.
    """
    return holes_of_all({market: (from_ms, last_open)})[market]


def holes_of_all(spans: Mapping[Market, tuple[int, int]]) -> dict[Market, list[Gap]]:
    """Holes of many markets, with one to three statements per distinct span."""
    sharing: dict[tuple[int, int], list[Market]] = {}
    for market, span in spans.items():
        sharing.setdefault(span, []).append(market)
    found: dict[Market, list[Gap]] = {}
    for (from_ms, last_open), markets in sharing.items():
        until_ms = last_open + INTERVAL_MS
        expected = count_between(from_ms, until_ms)
        counts = candles.counts_stored(markets, from_ms, until_ms, only_confirmed=True)
        found |= {market: [] for market in markets}
        if torn := [market for market in markets if counts[market.pk] != expected]:
            opens = candles.stored_opens(torn, from_ms, until_ms, only_confirmed=True)
            known = absences.known_absences(torn, from_ms, until_ms)
            for market in torn:
                found[market] = subtract(find_gaps(opens[market.pk], from_ms, until_ms), known[market.pk])
    return found


def fill(session: RestSession, wanted: Mapping[Market, Sequence[Gap]], report: SyncReport) -> None:
    """Request gaps of many markets and store the candles; errors are reported by market."""
    waiting = {market: gaps for market, gaps in wanted.items() if not quarantine.is_suspended(market)}
    by_symbol = {market.symbol: market for market in waiting}
    requests = [page for market, gaps in waiting.items() for page in pages_of(market.symbol, gaps)]
    report.requests += len(requests)
    good: list[tuple[Market, PageResult]] = []
    for result in session.fetch(requests):
        market = by_symbol[result.request.symbol]
        quarantine_refused(market, result)
        if result.error is None:
            good.append((market, result))
        else:
            report.failures[market.symbol] = str(result.error)
            if not isinstance(result.error, ExchangeUnavailable):
                quarantine.suspend(market, str(result.error))
    for together in _batches(good):
        store_results(together, report)


def quarantine_refused(market: Market, result: PageResult) -> None:
    """Quarantine the rows of a result that broke a rule, and unreadable responses."""
    refused = [*result.rejected, *((raw, halts.OFF_GRID) for raw, _ in result.off_grid)]
    quarantine.store(market, Candle.Origin.REST, result.unreadable)
    quarantine.store_new(market, Candle.Origin.REST, refused)


def _batches(results: Sequence[tuple[Market, PageResult]]) -> Iterator[list[tuple[Market, PageResult]]]:
    batch: list[tuple[Market, PageResult]] = []
    waiting = 0
    for market, result in results:
        if batch and waiting + len(result.rows) > MAX_BATCH_CANDLES:
            yield batch
            batch, waiting = [], 0
        batch.append((market, result))
        waiting += len(result.rows)
    if batch:
        yield batch


def store_results(results: Sequence[tuple[Market, PageResult]], report: SyncReport) -> None:
    """Store pages in one transaction and record candles missing before later ones as suspected."""
    rows: dict[Market, list[CandleRow]] = {}
    for market, result in results:
        rows.setdefault(market, []).extend(result.rows)
    report.saved += candles.save_all(rows, Candle.Origin.REST)
    halts.mark_cut_short(results)
    known = absences.absent_or_suspected(rows)
    for market, result in results:
        if result.rejected:
            report.failures[market.symbol] = f"{len(result.rejected)} rows refused: {result.rejected[0][1]}"
        else:
            quarantine.resume(market)
        left_out = find_gaps([row.open_time for row in result.rows], result.request.from_ms, result.request.until_ms)
        is_known = any(
            gap.start < result.request.until_ms and gap.end > result.request.from_ms for gap in known[market.pk]
        )
        if left_out or is_known:
            report.absent += _update_absences(market, result, left_out)


def _update_absences(market: Market, result: PageResult, left_out: Sequence[Gap]) -> int:
    """Update absences and suspicions by a result; return how many absences were confirmed."""
    requested = Gap(result.request.from_ms, result.request.until_ms)
    opens = [row.open_time for row in result.rows]
    if result.later is not None:
        opens.append(floor_open(result.later + INTERVAL_MS - 1))
    seen = sorted([*opens, *(at for _, at in result.off_grid)])
    denied = subtract(_denied(market, left_out, seen), _places_of_refused(result))
    absences.review(market, requested, opens, denied)
    newest_seen = max(seen, default=0)
    explained = 0
    for hole in denied:
        if (why := halts.explain(market, hole, result)) is not None:
            explained += absences.record_explained(market, [hole], requested, newest_seen, why)
    known = absences.known_absences([market], *requested)[market.pk]
    undecided = [hole for hole in left_out if hole not in denied]
    return explained + absences.record_empty_response(
        market, subtract(denied, known), undecided, requested, newest_seen
    )


def _places_of_refused(result: PageResult) -> list[Gap]:
    """Places of refused rows in the requested span, where a candle is not absent.

    A row without a valid open time, or with that of another row, may belong anywhere.
    """
    opens = {row.open_time for row in result.rows}
    places = []
    for raw, _ in result.rejected:
        at = raw[0] if isinstance(raw, list | tuple) and raw and type(raw[0]) is int else -1
        if at < result.request.from_ms or floor_open(at) in opens:
            return [Gap(result.request.from_ms, result.request.until_ms)]
        places.append(Gap(floor_open(at), floor_open(at) + INTERVAL_MS))
    return places


def _denied(market: Market, left_out: Sequence[Gap], opens: Sequence[int]) -> list[Gap]:
    """Holes followed by later candles in a result that leaves out no stored candle.

    An empty page, or one of another time, is no evidence: a faulty exchange may send it any number of times.
    """
    if not left_out or not opens:
        return []
    stored = candles.stored_opens([market], left_out[0].end, opens[-1])[market.pk]
    denied = []
    for hole in left_out:
        after = next((at for at in opens if at >= hole.end), None)
        if after is not None and not any(hole.end <= at < after for at in stored):
            denied.append(hole)
    return denied
