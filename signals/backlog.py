"""Backlog: stored closed candles without a signal, since their market went live."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.conf import settings
from django.db import connection

from marketdata import clock
from marketdata.exchange import closes
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from marketdata.process_state import process_state
from marketdata.storage import candles

RECENT_MS = 288 * INTERVAL_MS
"""Period searched on every advance; the whole hot period only every `SWEEP_SECONDS`."""
SWEEP_SECONDS = 600.0

# SQL for: milliseconds of an instant, instant of milliseconds, later of two.
_DIALECTS: dict[str, tuple[str, str, str]] = {
    "postgresql": ("(EXTRACT(EPOCH FROM {0})::bigint * 1000)", "to_timestamp(({0}) / 1000)", "GREATEST({0}, {1})"),
    "sqlite": (
        "(CAST(strftime('%%s', {0}) AS INTEGER) * 1000)",
        "datetime(({0}) / 1000, 'unixepoch')",
        "MAX({0}, {1})",
    ),
}

Spans = Mapping[Market, tuple[int, int]]
"""Open times by market, from inclusive to exclusive, ms."""


class Sweep:
    """When this process last searched the older candles, in monotonic time."""

    at = float("-inf")


def mark_live_start(markets: Sequence[Market]) -> None:
    """Set `live_since` of new markets to their newest confirmed candle."""
    unmarked = [market for market in markets if market.live_since is None]
    if not unmarked:
        return
    for market_id, open_ms in candles.newest_open(unmarked).items():
        if open_ms is not None:
            Market.objects.filter(pk=market_id, live_since__isnull=True).update(live_since=clock.to_datetime(open_ms))


def newest_pending(
    markets: Sequence[Market], newest: Mapping[int, int | None] | None = None
) -> dict[Market, list[int]]:
    """Pending candles of the last day after the newest signal of each market.

    The usual work after a close; reads the ends of two indexes. `newest` is the newest confirmed open by market id, if
    already read.
    """
    return _after_signals(_recent(markets, newest))


def recent_pending(markets: Sequence[Market]) -> dict[Market, list[int]]:
    """Pending candles of the last day, repaired gaps included."""
    return _without_signal(_recent(markets))


def older_pending(markets: Sequence[Market]) -> dict[Market, list[int]]:
    """Pending candles of the hot period before the last day."""
    hot = timedelta(days=settings.SIGNAL_RETENTION_DAYS - 1) // timedelta(milliseconds=1)
    return _without_signal(
        {
            market: (max(closes.now_of(market.source), end - INTERVAL_MS) - hot, begin)
            for market, (begin, end) in _recent(markets).items()
        }
    )


def _recent(markets: Sequence[Market], newest: Mapping[int, int | None] | None = None) -> Spans:
    """Last day of each market that has candles, up to its newest confirmed one."""
    known = candles.newest_open(markets) if newest is None else newest
    return {
        market: (open_ms - RECENT_MS, open_ms + INTERVAL_MS)
        for market in markets
        if (open_ms := known.get(market.pk)) is not None
    }


def sweep_is_due() -> bool:
    """Whether this process should search the older candles again."""
    last, now = process_state.of(Sweep), clock.monotonic()
    if 0 <= now - last.at < SWEEP_SECONDS:
        return False
    last.at = now
    return True


def _confirmed() -> str:
    return closes.confirmed_sql("c", "m.source = 'exchange'", closes.SIGNAL_UNCONFIRMED_AFTER_MS)


def _after_signals(spans: Spans) -> dict[Market, list[int]]:
    milliseconds, instant, later = _DIALECTS[connection.vendor]
    # A signal with a candle time in the future must not hide candles.
    until = instant.format("span.column3")
    head = milliseconds.format(
        f"(SELECT max(s.candle_time) FROM signal_logs s WHERE s.market_id = m.id AND s.candle_time < {until})"  # noqa: S608
    )
    begin = later.format(later.format("span.column2", milliseconds.format("m.live_since")), f"COALESCE({head} + 1, 0)")
    # Materialized: the start of each market is computed once per market, not once per candle.
    return _candles_by_market(
        f"WITH begun AS MATERIALIZED (SELECT m.id, m.source, {begin} AS first, span.column3 AS until "  # noqa: S608
        "FROM {spans} WHERE m.enabled) SELECT m.id, c.open_time FROM begun m JOIN candles c ON c.market_id = m.id "
        f"AND c.open_time >= m.first AND c.open_time < m.until AND {_confirmed()} ORDER BY m.id, c.open_time",
        spans,
    )


def _without_signal(spans: Spans) -> dict[Market, list[int]]:
    """Candles without a signal; counts are compared first, which is enough if none is pending."""
    milliseconds, instant, later = _DIALECTS[connection.vendor]
    # With a market clock set back, candles whose signals were archived are not pending: the log begins later.
    first = milliseconds.format(
        "(SELECT s.candle_time FROM signal_logs s WHERE s.market_id = m.id "  # noqa: S608
        f"AND s.candle_time < {instant.format('span.column3')} ORDER BY s.chain_index LIMIT 1)"
    )
    begin = later.format(later.format("span.column2", milliseconds.format("m.live_since")), f"COALESCE({first}, 0)")
    span = f"c.open_time >= {begin} AND c.open_time < span.column3 AND {_confirmed()}"
    behind = (
        f"(SELECT count(*) FROM candles c WHERE c.market_id = m.id AND {span}) > "  # noqa: S608
        f"(SELECT count(*) FROM signal_logs s WHERE s.market_id = m.id "
        f"AND s.candle_time >= {instant.format(begin)} AND s.candle_time < {instant.format('span.column3')})"
    )
    return _candles_by_market(
        f"SELECT m.id, c.open_time FROM {{spans}} JOIN candles c ON c.market_id = m.id AND {span} "  # noqa: S608
        f"WHERE m.enabled AND {behind} AND NOT EXISTS (SELECT 1 FROM signal_logs s "
        f"WHERE s.market_id = c.market_id AND s.candle_time = {instant.format('c.open_time')}) "
        "ORDER BY m.id, c.open_time",
        spans,
    )


def _candles_by_market(statement: str, spans: Spans) -> dict[Market, list[int]]:
    """Candles by market from a statement with the placeholder ``{spans}``."""
    by_id = {market.pk: market for market in spans}
    found: dict[Market, list[int]] = {}
    if by_id:
        rows = ", ".join(f"({int(market.pk)}, {int(begin)}, {int(end)})" for market, (begin, end) in spans.items())
        joined = f"(VALUES {rows}) AS span JOIN markets m ON m.id = span.column1"
        with connection.cursor() as cursor:
            cursor.execute(statement.format(spans=joined), [])
            for market_id, open_ms in cursor.fetchall():
                found.setdefault(by_id[market_id], []).append(open_ms)
    return found
