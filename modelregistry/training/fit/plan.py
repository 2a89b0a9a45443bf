"""Size of a training run, chosen from the number of candles."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import ceil
from typing import Any, Self

import numpy as np

from indicators.candles import DAY_CANDLES, DAY_MS, CandleGrid
from indicators.features import WARMUP
from modelregistry.dataset.rows import Dataset
from modelregistry.errors import TrainingError
from modelregistry.training.fit.settings import TrialSettings

MIN_LABELLED_DAYS = 15
"""Minimum days of labelled rows of a training."""
SMALL_DAYS = 150
MAX_ROWS = 2_200_000
"""Most rows of a run, so that 50 markets of three years are trained within 8 GiB."""
HALF_LIFE_DAYS = 365.0
"""Age at which a training row counts half as much as the newest one."""
THREADS = 2
"""Of a fit; fixed, so that the same rows give the same trees."""


@dataclass(frozen=True)
class TrainingPlan:
    """Sizes of a training run; part of the hyper-parameters of a version.

    Parameters
    ----------
    stride : int
        Candles between training rows.
    folds : int
        Walk-forward folds of the report.
    test_days : int
        Test days per fold.
    cross_blocks : int
        Held-out blocks inside a training set.
    marks : tuple of int
        Numbers of boosting rounds that are compared.
    residual_rounds : int
        Rounds of the residual quantile trees.
    thinning : int
        Stride of the rows used by held-out blocks, residuals and calibration.
    seed, threads : int
        Fixed, so that the same candles give the same bytes.
    corrected : bool
        Whether the range predictor uses the online correction over three weeks.
    settings : TrialSettings, optional
        Of the scale model, from a trial of the ledger; by default those in use.
    half_life_days : float
        Age at which a row of the scale and of the residual quantiles counts half.
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
    settings: TrialSettings | None = None
    half_life_days: float = HALF_LIFE_DAYS

    def recency_weights(self, rows: Dataset) -> np.ndarray:
        """Weights of rows by their age, 1 on average."""
        return recency_weights(rows.open_time, self.half_life_days)

    def embargo_ms(self, rows: Dataset) -> int:
        """Embargo after a held-out block: as long as the longest horizon, ms."""
        return max(rows.horizons) * rows.grid.interval_ms

    def as_hyperparameters(self) -> dict[str, Any]:
        """JSON values for the manifest; those of a trial only where there is one, as before there were any."""
        found = {**asdict(self), "marks": list(self.marks)}
        del found["settings"]
        return found | (self.settings.as_hyperparameters() if self.settings else {})

    def with_settings(self, settings: TrialSettings | None) -> Self:
        """The same plan with the settings of a trial, whose number of rounds is the only one."""
        return self if settings is None else replace(self, settings=settings, marks=(settings.configuration.rounds,))


def recency_weights(open_time: np.ndarray, half_life_days: float = HALF_LIFE_DAYS) -> np.ndarray:
    """Weights of rows by their age before the newest one, 1 on average.

    Parameters
    ----------
    open_time : ndarray of shape (n_rows,)
        Open times, ms.
    half_life_days : float
        Age at which a row counts half as much as the newest.

    Examples
    --------
    >>> recency_weights(np.array([0, 365 * DAY_MS])).round(3).tolist()
    [0.667, 1.333]
    """
    age_days = (open_time.max() - open_time) / DAY_MS
    weights = 0.5 ** (age_days / half_life_days)
    return np.asarray(weights / weights.mean())


@dataclass(frozen=True)
class ExcludedMarket:
    """A market excluded from a training for lack of history."""

    symbol: str
    candles: int
    """Candles in which its price moved."""
    needed: int
    enough_at_ms: int | None
    """Estimated time at which it has enough candles; None where its price hardly moves."""
    stored: int
    """Candles stored, whether its price moved or not."""

    def as_sentence(self) -> str:
        """Sentence with the market, its candles and the date at which it has enough."""
        if not self.stored:
            return f"{self.symbol} is excluded: no candle of the period is stored, {self.needed:,} are needed"
        lacking = f"{self.symbol} is excluded: its price moved in {self.candles:,} candles, {self.needed:,} are needed"
        if self.enough_at_ms is None:
            return f"{lacking}, and it hardly moves"
        when = datetime.fromtimestamp(self.enough_at_ms / 1000, UTC)
        return f"{lacking}; it will have them on {when:%Y-%m-%d}"


def least_candles(horizons: tuple[int, ...]) -> int:
    """Minimum number of candles to train on a market.

    Examples
    --------
    >>> least_candles((6, 72))
    8496
    """
    return WARMUP + MIN_LABELLED_DAYS * DAY_CANDLES + max(horizons)


def ordinary_candles(horizons: tuple[int, ...]) -> int:
    """Minimum number of candles for a full-size training."""
    return WARMUP + SMALL_DAYS * DAY_CANDLES + max(horizons)


def excluded_markets(
    grid: CandleGrid, symbols: Sequence[str], horizons: tuple[int, ...], *, small: bool = False
) -> list[ExcludedMarket]:
    """Markets excluded from a run because their history is too short.

    A market is excluded if its price moved in fewer candles than the smallest plan needs or, where another market has
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
        Whether the smallest plan is requested.
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
        # No date is estimated for a market that moves in less than half of its candles.
        moves = count * 2 > stored
        end_ms = int(grid.open_time[-1]) + grid.interval_ms
        enough_at_ms = end_ms + (needed - count) * grid.interval_ms if moves else None
        found.append(ExcludedMarket(symbol, count, needed, enough_at_ms, stored))
    return found


def plan_for(
    candles: int,
    horizons: tuple[int, ...],
    seed: int = 1,
    *,
    small: bool = False,
    all_candles: int | None = None,
) -> TrainingPlan:
    """Training plan for `candles` candles per market, and `all_candles` of all markets together.

    With more than `MAX_ROWS` rows at the usual stride, every market is sampled more sparsely; the stride is part of the
    hyper-parameters in the manifest.

    Raises
    ------
    TrainingError
        If there are too few candles, with the number that is needed.

    Examples
    --------
    >>> plan_for(290_000, (6, 72)).folds, plan_for(15_000, (6, 72)).folds
    (3, 1)
    >>> [plan_for(315_000, (6, 72), all_candles=markets * 315_000).stride for markets in (6, 20, 50)]
    [3, 3, 9]
    """
    needed = least_candles(horizons)
    if candles < needed:
        raise TrainingError(
            f"{candles} candles per market are too few to train on: {needed} are needed "
            f"({WARMUP} to warm up the features, {MIN_LABELLED_DAYS} days of rows, the longest horizon)"
        )
    days = (candles - WARMUP) // DAY_CANDLES
    sparse = 3 * max(1, ceil((all_candles or candles) / 3 / MAX_ROWS))
    if small or days < SMALL_DAYS:
        stride = max(sparse, days // 50 * 3)
        return TrainingPlan(stride, 1, min(max(days // 5, 3), 60), 3, (10, 20, 40), 15, 1, seed, THREADS)
    folds = max(1, min(3, days // 120))
    return TrainingPlan(sparse, folds, min(120, days // 5), 4, (40, 80, 150, 250), 40, 2, seed, THREADS)
