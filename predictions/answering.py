"""From candles to answers: the one function behind the live path, REST and replay.

Vectorised over markets and candles. Nothing here reads a database or a clock; what a row says
depends on the candles up to it and on the ensemble alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from indicators.candles import CandleGrid
from indicators.features import WARMUP, build_features
from indicators.volatility import ewm_sigma
from marketdata import clock
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.forecast import RangeForecast
from modelregistry.estimators.tpsl_classifier import BracketView
from predictions import reasons as codes
from predictions.correcting import lately
from predictions.reasons import in_order

RECENT = 73
"""An absent candle among this many newest ones refuses: the estimators lean on them most."""
ABSENT_SHARE = 0.02
"""Largest share of the window the exchange itself may lack."""
RANGE, TPSL = "range_predictor", "tpsl_classifier"
UNTRAINED = "market not in training set"

Stretch = tuple[int, int]
"""Open of the first absent candle and of the first one after the hole, ms."""
Lately = tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.bool_] | None]
"""Where forecasts are corrected, logs of the factors; where strangeness is guarded, whether it is not believed."""
Newest = tuple[
    npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.float64] | None, npt.NDArray[np.bool_] | None
]
"""Features, volatility, and both parts of :data:`Lately`, of the newest candle of m markets."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What the ensemble says about the last r candles of m markets, and where it must not speak.

    Arrays of answers have one row per candle that could be answered, market by market, oldest
    first; `position` finds a candle's row, -1 where there is none.
    """

    open_time: npt.NDArray[np.int64]
    close: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]
    window: dict[str, npt.NDArray[np.bool_]]
    champions: dict[str, dict[str, npt.NDArray[np.bool_]]]
    details: dict[str, str]
    position: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    closes: npt.NDArray[np.float64]
    sigma: npt.NDArray[np.float64]
    corrections: npt.NDArray[np.float64] | None = None
    """Logs of the factors of the forecast's quantiles; None where it is not corrected."""
    distrusted: npt.NDArray[np.bool_] | None = None
    """Whether the measure of strangeness is not believed; None where it is not guarded."""
    unbelieved: npt.NDArray[np.bool_] | None = None
    """Where it called a row strange all the same."""
    forecast: RangeForecast | None = None
    view: BracketView | None = None
    doubts: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def refusals(self, market: int, row: int, kinds: Sequence[str] = (RANGE,)) -> list[str]:
        """Why the estimators of `kinds` must not answer for this candle; empty when they may."""
        said = {code for code, flags in self.window.items() if flags[market, row]}
        for kind in kinds:
            said |= {code for code, flags in self.champions[kind].items() if flags[market, row]}
        return in_order(said)

    def degraded(self, market: int, row: int) -> list[str]:
        """Why an answer that is given should be doubted."""
        at = self.position[market, row]
        return in_order({code for code, flags in self.doubts.items() if at >= 0 and flags[at]})

    def notes(self, market: int, row: int) -> dict[str, str]:
        """What is to be told beside the reasons: a doubt that was not believed."""
        at = self.position[market, row]
        if self.unbelieved is None or at < 0 or not self.unbelieved[at]:
            return {}
        return {codes.OUT_OF_DISTRIBUTION: codes.UNBELIEVED}

    def uncorrected(self, market: int, row: int) -> bool:
        """Whether an answer stands as it was forecast, for want of history, though its version corrects itself."""
        at = self.position[market, row]
        return self.corrections is not None and at >= 0 and not self.corrections[at].any()

    def explain(self, said: Sequence[str]) -> dict[str, str]:
        """Put reasons into words."""
        return {code: self.details.get(code, codes.WORDS[code]) for code in said}


def answer(
    grid: CandleGrid,
    rows: int,
    ensemble: Ensemble | None,
    *,
    symbols: Sequence[str],
    history: Sequence[int | None],
    absences: Sequence[Sequence[Stretch]],
    max_age_days: int,
    wanted: npt.NDArray[np.bool_] | None = None,
    newest: Newest | None = None,
) -> Answers:
    """Answer for the last `rows` candles of every market.

    Parameters
    ----------
    grid : CandleGrid
        m markets, at least ``WARMUP + rows - 1`` candles up to the newest one to answer for, and
        :func:`~predictions.correcting.reach_of` more where the forecast is corrected.
    rows : int
        Number of newest candles.
    ensemble : Ensemble or None
        The champions, or a choice of versions in replay; None where there is none.
    symbols : sequence of str
        Symbol of each market.
    history : sequence of int or None
        Open time in ms of the oldest stored candle of each market.
    absences : sequence of sequences of (start, end)
        Stretches each market's exchange is known to lack, ms.
    max_age_days : int
        A version whose training ended longer before a candle's close is expired.
    wanted : bool array of shape (m, rows), optional
        Candles to answer for; all by default. It saves work and changes no number.
    newest : Newest, optional
        Features, volatility, correction and distrust of the newest candle, where they are known already; `rows` is 1
        then.

    Returns
    -------
    Answers
    """
    window = _window_refusals(grid, rows, history, absences)
    champions = _champion_refusals(grid, rows, ensemble, symbols, max_age_days)
    # Copies: a window held in memory goes on while its answers are kept.
    present = grid.present[:, -rows:].copy()
    asked = present.copy() if wanted is None else present & wanted
    for flags in window.values():
        asked &= ~flags
    if ensemble is None:
        asked[:] = False
    position = np.full(asked.shape, -1, dtype=np.int64)
    position[asked] = np.arange(asked.sum())
    close = grid.close[:, -rows:].copy()
    said = Answers(
        open_time=grid.open_time[-rows:],
        close=close,
        present=present,
        window=window,
        champions=champions,
        details={codes.NO_CHAMPION: UNTRAINED} if ensemble is not None and ensemble.versions else {},
        position=position,
        closes=close[asked],
        features=np.zeros((0, 0), dtype=np.float32),
        sigma=np.zeros(0),
    )
    if ensemble is None or not asked.any():
        return said
    if newest is not None:
        chosen = asked[:, 0]
        features, sigma = newest[0][chosen], newest[1][chosen]
        found: Lately = (
            None if newest[2] is None else newest[2][chosen],
            None if newest[3] is None else newest[3][chosen],
        )
    else:
        features, sigma = build_features(grid, rows)[asked], ewm_sigma(grid, rows)[asked]
        found = lately(grid, rows, ensemble, asked)
    return _ask(said, ensemble, features, sigma, found)


def _ask(
    said: Answers,
    ensemble: Ensemble,
    features: npt.NDArray[np.float32],
    sigma: npt.NDArray[np.float64],
    found: Lately,
) -> Answers:
    """Call every estimator once for all rows."""
    corrections, distrusted = found
    rows = features, said.closes, sigma
    forecast = ensemble.forecast(*rows, corrections) if ensemble.range_predictor is not None else None
    view = ensemble.view(*rows) if ensemble.tpsl is not None else None
    strange = ensemble.out_of_distribution(features)
    doubts = {codes.OUT_OF_DISTRIBUTION: strange if distrusted is None else strange & ~distrusted}
    if forecast is not None:
        doubts[codes.INTERVAL_TOO_WIDE] = ensemble.too_wide(forecast)
        doubts[codes.MODELS_DISAGREE] = ensemble.disagreements(*rows, forecast, view)
    return replace(
        said,
        features=features,
        sigma=sigma,
        corrections=corrections,
        distrusted=distrusted,
        unbelieved=None if distrusted is None else strange & distrusted,
        forecast=forecast,
        view=view,
        doubts=doubts,
    )


def _window_refusals(
    grid: CandleGrid, rows: int, history: Sequence[int | None], absences: Sequence[Sequence[Stretch]]
) -> dict[str, npt.NDArray[np.bool_]]:
    """WARMUP and GAP_IN_WINDOW, shape (m, rows) each."""
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


def _count(flags: npt.NDArray[np.bool_], rows: int, window: int) -> npt.NDArray[np.int64]:
    """How many of the last `window` flags are set, for each of the last `rows` positions."""
    total = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    ends = np.arange(len(flags) - rows + 1, len(flags) + 1)
    counts: npt.NDArray[np.int64] = total[ends] - total[ends - window]
    return counts


def _champion_refusals(
    grid: CandleGrid, rows: int, ensemble: Ensemble | None, symbols: Sequence[str], max_age_days: int
) -> dict[str, dict[str, npt.NDArray[np.bool_]]]:
    """NO_CHAMPION and MODEL_EXPIRED per kind, shape (m, rows) each."""
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
