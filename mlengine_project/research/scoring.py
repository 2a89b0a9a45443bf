"""Scores of any model of ranges, beside the reference baselines that the engine's own reports use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from indicators.arrays import Float32s
from indicators.errors import MLEngineError
from marketdata import clock
from mlengine_project.research.event_loop import reads_database
from mlengine_project.research.samples import Samples
from modelregistry import registry
from modelregistry.estimators.forecast import LEVELS, RangeForecast
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.kinds import RANGE
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.scale import current_level
from modelregistry.evaluation.reports.as_json import published
from modelregistry.evaluation.reports.report import Collected
from modelregistry.registry.status import default_source
from modelregistry.training.kinds import TRAINING_KINDS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "symbol",
    "horizon",
    "target",
    "rows",
    "pinball",
    "best_baseline",
    "best_baseline_pinball",
    "skill",
    "skill_error",
    "p_value",
    "effective_n",
    "coverage_80",
    "coverage_90",
)
CHAMPION = "champion"


class Model(Protocol):
    """Anything that forecasts quantiles of ranges from features."""

    def predict(self, features: Float32s, /) -> npt.ArrayLike:
        """Quantiles of the targets for the levels 5, 10, 25, 50, 75, 90 and 95 %, shape (n, n_horizons, 2, 7)."""
        ...


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores by market, horizon and side.

    Parameters
    ----------
    report : dict
        As the engine keeps it with a version: losses in basis points of the close, skills as fractions, coverages in
        percent.
    """

    report: dict[str, Any]

    @property
    def skill(self) -> float:
        """1 - loss / loss of the best baseline, the mean over all cells."""
        return float(self.report["skill"])

    def column(self, name: str) -> npt.NDArray[Any]:
        """One score of every cell: a name of `COLUMNS`, of a baseline, or of a cell of the report."""
        cells = self.report["cells"]
        if name == "best_baseline_pinball":
            return np.array([cell["baselines"][cell["best_baseline"]] for cell in cells])
        if cells and name in cells[0]["baselines"]:
            return np.array([cell["baselines"][name] for cell in cells])
        return np.array([cell[name] for cell in cells])

    def to_pandas(self) -> pd.DataFrame:
        """Frame with one row per market, horizon and side."""
        import pandas as pd

        frame = pd.DataFrame({name: self.column(name) for name in COLUMNS})
        return frame.set_index(["symbol", "horizon", "target"]).sort_index()


@reads_database
def evaluate(model: Model | str, test: Samples, train: Samples) -> Evaluation:
    """Score a model on samples beside the reference baselines: pinball loss, skill with its error, coverage.

    Parameters
    ----------
    model : object with `predict`, or str
        Forecasts in units of ``sigma * sqrt(h)``, see :class:`Model`; or "champion", an id or the beginning of a
        digest, which is scored as served, with its online correction.
    test, train : Samples
        Rows to score, and earlier rows that the baselines are fitted on, see :meth:`Samples.split`.

    Raises
    ------
    MLEngineError
        If `train` is not earlier than `test`, forecasts have another shape or are not finite, or a version was trained
        on the test rows or has other horizons.
    """
    if not len(test) or not len(train):
        raise MLEngineError("there are no samples to score, or none to fit the baselines on")
    if train.rows.ends.max() > test.open_time.min():
        raise MLEngineError("labels of the training samples are not all known before the first test sample")
    if test.horizons != train.horizons or test.rows.symbols != train.rows.symbols:
        raise MLEngineError("test and training samples have other horizons or markets")
    predictor = _version(model, test) if isinstance(model, str) else _Wrapped(model, test.horizons)
    kind, found = TRAINING_KINDS[RANGE], Collected()
    try:
        kind.collect(found, predictor, test.rows, train.rows, 0.0)
    except ValueError as error:
        raise MLEngineError(str(error)) from error
    return Evaluation(published(kind.report(found, test.rows.stride, 0.0)))


def _version(name: str, test: Samples) -> RangePredictor:
    """Load a range predictor that was not trained on the test rows."""
    if name == CHAMPION:
        version = registry.champions(default_source()).get(RANGE)
        if version is None:
            raise MLEngineError("there is no champion range predictor; train one or name a version")
    else:
        version = registry.find_version(name)
    first, last = (clock.to_datetime(int(end)) for end in (test.open_time.min(), test.rows.ends.max()))
    if version.trained_from < last and first < version.trained_until:
        raise MLEngineError(f"{version} was trained up to {version.trained_until:%Y-%m-%d %H:%M}; score later samples")
    predictor = registry.load_version(version)
    if not isinstance(predictor, RangePredictor):
        raise MLEngineError(f"{version} is no range predictor")
    if missing := sorted(set(test.horizons) - set(predictor.horizons)):
        raise MLEngineError(f"{version} has no horizon {missing[0]}; its horizons are {list(predictor.horizons)}")
    return predictor


@dataclass(frozen=True)
class _Wrapped:
    """A model as the engine's reports call it."""

    model: Model
    horizons: tuple[int, ...]

    @property
    def name(self) -> str:
        return str(getattr(self.model, "name", type(self.model).__name__))

    def predict(self, inputs: ModelInputs) -> RangeForecast:
        found = np.asarray(self.model.predict(inputs.features), dtype=np.float64)
        shape = (len(inputs), len(self.horizons), 2, len(LEVELS))
        if found.shape != shape:
            raise ValueError(f"{self.name} forecasts shape {found.shape}, expected {shape}")
        if not np.isfinite(found).all():
            raise ValueError(f"{self.name} forecasts numbers that are not finite")
        up, down = np.moveaxis(found * np.exp(current_level(self.horizons, inputs.sigma))[:, :, None, None], 2, 0)
        return RangeForecast.from_distances(self.horizons, inputs.close, up, down)
