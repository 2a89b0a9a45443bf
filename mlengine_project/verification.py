"""Whether a market's track record stands: chains of seals unbroken, every score what the candles say."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from indicators.errors import MLEngineError
from marketdata import clock
from marketdata.models import Market
from predictions import chain
from predictions.errors import BrokenChain
from predictions.models import ChainHead, PredictionLog
from predictions.outcomes import outcome_of as prediction_outcome
from predictions.windows import aftermath
from signals.models import SignalLog
from signals.outcomes import outcome_of as signal_outcome

CHUNK = 5000


class BrokenRecord(MLEngineError):
    """A row that does not stand; the message names it."""


@dataclass(frozen=True)
class Verified:
    """What was looked at and stands."""

    predictions: int
    signals: int
    scored: int


def verify_market(market: Market) -> Verified:
    """Check both logs of one market.

    Raises
    ------
    BrokenRecord
        Naming the first row that does not stand.
    """
    predictions = PredictionLog.objects.filter(market=market)
    signals = SignalLog.objects.filter(market=market)
    try:
        n_predictions = _walk(market, ChainHead.Log.PREDICTIONS, predictions, chain.PREDICTION_COLUMNS)
        n_signals = _walk(market, ChainHead.Log.SIGNALS, signals, chain.SIGNAL_COLUMNS)
    except BrokenChain as error:
        raise BrokenRecord(str(error)) from error
    scored = _predictions_stand(market, predictions.filter(actual_high__isnull=False).order_by("candle_time"))
    scored += _signals_stand(market, signals.filter(pnl_percent__isnull=False).order_by("candle_time"))
    return Verified(n_predictions, n_signals, scored)


def _walk(market: Market, log: str, rows: Any, columns: tuple[str, ...]) -> int:
    head = ChainHead.objects.filter(market=market, log=log).first()
    return chain.check_chain(rows.order_by("chain_index").iterator(CHUNK), columns, head)


def _predictions_stand(market: Market, rows: Any) -> int:
    count = 0
    for part in _chunks(rows.iterator(CHUNK)):
        opens = [clock.to_ms(row.candle_time) for row in part]
        after = aftermath(market, opens, max(row.horizon for row in part))
        for row, open_ms in zip(part, opens, strict=True):
            if after.state(open_ms, row.horizon) != "whole":
                raise BrokenRecord(f"prediction {row.pk}: it is scored, but candles of its horizon are missing")
            told = row.actual_high, row.actual_low, row.mae
            true = prediction_outcome(row, after, open_ms)
            if told != true:
                raise BrokenRecord(f"prediction {row.pk}: scored {_text(told)}, the candles say {_text(true)}")
        count += len(part)
    return count


def _signals_stand(market: Market, rows: Any) -> int:
    count = 0
    for part in _chunks(rows.iterator(CHUNK)):
        opens = [clock.to_ms(row.candle_time) for row in part]
        after = aftermath(market, opens, max(row.horizon for row in part))
        for row, open_ms in zip(part, opens, strict=True):
            if after.state(open_ms, row.horizon) != "whole":
                raise BrokenRecord(f"signal {row.pk}: it is scored, but candles of its horizon are missing")
            told = row.outcome, row.pnl_percent
            true = signal_outcome(row, after, open_ms)
            if told != true:
                raise BrokenRecord(f"signal {row.pk}: scored {_text(told)}, the candles say {_text(true)}")
        count += len(part)
    return count


def _text(values: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in values)


def _chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while part := list(islice(rows, CHUNK)):
        yield part
