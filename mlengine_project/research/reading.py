"""What research reads from the database, and computes from candles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from django.conf import settings

from indicators.candles import INTERVAL_MS, CandleGrid
from indicators.errors import MLEngineError
from indicators.features import WARMUP, FeatureSet, installed, iter_features
from indicators.kernels import window_max, window_min
from indicators.labels import future_range
from marketdata import clock
from marketdata.models import Candle, Market
from marketdata.storage import candles as store
from mlengine_project.research.event_loop import reads_database
from mlengine_project.research.samples import Samples
from mlengine_project.research.times import Time, milliseconds
from mlengine_project.research.values import SIDES, Candles, Forecasts, Values
from modelregistry import registry
from modelregistry.dataset.rows import build_dataset
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.inputs import own_features
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.evaluation.baselines.regressions import SEASON_DAYS, SLOTS
from modelregistry.models import ModelVersion
from modelregistry.registry.status import default_source
from modelregistry.registry.version_state import state_of
from predictions.forecasting.forecast_batch import ForecastBatch, forecast_span
from predictions.forecasting.range_table import BatchCandles, range_rows

if TYPE_CHECKING:
    import pandas as pd

HISTORY = WARMUP + SEASON_DAYS * SLOTS
"""Candles read before a period: the warm-up of features and the seasonal profile of the baselines."""


@reads_database
def markets() -> pd.DataFrame:
    """Markets with their source, whether they are enabled, and opens of the first and the last stored candle."""
    import pandas as pd

    columns = ["symbol", "source", "enabled", "first", "last"]
    rows = []
    for market in Market.objects.order_by("symbol", "source"):
        opens = Candle.objects.filter(market=market).order_by("open_time").values_list("open_time", flat=True)
        ends = [pd.Timestamp(at, unit="ms", tz="UTC") if at else pd.NaT for at in (opens.first(), opens.last())]
        rows.append([market.symbol, market.source, market.enabled, *ends])
    return pd.DataFrame(rows, columns=columns)


@reads_database
def versions() -> pd.DataFrame:
    """Model versions, newest first: what `forecasts` and `evaluate` take by digest."""
    import pandas as pd

    rows = [
        [
            version.digest[:12],
            version.kind,
            version.source,
            str(state_of(version).stage),
            list(version.horizons),
            list(version.symbols),
            version.trained_from,
            version.trained_until,
        ]
        for version in ModelVersion.objects.order_by("-created_at")
    ]
    names = ["digest", "kind", "source", "stage", "horizons", "symbols", "trained_from", "trained_until"]
    return pd.DataFrame(rows, columns=names)


@reads_database
def candles(symbols: str | Sequence[str], start: Time, end: Time, source: str | None = None) -> Candles:
    """Read the candles that open from `start` up to `end`, exclusive, and the history before them.

    Parameters
    ----------
    symbols : str or sequence of str
    start, end : Time
        See `mlengine_project.research.times`; UTC without a zone.
    source : {"exchange", "simulated"}, optional
        By default that of the enabled markets.

    Raises
    ------
    MLEngineError
        If a market is not known, or the period is empty.
    """
    chosen = _markets(symbols, source)
    first, until = _period(start, end)
    grid = store.load_span(chosen, first - HISTORY * INTERVAL_MS, until)
    return Candles(tuple(market.symbol for market in chosen), grid, int(np.searchsorted(grid.open_time, first)))


def features(of: Candles, columns: FeatureSet | None = None) -> Values:
    """Features of every candle of the period, with the bits of training and of the live path.

    They look back only: each row reads its last 4,104 candles. A row is wholly NaN where too many of them are missing.

    Parameters
    ----------
    of : Candles
    columns : FeatureSet, optional
        What to compute; by default what is installed (`EXTRA_FEATURES`).

    Examples
    --------
    >>> steps = np.sin(np.arange(WARMUP + 2.0))[None] / 1e3
    >>> prices = np.exp(np.cumsum(steps, axis=1))
    >>> grid = CandleGrid(np.arange(WARMUP + 2) * 300_000, prices, prices, prices, prices, prices)
    >>> found = features(Candles(("BTCUSDT",), grid, start=WARMUP))
    >>> found.array.shape == (2, len(installed().names)), found.to_pandas().day_sin_1.astype(float).round(3).tolist()
    (True, [1.0, 0.999])
    """
    columns = columns or installed()
    begin = max(of.start - (WARMUP - 1), 0)
    built = np.full((len(of.symbols), len(of.open_time), len(columns.names)), np.nan, dtype=np.float32)
    for span, block in iter_features(of.grid.span(begin, len(of.grid)), features=columns):
        first = span.start + begin - of.start
        skipped = max(-first, 0)  # rows of history where there is more than the warm-up
        built[:, first + skipped : first + block.shape[1]] = block[:, skipped:]
    return of.at(built, (("feature", columns.names),))


def labels(of: Candles, horizons: Sequence[int] | None = None) -> Values:
    """``ln(H / C)`` and ``ln(C / L)`` over the next candles: shape (n, n_horizons, 2).

    They look ahead, and only inside the period: the last rows are NaN.

    Parameters
    ----------
    of : Candles
    horizons : sequence of int, optional
        Candles; by default `DEFAULT_HORIZONS`.

    Examples
    --------
    >>> prices = np.array([[1.0, 2.0, 1.0]])
    >>> grid = CandleGrid(np.arange(3) * 300_000, prices, prices, prices, prices, prices)
    >>> labels(Candles(("BTCUSDT",), grid), horizons=[2]).to_pandas()[2, "high"].round(3).tolist()
    [0.693, nan, nan]
    """
    horizons = tuple(horizons or settings.DEFAULT_HORIZONS)
    found = np.stack([np.stack(future_range(of.period, horizon), axis=-1) for horizon in horizons], axis=2)
    return of.at(found, (("horizon", horizons), ("side", SIDES)))


def samples(of: Candles, horizons: Sequence[int] | None = None, stride: int = 1) -> Samples:
    """Rows of the period whose features and labels are known.

    Parameters
    ----------
    of : Candles
    horizons : sequence of int, optional
        Candles; by default `DEFAULT_HORIZONS`.
    stride : int, default 1
        Candles between rows of a market; neighbouring rows are nearly the same.
    """
    first = int(of.open_time[0]) if len(of.open_time) else None
    rows = build_dataset(of.grid, of.symbols, horizons or settings.DEFAULT_HORIZONS, stride, first=first)
    return Samples(rows.take(np.flatnonzero(rows.has_features)))


@reads_database
def forecasts(
    symbols: str | Sequence[str],
    start: Time,
    end: Time,
    versions: Sequence[str] = (),
    source: str | None = None,
) -> Forecasts:
    """Ranges that the champions, or other versions, would have forecast at every candle, with scale and outcomes.

    The same function serves live; online correction and refusals are in it. Outcomes may lie after `end`.

    Parameters
    ----------
    symbols : str or sequence of str
    start, end : Time
        Opens of the candles, from `start` up to `end`, exclusive.
    versions : sequence of str
        Ids, or beginnings of digests, at most one of each kind; by default the champions.
    source : {"exchange", "simulated"}, optional
        By default that of the enabled markets.

    Raises
    ------
    MLEngineError
        If a market or version is not known, the period is empty, or there is no range predictor.
    """
    chosen = _markets(symbols, source)
    first, until = _period(start, end)
    found = [registry.find_version(text) for text in versions]
    ensemble = registry.ensemble_of(found) if found else registry.load_ensemble(chosen[0].source)
    if ensemble is None or ensemble.range_predictor is None:
        raise MLEngineError("there is no range predictor to forecast with; train one or name a version")
    after = store.load_span(chosen, first, until + max(ensemble.horizons) * INTERVAL_MS)
    names = [market.symbol for market in chosen]
    parts = [_part(batch, names, ensemble, after) for batch, _ in forecast_span(chosen, first, until, ensemble)]
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((joined[1], joined[0].astype(str)))
    symbol, open_time, close, quantiles, scale, outcomes, reasons = (column[order] for column in joined)
    return Forecasts(symbol, open_time, close, ensemble.horizons, quantiles, scale, outcomes, reasons)


def _part(batch: ForecastBatch, names: list[str], ensemble: Ensemble, after: CandleGrid) -> list[npt.NDArray]:
    """Columns of the forecasts of one batch."""
    predictor, inputs = ensemble.range_predictor, batch.forecasts.inputs
    assert isinstance(predictor, RangePredictor)
    cells, shape = BatchCandles(batch.forecasts, names), (-1, len(ensemble.horizons))
    table = range_rows(cells, ensemble.horizons)
    quantiles = [
        np.stack([table[f"{side}_q{round(100 * level):02d}"].reshape(shape) for level in LEVELS], axis=2)
        for side in SIDES
    ]
    scale = np.full((len(cells), len(ensemble.horizons)), np.nan)
    forecast = np.isfinite(quantiles[0][:, 0, 0])
    if forecast.any():
        own = own_features(inputs.features, predictor.columns)
        scale[forecast] = np.exp(predictor.scale.log_scale(own, inputs.sigma))[cells.position[forecast]]
    at = (cells.open_time - after.open_time[0]) // INTERVAL_MS
    return [
        cells.symbol,
        cells.open_time,
        cells.close,
        np.stack(quantiles, axis=2),
        scale,
        _outcomes(after, ensemble.horizons)[cells.market, at],
        table["reasons"].reshape(shape)[:, 0],
    ]


def _outcomes(grid: CandleGrid, horizons: Sequence[int]) -> npt.NDArray[np.float64]:
    """Highest high and lowest low of the candles after each one, shape (m, n, n_horizons, 2)."""
    found = np.full((*grid.close.shape, len(horizons), 2), np.nan)
    for k, horizon in enumerate(horizons):
        rows = max(len(grid) - horizon, 0)
        if rows:
            found[:, :rows, k, 0] = window_max(grid.high[:, 1:], horizon, rows)
            found[:, :rows, k, 1] = window_min(grid.low[:, 1:], horizon, rows)
    return found


def _markets(symbols: str | Sequence[str], source: str | None) -> list[Market]:
    names = sorted({symbols} if isinstance(symbols, str) else set(symbols))
    source = source or default_source()
    known = {market.symbol: market for market in Market.objects.filter(source=source, symbol__in=names)}
    if missing := [name for name in names if name not in known] or (["(none named)"] if not names else []):
        raise MLEngineError(f"no market of {source} candles is called {', '.join(missing)}")
    return [known[name] for name in names]


def _period(start: Time, end: Time) -> tuple[int, int]:
    first, until = (-(-milliseconds(time) // INTERVAL_MS) * INTERVAL_MS for time in (start, end))
    if first >= until:
        raise MLEngineError(
            f"the period from {clock.to_datetime(first):%Y-%m-%d %H:%M} to "
            f"{clock.to_datetime(until):%Y-%m-%d %H:%M} holds no candle"
        )
    return first, until
