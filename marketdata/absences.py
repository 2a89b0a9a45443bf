"""Holes the exchange itself has: suspected at the first vain read, recorded only after repeated ones."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction

from marketdata import clock
from marketdata.intervals import Gap, subtract
from marketdata.models import AbsentStretch, Market, SuspectedStretch

TRIES = 3
SPREAD_MS = 600_000
"""The tries must span this much market time."""
KEPT_ATTEMPTS = 20


def known_absences(market: Market, from_ms: int, until_ms: int) -> list[Gap]:
    """List what the exchange is known not to have, oldest first."""
    stretches = AbsentStretch.objects.filter(market=market, end__gt=from_ms, start__lt=until_ms)
    return [Gap(start, end) for start, end in stretches.order_by("start").values_list("start", "end")]


def suspicions(market: Market) -> list[Gap]:
    """List holes waiting for another try, wherever they are."""
    stretches = SuspectedStretch.objects.filter(market=market).order_by("start")
    return [Gap(start, end) for start, end in stretches.values_list("start", "end")]


def note_vain_read(market: Market, holes: Sequence[Gap], asked: Gap, newest_seen: int) -> int:
    """Note holes inside `asked` that an answer left open although it holds later candles.

    Returns how many holes are now known to be the exchange's own.
    """
    now = clock.market_ms()
    attempt = {
        "asked_from": asked.start,
        "asked_until": asked.end,
        "later_candle": newest_seen,
        "market_time": clock.to_datetime(now).isoformat(),
        "market_ms": now,
    }
    confirmed = 0
    with transaction.atomic():
        earlier = list(
            SuspectedStretch.objects.select_for_update().filter(market=market, start__lt=asked.end, end__gt=asked.start)
        )
        for hole in holes:
            tries = [*_tries_covering(earlier, hole), attempt][-KEPT_ATTEMPTS:]
            if len(tries) >= TRIES and now - tries[0]["market_ms"] >= SPREAD_MS:
                AbsentStretch.objects.update_or_create(
                    market=market, start=hole.start, defaults={"end": hole.end, "evidence": {"attempts": tries}}
                )
                confirmed += 1
                SuspectedStretch.objects.filter(market=market, start=hole.start).delete()
            else:
                SuspectedStretch.objects.update_or_create(
                    market=market, start=hole.start, defaults={"end": hole.end, "attempts": tries}
                )
        open_starts = {hole.start for hole in holes}
        for stretch in earlier:  # what was filled, or now begins elsewhere, is no longer suspected in its old shape
            if stretch.start not in open_starts:
                SuspectedStretch.objects.filter(pk=stretch.pk).delete()
                _keep_outside(market, stretch, asked)
    return confirmed


def forget_filled(market: Market, gap: Gap) -> None:
    """Take candles that turned up after all out of the record of absences."""
    with transaction.atomic():
        for stretch in AbsentStretch.objects.select_for_update().filter(
            market=market, start__lt=gap.end, end__gt=gap.start
        ):
            stretch.delete()
            for left in subtract([Gap(stretch.start, stretch.end)], [gap]):
                AbsentStretch.objects.create(market=market, start=left.start, end=left.end, evidence=stretch.evidence)


def _tries_covering(earlier: Iterable[SuspectedStretch], hole: Gap) -> list[dict[str, Any]]:
    """Attempts that had already asked for all of this hole."""
    for stretch in earlier:
        if stretch.start <= hole.start and hole.end <= stretch.end:
            return list(stretch.attempts)
    return []


def _keep_outside(market: Market, stretch: SuspectedStretch, asked: Gap) -> None:
    for left in subtract([Gap(stretch.start, stretch.end)], [asked]):
        SuspectedStretch.objects.update_or_create(
            market=market, start=left.start, defaults={"end": left.end, "attempts": stretch.attempts}
        )
