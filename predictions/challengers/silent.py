"""Silent challengers: forecasts of newer candidates for every live candle, only logged.

Runs beside the live path, never in it: its backlog are the candles the champions have forecast and a
candidate has not. A candidate that fails or is slow does not affect the others.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from django.conf import settings

from marketdata import clock
from marketdata.models import Market
from marketdata.process_state import process_state
from modelregistry import registry
from modelregistry.models import ModelVersion
from predictions.challengers.kinds import CHALLENGER_KINDS
from predictions.forecasting.forecast_batch import ForecastBatch, forecast_batches
from predictions.models import ChallengerLog, PredictionLog

logger = logging.getLogger(__name__)

MAX_PER_KIND = 2
"""Candidates per kind, newest first: with the champions they fit the registry's memory."""
LOOK_BACK = timedelta(days=1)
"""Older candles are not forecast any more."""
SLOW_SECONDS = 20.0
SUSPEND_SECONDS = 3600.0
"""How long this process suspends a slow candidate."""

Candle = tuple[int, datetime]
"""Market id and candle time."""


class Suspensions(dict[UUID, float]):
    """Monotonic time until which this process does not ask a slow candidate."""


@dataclass(frozen=True)
class ChampionComparison:
    """Candidate, the champion it is compared with, and the candles still to forecast."""

    candidate: ModelVersion
    champion: ModelVersion
    candles: frozenset[Candle]


def forecast_challengers() -> int:
    """Forecast all pending candles with every candidate and return the rows written."""
    by_source: dict[str, list[Market]] = {}
    for market in Market.objects.enabled():
        by_source.setdefault(market.source, []).append(market)
    written = 0
    for source, markets in by_source.items():
        candidates = candidates_of(source)
        if candidates:
            written += _forecast(markets, _pending_comparisons(markets, candidates))
    return written


def delete_old_forecasts() -> int:
    """Delete challenger forecasts older than the hot period and return their number."""
    oldest = clock.market_now() - timedelta(days=settings.SIGNAL_RETENTION_DAYS)
    return ChallengerLog.objects.filter(candle_time__lt=oldest).delete()[0]


def candidates_of(source: str) -> list[tuple[ModelVersion, ModelVersion]]:
    """Candidates newer than the champion of their kind, with that champion; newest first."""
    found = []
    for kind, champion in sorted(registry.champions(source).items()):
        newer = ModelVersion.objects.filter(
            kind=kind,
            source=source,
            stage=ModelVersion.Stage.CANDIDATE,
            created_at__gt=champion.created_at,
            files_removed_at__isnull=True,
        )
        found += [(candidate, champion) for candidate in newer.order_by("-created_at")[:MAX_PER_KIND]]
    return found


def _pending_comparisons(
    markets: Sequence[Market], candidates: Sequence[tuple[ModelVersion, ModelVersion]]
) -> list[ChampionComparison]:
    """Candles each candidate still has to forecast, all after its training range."""
    since = clock.market_now() - LOOK_BACK
    symbols = {market.pk: market.symbol for market in markets}
    predicted = PredictionLog.objects.filter(market__in=markets, candle_time__gte=since, late=False)
    live: set[Candle] = set(predicted.order_by().values_list("market_id", "candle_time").distinct())
    known = ChallengerLog.objects.filter(
        market__in=markets, candle_time__gte=since, version__in=[candidate for candidate, _ in candidates]
    )
    done = set(known.order_by().values_list("version_id", "market_id", "candle_time").distinct())
    comparisons = []
    for candidate, champion in candidates:
        candles = frozenset(
            (market_id, at)
            for market_id, at in live
            if at >= candidate.trained_until
            and symbols[market_id] in candidate.symbols
            and (candidate.pk, market_id, at) not in done
        )
        if candles and process_state.of(Suspensions).get(candidate.pk, float("-inf")) <= clock.monotonic():
            comparisons.append(ChampionComparison(candidate, champion, candles))
    return comparisons


def _forecast(markets: Sequence[Market], comparisons: list[ChampionComparison]) -> int:
    """Forecast with all candidates from one window and one feature computation."""
    pending = {candle for comparison in comparisons for candle in comparison.candles}
    work = {market: sorted(clock.to_ms(at) for pk, at in pending if pk == market.pk) for market in markets}
    written, failed = 0, set()
    for batch in forecast_batches(work):
        for comparison in comparisons:
            if comparison.candidate.pk in failed:
                continue
            started = clock.monotonic()
            try:
                written += _record(comparison, batch)
            except Exception as error:  # noqa: BLE001  # a failing candidate must not stop the others
                failed.add(comparison.candidate.pk)
                logger.warning("challenger %s is skipped: %s: %s", comparison.candidate, type(error).__name__, error)
                continue
            took = clock.monotonic() - started
            if took > SLOW_SECONDS:
                failed.add(comparison.candidate.pk)
                process_state.of(Suspensions)[comparison.candidate.pk] = clock.monotonic() + SUSPEND_SECONDS
                logger.warning("challenger %s took %.0f s and is suspended for a while", comparison.candidate, took)
    return written


def _record(comparison: ChampionComparison, batch: ForecastBatch) -> int:
    """Forecast the pending candles of a batch with one candidate and store the rows."""
    candles = [
        (market, clock.to_datetime(open_ms), int(batch.forecasts.position[index, at]))
        for index, at, market, open_ms in batch.candles()
        if (market.pk, clock.to_datetime(open_ms)) in comparison.candles and batch.forecasts.position[index, at] >= 0
    ]
    if not candles:
        return 0
    positions = np.array([position for *_, position in candles], dtype=np.int64)
    candidate, champion = registry.load_version(comparison.candidate), registry.load_version(comparison.champion)
    inputs = batch.forecasts.inputs.take(positions).uncorrected()
    by_horizon = CHALLENGER_KINDS[comparison.candidate.kind].forecast(candidate, champion, inputs)
    rows = [
        ChallengerLog(
            market=market,
            version=comparison.candidate,
            champion=comparison.champion,
            horizon=horizon,
            candle_time=candle_time,
            answer=forecast,
        )
        for horizon, forecasts in by_horizon.items()
        for (market, candle_time, _), forecast in zip(candles, forecasts, strict=True)
    ]
    return len(ChallengerLog.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True))
