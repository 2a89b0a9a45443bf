"""Candles the exchange itself lacks: suspected at the first empty response, recorded after repeated ones."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, transaction

from indicators.candles import DAY_MS
from marketdata import clock
from marketdata.intervals import INTERVAL_MS, Gap, subtract
from marketdata.models import AbsentStretch, Market, SuspectedStretch

TRIES = 3
SPREAD_MS = 600_000
"""The tries must span at least this much market time."""
MAX_KEPT_ATTEMPTS = 20


def known_absences(markets: Iterable[Market], from_ms: int, until_ms: int) -> dict[int, list[Gap]]:
    """List the recorded absences by market, oldest first."""
    found: dict[int, list[Gap]] = {market.pk: [] for market in markets}
    stretches = AbsentStretch.objects.filter(market_id__in=list(found), end__gt=from_ms, start__lt=until_ms)
    for market_id, start, end in stretches.order_by("start").values_list("market_id", "start", "end"):
        found[market_id].append(Gap(start, end))
    return found


def suspected_gaps(markets: Iterable[Market]) -> dict[int, list[Gap]]:
    """List all suspected absences by market, oldest first."""
    found: dict[int, list[Gap]] = {market.pk: [] for market in markets}
    stretches = SuspectedStretch.objects.filter(market_id__in=list(found)).order_by("start")
    for market_id, start, end in stretches.values_list("market_id", "start", "end"):
        found[market_id].append(Gap(start, end))
    return found


def absent_or_suspected(markets: Iterable[Market]) -> dict[int, list[Gap]]:
    """List all recorded and suspected absences by market."""
    found: dict[int, list[Gap]] = {market.pk: [] for market in markets}
    if found:
        marks = ", ".join(["%s"] * len(found))
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT market_id, start, "end" FROM absent_stretches WHERE market_id IN ({marks}) '  # noqa: S608
                f'UNION ALL SELECT market_id, start, "end" FROM suspected_stretches WHERE market_id IN ({marks})',
                [*found, *found],
            )
            for market_id, start, end in cursor.fetchall():
                found[market_id].append(Gap(start, end))
    return found


def record_empty_response(
    market: Market, denied: Sequence[Gap], undecided: Sequence[Gap], requested: Gap, later_candle: int
) -> int:
    """Record holes inside the requested span that a response with later candles did not fill.

    The response allows no conclusion about the `undecided` ones: suspicions about them remain unchanged. Returns how
    many holes are now confirmed absences.
    """
    attempt = _attempt(requested, later_candle)
    decided = subtract([requested], undecided)
    confirmed = 0
    with transaction.atomic():
        earlier = list(
            SuspectedStretch.objects.select_for_update().filter(
                market=market, start__lt=requested.end, end__gt=requested.start
            )
        )
        for stretch in earlier:
            stretch.delete()
            for left in subtract([Gap(stretch.start, stretch.end)], decided):
                SuspectedStretch.objects.create(
                    market=market, start=left.start, end=left.end, attempts=stretch.attempts
                )
        for part, before in _parts(denied, earlier):
            tries = _kept([*before, attempt])
            if len(tries) >= TRIES and attempt["market_ms"] - tries[0]["market_ms"] >= SPREAD_MS:
                AbsentStretch.objects.update_or_create(
                    market=market, start=part.start, defaults={"end": part.end, "evidence": {"attempts": tries}}
                )
                confirmed += 1
            else:
                SuspectedStretch.objects.create(market=market, start=part.start, end=part.end, attempts=tries)
    return confirmed


def record_explained(
    market: Market, holes: Sequence[Gap], requested: Gap, later_candle: int, why: dict[str, Any]
) -> int:
    """Record at once holes explained by a halt, by listing or by delisting.

    `why` is stored with the evidence; its `reason` is a sentence. Returns how many stretches were recorded.
    """
    recorded = 0
    with transaction.atomic():
        for hole in subtract(holes, known_absences([market], requested.start, requested.end)[market.pk]):
            AbsentStretch.objects.update_or_create(
                market=market,
                start=hole.start,
                defaults={"end": hole.end, "evidence": {"attempts": [_attempt(requested, later_candle)], **why}},
            )
            _clear_suspicions(market, hole)
            recorded += 1
    return recorded


def _clear_suspicions(market: Market, hole: Gap) -> None:
    overlapping = SuspectedStretch.objects.select_for_update().filter(
        market=market, start__lt=hole.end, end__gt=hole.start
    )
    for stretch in overlapping:
        stretch.delete()
        for left in subtract([Gap(stretch.start, stretch.end)], [hole]):
            SuspectedStretch.objects.create(market=market, start=left.start, end=left.end, attempts=stretch.attempts)


def _parts(holes: Iterable[Gap], earlier: Iterable[SuspectedStretch]) -> list[tuple[Gap, list[dict[str, Any]]]]:
    """Split holes where earlier suspicions begin and end, each part with its earlier attempts."""
    parts: list[tuple[Gap, list[dict[str, Any]]]] = []
    for hole in holes:
        rest = [hole]
        for stretch in earlier:
            shared = Gap(max(hole.start, stretch.start), min(hole.end, stretch.end))
            if shared.start < shared.end:
                parts.append((shared, list(stretch.attempts)))
                rest = subtract(rest, [shared])
        parts += [(gap, []) for gap in rest]
    return parts


def due_for_recheck(markets: Iterable[Market], from_ms: int) -> dict[int, list[Gap]]:
    """List absences since `from_ms` that were last requested more than a day ago.

    An exchange may fill its own holes later.
    """
    limit = clock.market_ms() - DAY_MS
    found: dict[int, list[Gap]] = {market.pk: [] for market in markets}
    for known in AbsentStretch.objects.filter(market_id__in=list(found), start__gte=from_ms):
        if known.evidence["attempts"][-1]["market_ms"] < limit:
            found[known.market_id].append(Gap(known.start, known.end))
    return found


def review(market: Market, requested: Gap, opens: Sequence[int], denied: Sequence[Gap]) -> None:
    """Update recorded absences by a newer response.

    Candles in `opens` are no longer absent; an absence inside `denied` gets another attempt as evidence.
    """
    with transaction.atomic():
        overlapping = AbsentStretch.objects.select_for_update().filter(
            market=market, start__lt=requested.end, end__gt=requested.start
        )
        for stretch in overlapping:
            if not subtract([Gap(stretch.start, stretch.end)], denied):
                tries = [*stretch.evidence["attempts"], _attempt(requested, max(opens, default=0))]
                stretch.evidence = {**stretch.evidence, "attempts": _kept(tries)}
            left = subtract([Gap(stretch.start, stretch.end)], [Gap(at, at + INTERVAL_MS) for at in opens])
            stretch.delete()
            for gap in left:
                AbsentStretch.objects.create(market=market, start=gap.start, end=gap.end, evidence=stretch.evidence)


def _kept(tries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the first attempt and the newest ones."""
    return tries if len(tries) <= MAX_KEPT_ATTEMPTS else [tries[0], *tries[1 - MAX_KEPT_ATTEMPTS :]]


def _attempt(requested: Gap, newest_seen: int) -> dict[str, Any]:
    now = clock.market_ms()
    return {
        "asked_from": requested.start,
        "asked_until": requested.end,
        "later_candle": newest_seen,
        "market_time": clock.to_datetime(now).isoformat(),
        "market_ms": now,
    }
