"""How much work a training run does, decided from how many candles there are."""

from dataclasses import asdict, dataclass
from typing import Any

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


def least_candles(horizons: tuple[int, ...]) -> int:
    """Candles a market needs to be trained on at all.

    Examples
    --------
    >>> least_candles((6, 72)) - least_candles((6,))
    66
    """
    return WARMUP + MIN_LABELLED_DAYS * DAY_ROWS + max(horizons)


def ordinary_candles(horizons: tuple[int, ...]) -> int:
    """Candles from which on a run is of ordinary size, not small."""
    return WARMUP + SMALL_DAYS * DAY_ROWS + max(horizons)


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
