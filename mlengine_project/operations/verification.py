"""Verification of a market's track record: seal chains and recomputed scores."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from indicators.errors import MLEngineError
from marketdata import clock
from marketdata.models import Market
from predictions.errors import ArchiveError, BrokenChain
from predictions.log import chain
from predictions.log.archive import PREDICTIONS, SealedLog, file_of, newest_cut, start_of
from predictions.log.archive_files import read_rows
from predictions.log.cursor import streamed_rows
from predictions.log.seal import GENESIS
from predictions.market_windows import FollowingCandles, following_candles
from predictions.models import ChainCut, ChainHead, PredictionLog
from predictions.scoring.outcomes import outcome_of as prediction_outcome
from signals.log.archive import SIGNALS
from signals.models import SignalLog
from signals.outcomes import outcome_of as signal_outcome

CHUNK = 5000
ATTEMPTS = 5
"""Attempts to check a chain that grows or is cut meanwhile."""


class BrokenRecord(MLEngineError):
    """A row failed verification; the message names it."""


@dataclass(frozen=True)
class Verified:
    """Numbers of verified rows."""

    predictions: int
    signals: int
    scored: int
    archived: int = 0


def verify_market(market: Market, archive: bool = False) -> Verified:
    """Verify both logs of one market, and with `archive` the files of older rows.

    Raises
    ------
    BrokenRecord
        Naming the first row that fails.
    """
    try:
        archived, scored = _verify_archive(market) if archive else (0, 0)
        n_predictions, n_signals = _walk(market, PREDICTIONS), _walk(market, SIGNALS)
    except (BrokenChain, ArchiveError) as error:
        raise BrokenRecord(str(error)) from error
    predictions = PREDICTIONS.rows(market).filter(actual_high__isnull=False).order_by("candle_time")
    signals = SIGNALS.rows(market).filter(pnl_percent__isnull=False).order_by("candle_time")
    with streamed_rows(predictions, CHUNK) as prediction_rows, streamed_rows(signals, CHUNK) as signal_rows:
        scored += _verify_predictions(market, prediction_rows)
        scored += _verify_signals(market, signal_rows)
    return Verified(n_predictions, n_signals, scored, archived)


def _walk(market: Market, ledger: SealedLog) -> int:
    """Verify the chain in the table, which may grow and be cut while it is read."""
    for _ in range(ATTEMPTS):
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


def _verify_archive(market: Market) -> tuple[int, int]:
    """Verify every archive file: its bytes, its position in the chain, its scores."""
    count = scored = 0
    for ledger, verify_rows in ((PREDICTIONS, _verify_predictions), (SIGNALS, _verify_signals)):
        start = (0, GENESIS)
        for cut in ChainCut.objects.filter(market=market, log=ledger.log).order_by("first_index"):
            path = file_of(cut)
            count += chain.check_chain(
                read_rows(path, ledger.model),
                ledger.columns,
                ChainHead(market=market, log=f"archived {ledger.log}", index=cut.index, seal=cut.seal),
                start,
            )
            scored += verify_rows(market, read_rows(path, ledger.model))
            start = start_of(cut)
    return count, scored


def _verify_predictions(market: Market, rows: Iterator[PredictionLog]) -> int:
    scored = (row for row in rows if row.actual_high is not None)
    return _recompute(
        market, "prediction", scored, lambda row: (row.actual_high, row.actual_low, row.mae), prediction_outcome
    )


def _verify_signals(market: Market, rows: Iterator[SignalLog]) -> int:
    scored = (row for row in rows if row.pnl_percent is not None)
    return _recompute(
        market,
        "signal",
        scored,
        lambda row: (row.outcome, row.pnl_percent),
        lambda row, after, open_ms: signal_outcome(row, after, open_ms, row.exit_rule),
    )


def _recompute(
    market: Market,
    noun: str,
    rows: Iterator[Any],
    stored_of: Callable[[Any], tuple[object, ...]],
    outcome_of: Callable[[Any, FollowingCandles, int], tuple[object, ...]],
) -> int:
    count = 0
    for part in _chunks(rows):
        opens = [clock.to_ms(row.candle_time) for row in part]
        after = following_candles(market, opens, max(row.horizon for row in part))
        for row, open_ms in zip(part, opens, strict=True):
            if after.state(open_ms, row.horizon) != "whole":
                raise BrokenRecord(f"{noun} {row.pk}: it is scored, but candles of its horizon are missing")
            stored, recomputed = stored_of(row), outcome_of(row, after, open_ms)
            if stored != recomputed:
                raise BrokenRecord(f"{noun} {row.pk}: scored {_text(stored)}, recomputed {_text(recomputed)}")
        count += len(part)
    return count


def _text(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)


def _chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while part := list(islice(rows, CHUNK)):
        yield part
