"""What the ensemble would have said at every candle of a stretch, as columns of a table. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelregistry.estimators.forecast import LEVELS, MEDIAN
from predictions.answering import RANGE, Answers
from predictions.reasons import in_order

Columns = dict[str, npt.NDArray[Any]]
Flags = dict[str, npt.NDArray[np.bool_]]


class Cells:
    """The candles of a pass that exist, oldest first, and where each one's answer is.

    Parameters
    ----------
    answers : Answers
    symbols : sequence of str
        Of the markets of the pass.
    """

    def __init__(self, answers: Answers, symbols: Sequence[str]) -> None:
        self.answers = answers
        self.row, self.market = np.nonzero(answers.present.T)
        self.symbol = np.array(list(symbols), dtype=object)[self.market]
        self.open_time = answers.open_time[self.row]
        self.close = answers.close[self.market, self.row]
        self.position = answers.position[self.market, self.row]

    def __len__(self) -> int:
        return len(self.row)

    def refusals(self, kinds: Sequence[str]) -> Flags:
        """Which reason keeps the estimators of `kinds` from answering for each cell."""
        found = {code: flags[self.market, self.row] for code, flags in self.answers.window.items()}
        for kind in kinds:
            for code, flags in self.answers.champions[kind].items():
                found[code] = found.get(code, False) | flags[self.market, self.row]
        return found

    def doubts(self, kinds: Sequence[str]) -> Flags:
        """Which reason degrades the answer of each cell; none where the estimators of `kinds` do not answer."""
        there = self.answered(kinds)
        return {code: there & flags[self.position] for code, flags in self.answers.doubts.items() if len(flags)}

    def answered(self, kinds: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Cells for which the estimators of `kinds` answer."""
        there: npt.NDArray[np.bool_] = self.position >= 0
        for flags in self.refusals(kinds).values():
            there = there & ~flags
        return there


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


def range_rows(cells: Cells, horizons: Sequence[int]) -> Columns:
    """One row per candle and horizon: the quantiles of the highest high and the lowest low.

    A refused candle has its reasons and no numbers but its close.
    """
    answered = cells.answered((RANGE,))
    quantiles = {side: np.full((len(cells), len(horizons), len(LEVELS)), np.nan) for side in ("high", "low")}
    forecast = cells.answers.forecast
    if forecast is not None:
        at = [forecast.at(horizon) for horizon in horizons]
        for side, prices in quantiles.items():
            prices[answered] = getattr(forecast, side)[cells.position[answered]][:, at]
    reasons = reason_texts({**cells.refusals((RANGE,)), **cells.doubts((RANGE,))}, len(cells))
    each = len(horizons)
    columns: Columns = {
        "symbol": np.repeat(cells.symbol, each),
        "open_time": np.repeat(cells.open_time, each),
        "horizon": np.tile(np.array(horizons, dtype=np.int64), len(cells)),
        "close": np.repeat(cells.close, each),
        "predicted_high": quantiles["high"][:, :, MEDIAN].ravel(),
        "predicted_low": quantiles["low"][:, :, MEDIAN].ravel(),
    }
    for side, prices in quantiles.items():
        for place, level in enumerate(LEVELS):
            columns[f"{side}_q{round(100 * level):02d}"] = prices[:, :, place].ravel()
    columns["reasons"] = np.repeat(reasons, each)
    return columns
