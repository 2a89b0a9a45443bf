"""What the leakage check examines: features as trained on and as served, sigma, every value of the champions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.errors import FeatureError
from indicators.features import FEATURE_NAMES, WARMUP, NewestFeatures, build_features, iter_features
from indicators.leakage import Compute, LeakReport, check_leakage, seeded_leaks
from indicators.parity import Mismatch, check_parity
from indicators.volatility import ewm_sigma
from predictions.correcting import lately, log_factors, reach_of

AHEAD = 80
"""Candles mutated after an instant: more than the longest horizon."""


@dataclass(frozen=True)
class Subject:
    """Something that must not see the future."""

    name: str
    columns: tuple[str, ...]
    compute: Compute
    reach: int = 0
    """Candles read before the warm-up."""


@dataclass(frozen=True)
class Verdict:
    """What the check found."""

    reports: dict[str, LeakReport]
    mismatches: list[Mismatch]
    parity_rows: int
    caught: dict[str, bool]
    unexamined: dict[str, str] = field(default_factory=dict)
    """What should have been examined and was not, and why."""

    @property
    def clean(self) -> bool:
        """Everything was examined, nothing leaks, all paths agree, and every seeded leak was caught."""
        no_leak = all(report.clean for report in self.reports.values())
        return no_leak and not self.mismatches and all(self.caught.values()) and not self.unexamined


LIVE_ROWS = 24
"""Candles the live path takes in one after the other to be compared."""


TRAINED_ROWS = 700
"""Rows a training is given at a time to be compared: each block continues the one before."""


def trained_features(grid: CandleGrid, rows: int) -> np.ndarray:
    """Features as a training computes them: block after block."""
    return np.concatenate([block for _, block in iter_features(grid.tail(WARMUP + rows - 1), TRAINED_ROWS)], axis=1)


def live_features(grid: CandleGrid, rows: int) -> np.ndarray:
    """Features as the live path computes them: candle after candle, from memory."""
    newest = NewestFeatures.from_grid(grid.span(0, len(grid) - rows + 1))
    found = [newest.rows()[0]]
    for at in range(len(grid) - rows + 1, len(grid)):
        newest.push(int(grid.open_time[at]), np.stack([getattr(grid, name)[:, at] for name in CANDLE_COLUMNS]))
        found.append(newest.rows()[0])
    return np.stack(found, axis=1)


def subjects(ensemble: Any) -> Iterator[Subject]:
    """Yield features, sigma, and the outputs of the champions there are."""
    yield Subject("features", FEATURE_NAMES, build_features)
    yield Subject("training features", FEATURE_NAMES, trained_features)
    yield Subject("sigma", ("sigma",), lambda grid, rows: ewm_sigma(grid, rows)[:, :, None])
    if ensemble is None:
        return
    if ensemble.range_predictor is not None:
        names = [
            f"{side}_{horizon}_q{level}"
            for side in ("high", "low")
            for horizon in ensemble.horizons
            for level in range(1, 8)
        ]
        served = _answers(lambda *rows: _ranges(ensemble, *rows), ensemble)
        yield Subject("range_predictor", tuple(names), served, reach_of(ensemble))
        if ensemble.range_predictor.novelty.guard.active:
            distrust = partial(_distrust, ensemble)
            yield Subject("distrust", ("distrusted",), distrust, reach_of(ensemble))
    if ensemble.tpsl is not None:
        names = [f"{side}_{horizon}_p{part}" for horizon in ensemble.tpsl.horizons for side, part in _PARTS]
        yield Subject("tpsl_classifier", tuple(names), _answers(lambda *rows: _brackets(ensemble, *rows)))
    if ensemble.signal is not None:
        columns = ("p_buy", "p_sell", "p_hold")
        yield Subject("signal_classifier", columns, _answers(lambda features, *_: ensemble.direction(features)))


_PARTS = [(side, part) for side in ("buy", "sell") for part in range(3)]


def _distrust(ensemble: Any, grid: CandleGrid, rows: int) -> np.ndarray:
    """Whether the measure of strangeness is not believed, as 0 and 1."""
    found = lately(grid, rows, ensemble, np.ones((grid.n_markets, rows), dtype=bool))[1]
    shape = (grid.n_markets, rows, 1)
    return np.zeros(shape) if found is None else found.astype(np.float64).reshape(shape)


def _ranges(
    ensemble: Any, features: np.ndarray, close: np.ndarray, sigma: np.ndarray, factors: np.ndarray | None
) -> np.ndarray:
    forecast = ensemble.forecast(features, close, sigma, factors)
    return np.concatenate([forecast.high.reshape(len(close), -1), forecast.low.reshape(len(close), -1)], axis=1)


def _brackets(ensemble: Any, features: np.ndarray, close: np.ndarray, sigma: np.ndarray, _: object) -> np.ndarray:
    found = []
    for horizon in ensemble.tpsl.horizons:
        reach = sigma * np.sqrt(horizon)
        above, below = close * np.exp(reach), close * np.exp(-reach)
        found.append(ensemble.probabilities(features, close, sigma, horizon, "buy", above, below))
        found.append(ensemble.probabilities(features, close, sigma, horizon, "sell", below, above))
    return np.concatenate(found, axis=1)


def _answers(ask: Any, corrected: Any = None) -> Compute:
    """From grid to answers; rows without features are NaN, and the batch keeps its shape whatever is missing.

    Forecasts of the ensemble `corrected` are asked for as they are served.
    """

    def compute(grid: CandleGrid, rows: int) -> np.ndarray:
        features = build_features(grid, rows)
        usable = np.isfinite(features).all(axis=2)
        close = np.where(usable, grid.close[:, -rows:], 1.0).ravel()
        sigma = np.where(usable, ewm_sigma(grid, rows), 1e-3).ravel()
        factors = log_factors(grid, rows, corrected, np.ones_like(usable)) if corrected is not None else None
        said = ask(np.nan_to_num(features.reshape(len(close), -1), nan=0.0), close, sigma, factors)
        shaped = np.asarray(said, dtype=np.float64).reshape(*usable.shape, -1).copy()
        shaped[~usable] = np.nan
        return shaped

    return compute


def examine(grid: CandleGrid, ensemble: Any, *, instants: int, parity_rows: int, seed: int) -> Verdict:
    """Mutate the future at random instants for every subject, compare live with batch, and test the test."""
    generator = np.random.default_rng(seed)
    chosen = draw(grid, instants, generator, after=AHEAD)
    reports = {}
    for subject in subjects(ensemble):
        # On fewer candles than that nothing is corrected.
        window = min(WARMUP + subject.reach, len(grid) - AHEAD)
        at = draw(grid, instants, generator, after=AHEAD, window=window) if subject.reach else chosen
        reports[subject.name] = check_leakage(
            subject.compute, subject.columns, grid, at, warmup=window, ahead=AHEAD, generator=generator
        )
    at = draw(grid, parity_rows, generator, after=0)
    mismatches = [
        mismatch
        for batch in (build_features, trained_features)
        for mismatch in check_parity(build_features, FEATURE_NAMES, grid, at, warmup=WARMUP, batch=batch)
    ]
    if parity_rows:
        recent = grid.tail(WARMUP + min(LIVE_ROWS, len(grid) - WARMUP + 1) - 1)
        positions = range(WARMUP - 1, len(recent))
        mismatches += check_parity(build_features, FEATURE_NAMES, recent, positions, warmup=WARMUP, batch=live_features)
    caught = {
        name: not check_leakage(
            leaky, FEATURE_NAMES, grid, chosen[:3], warmup=WARMUP, ahead=AHEAD, generator=generator
        ).clean
        for name, leaky in seeded_leaks(build_features)
    }
    return Verdict(reports, mismatches, parity_rows, caught)


def draw(
    grid: CandleGrid, count: int, generator: np.random.Generator, *, after: int, window: int = WARMUP
) -> Sequence[int]:
    """Positions with a candle, their window before them and `after` candles behind."""
    first, stop = window - 1, len(grid) - after
    held = first + np.flatnonzero(grid.present[:, first:stop].any(axis=0))
    if not len(held):
        raise FeatureError(f"no candle has {window} instants before it and {after} after it")
    return [int(at) for at in np.sort(generator.choice(held, size=count))]
