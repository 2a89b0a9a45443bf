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
SWEEP_SECONDS = 60.0

_POSTGRESQL = """
SELECT c.market_id, c.open_time FROM candles c JOIN markets m ON m.id = c.market_id
WHERE c.market_id IN ({marks}) AND m.enabled
AND c.open_time < %s AND c.open_time >= GREATEST(%s, (EXTRACT(EPOCH FROM m.live_since) * 1000)::bigint)
AND NOT EXISTS (
    SELECT 1 FROM signal_logs s WHERE s.market_id = c.market_id AND s.candle_time = to_timestamp(c.open_time / 1000)
) ORDER BY c.market_id, c.open_time
"""
_SQLITE = """
SELECT c.market_id, c.open_time FROM candles c JOIN markets m ON m.id = c.market_id
WHERE c.market_id IN ({marks}) AND m.enabled
AND c.open_time < %s AND c.open_time >= MAX(%s, CAST(strftime('%%s', m.live_since) AS INTEGER) * 1000)
AND NOT EXISTS (
    SELECT 1 FROM signal_logs s
    WHERE s.market_id = c.market_id AND s.candle_time = datetime(c.open_time / 1000, 'unixepoch')
) ORDER BY c.market_id, c.open_time
"""

_sweep: dict[str, float | None] = {"at": None}


def start_living(markets: Sequence[Market]) -> None:
    """Mark where the live record of new markets begins: at their newest stored candle."""
    unborn = [market for market in markets if market.live_since is None]
    if not unborn:
        return
    for market_id, open_ms in store.newest_open(unborn).items():
        if open_ms is not None:
            Market.objects.filter(pk=market_id, live_since__isnull=True).update(live_since=clock.to_datetime(open_ms))


def recent_work(markets: Sequence[Market]) -> dict[Market, list[int]]:
    """Candles of the last day, counted from the newest, without a signal."""
    newest = _newest(markets)
    return {} if newest is None else _without_signal(markets, newest - RECENT_MS, newest + 1)


def older_work(markets: Sequence[Market]) -> dict[Market, list[int]]:
    """Candles of the hot period before that without a signal; repaired holes turn up here."""
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


def _without_signal(markets: Sequence[Market], from_ms: int, until_ms: int) -> dict[Market, list[int]]:
    by_id = {market.pk: market for market in markets}
    if not by_id:
        return {}
    template = _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE
    found: dict[Market, list[int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(template.format(marks=", ".join(["%s"] * len(by_id))), [*by_id, until_ms, from_ms])
        for market_id, open_ms in cursor.fetchall():
            found.setdefault(by_id[market_id], []).append(open_ms)
    return found
