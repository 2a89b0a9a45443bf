"""Bracket and touch queries for the newest candle."""

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from django.conf import settings

from marketdata import clock
from marketdata.models import Market
from marketdata.process_state import process_state
from modelregistry import registry
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.kinds import TPSL
from predictions.forecasting.forecast_batch import ForecastBatch, forecast_batch
from predictions.forecasting.forecasts import Forecasts
from predictions.forecasting.pricing import costs_of, price_brackets
from predictions.payloads import finite, iso
from predictions.refusals import newest_candle, refuse
from predictions.requests import check_side_of_close, known_horizon, known_market, known_price, known_prices, known_side

MAX_CACHED_BATCHES = 1024


class RecentBatches:
    """Forecasts of the newest candles, by market, open time and ensemble."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_key: OrderedDict[tuple[int, int, str], ForecastBatch] = OrderedDict()


def newest_forecasts(symbol: str, horizon: int) -> tuple[Market, Ensemble, Forecasts, int, int]:
    """Forecast the newest candle: market, ensemble, forecasts, open time in ms, horizon."""
    market = known_market(symbol)
    ensemble = registry.load_ensemble(market.source)
    horizon = known_horizon(horizon, ensemble, TPSL)
    ensemble, open_ms = newest_candle(market, ensemble, TPSL)
    key = (market.pk, open_ms, ensemble.digest)
    recent = process_state.of(RecentBatches)
    with recent.lock:
        batch = recent.by_key.get(key)
    if batch is None:
        batch = forecast_batch([market], open_ms, 1, ensemble)
        with recent.lock:
            recent.by_key[key] = batch
            while len(recent.by_key) > MAX_CACHED_BATCHES:
                recent.by_key.popitem(last=False)
    reasons = batch.forecasts.refusals(0, 0, (TPSL,))
    if reasons:
        refuse(reasons, batch.forecasts.explain(reasons))
    return market, ensemble, batch.forecasts, open_ms, horizon


def touches(symbol: str, horizon: int, prices: Any) -> dict[str, Any]:
    """Probability that each price is reached within the horizon."""
    targets = known_prices(prices)
    market, _, forecasts, open_ms, horizon = newest_forecasts(symbol, horizon)
    assert forecasts.brackets is not None
    levels = np.array([float(price) for price in targets])
    at_close = levels == forecasts.inputs.close[0]
    # The close itself is reached already; the closed forms need distances above 0.
    valid = np.where(at_close, levels * 1.01, levels)
    probabilities = np.where(at_close, 1.0, forecasts.brackets.touch(horizon, valid[None, :])[0])
    return {
        "symbol": symbol,
        "horizon": horizon,
        "candle_time": iso(clock.to_datetime(open_ms)),
        "simulated": market.simulated,
        "results": [
            {"price": f"{price:.8f}", "p_reached": finite(probability)}
            for price, probability in zip(targets, probabilities, strict=True)
        ],
    }


def brackets(symbol: str, side: str, horizon: int, take_profit: Any, stop_loss: Any) -> dict[str, Any]:
    """Probabilities and expected return of a bracket around the newest close."""
    side = known_side(side)
    target, stop = known_price(take_profit, "take_profit"), known_price(stop_loss, "stop_loss")
    market, ensemble, forecasts, open_ms, horizon = newest_forecasts(symbol, horizon)
    assert forecasts.brackets is not None
    close = forecasts.inputs.close
    check_side_of_close(target, close[0], side == "buy", "take_profit")
    check_side_of_close(stop, close[0], side == "sell", "stop_loss")
    levels = np.array([[float(target)]]), np.array([[float(stop)]])
    costs = costs_of(settings.FEE_RATE, settings.SLIPPAGE_BPS)
    priced = price_brackets(forecasts.brackets, close, horizon, side, *levels, costs)
    move = expected_move(forecasts, horizon)
    reasons = forecasts.degraded(0, 0)
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
        "expected_candles_to_touch": finite(forecasts.brackets.expected_candles(horizon, side, *levels)[0, 0]),
        "fee_to_move": finite(costs / move) if move > 0 else None,
        "fee_rate": settings.FEE_RATE,
        "model_versions": dict(ensemble.versions),
        "reasons": reasons,
        "reason_details": {**forecasts.explain(reasons), **forecasts.notes(0, 0)},
        "simulated": market.simulated,
    }


def expected_move(forecasts: Forecasts, horizon: int) -> float:
    """Half the median range of the horizon as a fraction of price.

    Estimated from volatility alone without a range forecast.
    """
    forecast = forecasts.ranges
    if forecast is not None and horizon in forecast.horizons:
        k, middle = forecast.at(horizon), forecast.high.shape[-1] // 2
        return float((forecast.high[0, k, middle] - forecast.low[0, k, middle]) / 2 / forecasts.inputs.close[0])
    return float(forecasts.inputs.sigma[0] * np.sqrt(horizon))
