"""Losses of candidates and champions on the same candles, and their difference with intervals."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import numpy as np
from django.db.models import Count, Max, Min, Q, Sum
from django.db.models.functions import TruncDate

from indicators.barriers import Side, Touch, first_touch
from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from modelregistry import registry
from modelregistry.estimators.kinds import RANGE, SIGNAL, TPSL
from modelregistry.evaluation.metrics.scores import brier, pinball
from modelregistry.evaluation.significance.blocks import block_interval
from modelregistry.evaluation.significance.paired import DAY_MS
from modelregistry.models import ModelVersion
from predictions.market_windows import FollowingCandles, following_candles
from predictions.models import ChallengerLog
from predictions.scoring.track_record import MIN_INDEPENDENT_OUTCOMES

CHUNK = 2000
MAX_CANDLE_WAIT = timedelta(days=7)
"""How long after its horizon closed a forecast waits for missing candles."""

Losses = tuple[float | None, float | None]
"""Loss of the candidate and of the champion."""


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
                row.loss, row.champion_loss = LOSSES[row.version.kind](row.answer, after, open_ms, row.horizon)
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


def range_losses(forecasts: dict[str, Any], after: FollowingCandles, open_ms: int, horizon: int) -> Losses:
    """Mean pinball loss over levels and both targets, in basis points of log price."""
    high, low = (np.log([float(price) / forecasts["close"]]) for price in after.range_of(open_ms, horizon))

    def loss(forecast: dict[str, Any] | None) -> float | None:
        if forecast is None:
            return None
        up, down = (np.log(np.array([forecast[target]]) / forecasts["close"]) for target in ("high", "low"))
        return float(5_000 * (pinball(up, high) + pinball(down, low))[0])

    return loss(forecasts["candidate"]), loss(forecasts["champion"])


def bracket_losses(forecasts: dict[str, Any], after: FollowingCandles, open_ms: int, horizon: int) -> Losses:
    """Three-class Brier score, mean of both sides; None where the bracket was void."""
    levels = {"buy": (forecasts["above"], forecasts["below"]), "sell": (forecasts["below"], forecasts["above"])}
    ends = {side: _touched(after, open_ms, horizon, side, *levels[side]).outcome[0] for side in levels}  # type: ignore[arg-type]
    if Touch.VOID in ends.values():
        return None, None

    def loss(forecast: dict[str, Any] | None) -> float | None:
        if forecast is None:
            return None
        return float(np.mean([brier(np.array([forecast[side]]), np.eye(3)[[end]])[0] for side, end in ends.items()]))

    return loss(forecasts["candidate"]), loss(forecasts["champion"])


def direction_losses(forecasts: dict[str, Any], after: FollowingCandles, open_ms: int, horizon: int) -> Losses:
    """Brier score of buy, sell and hold.

    The class compares the costs with the move to the barrier touched, or to the last close.
    """
    touched = _touched(after, open_ms, horizon, "buy", forecasts["above"], forecasts["below"])
    move = float(touched.move_to_barrier(np.array([forecasts["below"]]))[0])
    actual = 2 if touched.ambiguous[0] or abs(move) <= forecasts["costs"] else int(move < 0)

    def loss(forecast: list[float] | None) -> float | None:
        return None if forecast is None else float(brier(np.array([forecast]), np.eye(3)[[actual]])[0])

    return loss(forecasts["candidate"]), loss(forecasts["champion"])


LOSSES: dict[str, Callable[[dict[str, Any], FollowingCandles, int, int], Losses]] = {
    RANGE: range_losses,
    TPSL: bracket_losses,
    SIGNAL: direction_losses,
}
"""Loss function of a forecast, by kind."""


def _touched(after: FollowingCandles, open_ms: int, horizon: int, side: Side, target: float, stop: float) -> Any:
    windows = (after.floats(name, open_ms, horizon) for name in ("open", "high", "low", "close"))
    return first_touch(*windows, side=side, take_profit=np.array([target]), stop_loss=np.array([stop]))


def _due(now_ms: int) -> Iterator[list[ChallengerLog]]:
    """Unscored rows whose horizon has closed, market by market."""
    unscored = ChallengerLog.objects.filter(loss__isnull=True)
    wanted = Q(pk__in=[])
    for horizon in unscored.order_by().values_list("horizon", flat=True).distinct():
        due = clock.to_datetime(now_ms - (horizon + 1) * INTERVAL_MS)
        wanted |= Q(horizon=horizon, candle_time__lte=due, candle_time__gt=due - MAX_CANDLE_WAIT)
    rows = unscored.filter(wanted).select_related("market", "version").order_by("market_id", "candle_time")
    for _, of_market in groupby(rows.iterator(CHUNK), key=lambda row: row.market_id):
        while part := list(islice(of_market, CHUNK)):
            yield part
