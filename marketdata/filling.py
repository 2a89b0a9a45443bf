"""What every way of completing a market shares: its holes, the asking, and keeping what was answered."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from marketdata import absences, halts, quarantine, store
from marketdata.errors import ExchangeUnavailable
from marketdata.exchange import source_of_settings
from marketdata.intervals import INTERVAL_MS, Gap, count_between, find_gaps, floor_open, subtract
from marketdata.models import Candle, Market
from marketdata.parsing import CandleRow
from marketdata.rest import Answer, RestLine, pages_of
from marketdata.store import SaveResult

LATE_MS = 2_500
"""A close not delivered after this much market time is fetched."""
KEPT_AT_ONCE = 5_000
"""Candles of one transaction: the newest ones of all markets, but no more history than may be lost to a kill."""


@dataclass
class SyncReport:
    """What bringing markets up to date did."""

    saved: SaveResult = field(default_factory=SaveResult)
    requests: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    newest: dict[int, int | None] = field(default_factory=dict)
    absent: int = 0
    ends: dict[str, str] = field(default_factory=dict)
    """Of markets the exchange stopped a moment ago: since when, in a sentence."""


def fed_here(markets: Sequence[Market], report: SyncReport) -> list[Market]:
    """Markets the configured exchange may feed; real and simulated candles never mix."""
    source = source_of_settings()
    for market in markets:
        if market.source != source:
            report.failures[market.symbol] = f"the feed is {source}, the market is {market.source}"
    return [market for market in markets if market.source == source]


def holes_of(market: Market, from_ms: int, last_open: int) -> list[Gap]:
    """Stretches neither stored nor known to be absent, up to and including `last_open`.

    A new candle of a file counts as missing until the exchange confirms it.
    """
    return holes_of_all({market: (from_ms, last_open)})[market]


def holes_of_all(spans: Mapping[Market, tuple[int, int]]) -> dict[Market, list[Gap]]:
    """Give the same for many markets; those that share a span cost one statement together, or three with holes."""
    sharing: dict[tuple[int, int], list[Market]] = {}
    for market, span in spans.items():
        sharing.setdefault(span, []).append(market)
    found: dict[Market, list[Gap]] = {}
    for (from_ms, last_open), markets in sharing.items():
        until_ms = last_open + INTERVAL_MS
        expected = count_between(from_ms, until_ms)
        counts = store.counts_stored(markets, from_ms, until_ms, only_believed=True)
        found |= {market: [] for market in markets}
        if torn := [market for market in markets if counts[market.pk] != expected]:
            opens = store.stored_opens(torn, from_ms, until_ms, only_believed=True)
            known = absences.known_absences(torn, from_ms, until_ms)
            for market in torn:
                found[market] = subtract(find_gaps(opens[market.pk], from_ms, until_ms), known[market.pk])
    return found


def fill(line: RestLine, wanted: Mapping[Market, Sequence[Gap]], report: SyncReport) -> None:
    """Ask for gaps of many markets at once and keep what comes; an error stays with its market."""
    waiting = {market: gaps for market, gaps in wanted.items() if not quarantine.is_set_aside(market)}
    by_symbol = {market.symbol: market for market in waiting}
    asks = [page for market, gaps in waiting.items() for page in pages_of(market.symbol, gaps)]
    report.requests += len(asks)
    good: list[tuple[Market, Answer]] = []
    for answer in line.ask(asks):
        market = by_symbol[answer.ask.symbol]
        keep_refused(market, answer)
        if answer.error is None:
            good.append((market, answer))
        else:
            report.failures[market.symbol] = str(answer.error)
            if not isinstance(answer.error, ExchangeUnavailable):
                quarantine.set_aside(market, str(answer.error))
    for together in _batches(good):
        keep_answers(together, report)


def keep_refused(market: Market, answer: Answer) -> None:
    """Quarantine the rows of an answer that broke a rule, and whatever came in its place and was none."""
    refused = [*answer.rejected, *((raw, halts.OFF_GRID) for raw, _ in answer.off_grid)]
    quarantine.keep(market, Candle.Origin.REST, answer.unreadable)
    quarantine.keep_once(market, Candle.Origin.REST, refused)


def _batches(answers: Sequence[tuple[Market, Answer]]) -> Iterator[list[tuple[Market, Answer]]]:
    batch: list[tuple[Market, Answer]] = []
    waiting = 0
    for market, answer in answers:
        if batch and waiting + len(answer.rows) > KEPT_AT_ONCE:
            yield batch
            batch, waiting = [], 0
        batch.append((market, answer))
        waiting += len(answer.rows)
    if batch:
        yield batch


def keep_answers(answers: Sequence[tuple[Market, Answer]], report: SyncReport) -> None:
    """Store pages in one transaction and suspect what an answer with later candles left out."""
    rows: dict[Market, list[CandleRow]] = {}
    for market, answer in answers:
        rows.setdefault(market, []).extend(answer.rows)
    report.saved += store.save_all(rows, Candle.Origin.REST)
    halts.mark_cut_short(answers)
    doubted = absences.doubted(rows)
    for market, answer in answers:
        if answer.rejected:
            report.failures[market.symbol] = f"{len(answer.rejected)} rows refused: {answer.rejected[0][1]}"
        else:
            quarantine.take_back(market)
        left_out = find_gaps([row.open_time for row in answer.rows], answer.ask.from_ms, answer.ask.until_ms)
        is_doubted = any(gap.start < answer.ask.until_ms and gap.end > answer.ask.from_ms for gap in doubted[market.pk])
        if left_out or is_doubted:
            report.absent += _suspect(market, answer, left_out)


def _suspect(market: Market, answer: Answer, left_out: Sequence[Gap]) -> int:
    """Hold an answer against what is on record; how many holes are now known to be the exchange's own."""
    asked = Gap(answer.ask.from_ms, answer.ask.until_ms)
    opens = [row.open_time for row in answer.rows]
    if answer.later is not None:
        opens.append(floor_open(answer.later + INTERVAL_MS - 1))
    seen = sorted([*opens, *(at for _, at in answer.off_grid)])
    denied = subtract(_denied(market, left_out, seen), _places_of_refused(answer))
    absences.review(market, asked, opens, denied)
    newest_seen = max(seen, default=0)
    explained = 0
    for hole in denied:
        if (why := halts.explain(market, hole, answer)) is not None:
            explained += absences.note_explained(market, [hole], asked, newest_seen, why)
    known = absences.known_absences([market], *asked)[market.pk]
    undecided = [hole for hole in left_out if hole not in denied]
    return explained + absences.note_vain_read(market, subtract(denied, known), undecided, asked, newest_seen)


def _places_of_refused(answer: Answer) -> list[Gap]:
    """Where in an asked span refused rows belong: a candle is there, so it is not denied.

    A row that says nothing of its place, or names that of another, may belong anywhere.
    """
    opens = {row.open_time for row in answer.rows}
    places = []
    for raw, _ in answer.rejected:
        at = raw[0] if isinstance(raw, list | tuple) and raw and type(raw[0]) is int else -1
        if at < answer.ask.from_ms or floor_open(at) in opens:
            return [Gap(answer.ask.from_ms, answer.ask.until_ms)]
        places.append(Gap(floor_open(at), floor_open(at) + INTERVAL_MS))
    return places


def _denied(market: Market, left_out: Sequence[Gap], opens: Sequence[int]) -> list[Gap]:
    """Keep the holes an answer goes on after, having passed over nothing that is stored.

    An empty page, or one from another time, is what a broken exchange sends: however often, it proves nothing.
    """
    if not left_out or not opens:
        return []
    stored = store.stored_opens([market], left_out[0].end, opens[-1])[market.pk]
    denied = []
    for hole in left_out:
        after = next((at for at in opens if at >= hole.end), None)
        if after is not None and not any(hole.end <= at < after for at in stored):
            denied.append(hole)
    return denied
