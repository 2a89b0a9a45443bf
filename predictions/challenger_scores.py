"""Whether a candidate would have done better: losses on the same candles, and how sure the difference is."""

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
from modelregistry.evaluation.blocks import block_interval
from modelregistry.evaluation.metrics import brier, pinball
from modelregistry.evaluation.paired import DAY_MS
from modelregistry.models import ModelVersion
from predictions.models import ChallengerLog
from predictions.track_record import FEW
from predictions.windows import Aftermath, aftermath

CHUNK = 2000
PATIENCE = timedelta(days=7)
"""How long after its horizon closed an answer waits for candles that are missing."""

Losses = tuple[float | None, float | None]
"""Of the candidate and of the champion."""


def score_challengers() -> int:
    """Write the losses of everything that has fallen due; returns the rows scored."""
    now_ms = clock.market_ms()
    scored = 0
    for rows in _due(now_ms):
        opens = [clock.to_ms(row.candle_time) for row in rows]
        after = aftermath(rows[0].market, opens, max(row.horizon for row in rows))
        changed = []
        for row, open_ms in zip(rows, opens, strict=True):
            if after.state(open_ms, row.horizon) == "whole":
                row.loss, row.champion_loss = LOSSES[row.version.kind](row.answer, after, open_ms, row.horizon)
                changed.append(row)
        ChallengerLog.objects.bulk_update(changed, ["loss", "champion_loss"], batch_size=500)
        scored += sum(row.loss is not None for row in changed)
    return scored


def silent_comparison(version: ModelVersion) -> list[dict[str, Any]]:
    """A candidate beside the present champion of its kind, per market and horizon, then `all` of them together.

    `gain` is the share of the champion's loss saved, between the bounds of a 95 % interval from whole
    days and whole weeks, the wider one. Of all cells it is their mean, each in units of its champion's loss.
    """
    champion = registry.champions(version.source).get(version.kind)
    scored = ChallengerLog.objects.filter(
        version=version, champion=champion, loss__isnull=False, champion_loss__isnull=False
    )
    # Blocks are whole days, so the database adds those up: three months of rows are not carried here.
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
    by_cell = groupby(map(dict, days), key=itemgetter("market__symbol", "horizon"))
    cells = [_Cell.of(key, list(found)) for key, found in by_cell]
    told = [{"symbol": cell.symbol, "horizon": cell.horizon, **cell.told()} for cell in cells]
    if len(cells) > 1:
        told.append({"symbol": "all", "horizon": None, **_Cell.of_all(cells).told()})
    return told


@dataclass(frozen=True, eq=False)
class _Cell:
    """Losses of a candidate and of the champion on one market and horizon, added up day by day."""

    symbol: str
    horizon: int
    n: int
    first_ms: int
    last_ms: int
    day_ms: np.ndarray
    losses: np.ndarray
    """Of shape (n_days, 2): the candidate's and the champion's."""

    @classmethod
    def of(cls, key: tuple[str, int], days: list[dict[str, Any]]) -> "_Cell":
        return cls(
            *key,
            sum(day["n"] for day in days),
            clock.to_ms(days[0]["first"]),
            clock.to_ms(days[-1]["last"]),
            np.array([clock.to_ms(day["first"]) // DAY_MS * DAY_MS for day in days], dtype=np.int64),
            np.array([(day["total"], day["champion_total"]) for day in days], dtype=np.float64),
        )

    @classmethod
    def of_all(cls, cells: list["_Cell"]) -> "_Cell":
        """All of them, each in units of its champion's mean loss."""
        return cls(
            "all",
            max(cell.horizon for cell in cells),
            sum(cell.n for cell in cells),
            min(cell.first_ms for cell in cells),
            max(cell.last_ms for cell in cells),
            np.concatenate([cell.day_ms for cell in cells]),
            np.concatenate([cell.losses * cell.n / cell.losses[:, 1].sum() for cell in cells]),
        )

    def told(self) -> dict[str, Any]:
        mine, champions = self.losses.T
        gain = block_interval(champions - mine, self.day_ms, champions)
        span = (self.last_ms - self.first_ms) // INTERVAL_MS + self.horizon
        effective = min(self.n, max(1, span // self.horizon))
        return {
            "n": self.n,
            "effective_n": effective,
            "too_few": effective < FEW or gain.days < 2,
            "loss": float(mine.sum() / self.n),
            "champion_loss": float(champions.sum() / self.n),
            "gain": gain.mean,
            "lower": gain.lower,
            "upper": gain.upper,
        }


def range_losses(answer: dict[str, Any], after: Aftermath, open_ms: int, horizon: int) -> Losses:
    """Mean pinball over levels and both targets, in basis points of log price."""
    high, low = (np.log([float(price) / answer["close"]]) for price in after.range_of(open_ms, horizon))

    def loss(said: dict[str, Any] | None) -> float | None:
        if said is None:
            return None
        up, down = (np.log(np.array([said[target]]) / answer["close"]) for target in ("high", "low"))
        return float(5_000 * (pinball(up, high) + pinball(down, low))[0])

    return loss(answer["candidate"]), loss(answer["champion"])


def bracket_losses(answer: dict[str, Any], after: Aftermath, open_ms: int, horizon: int) -> Losses:
    """Three-class Brier score, the mean of both sides; none where the bracket was void."""
    levels = {"buy": (answer["above"], answer["below"]), "sell": (answer["below"], answer["above"])}
    ends = {side: _touched(after, open_ms, horizon, side, *levels[side]).outcome[0] for side in levels}  # type: ignore[arg-type]
    if Touch.VOID in ends.values():
        return None, None

    def loss(said: dict[str, Any] | None) -> float | None:
        if said is None:
            return None
        return float(np.mean([brier(np.array([said[side]]), np.eye(3)[[end]])[0] for side, end in ends.items()]))

    return loss(answer["candidate"]), loss(answer["champion"])


def direction_losses(answer: dict[str, Any], after: Aftermath, open_ms: int, horizon: int) -> Losses:
    """Brier score of buy, sell and hold: the move to the barrier touched, or to the last close, against the costs."""
    touched = _touched(after, open_ms, horizon, "buy", answer["above"], answer["below"])
    move = float(touched.move_to_barrier(np.array([answer["below"]]))[0])
    came = 2 if touched.ambiguous[0] or abs(move) <= answer["costs"] else int(move < 0)

    def loss(said: list[float] | None) -> float | None:
        return None if said is None else float(brier(np.array([said]), np.eye(3)[[came]])[0])

    return loss(answer["candidate"]), loss(answer["champion"])


LOSSES: dict[str, Callable[[dict[str, Any], Aftermath, int, int], Losses]] = {
    "range_predictor": range_losses,
    "tpsl_classifier": bracket_losses,
    "signal_classifier": direction_losses,
}
"""How an answer of each kind is scored."""


def _touched(after: Aftermath, open_ms: int, horizon: int, side: Side, target: float, stop: float) -> Any:
    windows = (after.floats(name, open_ms, horizon) for name in ("open", "high", "low", "close"))
    return first_touch(*windows, side=side, take_profit=np.array([target]), stop_loss=np.array([stop]))


def _due(now_ms: int) -> Iterator[list[ChallengerLog]]:
    """Rows whose horizon has closed and that have no loss yet, market by market."""
    unscored = ChallengerLog.objects.filter(loss__isnull=True)
    wanted = Q(pk__in=[])
    for horizon in unscored.order_by().values_list("horizon", flat=True).distinct():
        due = clock.to_datetime(now_ms - (horizon + 1) * INTERVAL_MS)
        wanted |= Q(horizon=horizon, candle_time__lte=due, candle_time__gt=due - PATIENCE)
    rows = unscored.filter(wanted).select_related("market", "version").order_by("market_id", "candle_time")
    for _, of_market in groupby(rows.iterator(CHUNK), key=lambda row: row.market_id):
        while part := list(islice(of_market, CHUNK)):
            yield part
