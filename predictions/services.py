"""Asking the champions: for every market at each close, and for whoever asks in between."""

from collections.abc import Iterator, Mapping, Sequence

import orjson

from marketdata import clock, store
from marketdata.intervals import last_closed_open
from marketdata.models import Market
from modelregistry import registry
from predictions import cache, parity, recording
from predictions import reasons as codes
from predictions.answering import RANGE
from predictions.asking import brackets, touches
from predictions.errors import PredictionRefused
from predictions.models import PredictionLog
from predictions.passes import Pass, read_pass, read_passes
from predictions.payloads import prediction_bytes
from predictions.recording import Key
from predictions.refusing import newest_candle, refuse, retry_after_seconds
from predictions.requests import known_horizon, known_market, remembered_market

__all__ = ["brackets", "cached_prediction", "latest_prediction", "predict", "touches", "warm_up"]


def predict(
    work: Mapping[Market, Sequence[int]], *, live: bool = False
) -> Iterator[tuple[Pass, dict[Key, PredictionLog]]]:
    """Answer for the given open times (ms) of each market and log it: a day of a backlog at a time.

    The live path answers from the windows this process holds, and compares some of its rows with the batch once
    the caller is done with them.
    """
    for done in read_passes(work, live=live):
        yield done, recording.record(done)
        parity.compare(done)


def warm_up(known: Mapping[str, str]) -> dict[str, str]:
    """Load the champions of the enabled markets and let new ones answer once, so that no request pays for it.

    Nothing is logged or cached: what remains is loaded, imported and compiled code.

    Parameters
    ----------
    known : mapping of str to str
        Digest by source of the ensembles that have answered in this process.

    Returns
    -------
    dict of str to str
        The same after this call.
    """
    by_source: dict[str, list[Market]] = {}
    for market in Market.objects.enabled():
        by_source.setdefault(market.source, []).append(market)
    answered = {}
    for source, markets in by_source.items():
        ensemble = registry.load_ensemble(source)
        if ensemble is None:
            continue
        answered[source] = ensemble.digest
        if known.get(source) == ensemble.digest:
            continue
        newest = store.newest_open([market for market in markets if ensemble.covers(market.symbol)])
        for market in markets:
            open_ms = newest.get(market.pk)
            if open_ms is not None:
                read_pass([market], open_ms, 1, ensemble)
                break
    return answered


def latest_prediction(symbol: str, horizon: int) -> bytes:
    """Give the prediction for the newest stored closed candle, as the JSON object REST answers with.

    A cached one is served; else the row; else it is computed, logged and then served.

    Raises
    ------
    InvalidRequest, MarketDisabled
        If the question cannot be answered as asked.
    PredictionRefused
        If the engine knows better than to answer.
    """
    found = cached_prediction(symbol, horizon)
    if found is not None:
        return found
    market = known_market(symbol)
    ensemble = registry.load_ensemble(market.source)
    horizon = known_horizon(horizon, ensemble)
    ensemble, open_ms = newest_candle(market, ensemble, RANGE)
    key = (market.pk, clock.to_datetime(open_ms), horizon)
    row = PredictionLog.objects.filter(
        market=market, candle_time=key[1], horizon=horizon, ensemble=ensemble.digest
    ).first()
    if row is not None:
        cache.write_ahead([recording.cached(row)], open_ms)
        return prediction_bytes(row)
    for done, rows in predict({market: [open_ms]}):
        if key in rows:
            return prediction_bytes(rows[key])
        refuse(done.answers.refusals(0, 0), done.answers.explain(done.answers.refusals(0, 0)))
    raise PredictionRefused([codes.GAP_IN_WINDOW], "the newest candle went away", retry_after_seconds())


def cached_prediction(symbol: str, horizon: int) -> bytes | None:
    """Give the cached prediction for the last closed candle if it may be served, else None.

    It may while its market is the enabled one, its versions are the champions and its validity
    lasts. Reads this process's memory and the cache; the database at most once a second.
    """
    if not isinstance(symbol, str) or not isinstance(horizon, int):
        return None
    market = remembered_market(symbol)
    if market is None:
        return None
    now_ms = clock.market_ms()
    open_ms = last_closed_open(now_ms)
    value = cache.read(cache.key_of(symbol, horizon, clock.to_datetime(open_ms)))
    if value is None or now_ms > recording.valid_until_ms(open_ms):
        return None
    ensemble = registry.load_ensemble(market.source)
    body, market_id = cache.split(value)
    if ensemble is None or market_id != market.pk:
        return None
    return body if orjson.loads(body)["model_versions"] == dict(ensemble.versions) else None
