"""Planted defects of the engine, which the checker must detect.

A simulation that cannot fail proves nothing. Each entry is a realistic defect.
"""

from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import orjson

from marketdata.intervals import INTERVAL_MS


def accept_the_open_candle():
    """Store the last candle of a response, although it is still open."""
    from marketdata import services
    from marketdata.exchange import rest

    closed, floor = services.last_closed_open, rest.floor_open
    yield patch.object(services, "last_closed_open", lambda now_ms: closed(now_ms) + INTERVAL_MS)
    yield patch.object(rest, "floor_open", lambda now_ms: floor(now_ms) + INTERVAL_MS)


def ignore_corrections():
    """Never change the first values of a candle."""
    from marketdata.storage import candles

    yield patch.object(candles, "revise_differing", lambda _keys, _wanted, _origin: 0)


def look_only_ahead():
    """Never check for holes before the newest candle."""
    from marketdata import services

    yield patch.object(services, "holes_of_all", lambda spans: {market: [] for market in spans})


def believe_the_first_empty_answer():
    """Record a hole as absent at the first response without it."""
    from marketdata.coverage import absences

    yield patch.object(absences, "TRIES", 1)
    yield patch.object(absences, "SPREAD_MS", 0)


def forget_what_was_missed():
    """Make signals for the newest candle only, none for candles of a downtime."""
    from marketdata.storage import candles
    from signals import backlog

    unsignalled = backlog._without_signal

    def newest_only(markets, *span):
        newest = candles.newest_open(markets)
        found = unsignalled(markets, *span)
        return {market: [newest[market.pk]] for market, opens in found.items() if newest[market.pk] in opens}

    yield patch.object(backlog, "_without_signal", newest_only)


def mark_before_sending():
    """Mark outbox messages as sent before sending them; a crash in between loses them."""
    from signals.delivery import publisher
    from signals.models import OutboxMessage

    def drain(symbols=None, *, announced=False):
        unsent = OutboxMessage.objects.filter(sent_at__isnull=True)
        unsent = unsent if symbols is None else unsent.filter(symbol__in=list(symbols))
        batch = list(unsent.order_by("symbol", "seq"))
        unsent.update(sent_at=publisher.clock.wall_now())
        return len(batch) if batch and publisher._send(batch) is None else 0

    yield patch.object(publisher, "drain", drain)


def retry_with_other_bytes():
    """Change the bytes of a message when it is sent again."""
    from signals.delivery import publisher

    send = publisher._send

    def rewriting(batch):
        for message in batch:
            if message.attempts:
                message.payload = orjson.dumps(orjson.loads(message.payload) | {"attempt": message.attempts}).decode()
        return send(batch)

    yield patch.object(publisher, "_send", rewriting)


DEFECTS = {
    defect.__name__: defect
    for defect in (
        accept_the_open_candle,
        ignore_corrections,
        look_only_ahead,
        believe_the_first_empty_answer,
        forget_what_was_missed,
        mark_before_sending,
        retry_with_other_bytes,
    )
}


@contextmanager
def planted(name):
    """Run the engine with this defect, or without any for an empty name."""
    with ExitStack() as stack:
        for change in DEFECTS[name]() if name else ():
            stack.enter_context(change)
        yield
