"""Forecasts of a candidate and of the champion for the same rows of a batch. Pure."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from modelregistry.estimators.forecast import RangeForecast
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.kinds import RANGE, SIGNAL, TPSL
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.estimators.tpsl_classifier import TpslClassifier

ChallengerForecasts = dict[int, list[dict[str, Any]]]
"""Horizon to one forecast per row, ready for JSON; `champion` is None where it does not serve the horizon."""

SIDES = ("buy", "sell")


def ranges(candidate: RangePredictor, champion: RangePredictor, inputs: ModelInputs) -> ChallengerForecasts:
    """Quantiles of highs and lows, as prices."""
    own, theirs = candidate.predict(inputs), champion.predict(inputs)

    def quantiles(forecast: RangeForecast, horizon: int, row: int) -> dict[str, Any] | None:
        if horizon not in forecast.horizons:
            return None
        k = forecast.at(horizon)
        return {"high": _rounded(forecast.high[row, k]), "low": _rounded(forecast.low[row, k])}

    return {
        horizon: [
            {
                "close": float(close),
                "candidate": quantiles(own, horizon, row),
                "champion": quantiles(theirs, horizon, row),
            }
            for row, close in enumerate(inputs.close)
        ]
        for horizon in own.horizons
    }


def brackets(candidate: TpslClassifier, champion: TpslClassifier, inputs: ModelInputs) -> ChallengerForecasts:
    """Probabilities of the symmetric bracket of the scoring grid.

    Its levels are one EWM sigma times the root of the horizon from the close.
    """
    close, own, theirs = inputs.close, candidate.view(inputs), champion.view(inputs)
    found: ChallengerForecasts = {}
    for horizon in own.horizons:
        unit = close * inputs.sigma * np.sqrt(horizon)
        above, below = close + unit, np.maximum(close - unit, close / 100)
        sides = {"buy": (above, below), "sell": (below, above)}
        probabilities = {side: own.probabilities(horizon, side, *sides[side]) for side in SIDES}
        champion_probabilities = (
            {side: theirs.probabilities(horizon, side, *sides[side]) for side in SIDES}
            if horizon in theirs.horizons
            else None
        )
        found[horizon] = [
            {
                "above": float(above[row]),
                "below": float(below[row]),
                "candidate": {side: _rounded(probabilities[side][row]) for side in SIDES},
                "champion": {side: _rounded(champion_probabilities[side][row]) for side in SIDES}
                if champion_probabilities is not None
                else None,
            }
            for row in range(len(inputs))
        ]
    return found


def directions(candidate: SignalClassifier, champion: SignalClassifier, inputs: ModelInputs) -> ChallengerForecasts:
    """Probabilities of buy, sell and hold, with the barriers and costs that define the classes."""
    own = candidate.predict(inputs.features)
    theirs = champion.predict(inputs.features) if champion.horizon == candidate.horizon else None
    barrier = float(candidate.hyperparameters.get("barrier", 1.0))
    width = barrier * inputs.sigma * np.sqrt(candidate.horizon)
    return {
        candidate.horizon: [
            {
                "above": float(inputs.close[row] * np.exp(width[row])),
                "below": float(inputs.close[row] * np.exp(-width[row])),
                "costs": float(candidate.hyperparameters.get("costs", 0.0)),
                "candidate": _rounded(own[row]),
                "champion": _rounded(theirs[row]) if theirs is not None else None,
            }
            for row in range(len(inputs))
        ]
    }


FORECASTERS: dict[str, Callable[[Any, Any, ModelInputs], ChallengerForecasts]] = {
    RANGE: ranges,
    TPSL: brackets,
    SIGNAL: directions,
}
"""Function that forecasts with a candidate and the champion, by kind."""


def _rounded(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(value), 8) for value in values]
