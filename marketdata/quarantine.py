"""What was not believed: raw messages with reasons, and markets left alone for a while."""

import json
from collections.abc import Iterable
from datetime import timedelta

from marketdata import clock
from marketdata.models import Market, QuarantinedMessage

KEPT_CHARACTERS = 4096
KEPT_AT_ONCE = 1_000
PAUSE = timedelta(minutes=15)


def keep(market: Market | None, origin: str, rejected: Iterable[tuple[object, str]]) -> int:
    """Keep raw rows and messages with the reason each was refused for; of a flood, its beginning."""
    messages = [
        QuarantinedMessage(market=market, origin=origin, reason=reason[:200], raw=_raw(raw))
        for raw, reason in list(rejected)[:KEPT_AT_ONCE]
    ]
    if messages:
        QuarantinedMessage.objects.bulk_create(messages)
    return len(messages)


def keep_once(market: Market, origin: str, rejected: Iterable[tuple[object, str]]) -> int:
    """Keep what is not kept already: history brings the same refused rows however often it is read."""
    fresh = {(reason[:200], _raw(raw)): raw for raw, reason in list(rejected)[:KEPT_AT_ONCE]}
    if not fresh:
        return 0
    mine = QuarantinedMessage.objects.filter(market=market, origin=origin, raw__in=[raw for _, raw in fresh])
    for known in mine.values_list("reason", "raw"):
        fresh.pop(known, None)
    return keep(market, origin, [(raw, reason) for (reason, _), raw in fresh.items()])


def set_aside(market: Market, reason: str) -> None:
    """Leave one market alone for a while; the others go on."""
    market.quarantined_until = clock.wall_now() + PAUSE
    market.status = reason[:200]
    Market.objects.filter(pk=market.pk).update(quarantined_until=market.quarantined_until, status=market.status)


def is_set_aside(market: Market) -> bool:
    """Whether the market is being left alone now."""
    return market.quarantined_until is not None and market.quarantined_until > clock.wall_now()


def take_back(market: Market) -> None:
    """The market answered as it should: nothing is held against it any more."""
    if market.quarantined_until is not None or market.status:
        market.quarantined_until, market.status = None, ""
        Market.objects.filter(pk=market.pk).update(quarantined_until=None, status="")


def _raw(raw: object) -> str:
    """Text PostgreSQL accepts: no NUL, no lone surrogate, cut short."""
    if isinstance(raw, bytes):
        raw = raw[:KEPT_CHARACTERS].decode(errors="replace")
    if not isinstance(raw, str):
        try:
            raw = json.dumps(raw)
        except (TypeError, ValueError, RecursionError):
            raw = f"an unprintable {type(raw).__name__}"
    return raw[:KEPT_CHARACTERS].encode(errors="replace").decode().replace("\0", "\ufffd")
