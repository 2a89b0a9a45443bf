"""Expected processor time of the steps of a training run, so that the time left can be estimated.

The figures are proportions measured on one machine; only their ratios matter.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, lcm

from indicators.candles import DAY_MS, INTERVAL_MS
from modelregistry.estimators.kinds import RANGE, SIGNAL, TPSL
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.residuals import CROSS_BLOCKS, LINE_ROWS, POOLED_ROWS
from modelregistry.training.fit.tpsl_classifier import MAX_ROWS
from modelregistry.training.kinds import TRAINING_KINDS
from modelregistry.training.parts import Part

CANDLE = 5e-6
"""Seconds to compute features and labels of a candle."""
BINNING = 3.2e-5
"""Seconds a row to bin its features and fit the ridge regression."""
TREE = 2.1e-7
"""Seconds a row and boosting round of the scale."""
LINE = 1.4e-4
"""Seconds a row and horizon of all quantile lines."""
RESIDUAL_TREE = 3.5e-6
"""Seconds a pooled row and boosting round of all residual quantiles."""
BRACKET = 9.5e-5
"""Seconds a row and horizon of the bracket calibration."""
DIRECTION = (2.4e-5, 6e-5, 2.4e-5)
"""Seconds a row of the three steps of a direction: sides, touch, meta-label."""
EXTRA = 1e-4
"""Assumed seconds a row of a step of an estimator of another package."""
SCORED = {RANGE: 2e-4, TPSL: 5.5e-5, SIGNAL: 3e-5}
"""Seconds a test row to score a kind."""
REPORTED = 8e-5
"""Seconds a test row to report a kind."""


@dataclass(frozen=True)
class RunSize:
    """Numbers that the time of a run depends on.

    Parameters
    ----------
    plan : TrainingPlan
    candles : tuple of int
        Of each market, without warm-up.
    horizons : int
        Number of horizons.
    extra : frozenset of str
        Kinds trained by estimators of other packages.
    """

    plan: TrainingPlan
    candles: tuple[int, ...]
    horizons: int
    extra: frozenset[str] = frozenset()

    @property
    def rows(self) -> float:
        """Rows of all markets."""
        return sum(self.candles) / self.plan.stride

    @property
    def test_rows(self) -> float:
        """Test rows of a fold."""
        return len(self.candles) * self.plan.test_days * DAY_MS / INTERVAL_MS / self.plan.stride

    def training_rows(self, fold: int | None) -> float:
        """Rows a fold is trained on; all of them for None.

        Examples
        --------
        >>> from modelregistry.training.fit.plan import plan_for
        >>> size = RunSize(plan_for(290_000, (6, 72)), (285_000,), 2)
        >>> size.training_rows(0), size.training_rows(None)
        (60440.0, 95000.0)
        """
        later = 0 if fold is None else self.plan.folds - fold
        return max(self.rows - later * self.test_rows, self.test_rows)


def step_seconds(size: RunSize, part: Part) -> list[float]:
    """Expected seconds of every step of a part, in the order in which a fit reports them."""
    kinds = [kind for kind in part.kinds if kind not in size.extra]
    shares_scale = any(TRAINING_KINDS[kind].shares_scale for kind in kinds)
    found = list(_scale(size, size.training_rows(part.fold))) if shares_scale else []
    for kind in part.kinds:
        found += _extra(size, part.fold, kind) if kind in size.extra else _own(size, part.fold, kind)
    return found


def _scale(size: RunSize, rows: float) -> Iterator[float]:
    plan = size.plan
    held_in = rows / plan.thinning * (plan.cross_blocks - 1) / plan.cross_blocks
    for stretch, rounds, blocks in (
        (held_in, plan.marks[-1], plan.cross_blocks),
        (rows, sum(plan.marks) / len(plan.marks), 1),
    ):
        for _ in range(blocks):
            for k in range(size.horizons):
                yield stretch * (TREE * rounds + (0 if k else BINNING))


def _own(size: RunSize, fold: int | None, kind: str) -> list[float]:
    plan, rows, horizons = size.plan, size.training_rows(fold), size.horizons
    thinned = rows / plan.thinning
    if kind == SIGNAL:
        return [rows * seconds for seconds in DIRECTION]
    if kind == TPSL:
        return [BRACKET * _limited(thinned, MAX_ROWS, plan)] * horizons
    half, whole = (horizons * _limited(part, POOLED_ROWS / horizons, plan) for part in (thinned / 2, thinned))
    trees = RESIDUAL_TREE * plan.residual_rounds
    return [LINE * horizons * _limited(thinned, LINE_ROWS, plan), *[trees * half] * CROSS_BLOCKS, trees * whole]


def _extra(size: RunSize, fold: int | None, kind: str) -> list[float]:
    plan, rows = size.plan, size.training_rows(fold)
    if kind == RANGE:
        return [EXTRA * rows]
    blocks = [EXTRA * rows] * (plan.cross_blocks + 1)
    calibration = [BRACKET * _limited(rows / plan.thinning, MAX_ROWS, plan)] * size.horizons
    return [*blocks, *calibration] if kind == TPSL else blocks


def _limited(rows: float, most: float, plan: TrainingPlan) -> float:
    """Rows left of thinned ones where only every n-th row in time is taken."""
    step = max(1, ceil(rows / most))
    return rows * plan.thinning / lcm(plan.thinning, step)
