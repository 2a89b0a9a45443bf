"""Whether a market's track record stands: chains of seals unbroken, every score what the candles say."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from indicators.errors import MLEngineError
from marketdata import clock
from marketdata.models import Market
from predictions import chain
from predictions.archive import PREDICTIONS, SealedLog, file_of, newest_cut, start_of
from predictions.archive_files import read_rows
from predictions.cursor import streamed_rows
from predictions.errors import ArchiveError, BrokenChain
from predictions.models import ChainCut, ChainHead
from predictions.outcomes import outcome_of as prediction_outcome
from predictions.seal import GENESIS
from predictions.windows import following_candles
from signals.archive import SIGNALS
from signals.outcomes import outcome_of as signal_outcome

CHUNK = 5000
TRIES = 5
"""How often a chain is walked again because it grew or was cut meanwhile."""


class BrokenRecord(MLEngineError):
    """A row that does not stand; the message names it."""


@dataclass(frozen=True)
class Verified:
    """What was looked at and stands."""

    predictions: int
    signals: int
    scored: int
    archived: int = 0


def verify_market(market: Market, archive: bool = False) -> Verified:
    """Check both logs of one market, and with `archive` the files of older rows as well.

    Raises
    ------
    BrokenRecord
        Naming the first row that does not stand.
    """
    try:
        archived, scored = _archive_stands(market) if archive else (0, 0)
        n_predictions, n_signals = _walk(market, PREDICTIONS), _walk(market, SIGNALS)
    except (BrokenChain, ArchiveError) as error:
        raise BrokenRecord(str(error)) from error
    predictions = PREDICTIONS.rows(market).filter(actual_high__isnull=False).order_by("candle_time")
    signals = SIGNALS.rows(market).filter(pnl_percent__isnull=False).order_by("candle_time")
    with streamed_rows(predictions, CHUNK) as said, streamed_rows(signals, CHUNK) as told:
        scored += _predictions_stand(market, said)
        scored += _signals_stand(market, told)
    return Verified(n_predictions, n_signals, scored, archived)


def _walk(market: Market, ledger: SealedLog) -> int:
    """Check the chain in the table, which may grow and be cut while it is read."""
    for _ in range(TRIES):
        cut, head = newest_cut(market, ledger.log), _head(market, ledger)
        start = start_of(cut)
        rows = ledger.rows(market).filter(chain_index__gt=start[0])
        try:
            with streamed_rows(rows, CHUNK) as found:
                return chain.check_chain(found, ledger.columns, head, start)
        except BrokenChain as error:
            broken = error
            now = _head(market, ledger)
            if newest_cut(market, ledger.log) == cut and (now and now.index) == (head and head.index):
                break
    raise broken


def _head(market: Market, ledger: SealedLog) -> ChainHead | None:
    return ChainHead.objects.filter(market=market, log=ledger.log).first()


def _archive_stands(market: Market) -> tuple[int, int]:
    """Check every file: its bytes, its place in the chain, its scores."""
    count = scored = 0
    for ledger, outcomes_stand in ((PREDICTIONS, _predictions_stand), (SIGNALS, _signals_stand)):
        start = (0, GENESIS)
        for cut in ChainCut.objects.filter(market=market, log=ledger.log).order_by("first_index"):
            path = file_of(cut)
            count += chain.check_chain(
                read_rows(path, ledger.model),
                ledger.columns,
                ChainHead(market=market, log=f"archived {ledger.log}", index=cut.index, seal=cut.seal),
                start,
            )
            scored += outcomes_stand(market, read_rows(path, ledger.model))
            start = start_of(cut)
    return count, scored


def _predictions_stand(market: Market, rows: Iterator[Any]) -> int:
    count = 0
    for part in _chunks(row for row in rows if row.actual_high is not None):
        opens = [clock.to_ms(row.candle_time) for row in part]
        after = following_candles(market, opens, max(row.horizon for row in part))
        for row, open_ms in zip(part, opens, strict=True):
            if after.state(open_ms, row.horizon) != "whole":
                raise BrokenRecord(f"prediction {row.pk}: it is scored, but candles of its horizon are missing")
            told = row.actual_high, row.actual_low, row.mae
            true = prediction_outcome(row, after, open_ms)
            if told != true:
                raise BrokenRecord(f"prediction {row.pk}: scored {_text(told)}, the candles say {_text(true)}")
        count += len(part)
    return count


def _signals_stand(market: Market, rows: Iterator[Any]) -> int:
    count = 0
    for part in _chunks(row for row in rows if row.pnl_percent is not None):
        opens = [clock.to_ms(row.candle_time) for row in part]
        after = following_candles(market, opens, max(row.horizon for row in part))
        for row, open_ms in zip(part, opens, strict=True):
            if after.state(open_ms, row.horizon) != "whole":
                raise BrokenRecord(f"signal {row.pk}: it is scored, but candles of its horizon are missing")
            told = row.outcome, row.pnl_percent
            true = signal_outcome(row, after, open_ms, row.exit_rule)
            if told != true:
                raise BrokenRecord(f"signal {row.pk}: scored {_text(told)}, the candles say {_text(true)}")
        count += len(part)
    return count


def _text(values: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in values)


def _chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while part := list(islice(rows, CHUNK)):
        yield part
