"""Outcomes of predictions: provisional when the horizon has closed, final after the candles were re-read."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import groupby, islice
from typing import Any

from django.db import models
from django.db.models import Max, Q, QuerySet

from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.models import CandleRevision
from predictions.market_windows import FollowingCandles, following_candles
from predictions.models import PredictionLog

REVISIONS_WATCHED = timedelta(days=2)
FINAL_AFTER_MS = 600_000
"""An outcome is final after the sweep had this time to re-read its last candle."""
CHUNK = 4000
MAE_STEP = Decimal("0.000001")
MAE_LIMIT = Decimal("9999.999999")


@dataclass(frozen=True)
class Scored:
    """Number of rows scored by a run, and of final ones among them."""

    rows: int = 0
    final: int = 0


@dataclass(frozen=True)
class ScoredLog:
    """A log whose rows get an outcome, and how it is written into a row."""

    model: type[models.Model]
    columns: tuple[str, ...]
    write: Callable[[Any, FollowingCandles, int], None]
    """For a row with all candles of its horizon; the open of its own candle in ms."""
    write_absent: Callable[[Any], None]
    """For a row whose missing candles the exchange lacks for good."""

    def score(self, due: Iterable[Any], now_ms: int) -> Scored:
        """Score rows that are due, ordered by market, and store what changed. Idempotent."""
        scored = Scored()
        for rows in by_market(due, CHUNK):
            changed = list(self._scored(rows, now_ms))
            columns = [*self.columns, "outcome_final", "outcome_at"]
            self.model._default_manager.bulk_update(changed, columns, batch_size=500)  # noqa: SLF001
            scored = Scored(scored.rows + len(changed), scored.final + sum(row.outcome_final for row in changed))
        return scored

    def _scored(self, rows: list[Any], now_ms: int) -> Iterator[Any]:
        opens = [clock.to_ms(row.candle_time) for row in rows]
        after = following_candles(rows[0].market, opens, max(row.horizon for row in rows))
        for row, open_ms in zip(rows, opens, strict=True):
            state = after.state(open_ms, row.horizon)
            final = now_ms >= due_ms(open_ms, row.horizon) + FINAL_AFTER_MS
            if state == "waiting" or (state == "absent" and not final):
                continue
            if state == "whole":
                self.write(row, after, open_ms)
            else:
                self.write_absent(row)
            row.outcome_final, row.outcome_at = final, clock.wall_now()
            yield row


def by_market(rows: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """Rows of one market each, at most so many at a time; they must be ordered by market."""
    for _, of_market in groupby(rows, key=lambda row: row.market_id):
        while part := list(islice(of_market, most)):
            yield part


def due_ms(open_ms: int, horizon: int) -> int:
    """Market time at which the last candle of the horizon closes."""
    return open_ms + (horizon + 1) * INTERVAL_MS


def reopen_revised(log: QuerySet[Any]) -> int:
    """Reopen final outcomes that were scored before one of their candles was revised."""
    revisions = list(CandleRevision.objects.filter(seen_at__gte=clock.wall_now() - REVISIONS_WATCHED))
    longest = (log.aggregate(longest=Max("horizon"))["longest"] or 0) if revisions else 0
    count = 0
    for revision in revisions:
        count += log.filter(
            market_id=revision.market_id,
            candle_time__gte=clock.to_datetime(revision.open_time - longest * INTERVAL_MS),
            candle_time__lt=clock.to_datetime(revision.open_time),
            outcome_at__lt=revision.seen_at,
            outcome_final=True,
        ).update(outcome_final=False)
    return count


def outcome_of(row: PredictionLog, after: FollowingCandles, open_ms: int) -> tuple[Decimal, Decimal, Decimal]:
    """Highest high, lowest low, and mean absolute error in percent of the current price."""
    high, low = after.range_of(open_ms, row.horizon)
    error = (abs(row.predicted_high - high) + abs(row.predicted_low - low)) / 2 / row.current_price * 100
    return high, low, min(error.quantize(MAE_STEP, ROUND_HALF_EVEN), MAE_LIMIT)


def score_predictions() -> Scored:
    """Score all predictions that are due."""
    now_ms = clock.market_ms()
    reopen_revised(PredictionLog.objects.all())
    unscored = PredictionLog.objects.filter(outcome_final=False)
    wanted = Q(pk__in=[])
    for horizon in unscored.order_by().values_list("horizon", flat=True).distinct():
        due = clock.to_datetime(now_ms - (horizon + 1) * INTERVAL_MS)
        final = clock.to_datetime(now_ms - (horizon + 1) * INTERVAL_MS - FINAL_AFTER_MS)
        wanted |= Q(horizon=horizon, candle_time__lte=due, actual_high__isnull=True)
        wanted |= Q(horizon=horizon, candle_time__lte=final)
    rows = unscored.filter(wanted).select_related("market").order_by("market_id", "candle_time")
    return PREDICTIONS.score(rows, now_ms)


def _write(row: PredictionLog, after: FollowingCandles, open_ms: int) -> None:
    row.actual_high, row.actual_low, row.mae = outcome_of(row, after, open_ms)


PREDICTIONS = ScoredLog(PredictionLog, ("actual_high", "actual_low", "mae"), _write, lambda _row: None)
