"""Range forecasts of a batch as columns of a table. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from modelregistry.estimators.forecast import LEVELS, MEDIAN
from modelregistry.estimators.kinds import RANGE
from predictions.forecasting.forecasts import Forecasts
from predictions.reasons import in_order

Columns = dict[str, np.ndarray]
Flags = dict[str, npt.NDArray[np.bool_]]


class BatchCandles:
    """Existing candles of a batch, oldest first, with the position of their forecasts."""

    def __init__(self, forecasts: Forecasts, symbols: Sequence[str]) -> None:
        self.forecasts = forecasts
        self.row, self.market = np.nonzero(forecasts.present.T)
        self.symbol = np.array(list(symbols), dtype=object)[self.market]
        self.open_time = forecasts.open_time[self.row]
        self.close = forecasts.close[self.market, self.row]
        self.position = forecasts.position[self.market, self.row]

    def __len__(self) -> int:
        return len(self.row)

    def refusals(self, kinds: Sequence[str]) -> Flags:
        """Flags of the reasons for which the estimators of `kinds` refuse each candle."""
        found = {code: flags[self.market, self.row] for code, flags in self.forecasts.window.items()}
        for kind in kinds:
            for code, flags in self.forecasts.champions[kind].items():
                found[code] = found.get(code, False) | flags[self.market, self.row]
        return found

    def degradations(self, kinds: Sequence[str]) -> Flags:
        """Flags of the reasons that degrade each candle; unset where `kinds` refuse it."""
        given = self.accepted(kinds)
        return {code: given & flags[self.position] for code, flags in self.forecasts.degradations.items() if len(flags)}

    def accepted(self, kinds: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Candles that the estimators of `kinds` forecast."""
        found: npt.NDArray[np.bool_] = self.position >= 0
        for flags in self.refusals(kinds).values():
            found = found & ~flags
        return found


def reason_texts(flags: Mapping[str, npt.NDArray[np.bool_]], count: int) -> npt.NDArray[np.object_]:
    """Join the reasons of each of `count` rows by commas, most important first.

    >>> reason_texts({"LATE": np.array([True, False]), "NO_CHAMPION": np.array([True, False])}, 2).tolist()
    ['NO_CHAMPION,LATE', '']
    """
    order = in_order(list(flags))
    mask = np.zeros(count, dtype=np.int64)
    for bit, code in enumerate(order):
        mask |= flags[code].astype(np.int64) << bit
    kinds, which = np.unique(mask, return_inverse=True)
    texts = [",".join(code for bit, code in enumerate(order) if kind >> bit & 1) for kind in kinds.tolist()]
    return np.array(texts, dtype=object)[which]


def range_rows(candles: BatchCandles, horizons: Sequence[int]) -> Columns:
    """Quantiles of the highest high and lowest low, one row per candle and horizon.

    A refused candle has its reasons and no numbers but its close.
    """
    accepted = candles.accepted((RANGE,))
    quantiles = {side: np.full((len(candles), len(horizons), len(LEVELS)), np.nan) for side in ("high", "low")}
    forecast = candles.forecasts.ranges
    if forecast is not None:
        at = [forecast.at(horizon) for horizon in horizons]
        for side, prices in quantiles.items():
            prices[accepted] = getattr(forecast, side)[candles.position[accepted]][:, at]
    reasons = reason_texts({**candles.refusals((RANGE,)), **candles.degradations((RANGE,))}, len(candles))
    each = len(horizons)
    columns: Columns = {
        "symbol": np.repeat(candles.symbol, each),
        "open_time": np.repeat(candles.open_time, each),
        "horizon": np.tile(np.array(horizons, dtype=np.int64), len(candles)),
        "close": np.repeat(candles.close, each),
        "predicted_high": quantiles["high"][:, :, MEDIAN].ravel(),
        "predicted_low": quantiles["low"][:, :, MEDIAN].ravel(),
    }
    for side, prices in quantiles.items():
        for place, level in enumerate(LEVELS):
            columns[f"{side}_q{round(100 * level):02d}"] = prices[:, :, place].ravel()
    columns["reasons"] = np.repeat(reasons, each)
    return columns
