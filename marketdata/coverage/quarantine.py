"""Quarantine: refused raw messages with reasons, and temporarily suspended markets."""

import json
from collections.abc import Iterable
from datetime import timedelta

from marketdata import clock
from marketdata.models import Market, QuarantinedMessage

MAX_CHARACTERS = 4096
MAX_STORED = 1_000
SUSPENSION = timedelta(minutes=15)


def store(market: Market | None, origin: str, rejected: Iterable[tuple[object, str]]) -> int:
    """Store refused rows and messages with their reasons, at most `MAX_STORED` of them."""
    messages = [
        QuarantinedMessage(market=market, origin=origin, reason=reason[:200], raw=_raw(raw))
        for raw, reason in list(rejected)[:MAX_STORED]
    ]
    if messages:
        QuarantinedMessage.objects.bulk_create(messages)
    return len(messages)


def store_new(market: Market, origin: str, rejected: Iterable[tuple[object, str]]) -> int:
    """Store refused rows that are not stored yet: re-read history contains the same ones again."""
    fresh = {(reason[:200], _raw(raw)): raw for raw, reason in list(rejected)[:MAX_STORED]}
    if not fresh:
        return 0
    mine = QuarantinedMessage.objects.filter(market=market, origin=origin, raw__in=[raw for _, raw in fresh])
    for known in mine.values_list("reason", "raw"):
        fresh.pop(known, None)
    return store(market, origin, [(raw, reason) for (reason, _), raw in fresh.items()])


def suspend(market: Market, reason: str) -> None:
    """Suspend requests for one market for a while; the others go on."""
    market.quarantined_until = clock.wall_now() + SUSPENSION
    market.status = reason[:200]
    Market.objects.filter(pk=market.pk).update(quarantined_until=market.quarantined_until, status=market.status)


def is_suspended(market: Market) -> bool:
    """Whether the market is suspended now."""
    return market.quarantined_until is not None and market.quarantined_until > clock.wall_now()


def resume(market: Market) -> None:
    """End the suspension of a market after a valid response."""
    if market.quarantined_until is not None or market.status:
        market.quarantined_until, market.status = None, ""
        Market.objects.filter(pk=market.pk).update(quarantined_until=None, status="")


def _raw(raw: object) -> str:
    """Text that PostgreSQL accepts: no NUL, no lone surrogate, limited in length."""
    if isinstance(raw, bytes):
        raw = raw[:MAX_CHARACTERS].decode(errors="replace")
    if not isinstance(raw, str):
        try:
            raw = json.dumps(raw)
        except (TypeError, ValueError, RecursionError):
            raw = f"an unprintable {type(raw).__name__}"
    return raw[:MAX_CHARACTERS].encode(errors="replace").decode().replace("\0", "\ufffd")
