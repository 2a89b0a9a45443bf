"""How much work a training run does, decided from how many candles there are."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from indicators.candles import CandleGrid
from indicators.features import WARMUP
from modelregistry.errors import TrainingError
from modelregistry.training.dataset import Dataset

DAY_ROWS = 288
MIN_LABELLED_DAYS = 15
"""Below it nothing can be held out that says anything."""
SMALL_DAYS = 150


@dataclass(frozen=True)
class TrainingPlan:
    """Sizes of a run; part of a version's hyper-parameters.

    Parameters
    ----------
    stride : int
        Candles between training rows.
    folds : int
        Walk-forward folds that are reported.
    test_days : int
        Days a fold is tested on.
    cross_blocks : int
        Held-out blocks inside a training set.
    marks : tuple of int
        Boosting rounds tried.
    residual_rounds : int
        Rounds of the residual quantile trees.
    thinning : int
        Rows between those that held-out blocks, residuals and calibration use.
    seed, threads : int
        Fixed, so that the same candles give the same bytes.
    corrected : bool
        Whether the range predictor corrects itself online: every answer then counts its forecasts of three weeks.
    """

    stride: int
    folds: int
    test_days: int
    cross_blocks: int
    marks: tuple[int, ...]
    residual_rounds: int = 40
    thinning: int = 1
    seed: int = 1
    threads: int = 2
    corrected: bool = False

    def embargo_ms(self, rows: Dataset) -> int:
        """Embargo after a held-out block: as long as the longest horizon, ms."""
        return max(rows.horizons) * rows.grid.interval_ms

    def as_hyperparameters(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {**asdict(self), "marks": list(self.marks)}


@dataclass(frozen=True)
class LeftOut:
    """A market that a run does not train on, and why."""

    symbol: str
    candles: int
    """Candles in which its price moved."""
    needed: int
    enough_at_ms: int | None
    """When it will have enough if every candle to come counts; None where its price does not move."""

    def as_sentence(self) -> str:
        """Name the market, what it has and when it will have enough."""
        lacking = f"{self.symbol} is left out: its price moved in {self.candles:,} candles, {self.needed:,} are needed"
        if self.enough_at_ms is None:
            return f"{lacking}, and it hardly moves"
        when = datetime.fromtimestamp(self.enough_at_ms / 1000, UTC)
        return f"{lacking}; it will have them on {when:%Y-%m-%d}"


def least_candles(horizons: tuple[int, ...]) -> int:
    """Candles a market needs to be trained on at all.

    Examples
    --------
    >>> least_candles((6, 72))
    8496
    """
    return WARMUP + MIN_LABELLED_DAYS * DAY_ROWS + max(horizons)


def ordinary_candles(horizons: tuple[int, ...]) -> int:
    """Candles from which on a run is of ordinary size, not small."""
    return WARMUP + SMALL_DAYS * DAY_ROWS + max(horizons)


def left_out(
    grid: CandleGrid, symbols: Sequence[str], horizons: tuple[int, ...], *, small: bool = False
) -> list[LeftOut]:
    """Markets whose history would stop a run, or put all others on the smallest plan.

    A market is left out where its price moved in fewer candles than the smallest plan needs; and, where others have
    the history of a full plan, in fewer than that plan needs.

    Parameters
    ----------
    grid : CandleGrid
        Candles of m markets.
    symbols : sequence of str
        Of the m markets.
    horizons : tuple of int
        Candles.
    small : bool, default False
        Whether the smallest plan is asked for anyway.
    """
    present = grid.present
    with np.errstate(invalid="ignore"):
        moved = (present & (grid.high > grid.low)).sum(axis=1)
    least = least_candles(horizons)
    full = ordinary_candles(horizons)
    needed = full if not small and (moved >= full).any() else least
    found = []
    for symbol, count, stored in zip(symbols, moved.tolist(), present.sum(axis=1).tolist(), strict=True):
        if count >= needed:
            continue
        # Of a market that moves now and then nobody knows when it will have moved often enough.
        moves = count * 2 > stored
        end_ms = int(grid.open_time[-1]) + grid.interval_ms
        found.append(LeftOut(symbol, count, needed, end_ms + (needed - count) * grid.interval_ms if moves else None))
    return found


def plan_for(
    candles: int, horizons: tuple[int, ...], seed: int = 1, threads: int = 2, *, small: bool = False
) -> TrainingPlan:
    """Choose sizes for `candles` candles per market.

    Raises
    ------
    TrainingError
        If there are too few candles, with the number that is needed.

    Examples
    --------
    >>> plan_for(290_000, (6, 72)).folds, plan_for(15_000, (6, 72)).folds
    (3, 1)
    """
    needed = least_candles(horizons)
    if candles < needed:
        raise TrainingError(
            f"{candles} candles per market are too few to train on: {needed} are needed "
            f"({WARMUP} to warm up the features, {MIN_LABELLED_DAYS} days of rows, the longest horizon)"
        )
    days = (candles - WARMUP) // DAY_ROWS
    if small or days < SMALL_DAYS:
        stride = max(3, days // 50 * 3)
        return TrainingPlan(stride, 1, min(max(days // 5, 3), 60), 3, (10, 20, 40), 15, 1, seed, threads)
    folds = max(1, min(3, days // 120))
    return TrainingPlan(3, folds, min(120, days // 5), 4, (40, 80, 150, 250), 40, 2, seed, threads)
