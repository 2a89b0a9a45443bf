"""Silent challengers: candidates newer than the champion answer every live candle, heard by nobody but the log.

Runs beside the live path and never in it: the work is found by asking which candle the champions
answered has no answer of a candidate yet. A candidate that crashes or is slow harms only itself.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.conf import settings

from marketdata import clock
from marketdata.models import Market
from modelregistry import registry
from modelregistry.models import ModelVersion
from predictions.challenger_answers import ANSWERS
from predictions.models import ChallengerLog, PredictionLog
from predictions.passes import Pass, read_passes

logger = logging.getLogger(__name__)

MOST_A_KIND = 2
"""Candidates asked per kind, newest first: with the champions they fit the registry's memory."""
LOOK_BACK = timedelta(days=1)
"""A candle older than this is not asked about any more."""
SLOW_SECONDS = 20.0
ASIDE_SECONDS = 3600.0
"""How long this process leaves a slow candidate alone."""

Candle = tuple[int, datetime]
"""Market id and candle time."""

_aside: dict[Any, float] = {}


@dataclass(frozen=True)
class Duel:
    """A candidate, the champion it is measured against, and the candles it has not answered yet."""

    candidate: ModelVersion
    champion: ModelVersion
    candles: frozenset[Candle]


def answer_silently() -> int:
    """Ask every candidate about every candle it has not answered; returns the rows written."""
    by_source: dict[str, list[Market]] = {}
    for market in Market.objects.enabled():
        by_source.setdefault(market.source, []).append(market)
    written = 0
    for source, markets in by_source.items():
        candidates = candidates_of(source)
        if candidates:
            written += _answer(markets, _duels(markets, candidates))
    return written


def forget_old() -> int:
    """Delete silent answers older than the hot period: nobody was told them, and they were judged long before."""
    oldest = clock.market_now() - timedelta(days=settings.SIGNAL_RETENTION_DAYS)
    return ChallengerLog.objects.filter(candle_time__lt=oldest).delete()[0]


def candidates_of(source: str) -> list[tuple[ModelVersion, ModelVersion]]:
    """Candidates newer than the champion of their kind, each with that champion; a few per kind, newest first."""
    found = []
    for kind, champion in sorted(registry.champions(source).items()):
        newer = ModelVersion.objects.filter(
            kind=kind,
            source=source,
            stage=ModelVersion.Stage.CANDIDATE,
            created_at__gt=champion.created_at,
            files_removed_at__isnull=True,
        )
        found += [(candidate, champion) for candidate in newer.order_by("-created_at")[:MOST_A_KIND]]
    return found


def _duels(markets: Sequence[Market], candidates: Sequence[tuple[ModelVersion, ModelVersion]]) -> list[Duel]:
    """What each candidate still has to answer: nothing its training could have seen."""
    since = clock.market_now() - LOOK_BACK
    symbols = {market.pk: market.symbol for market in markets}
    answered = PredictionLog.objects.filter(market__in=markets, candle_time__gte=since, late=False)
    live: set[Candle] = set(answered.order_by().values_list("market_id", "candle_time").distinct())
    known = ChallengerLog.objects.filter(
        market__in=markets, candle_time__gte=since, version__in=[candidate for candidate, _ in candidates]
    )
    done = set(known.order_by().values_list("version_id", "market_id", "candle_time").distinct())
    duels = []
    for candidate, champion in candidates:
        candles = frozenset(
            (market_id, at)
            for market_id, at in live
            if at >= candidate.trained_until
            and symbols[market_id] in candidate.symbols
            and (candidate.pk, market_id, at) not in done
        )
        if candles and _aside.get(candidate.pk, float("-inf")) <= clock.monotonic():
            duels.append(Duel(candidate, champion, candles))
    return duels


def _answer(markets: Sequence[Market], duels: list[Duel]) -> int:
    """One window and one feature pass for all candidates."""
    asked = {candle for duel in duels for candle in duel.candles}
    work = {market: sorted(clock.to_ms(at) for pk, at in asked if pk == market.pk) for market in markets}
    written, failed = 0, set()
    for done in read_passes(work):
        for duel in duels:
            if duel.candidate.pk in failed:
                continue
            begun = clock.monotonic()
            try:
                written += _record(duel, done)
            except Exception as error:  # noqa: BLE001  # whatever a candidate does, the others and the next candle go on
                failed.add(duel.candidate.pk)
                logger.warning("challenger %s is skipped: %s: %s", duel.candidate, type(error).__name__, error)
                continue
            took = clock.monotonic() - begun
            if took > SLOW_SECONDS:
                failed.add(duel.candidate.pk)
                _aside[duel.candidate.pk] = clock.monotonic() + ASIDE_SECONDS
                logger.warning("challenger %s took %.0f s and is left alone for a while", duel.candidate, took)
    return written


def _record(duel: Duel, done: Pass) -> int:
    """Ask one candidate about its candles of a pass and write what it says."""
    candles = [
        (market, clock.to_datetime(open_ms), int(done.answers.position[index, at]))
        for index, at, market, open_ms in done.candles()
        if (market.pk, clock.to_datetime(open_ms)) in duel.candles and done.answers.position[index, at] >= 0
    ]
    if not candles:
        return 0
    kind = duel.candidate.kind
    positions = np.array([position for *_, position in candles], dtype=np.int64)
    candidate, champion = registry.load_version(duel.candidate), registry.load_version(duel.champion)
    said = ANSWERS[kind](candidate, champion, done.answers, positions)
    rows = [
        ChallengerLog(
            market=market,
            version=duel.candidate,
            champion=duel.champion,
            horizon=horizon,
            candle_time=candle_time,
            answer=answer,
        )
        for horizon, answers in said.items()
        for (market, candle_time, _), answer in zip(candles, answers, strict=True)
    ]
    return len(ChallengerLog.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True))
