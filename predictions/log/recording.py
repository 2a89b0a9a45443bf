"""Writing of predictions: sealed rows under the lock of the chain head, and the cache."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from marketdata.storage import new_rows
from modelregistry.estimators.forecast import MEDIAN, RangeForecast
from predictions.forecasting.forecast_batch import ForecastBatch
from predictions.live import cache, coverage
from predictions.log import chain
from predictions.models import ChainHead, PredictionLog
from predictions.payloads import prediction_bytes
from predictions.validity import valid_until_ms

Key = tuple[int, datetime, int]
"""Market id, candle time, horizon."""


def price(value: float) -> Decimal:
    """Round a price to the places it is stored with, half to even.

    >>> price(67123.45)
    Decimal('67123.45000000')
    """
    return Decimal(f"{value:.8f}")


def record(batch: ForecastBatch, made_at_ms: int) -> dict[Key, PredictionLog]:
    """Store the predictions of a batch and return its rows by key.

    A candle already predicted by the same champions keeps its rows.
    """
    candles = [item for item in batch.candles() if not batch.forecasts.refusals(item[0], item[1])]
    ensemble, forecast = batch.ensemble, batch.forecasts.ranges
    if not candles or ensemble is None or forecast is None:
        return {}
    coverage.ensure(batch.markets)
    times = [clock.to_datetime(item[3]) for item in candles]
    with transaction.atomic(savepoint=False):
        heads = chain.lock_heads(ChainHead.Log.PREDICTIONS, [item[2].pk for item in candles])
        rows = _known(list(heads), times[0], times[-1], ensemble.digest)
        n_known = len(rows)
        new_rows.insert(_fresh_rows(batch, candles, made_at_ms, heads, rows))
        if len(rows) > n_known:
            chain.save_heads(heads)
    return rows


def _known(market_ids: Sequence[int], first: datetime, last: datetime, digest: str) -> dict[Key, PredictionLog]:
    """Rows of a span by the same champions; after a close usually none, which is asked without the ORM."""
    if first == last and not chain.has_rows(PredictionLog, market_ids, first):
        return {}
    known = PredictionLog.objects.filter(
        market_id__in=market_ids, candle_time__gte=first, candle_time__lte=last, ensemble=digest
    )
    return {(row.market_id, row.candle_time, row.horizon): row for row in known}


def _fresh_rows(
    batch: ForecastBatch,
    candles: Iterable[tuple[int, int, Market, int]],
    made_at_ms: int,
    heads: Mapping[int, ChainHead],
    rows: dict[Key, PredictionLog],
) -> Iterator[PredictionLog]:
    """Sealed rows that are not among `rows`, each added to them and to its chain when it is taken."""
    forecast = batch.forecasts.ranges
    assert forecast is not None
    template = new_rows.Template(PredictionLog)
    for index, at, market, open_ms in candles:
        shared = _shared_columns(batch, market, index, at, open_ms, made_at_ms)
        position = int(batch.forecasts.position[index, at])
        for k, horizon in enumerate(forecast.horizons):
            key = (market.pk, shared["candle_time"], horizon)
            if key not in rows:
                rows[key] = template.row(_columns(shared, forecast, position, k))
                chain.append(heads[market.pk], rows[key], chain.PREDICTION_COLUMNS)
                yield rows[key]


def _shared_columns(
    batch: ForecastBatch, market: Market, index: int, at: int, open_ms: int, made_at_ms: int
) -> dict[str, Any]:
    """Columns that the predictions of one candle have in common."""
    forecasts = batch.forecasts
    assert batch.ensemble is not None
    reasons = forecasts.degraded(index, at)
    return {
        "market_id": market.pk,
        "symbol": market.symbol,
        "candle_time": clock.to_datetime(open_ms),
        "ensemble": batch.ensemble.digest,
        "model_versions": dict(batch.ensemble.versions),
        "made_at": clock.to_datetime(made_at_ms),
        "valid_until": clock.to_datetime(valid_until_ms(open_ms)),
        "late": made_at_ms > valid_until_ms(open_ms),
        "current_price": price(float(forecasts.close[index, at])),
        "data_age_seconds": round((made_at_ms - open_ms - INTERVAL_MS) / 1000, 3),
        "degraded": bool(reasons),
        "reasons": reasons,
        "reason_details": {**forecasts.explain(reasons), **forecasts.notes(index, at)},
        "simulated": market.simulated,
    }


def _columns(shared: Mapping[str, Any], forecast: RangeForecast, position: int, k: int) -> dict[str, Any]:
    """All columns of one prediction."""
    high, low = ([f"{value:.8f}" for value in side[position, k].tolist()] for side in (forecast.high, forecast.low))
    horizon = int(forecast.horizons[k])
    return {
        **shared,
        "id": clock.new_id(),
        "horizon": horizon,
        "predicted_high": Decimal(high[MEDIAN]),
        "predicted_low": Decimal(low[MEDIAN]),
        "high_quantiles": high,
        "low_quantiles": low,
        "coverage": coverage.coverage_of(shared["market_id"], horizon),
    }


def cache_newest(rows: Iterable[PredictionLog], now_ms: int) -> None:
    """Cache the predictions of each market's newest candle, unless they have expired; call after the commit."""
    newest: dict[int, list[PredictionLog]] = {}
    for row in rows:
        kept = newest.get(row.market_id)
        if kept is None or row.candle_time > kept[0].candle_time:
            newest[row.market_id] = [row]
        elif row.candle_time == kept[0].candle_time:
            kept.append(row)
    by_open: dict[int, list[tuple[str, bytes]]] = {}
    for row in (row for kept in newest.values() for row in kept):
        open_ms = clock.to_ms(row.candle_time)
        if now_ms <= valid_until_ms(open_ms):
            by_open.setdefault(open_ms, []).append(cached(row))
    for open_ms, values in by_open.items():
        cache.write_ahead(values, open_ms)


def cached(row: PredictionLog) -> tuple[str, bytes]:
    """Cache key and value of one prediction."""
    key = cache.key_of(row.symbol, row.horizon, row.candle_time)
    return key, cache.with_market(prediction_bytes(row), row.market_id)
