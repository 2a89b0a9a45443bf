"""Volatility and return shocks of generated markets, candle by candle.

Log volatility is the sum of a daily and weekly pattern and of four factors with memories from half an hour to
months. The factors depend on their own random numbers and the size of past shocks, so a jump is followed by an hour of
high volatility.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from marketdata.simulator.generator.keyed_random import autoregression, normals, uniforms
from marketdata.simulator.klines import CANDLES_PER_WEEK

# Mean absolute return by hour of the day (UTC) and day of the week relative to the mean, rounded from Bitcoin in 2024:
# the hours of the American session are the most volatile, the weekend the least.
MORNING = (1.04, 1.06, 0.93, 0.80, 0.77, 0.75, 0.78, 0.80, 0.85, 0.82, 0.80, 0.82)
EVENING = (0.98, 1.23, 1.50, 1.36, 1.24, 1.19, 1.12, 1.10, 1.08, 1.04, 0.99, 0.87)
HOURS = (*MORNING, *EVENING)
DAYS = (1.18, 1.14, 1.12, 1.08, 1.07, 0.64, 0.77)
# Memory in candles and weight in log volatility.
FACTORS = ((3.0, 0.16), (50.0, 0.26), (500.0, 0.28))
IDIOSYNCRATIC = 0.34  # weight of the part of one candle alone, also in log volatility
WEEK_MEMORY, WEEK_WEIGHT, WEEKS_REMEMBERED = 0.8, 0.22, 40
SHARED = 0.88  # the part of a factor that all markets have in common
JUMP_CHANCE = 0.0012
MEAN_ABSOLUTE_NORMAL = np.sqrt(2 / np.pi)


@lru_cache(maxsize=256)
def weekly_shocks(seed: int, symbol: str, week: int) -> NDArray[np.float64]:
    """The week's returns in units of volatility: normal, with a jump about every three days.

    Examples
    --------
    >>> shocks = weekly_shocks(1, "BTCUSDT", 2800)
    >>> len(shocks), 0.9 < float(shocks.std()) < 1.2
    (2016, True)
    """
    shocks = normals(CANDLES_PER_WEEK, seed, symbol, "shocks", week)
    drawn = uniforms(2 * CANDLES_PER_WEEK, seed, symbol, "jumps", week).reshape(2, -1)
    size = 3.0 - 1.6 * np.log(drawn[1])
    return np.where(drawn[0] < JUMP_CHANCE, np.sign(shocks) * (size + np.abs(shocks)), shocks)


def weekly_sigma(seed: int, symbol: str, week: int) -> NDArray[np.float64]:
    """Volatility of each candle of a week, 1 on an ordinary day.

    Looks back one week and never ahead; the empty symbol is the common factor of all markets.
    """
    log_sigma = np.log(_pattern())
    for factor, (_, weight) in enumerate(FACTORS):
        shared, own = _factors(seed, "", week)[factor], _factors(seed, symbol, week)[factor]
        log_sigma = log_sigma + weight * (np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * own)
    single = [normals(CANDLES_PER_WEEK, seed, name, "mood", week) for name in ("", symbol)]
    log_sigma += IDIOSYNCRATIC * (np.sqrt(SHARED) * single[0] + np.sqrt(1 - SHARED) * single[1])
    begin, end = _slow(seed, symbol, week), _slow(seed, symbol, week + 1)
    log_sigma += begin + (end - begin) * np.arange(CANDLES_PER_WEEK) / CANDLES_PER_WEEK
    sigma: NDArray[np.float64] = np.exp(log_sigma)
    return sigma


@lru_cache(maxsize=128)
def _factors(seed: int, symbol: str, week: int) -> NDArray[np.float64]:
    """The factors of one week, shape (3, 2016), each with about unit variance."""
    shocks = np.concatenate([weekly_shocks(seed, symbol, earlier) for earlier in (week - 1, week)])
    random_normals = np.concatenate(
        [normals(3 * CANDLES_PER_WEEK, seed, symbol, "factors", w).reshape(3, -1) for w in (week - 1, week)], axis=1
    )
    size = np.minimum(np.abs(shocks), 8.0) - MEAN_ABSOLUTE_NORMAL
    reaction = 0.7 * size / np.sqrt(1 - MEAN_ABSOLUTE_NORMAL**2) - 0.15 * np.clip(shocks, -4, 4)
    factors = np.empty((len(FACTORS), CANDLES_PER_WEEK))
    for factor, (memory, _) in enumerate(FACTORS):
        decay = np.exp(-1 / memory)
        innovations = np.sqrt(1 - decay**2) * (reaction + 0.7 * random_normals[factor])
        # The volatility of a candle depends on the shocks before it, not on its own.
        factors[factor] = autoregression(innovations, decay)[CANDLES_PER_WEEK - 1 : -1]
    return factors


def _slow(seed: int, symbol: str, week: int) -> float:
    weights = WEEK_MEMORY ** np.arange(WEEKS_REMEMBERED) * np.sqrt(1 - WEEK_MEMORY**2)
    shared = [_week_normal(seed, "", week - back) for back in range(WEEKS_REMEMBERED)]
    own = [_week_normal(seed, symbol, week - back) for back in range(WEEKS_REMEMBERED)]
    return float(WEEK_WEIGHT * (np.sqrt(SHARED) * (weights @ shared) + np.sqrt(1 - SHARED) * (weights @ own)))


@lru_cache(maxsize=100_000)
def _week_normal(seed: int, symbol: str, week: int) -> float:
    return float(normals(1, seed, symbol, "slow", week)[0])


@lru_cache(maxsize=1)
def _pattern() -> NDArray[np.float64]:
    """Usual volatility of each candle of a week from Monday, interpolated between hours."""
    hour = (np.arange(CANDLES_PER_WEEK) + 0.5) / 12
    by_hour = np.interp(hour % 24, np.arange(25) + 0.0, [*HOURS, HOURS[0]])
    by_day = np.interp(hour, np.arange(9) * 24 - 12.0, [DAYS[-1], *DAYS, DAYS[0]])
    return by_hour * by_day
