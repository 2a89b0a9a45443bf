"""The parts of a training run that can be done apart: the rows of a market, then the fits of a stretch of all rows.

A part depends on what it is given alone, so wherever and whenever it is done, its bytes are the same. Rows are built
market by market; an estimator is pooled over all markets, so fits go by stretch and by the kinds that share a scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from threadpoolctl import threadpool_limits

from indicators.candles import DAY_MS
from modelregistry.dataset.folds import Fold, walk_forward
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.extra import EstimatorClass
from modelregistry.estimators.kinds import Estimator
from modelregistry.training.fit.extra import fit_extra
from modelregistry.training.fit.plan import TrainingPlan
from modelregistry.training.fit.scale import FittedScale, fit_scale
from modelregistry.training.kinds import TRAINING_KINDS, Tick


@dataclass(frozen=True)
class Workload:
    """All that fitting needs.

    Parameters
    ----------
    rows : Dataset
        Every row with a known future, the unanswerable ones too: they belong to the folds.
    plan : TrainingPlan
    costs : float
        A round trip, as a fraction of the price.
    extra : mapping of kind to class
        Estimators of other packages, which are fitted instead of ours.
    """

    rows: Dataset
    plan: TrainingPlan
    costs: float
    extra: Mapping[str, EstimatorClass] = field(default_factory=dict)

    def folds(self) -> list[Fold]:
        """Walk-forward folds, oldest first, as positions in `rows`."""
        rows, plan = self.rows, self.plan
        return list(walk_forward(rows.open_time, rows.ends, plan.folds, test_span=plan.test_days * DAY_MS))

    def training_rows(self, fold: int | None) -> Dataset:
        """Rows a fold is trained on; all of them for None."""
        chosen = np.arange(len(self.rows)) if fold is None else self.folds()[fold].train
        return self.rows.take(chosen[self.rows.has_features[chosen]])


@dataclass(frozen=True)
class Part:
    """One stretch and the kinds fitted on it together.

    Parameters
    ----------
    fold : int or None
        Position of the fold, None for all candles.
    kinds : tuple of str
    """

    fold: int | None
    kinds: tuple[str, ...]

    @property
    def name(self) -> str:
        """What people read.

        Examples
        --------
        >>> Part(0, ("range_predictor",)).name
        'fold 1: range_predictor'
        """
        stretch = "all candles" if self.fold is None else f"fold {self.fold + 1}"
        return f"{stretch}: {', '.join(self.kinds)}"


def parts_of(kinds: Sequence[str], folds: int) -> list[Part]:
    """Parts of a run in the order they are needed; all candles come last and take longest.

    Examples
    --------
    >>> [part.name for part in parts_of(("tpsl_classifier", "signal_classifier"), 1)][:2]
    ['fold 1: tpsl_classifier', 'fold 1: signal_classifier']
    """
    sharing, alone = (
        tuple(kind for kind, of in TRAINING_KINDS.items() if kind in kinds and of.shares_scale is shared)
        for shared in (True, False)
    )
    return [Part(fold, group) for fold in (*range(folds), None) for group in (sharing, alone) if group]


def fit_part(workload: Workload, part: Part, tick: Tick = lambda _message: None) -> dict[str, Estimator]:
    """Fit the estimators of one part.

    Raises
    ------
    TrainingError
        If its rows are too few.
    """
    rows, plan = workload.training_rows(part.fold), workload.plan

    @cache
    def scale() -> FittedScale:
        return fit_scale(rows, plan, tick=tick)

    def fitted(kind: str) -> Estimator:
        if kind in workload.extra:
            return fit_extra(workload.extra[kind], rows, plan, tick, workload.costs)
        return TRAINING_KINDS[kind].fit(rows, scale, plan, list(rows.feature_names), tick, workload.costs)

    # Sums of BLAS are rounded by how many threads share them, and every process has another number by itself.
    with threadpool_limits(plan.threads, user_api="blas"):
        return {kind: fitted(kind) for kind in part.kinds}
