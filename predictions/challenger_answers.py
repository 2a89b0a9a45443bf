"""What a candidate says about the rows of a pass, beside what the champion says of the same rows. Pure."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from predictions.answering import Answers

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Said = dict[int, list[dict[str, Any]]]
"""Horizon to one answer per row, ready for JSON; `champion` is None where the champion does not serve the horizon."""

SIDES = ("buy", "sell")


def ranges(candidate: Any, champion: Any, answers: Answers, rows: Rows) -> Said:
    """Quantiles of highs and lows, prices."""
    own = candidate.predict(*_rows(answers, rows))
    theirs = champion.predict(*_rows(answers, rows))

    def ladder(forecast: Any, horizon: int, row: int) -> dict[str, Any] | None:
        if horizon not in forecast.horizons:
            return None
        k = forecast.at(horizon)
        return {"high": _plain(forecast.high[row, k]), "low": _plain(forecast.low[row, k])}

    return {
        horizon: [
            {
                "close": float(close),
                "candidate": ladder(own, horizon, row),
                "champion": ladder(theirs, horizon, row),
            }
            for row, close in enumerate(answers.closes[rows])
        ]
        for horizon in own.horizons
    }


def brackets(candidate: Any, champion: Any, answers: Answers, rows: Rows) -> Said:
    """Chances of the symmetric bracket of the scoring grid, one EWM sigma times the root of the horizon wide."""
    close, sigma = answers.closes[rows], answers.sigma[rows]
    own, theirs = (estimator.view(*_rows(answers, rows)) for estimator in (candidate, champion))
    found: Said = {}
    for horizon in own.horizons:
        unit = close * sigma * np.sqrt(horizon)
        above, below = close + unit, np.maximum(close - unit, close / 100)
        sides = {"buy": (above, below), "sell": (below, above)}
        chances = {side: own.probabilities(horizon, side, *sides[side]) for side in SIDES}
        beside = (
            {side: theirs.probabilities(horizon, side, *sides[side]) for side in SIDES}
            if horizon in theirs.horizons
            else None
        )
        found[horizon] = [
            {
                "above": float(above[row]),
                "below": float(below[row]),
                "candidate": {side: _plain(chances[side][row]) for side in SIDES},
                "champion": {side: _plain(beside[side][row]) for side in SIDES} if beside is not None else None,
            }
            for row in range(len(rows))
        ]
    return found


def directions(candidate: Any, champion: Any, answers: Answers, rows: Rows) -> Said:
    """Chances of buy, sell and hold, and the barriers and costs the candidate's classes were defined by."""
    features, close, sigma = _rows(answers, rows)
    own = candidate.predict(features)
    theirs = champion.predict(features) if champion.horizon == candidate.horizon else None
    barrier = float(candidate.hyperparameters.get("barrier", 1.0))
    width = barrier * sigma * np.sqrt(candidate.horizon)
    return {
        candidate.horizon: [
            {
                "above": float(close[row] * np.exp(width[row])),
                "below": float(close[row] * np.exp(-width[row])),
                "costs": float(candidate.hyperparameters.get("costs", 0.0)),
                "candidate": _plain(own[row]),
                "champion": _plain(theirs[row]) if theirs is not None else None,
            }
            for row in range(len(rows))
        ]
    }


ANSWERS: dict[str, Callable[[Any, Any, Answers, Rows], Said]] = {
    "range_predictor": ranges,
    "tpsl_classifier": brackets,
    "signal_classifier": directions,
}
"""How a candidate of each kind is asked."""


def _rows(answers: Answers, rows: Rows) -> tuple[npt.NDArray[np.float32], Floats, Floats]:
    return answers.features[rows], answers.closes[rows], answers.sigma[rows]


def _plain(values: Any) -> list[float]:
    return [round(float(value), 8) for value in values]
