"""Losses of candidates and champions on the same candles, and their difference with intervals."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from django.db.models import Count, Max, Min, Q, Sum
from django.db.models.functions import TruncDate

from indicators.candles import DAY_MS
from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from modelregistry import registry
from modelregistry.evaluation.significance.blocks import block_interval
from modelregistry.models import ModelVersion
from predictions.challengers.kinds import CHALLENGER_KINDS
from predictions.market_windows import following_candles
from predictions.models import ChallengerLog
from predictions.scoring.outcomes import by_market
from predictions.scoring.track_record import MIN_INDEPENDENT_OUTCOMES

CHUNK = 2000
MAX_CANDLE_WAIT = timedelta(days=7)
"""How long after its horizon closed a forecast waits for missing candles."""


def score_challengers() -> int:
    """Score all forecasts that are due and return the number of rows scored."""
    now_ms = clock.market_ms()
    scored = 0
    for rows in _due(now_ms):
        opens = [clock.to_ms(row.candle_time) for row in rows]
        after = following_candles(rows[0].market, opens, max(row.horizon for row in rows))
        changed = []
        for row, open_ms in zip(rows, opens, strict=True):
            if after.state(open_ms, row.horizon) == "whole":
                row.loss, row.champion_loss = CHALLENGER_KINDS[row.version.kind].losses(
                    row.answer, after, open_ms, row.horizon
                )
                changed.append(row)
        ChallengerLog.objects.bulk_update(changed, ["loss", "champion_loss"], batch_size=500)
        scored += sum(row.loss is not None for row in changed)
    return scored


def silent_comparison(version: ModelVersion) -> list[dict[str, Any]]:
    """Compare a candidate with the present champion by market and horizon, and over `all`.

    `gain` is the share of the champion's loss saved; `lower` and `upper` are the wider of two 95 % intervals, from
    blocks of days and of weeks. The row `all` is the mean over markets and horizons, each in units of its
    champion's loss.
    """
    champion = registry.champions(version.source).get(version.kind)
    scored = ChallengerLog.objects.filter(
        version=version, champion=champion, loss__isnull=False, champion_loss__isnull=False
    )
    # Blocks are whole days, so the database sums them: three months of rows are not loaded.
    days = (
        scored.annotate(day=TruncDate("candle_time", tzinfo=UTC))
        .values("market__symbol", "horizon", "day")
        .annotate(
            n=Count("pk"),
            total=Sum("loss"),
            champion_total=Sum("champion_loss"),
            first=Min("candle_time"),
            last=Max("candle_time"),
        )
        .order_by("market__symbol", "horizon", "day")
    )
    by_group = groupby(map(dict, days), key=itemgetter("market__symbol", "horizon"))
    groups = [_DailyLosses.of(key, list(found)) for key, found in by_group]
    rows = [{"symbol": group.symbol, "horizon": group.horizon, **group.summary()} for group in groups]
    if len(groups) > 1:
        rows.append({"symbol": "all", "horizon": None, **_DailyLosses.of_all(groups).summary()})
    return rows


@dataclass(frozen=True, eq=False)
class _DailyLosses:
    """Losses of a candidate and of the champion by day, of one market and horizon."""

    symbol: str
    horizon: int
    n: int
    first_ms: int
    last_ms: int
    day_ms: np.ndarray
    losses: np.ndarray
    """Shape (n_days, 2): candidate, champion."""

    @classmethod
    def of(cls, key: tuple[str, int], days: list[dict[str, Any]]) -> "_DailyLosses":
        return cls(
            *key,
            sum(day["n"] for day in days),
            clock.to_ms(days[0]["first"]),
            clock.to_ms(days[-1]["last"]),
            np.array([clock.to_ms(day["first"]) // DAY_MS * DAY_MS for day in days], dtype=np.int64),
            np.array([(day["total"], day["champion_total"]) for day in days], dtype=np.float64),
        )

    @classmethod
    def of_all(cls, groups: list["_DailyLosses"]) -> "_DailyLosses":
        """Concatenate groups, each in units of its champion's mean loss."""
        return cls(
            "all",
            max(group.horizon for group in groups),
            sum(group.n for group in groups),
            min(group.first_ms for group in groups),
            max(group.last_ms for group in groups),
            np.concatenate([group.day_ms for group in groups]),
            np.concatenate([group.losses * group.n / group.losses[:, 1].sum() for group in groups]),
        )

    def summary(self) -> dict[str, Any]:
        mine, champions = self.losses.T
        gain = block_interval(champions - mine, self.day_ms, champions)
        span = (self.last_ms - self.first_ms) // INTERVAL_MS + self.horizon
        effective = min(self.n, max(1, span // self.horizon))
        return {
            "n": self.n,
            "effective_n": effective,
            "too_few": effective < MIN_INDEPENDENT_OUTCOMES or gain.days < 2,
            "loss": float(mine.sum() / self.n),
            "champion_loss": float(champions.sum() / self.n),
            "gain": gain.mean,
            "lower": gain.lower,
            "upper": gain.upper,
        }


def _due(now_ms: int) -> Iterator[list[ChallengerLog]]:
    """Unscored rows whose horizon has closed, market by market."""
    unscored = ChallengerLog.objects.filter(loss__isnull=True)
    wanted = Q(pk__in=[])
    for horizon in unscored.order_by().values_list("horizon", flat=True).distinct():
        due = clock.to_datetime(now_ms - (horizon + 1) * INTERVAL_MS)
        wanted |= Q(horizon=horizon, candle_time__lte=due, candle_time__gt=due - MAX_CANDLE_WAIT)
    rows = unscored.filter(wanted).select_related("market", "version").order_by("market_id", "candle_time")
    return by_market(rows.iterator(CHUNK), CHUNK)
