"""The first 60 features written as a pandas user would: rolling windows and ewm over one market's candles.

Whole candles are assumed, and no floor or guard is written where the engine has one. The engine's exponential
weights end after at least five half-lives, pandas' never do: columns in `NEARLY` agree only as far.
"""

import math

import numpy as np
import pandas as pd

PARKINSON = 4.0 * math.log(2.0)
NEARLY = ("volatility_level", "ewm_")
"""Columns whose exponential weights are cut off, by the beginning of their names."""


def build(candles: pd.DataFrame, level: pd.Series | None = None) -> pd.DataFrame:
    log = np.log(candles[["open", "high", "low", "close"]])
    span = log["high"] - log["low"]
    log_span = np.log(span.clip(lower=1e-5))
    body = log["close"] - log["open"]
    variance = span**2 / PARKINSON
    returns = log["close"].diff()
    if level is None:
        level = _root(variance.ewm(halflife=24).mean())
    found = {
        "volatility_level": level,
        **_sizes(log, log_span, variance, returns, level),
        **_estimators(log, span, body, variance, returns),
        **_dispersion(span, log_span, returns, level),
        **_directions(log, returns, np.exp(level)),
        "body": (body / span).fillna(0.0),
        "upper_wick": ((log["high"] - np.maximum(log["open"], log["close"])) / span).fillna(0.0),
        "body_share_12": (body.abs() / span).fillna(0.0).rolling(12).mean(),
    }
    day = candles["volume"].rolling(288).mean()
    for length in (1, 3, 12, 72):
        recent = candles["volume"].rolling(length).mean()
        found[f"volume_{length}"] = np.log((recent / day).clip(1e-3, 1e3))
    return pd.DataFrame(found)


def _root(variance):
    return 0.5 * np.log(variance.clip(lower=1e-12))


def _range(span):
    return np.log(span.clip(lower=1e-5))


def _sizes(log, log_span, variance, returns, level):
    found = {f"ewm_{h}": _root(variance.ewm(halflife=h).mean()) - level for h in (3, 6, 12, 48, 96, 192)}
    for half_life in (96, 384):
        found[f"ewm_return_{half_life}"] = _root((returns**2).ewm(halflife=half_life).mean()) - level
    for length in (1, 3, 6, 12, 36, 72, 288, 2016):
        found[f"har_{length}"] = log_span.rolling(length).mean() - level - 0.5 * math.log(PARKINSON)
    for length in (6, 18, 36, 72, 288):
        reach = log["high"].rolling(length).max() - log["low"].rolling(length).min()
        found[f"span_{length}"] = _range(reach) - level - 0.5 * math.log(length)
    return found


def _estimators(log, span, body, variance, returns):
    found = {}
    garman_klass = 0.5 * span**2 - (2.0 * math.log(2.0) - 1.0) * body**2
    up, down = log["high"], log["low"]
    rogers_satchell = (up - log["open"]) * (up - log["close"]) + (down - log["open"]) * (down - log["close"])
    for length in (12, 72, 288):
        parkinson = _root(variance.rolling(length).mean())
        found[f"garman_klass_{length}"] = _root(garman_klass.rolling(length).mean()) - parkinson
        if length < 288:
            found[f"close_to_close_{length}"] = _root((returns**2).rolling(length).mean()) - parkinson
    for length in (12, 72):
        parkinson = _root(variance.rolling(length).mean())
        found[f"rogers_satchell_{length}"] = _root(rogers_satchell.rolling(length).mean()) - parkinson
    return found


def _dispersion(span, log_span, returns, level):
    found = {f"vol_of_vol_{length}": log_span.rolling(length).std(ddof=0) for length in (12, 72, 288)}
    for length in (12, 72, 288):
        found[f"largest_{length}"] = _range(span.rolling(length).max()) - level
    pairs = returns.abs() * returns.abs().shift()
    smooth = math.pi / 2.0 * pairs.rolling(72).sum() / (returns**2).rolling(72).sum()
    return {**found, "jump_share_72": (1.0 - smooth).clip(-1.0, 1.0)}


def _directions(log, returns, unit):
    close, found = log["close"], {}
    for length in (1, 6, 12, 36, 72, 288):
        scaled = close.diff(length) / (unit * math.sqrt(length))
        found[f"momentum_{length}"] = scaled
        if length in {1, 12}:
            found[f"move_{length}"] = scaled.abs()
    for length in (12, 72, 288):
        found[f"efficiency_{length}"] = close.diff(length).abs() / returns.abs().rolling(length).sum()
    found["above_mean_12"] = (close - close.rolling(12).mean()) / (unit * math.sqrt(12))
    rise = close.rolling(36).mean() - close.shift(36).rolling(36).mean()
    found["slope_72"] = rise / (unit * math.sqrt(72))
    for length in (36, 72):
        scale = unit * math.sqrt(length)
        found[f"below_high_{length}"] = (log["high"].rolling(length).max() - close) / scale
        found[f"above_low_{length}"] = (close - log["low"].rolling(length).min()) / scale
    return found


def agreement(candles: pd.DataFrame, ours: np.ndarray) -> dict[str, float]:
    """Share of values within 1e-4 of each other once the level is the same, and least correlation where it is not.

    `ours` has the newest rows and the same columns; its level, which everything is relative to, is given to pandas.
    """
    level = pd.Series(np.nan, index=candles.index)
    level.iloc[-len(ours) :] = ours[:, 0].astype(np.float64)
    rest = build(candles, level).iloc[-len(ours) :]
    near = [name.startswith(NEARLY) for name in rest.columns]
    exact = np.isclose(rest.to_numpy(), ours, rtol=0.0, atol=1e-4)[:, ~np.array(near)]
    free = build(candles).iloc[-len(ours) :].to_numpy()
    alike = [np.corrcoef(free[:, i], ours[:, i])[0, 1] for i in np.flatnonzero(near)]
    return {"within_1e-4": round(float(exact.mean()), 6), "least_correlation_of_ewm": round(float(min(alike)), 4)}
