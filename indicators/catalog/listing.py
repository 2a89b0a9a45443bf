"""Every standard indicator of the catalogue, family by family."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from indicators.arrays import Floats
from indicators.candles import DAY_CANDLES
from indicators.catalog import momentum, trend, volatility, volume
from indicators.catalog.specification import Columns, Family, IndicatorSpec, Start

WILDER = trend.WILDER_REACH_WINDOWS
EXPONENTIAL = trend.EXPONENTIAL_REACH_WINDOWS
WEEK_CANDLES = 7 * DAY_CANDLES
INDEX = (0.0, 100.0)
POSITIVE = (0.0, np.inf)

Single = Callable[[Columns], Floats]
Windowed = Callable[[Columns, int], Floats]


def all_indicators() -> Iterator[IndicatorSpec]:
    """Yield every indicator."""
    yield from _trend()
    yield from _momentum()
    yield from _volatility()
    yield from _volume()


def _one(
    name: str,
    family: Family,
    units: str,
    warm_up: int,
    description: str,
    compute: Single,
    value_range: tuple[float, float] | None = None,
    start: Start = "window",
    **parameters: float,
) -> IndicatorSpec:
    """Specification of an indicator with one output of the same name."""
    return IndicatorSpec(
        name,
        family,
        parameters,
        units,
        warm_up,
        value_range,
        description,
        (name,),
        lambda columns: (compute(columns),),
        start,
    )


def _windowed(
    name: str,
    family: Family,
    units: str,
    settle: int,
    description: str,
    compute: Windowed,
    windows: tuple[int, ...],
    value_range: tuple[float, float] | None = None,
) -> Iterator[IndicatorSpec]:
    """Specifications of one indicator over several windows; warm-up is `settle` windows."""
    for window in windows:

        def single(columns: Columns, window: int = window) -> Floats:
            return compute(columns, window)

        text = description.format(window)
        yield _one(f"{name}_{window}", family, units, settle * window + 1, text, single, value_range, window=window)


def _trend() -> Iterator[IndicatorSpec]:
    mean = "Mean close of {} candles"
    yield from _windowed("sma", "trend", "price", 1, mean, lambda c, n: trend.sma(c.close, n), (20, 50, 200))
    mean = "Exponential mean close, span {}"
    yield from _windowed(
        "ema", "trend", "price", EXPONENTIAL, mean, lambda c, n: trend.ema(c.close, n), (12, 26, 50, 200)
    )
    mean = "Linearly weighted mean close of {} candles"
    yield from _windowed("wma", "trend", "price", 1, mean, lambda c, n: trend.wma(c.close, n), (20,))
    yield IndicatorSpec(
        "macd_12_26_9",
        "trend",
        {"fast": 12, "slow": 26, "signal": 9},
        "price difference",
        EXPONENTIAL * (26 + 9),
        None,
        "Convergence of two exponential means, its own mean, and their difference",
        ("macd", "macd_signal", "macd_histogram"),
        lambda c: trend.macd(c.close, 12, 26, 9),
    )
    yield IndicatorSpec(
        "directional_14",
        "trend",
        {"window": 14},
        "index",
        2 * WILDER * 14,
        INDEX,
        "Strength of the trend, and of its rising and falling parts; null where nothing moved",
        ("adx_14", "plus_di_14", "minus_di_14"),
        lambda c: trend.adx(c.high, c.low, c.close, 14),
    )
    yield IndicatorSpec(
        "aroon_25",
        "trend",
        {"window": 25},
        "index",
        26,
        INDEX,
        "How recent the highest high and the lowest low are, 100 = now",
        ("aroon_up_25", "aroon_down_25"),
        lambda c: trend.aroon(c.high, c.low, 25),
    )


def _momentum() -> Iterator[IndicatorSpec]:
    yield from _windowed(
        "rsi",
        "momentum",
        "index",
        WILDER,
        "Relative strength index of {} candles; null where the price has not moved",
        lambda c, n: momentum.rsi(c.close, n),
        (7, 14),
        INDEX,
    )
    yield IndicatorSpec(
        "stochastic_14",
        "momentum",
        {"window": 14, "smooth": 3},
        "index",
        18,
        INDEX,
        "Place of the close in the range of the last candles (%K), and its mean (%D); null where there is no range",
        ("stoch_k", "stoch_d"),
        lambda c: momentum.stochastic(c.high, c.low, c.close, 14, 3),
    )
    text = "Change over {} candles"
    yield from _windowed("roc", "momentum", "percent", 1, text, lambda c, n: momentum.roc(c.close, n), (6, 12, 72, 288))
    text = "Commodity channel index of {} candles; null where the price has not moved"
    yield from _windowed(
        "cci", "momentum", "index", 1, text, lambda c, n: momentum.cci(c.high, c.low, c.close, n), (20,)
    )
    yield from _windowed(
        "williams_r",
        "momentum",
        "index",
        1,
        "Distance of the close below the highest high of {} candles; null where there is no range",
        lambda c, n: momentum.williams_r(c.high, c.low, c.close, n),
        (14,),
        (-100.0, 0.0),
    )


def _volatility() -> Iterator[IndicatorSpec]:
    yield from _windowed(
        "atr",
        "volatility",
        "price",
        WILDER,
        "Average true range, Wilder's mean of {} candles",
        lambda c, n: volatility.atr(c.high, c.low, c.close, n),
        (14,),
        POSITIVE,
    )
    yield from _windowed(
        "natr",
        "volatility",
        "percent of the close",
        WILDER,
        "Average true range of {} candles as a share of the close",
        lambda c, n: 100.0 * volatility.atr(c.high, c.low, c.close, n) / c.close,
        (14,),
        POSITIVE,
    )
    yield IndicatorSpec(
        "bollinger_20",
        "volatility",
        {"window": 20, "width": 2.0},
        "price",
        20,
        None,
        "Mean close of 20 candles and two standard deviations around it",
        ("bollinger_upper", "bollinger_middle", "bollinger_lower"),
        lambda c: volatility.bollinger(c.close, 20, 2.0),
    )
    yield _one(
        "sigma_72",
        "volatility",
        "log return per candle",
        1024,
        "The engine's own unit of scale: exponentially weighted Parkinson volatility",
        lambda c: volatility.ewm_sigma(c.grid, len(c.close), span=72)[0],
        POSITIVE,
        span=72,
    )


def _volume() -> Iterator[IndicatorSpec]:
    week = "summed since Monday 00:00 UTC or the last hole"
    yield _one(
        "obv",
        "volume",
        "base asset",
        WEEK_CANDLES,
        f"On-balance volume, {week}",
        lambda c: volume.obv(c.close, c.volume),
        start="week",
    )
    yield _one(
        "accumulation",
        "volume",
        "base asset",
        WEEK_CANDLES,
        f"Accumulation/distribution line, {week}",
        lambda c: volume.accumulation(c.high, c.low, c.close, c.volume),
        start="week",
    )
    yield _one(
        "vwap",
        "volume",
        "price",
        DAY_CANDLES,
        "Volume-weighted typical price of the candles there are since midnight UTC; null until something was traded",
        lambda c: volume.vwap(c.high, c.low, c.close, c.volume),
        start="day",
    )
    yield from _windowed(
        "mfi",
        "volume",
        "index",
        1,
        "Money flow index of {} candles; null where nothing flowed",
        lambda c, n: volume.mfi(c.high, c.low, c.close, c.volume, n),
        (14,),
        INDEX,
    )
    text = "Mean volume of {} candles"
    yield from _windowed("volume_sma", "volume", "base asset", 1, text, lambda c, n: trend.sma(c.volume, n), (20,))
