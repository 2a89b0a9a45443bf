"""Kinds of estimators as challengers: how a candidate forecasts beside the champion, and its loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from indicators.barriers import Side, Touch, Touches, first_touch
from modelregistry.estimators.forecast import RangeForecast
from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.kinds import RANGE, SIGNAL, TPSL
from modelregistry.estimators.range_predictor import RangePredictor
from modelregistry.estimators.signal_classifier import SignalClassifier
from modelregistry.estimators.tpsl_classifier import TpslClassifier
from modelregistry.evaluation.metrics.scores import brier, pinball
from predictions.market_windows import FollowingCandles

ChallengerForecasts = dict[int, list[dict[str, Any]]]
"""Horizon to one forecast per row, ready for JSON; `champion` is None where it does not serve the horizon."""

Answer = dict[str, Any]
"""One forecast of both, as stored."""
Scorer = Callable[[Any], float | None]
SIDES: tuple[Side, ...] = ("buy", "sell")


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


def range_scorer(forecasts: Answer, after: FollowingCandles, open_ms: int, horizon: int) -> Scorer:
    """Mean pinball loss over levels and both targets, in basis points of log price."""
    high, low = (np.log([float(price) / forecasts["close"]]) for price in after.range_of(open_ms, horizon))

    def loss(forecast: Any) -> float:
        up, down = (np.log(np.array([forecast[target]]) / forecasts["close"]) for target in ("high", "low"))
        return float(5_000 * (pinball(up, high) + pinball(down, low))[0])

    return loss


def bracket_scorer(forecasts: Answer, after: FollowingCandles, open_ms: int, horizon: int) -> Scorer:
    """Three-class Brier score, mean of both sides; None where the bracket was void."""
    levels = {"buy": (forecasts["above"], forecasts["below"]), "sell": (forecasts["below"], forecasts["above"])}
    ends = {side: _touched(after, open_ms, horizon, side, *levels[side]).outcome[0] for side in SIDES}
    is_void = Touch.VOID in ends.values()

    def loss(forecast: Any) -> float | None:
        scores = [brier(np.array([forecast[side]]), np.eye(3)[[end]])[0] for side, end in ends.items() if not is_void]
        return float(np.mean(scores)) if scores else None

    return loss


def direction_scorer(forecasts: Answer, after: FollowingCandles, open_ms: int, horizon: int) -> Scorer:
    """Brier score of buy, sell and hold.

    The class compares the costs with the move to the barrier touched, or to the last close.
    """
    touched = _touched(after, open_ms, horizon, "buy", forecasts["above"], forecasts["below"])
    move = float(touched.move_to_barrier(np.array([forecasts["below"]]))[0])
    actual = 2 if touched.ambiguous[0] or abs(move) <= forecasts["costs"] else int(move < 0)
    return lambda forecast: float(brier(np.array([forecast]), np.eye(3)[[actual]])[0])


@dataclass(frozen=True)
class ChallengerKind:
    """A kind of estimators as challengers."""

    forecast: Callable[[Any, Any, ModelInputs], ChallengerForecasts]
    """Forecasts of a candidate and of the champion."""
    scorer: Callable[[Answer, FollowingCandles, int, int], Scorer]
    """Loss of either of them, once the candles of the horizon are stored."""

    def losses(
        self, forecasts: Answer, after: FollowingCandles, open_ms: int, horizon: int
    ) -> tuple[float | None, float | None]:
        """Losses of the candidate and of the champion; None without a forecast."""
        loss = self.scorer(forecasts, after, open_ms, horizon)
        own, champions = forecasts["candidate"], forecasts["champion"]
        return None if own is None else loss(own), None if champions is None else loss(champions)


CHALLENGER_KINDS = {
    RANGE: ChallengerKind(ranges, range_scorer),
    TPSL: ChallengerKind(brackets, bracket_scorer),
    SIGNAL: ChallengerKind(directions, direction_scorer),
}


def _touched(after: FollowingCandles, open_ms: int, horizon: int, side: Side, target: float, stop: float) -> Touches:
    windows = (after.floats(name, open_ms, horizon) for name in ("open", "high", "low", "close"))
    return first_touch(*windows, side=side, take_profit=np.array([target]), stop_loss=np.array([stop]))


def _rounded(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(float(value), 8) for value in values]
