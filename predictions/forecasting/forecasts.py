"""Forecasts from candles: the one function behind the live path, REST and replay.

Vectorised over markets and candles. Nothing here reads a database or a clock; a row depends on
the candles up to it and on the ensemble alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.features import WARMUP, installed
from marketdata import clock
from modelregistry.estimators.ensemble import Ensemble, disagreements
from modelregistry.estimators.forecast import RangeForecast
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.kinds import RANGE, TPSL
from modelregistry.estimators.tpsl_classifier import BracketView
from predictions import reasons as codes
from predictions.live.online_correction import window_inputs
from predictions.reasons import in_order

RECENT = 73
"""An absent candle among this many newest ones is a refusal: they weigh most in the features."""
ABSENT_SHARE = 0.02
"""Largest share of the window for which the exchange itself may have no candles."""
UNTRAINED = "market not in training set"

Stretch = tuple[int, int]
"""Open of the first absent candle and of the first one after the gap, ms."""


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Forecasts and refusals of the ensemble for the last r candles of m markets.

    Arrays of forecasts have one row per candle that could be forecast, market by market, oldest
    first; `position` is the row of a candle, -1 where there is none.
    """

    open_time: npt.NDArray[np.int64]
    close: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]
    window: dict[str, npt.NDArray[np.bool_]]
    champions: dict[str, dict[str, npt.NDArray[np.bool_]]]
    details: dict[str, str]
    position: npt.NDArray[np.int64]
    inputs: ModelInputs
    suppressed_flags: npt.NDArray[np.bool_]
    """Rows flagged as out of distribution whose flag the guard suppresses."""
    unknown_markets: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    """By symbol, rows of shape (m, r) whose features lacked that market's candles; replay repeats it."""
    unknown_columns: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    """By further column of candles, the same."""
    ranges: RangeForecast | None = None
    brackets: BracketView | None = None
    degradations: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def refusals(self, market: int, row: int, kinds: Sequence[str] = (RANGE,)) -> list[str]:
        """Reason codes for which the estimators of `kinds` refuse this candle; empty if none."""
        found = {code for code, flags in self.window.items() if flags[market, row]}
        for kind in kinds:
            found |= {code for code, flags in self.champions[kind].items() if flags[market, row]}
        return in_order(found)

    def degraded(self, market: int, row: int) -> list[str]:
        """Reason codes that degrade the forecast of this candle."""
        at = self.position[market, row]
        return in_order({code for code, flags in self.degradations.items() if at >= 0 and flags[at]})

    def notes(self, market: int, row: int) -> dict[str, str]:
        """Details that are no reasons: a suppressed out-of-distribution flag, and what features did not know."""
        at, found = self.position[market, row], {}
        if at >= 0 and self.suppressed_flags[at]:
            found[codes.OUT_OF_DISTRIBUTION] = codes.SUPPRESSED_FLAG_TEXT
        for key, names in (
            (codes.UNKNOWN_MARKETS, self.unknown_markets),
            (codes.UNKNOWN_COLUMNS, self.unknown_columns),
        ):
            if unknown := [name for name, flags in names.items() if flags[market, row]]:
                found[key] = ", ".join(sorted(unknown))
        return found

    def uncorrected(self, market: int, row: int) -> bool:
        """Whether online correction changed nothing because there is too little history."""
        at = self.position[market, row]
        factors = self.inputs.log_factors
        return factors is not None and at >= 0 and not factors[at].any()

    def explain(self, reasons: Sequence[str]) -> dict[str, str]:
        """Texts of the given reason codes."""
        return {code: self.details.get(code, codes.REASON_TEXTS[code]) for code in reasons}


def forecast_candles(
    grid: CandleGrid,
    rows: int,
    ensemble: Ensemble | None,
    *,
    symbols: Sequence[str],
    history: Sequence[int | None],
    absences: Sequence[Sequence[Stretch]],
    max_age_days: int,
    wanted: npt.NDArray[np.bool_] | None = None,
    newest: ModelInputs | None = None,
) -> Forecasts:
    """Forecast the last `rows` candles of every market.

    Parameters
    ----------
    grid : CandleGrid
        m markets, at least ``WARMUP + rows - 1`` candles up to the newest one to forecast, and
        :func:`~predictions.live.online_correction.reach_of` more where the forecast is corrected.
    rows : int
        Number of newest candles.
    ensemble : Ensemble or None
        The champions, or the versions chosen for a replay; None without any.
    symbols : sequence of str
        Symbol of each market.
    history : sequence of int or None
        Open time in ms of the oldest stored candle of each market.
    absences : sequence of sequences of (start, end)
        Stretches for which the exchange of each market is known to have no candles, ms.
    max_age_days : int
        A version whose training ended longer before a candle's close is expired.
    wanted : bool array of shape (m, rows), optional
        Candles to forecast; all by default. It saves work and changes no number.
    newest : ModelInputs, optional
        Inputs of the newest candle of the m markets, if already computed; `rows` is 1 then.
    """
    window = _window_refusals(grid, rows, history, absences)
    champions = _champion_refusals(grid, rows, ensemble, symbols, max_age_days)
    # Copies: a window in memory moves on while its forecasts are kept.
    present = grid.present[:, -rows:].copy()
    selected = present.copy() if wanted is None else present & wanted
    for flags in window.values():
        selected &= ~flags
    if ensemble is None:
        selected[:] = False
    position = np.full(selected.shape, -1, dtype=np.int64)
    position[selected] = np.arange(selected.sum())
    close = grid.close[:, -rows:].copy()
    forecasts = Forecasts(
        open_time=grid.open_time[-rows:],
        close=close,
        present=present,
        window=window,
        champions=champions,
        details={codes.NO_CHAMPION: UNTRAINED} if ensemble is not None and ensemble.versions else {},
        position=position,
        inputs=ModelInputs(np.zeros((0, 0), dtype=np.float32), np.zeros(0), np.zeros(0)),
        suppressed_flags=np.zeros(0, dtype=np.bool_),
        unknown_markets=_unknown_markets(grid, rows, ensemble),
        unknown_columns=_unknown_columns(grid, rows, ensemble),
    )
    if ensemble is None or not selected.any():
        return forecasts
    if newest is not None:
        return _evaluate(forecasts, ensemble, newest.take(selected[:, 0]))
    return _evaluate(forecasts, ensemble, window_inputs(grid, rows, ensemble, selected))


def _evaluate(forecasts: Forecasts, ensemble: Ensemble, inputs: ModelInputs) -> Forecasts:
    """Call every estimator once for all rows."""
    brackets = ensemble.tpsl.view(inputs) if ensemble.tpsl is not None else None
    flagged, suppresses = ensemble.out_of_distribution(inputs.features), inputs.guard_suppresses
    suppressed_flags = np.zeros_like(flagged) if suppresses is None else flagged & suppresses
    degradations = {codes.OUT_OF_DISTRIBUTION: flagged & ~suppressed_flags}
    ranges = None
    if ensemble.range_predictor is not None:
        ranges = ensemble.range_predictor.predict(inputs)
        degradations[codes.INTERVAL_TOO_WIDE] = ensemble.range_predictor.is_too_wide(ranges)
        degradations[codes.MODELS_DISAGREE] = disagreements(ranges, brackets)
    return replace(
        forecasts,
        inputs=inputs,
        suppressed_flags=suppressed_flags,
        ranges=ranges,
        brackets=brackets,
        degradations=degradations,
    )


def _window_refusals(
    grid: CandleGrid, rows: int, history: Sequence[int | None], absences: Sequence[Sequence[Stretch]]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Flags of WARMUP and GAP_IN_WINDOW, shape (m, rows) each."""
    shape = (grid.n_markets, rows)
    warmup, gap = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    times = grid.open_time
    if grid.present.all():
        return {codes.WARMUP: warmup, codes.GAP_IN_WINDOW: gap}
    first = len(grid) - rows - (WARMUP - 1)
    for market, stretches in enumerate(absences):
        begins = history[market]
        if begins is None:
            warmup[market] = True
            continue
        warmup[market] = times[first : first + rows] < begins
        missing = ~grid.present[market] & (times >= begins)
        if not missing.any():
            continue
        absent = np.zeros(len(times), dtype=bool)
        for start, end in stretches:
            absent |= (times >= start) & (times < end)
        absent &= missing
        gap[market] = _count(missing & ~absent, rows, WARMUP) > 0
        gap[market] |= _count(absent, rows, RECENT) > 0
        gap[market] |= _count(absent, rows, WARMUP) > ABSENT_SHARE * WARMUP
    return {codes.WARMUP: warmup, codes.GAP_IN_WINDOW: gap}


def _unknown_markets(grid: CandleGrid, rows: int, ensemble: Ensemble | None) -> dict[str, npt.NDArray[np.bool_]]:
    """Rows whose features lack a candle of another market that the ensemble reads, by symbol."""
    found = {}
    for symbol in _names_read(ensemble, installed().markets_read):
        flags = np.ones((grid.n_markets, rows), dtype=bool)
        if symbol in grid.others:
            flags[:] = _count(~grid.others[symbol].present[0], rows, WARMUP) > 0
        if symbol in grid.late:
            flags |= grid.late[symbol][:, -rows:]
        found[symbol] = flags
    return found


def _unknown_columns(grid: CandleGrid, rows: int, ensemble: Ensemble | None) -> dict[str, npt.NDArray[np.bool_]]:
    """Rows whose features lack a further column of candles that the ensemble reads, by its name."""
    found = {}
    for name in _names_read(ensemble, installed().columns_read):
        flags = np.ones((grid.n_markets, rows), dtype=bool)
        if name in grid.further:
            lacking = grid.present & ~np.isfinite(grid.further[name])
            flags = np.stack([_count(one, rows, WARMUP) > 0 for one in lacking])
        if name in grid.late:
            flags |= grid.late[name][:, -rows:]
        found[name] = flags
    return found


def _names_read(ensemble: Ensemble | None, names_of: Callable[[Sequence[int] | None], tuple[str, ...]]) -> list[str]:
    """Names that the features of an ensemble's estimators read."""
    estimators = ensemble.estimators.values() if ensemble is not None else ()
    return sorted(
        {name for one in estimators for name in names_of(None if one.columns is None else one.columns.tolist())}
    )


def _count(flags: npt.NDArray[np.bool_], rows: int, window: int) -> npt.NDArray[np.int64]:
    """Number of set flags among the last `window`, for each of the last `rows` positions."""
    total = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    ends = np.arange(len(flags) - rows + 1, len(flags) + 1)
    counts: npt.NDArray[np.int64] = total[ends] - total[ends - window]
    return counts


def _champion_refusals(
    grid: CandleGrid, rows: int, ensemble: Ensemble | None, symbols: Sequence[str], max_age_days: int
) -> dict[str, dict[str, npt.NDArray[np.bool_]]]:
    """Flags of NO_CHAMPION and MODEL_EXPIRED per kind, shape (m, rows) each."""
    closes_at = grid.open_time[-rows:] + grid.interval_ms
    found: dict[str, dict[str, npt.NDArray[np.bool_]]] = {}
    for kind in (RANGE, TPSL):
        none, expired = (np.zeros((len(symbols), rows), dtype=bool) for _ in range(2))
        if ensemble is None or kind not in ensemble.versions:
            none[:] = True
        else:
            none[:] = np.array([symbol not in ensemble.symbols.get(kind, ()) for symbol in symbols])[:, None]
            limit = clock.to_ms(ensemble.trained_until[kind] + timedelta(days=max_age_days))
            expired[:] = closes_at > limit
        found[kind] = {codes.NO_CHAMPION: none, codes.MODEL_EXPIRED: expired}
    return found
