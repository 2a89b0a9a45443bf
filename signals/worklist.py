"""Which closed candles still need their signal: everything stored since the market went live, however late."""

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import connection

from marketdata import clock, store
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market

RECENT_MS = 288 * INTERVAL_MS
"""Looked through on every advance; the whole hot period only every `SWEEP_SECONDS`."""
SWEEP_SECONDS = 600.0

# Milliseconds of an instant, the instant of milliseconds, and the later of two.
_DIALECTS: dict[str, tuple[str, str, str]] = {
    "postgresql": ("(EXTRACT(EPOCH FROM {0})::bigint * 1000)", "to_timestamp(({0}) / 1000)", "GREATEST({0}, {1})"),
    "sqlite": (
        "(CAST(strftime('%%s', {0}) AS INTEGER) * 1000)",
        "datetime(({0}) / 1000, 'unixepoch')",
        "MAX({0}, {1})",
    ),
}

_sweep: dict[str, float | None] = {"at": None}


def start_living(markets: Sequence[Market]) -> None:
    """Mark where the live record of new markets begins: at their newest stored candle."""
    unborn = [market for market in markets if market.live_since is None]
    if not unborn:
        return
    for market_id, open_ms in store.newest_open(unborn).items():
        if open_ms is not None:
            Market.objects.filter(pk=market_id, live_since__isnull=True).update(live_since=clock.to_datetime(open_ms))


def newest_work(markets: Sequence[Market]) -> dict[Market, list[int]]:
    """Candles of the last day after each market's newest signal: what a close brings, at the ends of two indexes."""
    newest = _newest(markets)
    return {} if newest is None else _after_signals(markets, newest - RECENT_MS, newest + INTERVAL_MS)


def left_work(markets: Sequence[Market]) -> dict[Market, list[int]]:
    """Candles of the last day without a signal; repaired holes turn up here."""
    newest = _newest(markets)
    return {} if newest is None else _without_signal(markets, newest - RECENT_MS, newest + INTERVAL_MS)


def older_work(markets: Sequence[Market]) -> dict[Market, list[int]]:
    """Candles of the hot period before that without a signal."""
    newest = _newest(markets)
    if newest is None:
        return {}
    # A market clock set back must not make candles whose signals were archived look unanswered.
    hot = timedelta(days=settings.SIGNAL_RETENTION_DAYS - 1) // timedelta(milliseconds=1)
    return _without_signal(markets, max(clock.market_ms(), newest) - hot, newest - RECENT_MS)


def _newest(markets: Sequence[Market]) -> int | None:
    """Open of the newest candle of all these markets."""
    opens = [open_ms for open_ms in store.newest_open(markets).values() if open_ms is not None]
    return max(opens, default=None)


def sweep_is_due() -> bool:
    """Whether this process should look through what is older than the recent candles again."""
    last, now = _sweep["at"], clock.monotonic()
    if last is not None and 0 <= now - last < SWEEP_SECONDS:
        return False
    _sweep["at"] = now
    return True


def forget_sweep() -> None:
    """Sweep at the next chance."""
    _sweep["at"] = None


def _after_signals(markets: Sequence[Market], from_ms: int, until_ms: int) -> dict[Market, list[int]]:
    milliseconds, _, later = _DIALECTS[connection.vendor]
    head = milliseconds.format("(SELECT max(s.candle_time) FROM signal_logs s WHERE s.market_id = m.id)")
    begin = later.format(later.format("%s", milliseconds.format("m.live_since")), f"COALESCE({head} + 1, 0)")
    return _asked(
        f"SELECT m.id, c.open_time FROM markets m JOIN candles c ON c.market_id = m.id AND c.open_time >= {begin} "  # noqa: S608
        f"WHERE m.id IN ({{marks}}) AND m.enabled AND c.open_time < %s ORDER BY m.id, c.open_time",
        markets,
        [from_ms],
        [until_ms],
    )


def _without_signal(markets: Sequence[Market], from_ms: int, until_ms: int) -> dict[Market, list[int]]:
    """Compare numbers of candles and signals first: that is all it takes while nothing is left."""
    milliseconds, instant, later = _DIALECTS[connection.vendor]
    begin = later.format("%s", milliseconds.format("m.live_since"))
    span = f"c.open_time >= {begin} AND c.open_time < %s"
    behind = (
        f"(SELECT count(*) FROM candles c WHERE c.market_id = m.id AND {span}) > "  # noqa: S608
        f"(SELECT count(*) FROM signal_logs s WHERE s.market_id = m.id "
        f"AND s.candle_time >= {instant.format(begin)} AND s.candle_time < {instant.format('%s')})"
    )
    return _asked(
        f"SELECT m.id, c.open_time FROM markets m JOIN candles c ON c.market_id = m.id AND {span} "  # noqa: S608
        f"WHERE m.id IN ({{marks}}) AND m.enabled AND {behind} AND NOT EXISTS (SELECT 1 FROM signal_logs s "
        f"WHERE s.market_id = c.market_id AND s.candle_time = {instant.format('c.open_time')}) "
        "ORDER BY m.id, c.open_time",
        markets,
        [from_ms, until_ms],
        [from_ms, until_ms] * 2,
    )


def _asked(
    statement: str, markets: Sequence[Market], before: Sequence[int], after: Sequence[int]
) -> dict[Market, list[int]]:
    """Candles by market; the marks of the markets come between the other parameters."""
    by_id = {market.pk: market for market in markets}
    found: dict[Market, list[int]] = {}
    if by_id:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(marks=", ".join(["%s"] * len(by_id))), [*before, *by_id, *after])
            for market_id, open_ms in cursor.fetchall():
                found.setdefault(by_id[market_id], []).append(open_ms)
    return found
