"""Leakage check of features (trained and served), sigma, and outputs of the champions."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from indicators.candles import CandleGrid
from indicators.catalog.volatility import ewm_sigma
from indicators.errors import FeatureError
from indicators.features import WARMUP, NewestFeatures, build_features, installed, iter_features
from indicators.proofs.leakage import Compute, LeakReport, check_leakage, seeded_leaks
from indicators.proofs.parity import Mismatch, check_parity
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.kinds import RANGE, SIGNAL, TPSL
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.tpsl_classifier import TpslClassifier
from predictions.live.online_correction import reach_of, window_inputs

MUTATED_CANDLES = 80
"""Candles mutated after an instant, at least; more than the longest horizon."""


@dataclass(frozen=True)
class Subject:
    """A computation that must not depend on future candles."""

    name: str
    columns: tuple[str, ...]
    compute: Compute
    reach: int = 0
    """Candles read before the warm-up."""


@dataclass(frozen=True)
class Verdict:
    """Result of the leakage check."""

    reports: dict[str, LeakReport]
    mismatches: list[Mismatch]
    parity_rows: int
    caught: dict[str, bool]
    unexamined: dict[str, str] = field(default_factory=dict)
    """Subjects that could not be examined, with the reason."""

    @property
    def clean(self) -> bool:
        """Whether everything was examined, nothing leaks, all paths agree and every seeded leak was caught."""
        no_leak = all(report.clean for report in self.reports.values())
        return no_leak and not self.mismatches and all(self.caught.values()) and not self.unexamined


LIVE_ROWS = 24
"""Candles pushed one by one through the live path for comparison."""
TRAINED_ROWS = 700
"""Rows a training is given at a time to be compared: each block continues the one before."""


def trained_features(grid: CandleGrid, rows: int) -> np.ndarray:
    """Features as a training computes them: block after block."""
    return np.concatenate([block for _, block in iter_features(grid.tail(WARMUP + rows - 1), TRAINED_ROWS)], axis=1)


def live_features(grid: CandleGrid, rows: int) -> np.ndarray:
    """Features as computed by the live path, candle by candle from memory."""
    newest = NewestFeatures.from_grid(grid.span(0, len(grid) - rows + 1))
    found, further = [newest.rows()[0]], newest.features.further_columns
    for at in range(len(grid) - rows + 1, len(grid)):
        others = {symbol: other.span(at, at + 1).columns()[:, :, 0] for symbol, other in grid.others.items()}
        newest.push(int(grid.open_time[at]), grid.span(at, at + 1).columns(further)[:, :, 0], others)
        found.append(newest.rows()[0])
    return np.stack(found, axis=1)


def _suppressed(ensemble: Ensemble, grid: CandleGrid, rows: int) -> np.ndarray:
    """Whether the guard suppresses the out-of-distribution measure, as 0 and 1."""
    found = window_inputs(grid, rows, ensemble, np.ones((grid.n_markets, rows), dtype=bool)).guard_suppresses
    shape = (grid.n_markets, rows, 1)
    return np.zeros(shape) if found is None else found.astype(np.float64).reshape(shape)


def _ranges(predictor: RangePredictor, inputs: ModelInputs) -> np.ndarray:
    forecast = predictor.predict(inputs)
    return np.concatenate([side.reshape(len(inputs), -1) for side in (forecast.high, forecast.low)], axis=1)


def _brackets(classifier: TpslClassifier, inputs: ModelInputs) -> np.ndarray:
    found, view = [], classifier.view(inputs)
    for horizon in view.horizons:
        reach = inputs.sigma * np.sqrt(horizon)
        above, below = inputs.close * np.exp(reach), inputs.close * np.exp(-reach)
        found.append(view.probabilities(horizon, "buy", above, below))
        found.append(view.probabilities(horizon, "sell", below, above))
    return np.concatenate(found, axis=1)


def _forecasts(forecast_rows: Callable[[ModelInputs], np.ndarray], corrected: Ensemble | None = None) -> Compute:
    """Function from grid to forecasts of a fixed shape; rows without features are NaN.

    Forecasts of the ensemble `corrected` include the online correction, as served.
    """

    def compute(grid: CandleGrid, rows: int) -> np.ndarray:
        inputs = window_inputs(grid, rows, corrected, np.ones((grid.n_markets, rows), dtype=bool))
        usable = np.isfinite(inputs.features[:, 0])
        filled = replace(
            inputs,
            features=np.nan_to_num(inputs.features, nan=0.0),
            close=np.where(usable, inputs.close, 1.0),
            sigma=np.where(usable, inputs.sigma, 1e-3),
        )
        forecasts = np.array(forecast_rows(filled), dtype=np.float64)
        forecasts[~usable] = np.nan
        return forecasts.reshape(grid.n_markets, rows, -1)

    return compute


@dataclass(frozen=True)
class Output:
    """Outputs of one kind of champion that are checked."""

    columns: Callable[[Sequence[int]], Iterable[str]]
    """Horizons to names of the columns."""
    compute: Callable[[Any, ModelInputs], np.ndarray]
    """Estimator and inputs to the columns."""
    corrected: bool = False
    """Whether they are served with the online correction."""


OUTPUTS = {
    RANGE: Output(
        lambda horizons: (
            f"{side}_{h}_q{level}" for side in ("high", "low") for h in horizons for level in range(1, 8)
        ),
        _ranges,
        corrected=True,
    ),
    TPSL: Output(
        lambda horizons: (f"{side}_{h}_p{part}" for h in horizons for side in ("buy", "sell") for part in range(3)),
        _brackets,
    ),
    SIGNAL: Output(
        lambda _horizons: ("p_buy", "p_sell", "p_hold"), lambda classifier, inputs: classifier.predict(inputs.features)
    ),
}


def subjects(ensemble: Ensemble | None) -> Iterator[Subject]:
    """Yield features, sigma, and the outputs of the existing champions."""
    yield Subject("features", installed().names, build_features)
    yield Subject("training features", installed().names, trained_features)
    yield Subject("sigma", ("sigma",), lambda grid, rows: ewm_sigma(grid, rows)[:, :, None])
    if ensemble is None:
        return
    for kind, estimator in ensemble.estimators.items():
        output = OUTPUTS[kind]
        corrected = ensemble if output.corrected else None
        served = _forecasts(partial(output.compute, estimator), corrected)
        yield Subject(kind, tuple(output.columns(estimator.horizons)), served, reach_of(corrected))
    if ensemble.range_predictor is not None and ensemble.range_predictor.novelty.guard.active:
        yield Subject("distrust", ("distrusted",), partial(_suppressed, ensemble), reach_of(ensemble))


def mutated_candles(ensemble: Ensemble | None) -> int:
    """Candles that are mutated after an instant: more than the longest horizon of the champions."""
    estimators = ensemble.estimators.values() if ensemble is not None else ()
    horizons = [horizon for one in estimators for horizon in one.horizons]
    return max([MUTATED_CANDLES, *(horizon + 8 for horizon in horizons)])


def examine(grid: CandleGrid, ensemble: Ensemble | None, *, instants: int, parity_rows: int, seed: int) -> Verdict:
    """Mutate the future at random instants, compare live with batch, and check seeded leaks."""
    generator, names = np.random.default_rng(seed), installed().names
    ahead = mutated_candles(ensemble)
    chosen = draw(grid, instants, generator, after=ahead)
    reports = {}
    for subject in subjects(ensemble):
        # With fewer candles there is no online correction.
        window = min(WARMUP + subject.reach, len(grid) - ahead)
        at = draw(grid, instants, generator, after=ahead, window=window) if subject.reach else chosen
        reports[subject.name] = check_leakage(
            subject.compute, subject.columns, grid, at, warmup=window, ahead=ahead, generator=generator
        )
    at = draw(grid, parity_rows, generator, after=0)
    mismatches = [
        mismatch
        for batch in (build_features, trained_features)
        for mismatch in check_parity(build_features, names, grid, at, warmup=WARMUP, batch=batch)
    ]
    if parity_rows:
        recent = grid.tail(WARMUP + min(LIVE_ROWS, len(grid) - WARMUP + 1) - 1)
        positions = range(WARMUP - 1, len(recent))
        mismatches += check_parity(build_features, names, recent, positions, warmup=WARMUP, batch=live_features)
    caught = {
        name: not check_leakage(leaky, names, grid, chosen[:3], warmup=WARMUP, ahead=ahead, generator=generator).clean
        for name, leaky in seeded_leaks(build_features)
    }
    return Verdict(reports, mismatches, parity_rows, caught)


def draw(
    grid: CandleGrid, count: int, generator: np.random.Generator, *, after: int, window: int = WARMUP
) -> Sequence[int]:
    """Random positions with a candle, a window before and `after` candles after."""
    first, stop = window - 1, len(grid) - after
    positions = first + np.flatnonzero(grid.present[:, first:stop].any(axis=0))
    if not len(positions):
        raise FeatureError(f"no candle has {window} instants before it and {after} after it")
    return [int(at) for at in np.sort(generator.choice(positions, size=count))]
