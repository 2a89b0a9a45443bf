"""Predictions of the champions: for every market at each close, and on request."""

from collections.abc import Iterator, Mapping, Sequence

import orjson

from marketdata import clock
from marketdata.intervals import last_closed_open
from marketdata.models import Market
from marketdata.storage import candles
from modelregistry import registry
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.kinds import RANGE
from predictions import reasons as codes
from predictions.errors import PredictionRefused
from predictions.forecasting import parity
from predictions.forecasting.bracket_queries import brackets, touches
from predictions.forecasting.forecast_batch import ForecastBatch, forecast_batch, forecast_batches
from predictions.live import cache
from predictions.log import recording
from predictions.log.recording import Key
from predictions.models import PredictionLog
from predictions.payloads import prediction_bytes
from predictions.refusals import newest_candle, refuse, retry_after_seconds
from predictions.requests import cached_market, known_horizon, known_market
from predictions.validity import valid_until_ms

__all__ = ["brackets", "cached_prediction", "forecast", "latest_prediction", "predict", "touches", "warm_up"]


def predict(
    work: Mapping[Market, Sequence[int]], *, live: bool = False
) -> Iterator[tuple[ForecastBatch, dict[Key, PredictionLog]]]:
    """Forecast, log and cache the given open times (ms) of each market, see `forecast`."""
    for batch in forecast(work, live=live):
        made_at_ms = clock.market_ms()
        rows = recording.record(batch, made_at_ms)
        recording.cache_newest(rows.values(), made_at_ms)
        yield batch, rows


def forecast(work: Mapping[Market, Sequence[int]], *, live: bool = False) -> Iterator[ForecastBatch]:
    """Forecast the given open times (ms) of each market.

    A backlog is processed day by day. The live path forecasts from the windows in memory, and checks some of its
    rows against the batch after the caller has processed them.
    """
    for batch in forecast_batches(work, live=live):
        yield batch
        parity.compare(batch)


def warm_up(digests: Mapping[str, str]) -> dict[str, str]:
    """Load the champions and forecast once with new ones, so that requests do not wait.

    Nothing is logged or cached: the effect is loaded, imported and compiled code. Takes and returns the digest by
    source of the ensembles already used in this process.
    """
    by_source: dict[str, list[Market]] = {}
    for market in Market.objects.enabled():
        by_source.setdefault(market.source, []).append(market)
    warm = {}
    for source, markets in by_source.items():
        ensemble = registry.load_ensemble(source)
        if ensemble is None:
            continue
        warm[source] = ensemble.digest
        if digests.get(source) == ensemble.digest:
            continue
        newest = candles.newest_open([market for market in markets if ensemble.covers(market.symbol)])
        for market in markets:
            open_ms = newest.get(market.pk)
            if open_ms is not None:
                forecast_batch([market], open_ms, 1, ensemble)
                break
    return warm


def latest_prediction(symbol: str, horizon: int) -> bytes:
    """Prediction for the newest stored closed candle, as the bytes of the REST response.

    Served from the cache; else from the log; else computed and logged.

    Raises
    ------
    InvalidRequest, MarketDisabled
        If the request is invalid.
    PredictionRefused
        If no prediction can be given.
    """
    found = cached_prediction(symbol, horizon)
    if found is not None:
        return found
    market = cached_market(symbol) or known_market(symbol)
    ensemble = registry.load_ensemble(market.source)
    horizon = known_horizon(horizon, ensemble)
    ensemble, open_ms = newest_candle(market, ensemble, RANGE)
    if open_ms < last_closed_open(clock.market_ms()):  # the last closed candle was looked up above
        found = _cached(market, horizon, open_ms, ensemble)
        if found is not None:
            return found
    key = (market.pk, clock.to_datetime(open_ms), horizon)
    row = PredictionLog.objects.filter(
        market=market, candle_time=key[1], horizon=horizon, ensemble=ensemble.digest
    ).first()
    if row is not None:
        cache.write_ahead([recording.cached(row)], open_ms)
        return prediction_bytes(row)
    for batch, rows in predict({market: [open_ms]}):
        if key in rows:
            return prediction_bytes(rows[key])
        refuse(batch.forecasts.refusals(0, 0), batch.forecasts.explain(batch.forecasts.refusals(0, 0)))
    raise PredictionRefused([codes.GAP_IN_WINDOW], "the newest candle was deleted", retry_after_seconds())


def cached_prediction(symbol: str, horizon: int) -> bytes | None:
    """Cached prediction for the last closed candle; None if there is no valid one.

    Valid while its market is enabled, its versions are the champions and its validity
    lasts. Reads process memory and the cache; the database at most once a second.
    """
    if not isinstance(symbol, str) or not isinstance(horizon, int):
        return None
    market = cached_market(symbol)
    if market is None:
        return None
    now_ms = clock.market_ms()
    open_ms = last_closed_open(now_ms)
    if now_ms > valid_until_ms(open_ms):
        return None
    return _cached(market, horizon, open_ms, registry.load_ensemble(market.source))


def _cached(market: Market, horizon: int, open_ms: int, ensemble: Ensemble | None) -> bytes | None:
    """Cached prediction for a candle; None if there is none of this market and these champions."""
    value = cache.read(cache.key_of(market.symbol, horizon, clock.to_datetime(open_ms)))
    if value is None or ensemble is None:
        return None
    body, market_id = cache.split(value)
    versions = orjson.loads(body)["model_versions"]
    return body if market_id == market.pk and versions == dict(ensemble.versions) else None
