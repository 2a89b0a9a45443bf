"""Refusals of prediction requests, with texts and Retry-After."""

from collections.abc import Mapping, Sequence
from typing import NoReturn

from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from marketdata.storage import candles
from modelregistry.estimators.ensemble import Ensemble
from predictions import reasons as codes
from predictions.errors import PredictionRefused
from predictions.forecasting.forecasts import UNTRAINED
from predictions.validity import valid_until_ms


def newest_candle(market: Market, ensemble: Ensemble | None, kind: str) -> tuple[Ensemble, int]:
    """Champions and open time in ms of the newest stored candle, if still valid.

    Raises
    ------
    PredictionRefused
        Without a champion of that kind for the market, without any candle, or past the candle's validity.
    """
    if ensemble is None:
        refuse([codes.NO_CHAMPION])
    if market.symbol not in ensemble.symbols.get(kind, ()):
        refuse([codes.NO_CHAMPION], {codes.NO_CHAMPION: UNTRAINED} if kind in ensemble.versions else None)
    open_ms = candles.newest_open([market])[market.pk]
    if open_ms is None:
        refuse([codes.WARMUP])
    if clock.market_ms() > valid_until_ms(open_ms):
        refuse([codes.STALE_DATA])
    return ensemble, open_ms


def refuse(reasons: Sequence[str], details: Mapping[str, str] | None = None) -> NoReturn:
    """Raise a refusal with the texts of its reasons."""
    texts = [(details or codes.REASON_TEXTS).get(code, codes.REASON_TEXTS[code]) for code in reasons]
    raise PredictionRefused(list(reasons), "; ".join(texts), retry_after_seconds())


def retry_after_seconds() -> int:
    """Wall seconds until the next candle is closed and forecast."""
    left_ms = INTERVAL_MS - clock.market_ms() % INTERVAL_MS + 3_000
    return max(1, round(clock.wall_seconds(left_ms / 1000)))
