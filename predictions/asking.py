"""Questions about the newest candle beyond the forecast: brackets and touches."""

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from django.conf import settings

from marketdata import clock
from marketdata.models import Market
from modelregistry import registry
from modelregistry.estimators.ensemble import Ensemble
from predictions.answering import TPSL, Answers
from predictions.passes import Pass, read_pass
from predictions.payloads import finite, iso
from predictions.pricing import costs_of, price_brackets
from predictions.refusing import newest_candle, refuse
from predictions.requests import known_horizon, known_market, known_price, known_prices, known_side, on_its_side

KEPT = 1024

_passes: OrderedDict[tuple[int, int, str], Pass] = OrderedDict()
_lock = threading.Lock()


def ask(symbol: str, horizon: int) -> tuple[Market, Ensemble, Answers, int, int]:
    """Answer for the newest candle of one market: market, ensemble, answers, open time in ms, horizon.

    Raises
    ------
    InvalidRequest, MarketDisabled, PredictionRefused
        As for a prediction.
    """
    market = known_market(symbol)
    ensemble = registry.load_ensemble(market.source)
    horizon = known_horizon(horizon, ensemble, TPSL)
    ensemble, open_ms = newest_candle(market, ensemble, TPSL)
    key = (market.pk, open_ms, ensemble.digest)
    with _lock:
        done = _passes.get(key)
    if done is None:
        done = read_pass([market], open_ms, 1, ensemble)
        with _lock:
            _passes[key] = done
            while len(_passes) > KEPT:
                _passes.popitem(last=False)
    said = done.answers.refusals(0, 0, (TPSL,))
    if said:
        refuse(said, done.answers.explain(said))
    return market, ensemble, done.answers, open_ms, horizon


def touches(symbol: str, horizon: int, prices: Any) -> dict[str, Any]:
    """Chance that each price is reached within the horizon."""
    asked = known_prices(prices)
    market, _, answers, open_ms, horizon = ask(symbol, horizon)
    assert answers.view is not None
    levels = np.array([float(price) for price in asked])
    here = levels == answers.closes[0]
    # The close itself is reached already; the closed forms know only distances above 0.
    elsewhere = np.where(here, levels * 1.01, levels)
    chances = np.where(here, 1.0, answers.view.touch(horizon, elsewhere[None, :])[0])
    return {
        "symbol": symbol,
        "horizon": horizon,
        "candle_time": iso(clock.to_datetime(open_ms)),
        "simulated": market.simulated,
        "results": [
            {"price": f"{price:.8f}", "p_reached": finite(chance)} for price, chance in zip(asked, chances, strict=True)
        ],
    }


def brackets(symbol: str, side: str, horizon: int, take_profit: Any, stop_loss: Any) -> dict[str, Any]:
    """What a bracket around the newest close is worth."""
    side = known_side(side)
    target, stop = known_price(take_profit, "take_profit"), known_price(stop_loss, "stop_loss")
    market, ensemble, answers, open_ms, horizon = ask(symbol, horizon)
    assert answers.view is not None
    close = answers.closes
    on_its_side(target, close[0], side == "buy", "take_profit")
    on_its_side(stop, close[0], side == "sell", "stop_loss")
    levels = np.array([[float(target)]]), np.array([[float(stop)]])
    costs = costs_of(settings.FEE_RATE, settings.SLIPPAGE_BPS)
    priced = price_brackets(answers.view, close, horizon, side, *levels, costs)
    move = expected_move(answers, horizon)
    said = answers.degraded(0, 0)
    return {
        "symbol": market.symbol,
        "side": side,
        "horizon": horizon,
        "candle_time": iso(clock.to_datetime(open_ms)),
        "entry_price": f"{close[0]:.8f}",
        "take_profit": f"{target:.8f}",
        "stop_loss": f"{stop:.8f}",
        "p_take_profit": finite(priced.p_take_profit[0, 0]),
        "p_stop_loss": finite(priced.p_stop_loss[0, 0]),
        "p_neither": finite(priced.p_neither[0, 0]),
        "p_break_even": finite(priced.p_break_even[0, 0]),
        "expected_net_return": finite(priced.expected_net_return[0, 0]),
        "expected_candles_to_touch": finite(answers.view.expected_candles(horizon, side, *levels)[0, 0]),
        "fee_to_move": finite(costs / move) if move > 0 else None,
        "fee_rate": settings.FEE_RATE,
        "model_versions": dict(ensemble.versions),
        "reasons": said,
        "reason_details": {**answers.explain(said), **answers.notes(0, 0)},
        "simulated": market.simulated,
    }


def expected_move(answers: Answers, horizon: int) -> float:
    """Half the median range of the horizon as a fraction of price; from volatility alone without a forecast."""
    forecast = answers.forecast
    if forecast is not None and horizon in forecast.horizons:
        k, middle = forecast.at(horizon), forecast.high.shape[-1] // 2
        return float((forecast.high[0, k, middle] - forecast.low[0, k, middle]) / 2 / answers.closes[0])
    return float(answers.sigma[0] * np.sqrt(horizon))
