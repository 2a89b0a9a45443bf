"""Advance: from closed candles to published signals, for all markets at once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction

from marketdata import clock
from marketdata import services as marketdata
from marketdata.coverage.gap_filling import SyncReport
from marketdata.errors import MarketDataError
from marketdata.exchange.parsing import CandleRow
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from marketdata.storage import candles
from predictions import services as predictions
from predictions.live import coverage
from predictions.log.recording import cache_newest
from predictions.log.recording import record as record_predictions
from predictions.requests import known_market
from signals import backlog
from signals.delivery import publisher
from signals.drafting import draft
from signals.errors import SignalPending
from signals.kill_switch import switched_off_symbols
from signals.log.recording import record
from signals.models import SignalLog

logger = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
POLL_SECONDS = 0.05
GRACE_MS = 3_000
"""Delay after the close before the REST response of the exchange is final."""
NEAR_MS = 45_000
"""A close within this time is waited for; the beat runs once a minute."""


@dataclass(frozen=True)
class AdvanceReport:
    """Result of one advance."""

    sync: SyncReport | None
    signals: int
    sent: int


def seconds_until_advance() -> float:
    """Wall seconds until `GRACE_MS` after the nearest close; 0 if none is near.

    At other than real speed the stream calls `advance` and the beat only sweeps: 0.
    """
    if clock.market_rate() != 1.0:
        return 0.0
    since_close = clock.market_ms() % INTERVAL_MS
    until_next = INTERVAL_MS - since_close
    if until_next <= NEAR_MS:
        return (until_next + GRACE_MS) / 1000
    return max(0.0, (GRACE_MS - since_close) / 1000)


def advance(
    markets: Sequence[Market] | None = None, frames: Mapping[str, Sequence[CandleRow]] | None = None
) -> AdvanceReport:
    """Bring markets up to date: fetch candles, write predictions and signals, publish.

    Every trigger calls it (a closed frame, the beat, a start, a repair), and any number of callers
    may run it concurrently, late or again: constraints keep rows unique, and the backlog is the
    stored candles without a signal.
    """
    followed = list(marketdata.enabled_markets() if markets is None else markets)
    sync = _sync(followed, frames)
    backlog.mark_live_start(followed)
    written, sent = _process(backlog.newest_pending(followed, sync.newest if sync is not None else None))
    sent += publisher.drain([market.symbol for market in followed])
    pending = backlog.recent_pending(followed) or (backlog.older_pending(followed) if backlog.sweep_is_due() else {})
    if pending:
        more_written, more_sent = _process(pending)
        written, sent = written + more_written, sent + more_sent + publisher.drain()
    coverage.refresh(followed)
    return AdvanceReport(sync, written, sent)


def newest_signal(symbol: str, wait_seconds: float = WAIT_SECONDS) -> SignalLog:
    """Signal of the newest stored candle; waits a short time for `advance` to write it.

    Raises
    ------
    InvalidRequest, MarketDisabled
        If the request is invalid.
    SignalPending
        If the row was not written in time.
    """
    market = known_market(symbol)
    deadline = clock.monotonic() + wait_seconds
    while True:
        open_ms = candles.newest_open([market])[market.pk]
        if open_ms is not None:
            row = SignalLog.objects.filter(market=market, candle_time=clock.to_datetime(open_ms)).first()
            if row is not None:
                return row
        if clock.monotonic() >= deadline:
            raise SignalPending(f"the newest candle of {symbol} has no signal yet")
        clock.sleep(POLL_SECONDS)


def _sync(markets: Sequence[Market], frames: Mapping[str, Sequence[CandleRow]] | None) -> SyncReport | None:
    """Fetch missing candles; a failure of the exchange does not stop work on stored ones."""
    try:
        return marketdata.sync_candles(markets, frames or {})
    except MarketDataError as error:
        logger.warning("synchronising candles failed: %s", error)
        return None


def _process(work: Mapping[Market, Sequence[int]]) -> tuple[int, int]:
    """Predict, decide, record and publish pending candles; returns the numbers recorded and published.

    Predictions and signals of a batch are one transaction. It is published before the cache is filled, the rows are
    checked and the next batch begins.
    """
    written = sent = 0
    if not work:
        return written, sent
    switched_off = switched_off_symbols()
    for batch in predictions.forecast(work, live=True):
        now_ms = clock.market_ms()
        drafts = draft(batch, now_ms, switched_off)
        with transaction.atomic():
            predicted = record_predictions(batch, now_ms)
            rows = record(drafts, now_ms)
        written += len(rows)
        sent += publisher.publish({row.symbol for row in rows})
        cache_newest(predicted.values(), now_ms)
    return written, sent
