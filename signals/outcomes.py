"""Outcomes of signals: the level reached first, and the net return after fees."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
from django.db.models import Q

from indicators.barriers import Touch, first_touch
from marketdata import clock
from marketdata.intervals import INTERVAL_MS
from predictions.market_windows import FollowingCandles
from predictions.scoring.outcomes import FINAL_AFTER_MS, Scored, ScoredLog, due_ms, reopen_revised
from signals.models import SignalLog

PNL_STEP = Decimal("0.0001")
STOPS_AT_LEVEL, GAPPED_STOPS_AT_OPEN = 1, 2
"""Exit rules: a stop is filled at its level; or at the open of a candle that opens beyond it."""
_OUTCOMES = {
    Touch.TAKE_PROFIT: SignalLog.Outcome.TAKE_PROFIT,
    Touch.STOP_LOSS: SignalLog.Outcome.STOP_LOSS,
    Touch.NEITHER: SignalLog.Outcome.TIMEOUT,
    Touch.VOID: SignalLog.Outcome.VOID,
}


@dataclass(frozen=True)
class NetResult:
    """Net result of the signals of one market, horizon and version."""

    n: int
    mean_percent: float
    total_percent: float


def score_signals() -> Scored:
    """Score every buy and sell whose horizon has closed."""
    now_ms = clock.market_ms()
    reopen_revised(SignalLog.objects.all())
    acted = SignalLog.objects.filter(outcome_final=False).exclude(signal_type=SignalLog.Type.HOLD)
    rows = acted.filter(candle_time__lt=clock.to_datetime(now_ms - 2 * INTERVAL_MS)).select_related("market")
    return SIGNALS.score((row for row in rows.order_by("market_id", "candle_time") if _is_due(row, now_ms)), now_ms)


def _write(row: SignalLog, after: FollowingCandles, open_ms: int) -> None:
    row.outcome, row.pnl_percent = outcome_of(row, after, open_ms)
    row.exit_rule = GAPPED_STOPS_AT_OPEN


def _write_absent(row: SignalLog) -> None:
    # Without candles at the exchange the first level is unknown, and no trade was possible.
    row.outcome, row.pnl_percent, row.exit_rule = SignalLog.Outcome.VOID, None, GAPPED_STOPS_AT_OPEN


SIGNALS = ScoredLog(SignalLog, ("outcome", "pnl_percent", "exit_rule"), _write, _write_absent)


def outcome_of(
    row: SignalLog, after: FollowingCandles, open_ms: int, rule: int = GAPPED_STOPS_AT_OPEN
) -> tuple[str, Decimal | None]:
    """First touch after entry at the next open, and its net return in percent.

    `rule` is the exit rule of the row: rows that were final before a rule changed keep theirs.
    """
    assert row.horizon is not None
    assert row.take_profit is not None
    assert row.stop_loss is not None
    touched = first_touch(
        *(after.floats(name, open_ms, row.horizon) for name in ("open", "high", "low", "close")),
        side="buy" if row.signal_type == SignalLog.Type.BUY else "sell",
        take_profit=np.array([float(row.take_profit)]),
        stop_loss=np.array([float(row.stop_loss)]),
    )
    outcome = _OUTCOMES[Touch(int(touched.outcome[0]))]
    if outcome == SignalLog.Outcome.VOID:
        return outcome, None
    entry = after.price("open", open_ms, 1)
    sign = 1 if row.signal_type == SignalLog.Type.BUY else -1
    exit_price = {
        SignalLog.Outcome.TAKE_PROFIT: row.take_profit,
        SignalLog.Outcome.STOP_LOSS: row.stop_loss,
        SignalLog.Outcome.TIMEOUT: after.price("close", open_ms, row.horizon),
    }[outcome]
    if outcome == SignalLog.Outcome.STOP_LOSS and rule >= GAPPED_STOPS_AT_OPEN:
        opened = after.price("open", open_ms, int(touched.candles[0]))
        exit_price = min(exit_price, opened) if sign > 0 else max(exit_price, opened)
    earned = (sign * (exit_price - entry) / entry - 2 * Decimal(str(row.fee_rate))) * 100
    return outcome, earned.quantize(PNL_STEP, ROUND_HALF_EVEN)


def net_results(
    since: datetime | None = None, market_ids: Iterable[int] | None = None
) -> dict[tuple[int, int, str], NetResult]:
    """NetResult result of scored signals by market, horizon and version of the range predictor."""
    wanted = Q(pnl_percent__isnull=False)
    if since is not None:
        wanted &= Q(candle_time__gte=since)
    if market_ids is not None:
        wanted &= Q(market_id__in=list(market_ids))
    found: dict[tuple[int, int, str], list[Decimal]] = {}
    columns = "market_id", "horizon", "model_versions", "pnl_percent"
    for market_id, horizon, versions, pnl in SignalLog.objects.filter(wanted).order_by().values_list(*columns):
        found.setdefault((market_id, horizon, str(versions.get("range_predictor", ""))), []).append(pnl)
    return {
        key: NetResult(len(earned), float(sum(earned) / len(earned)), float(sum(earned)))
        for key, earned in found.items()
    }


def _is_due(row: SignalLog, now_ms: int) -> bool:
    """Whether an outcome is due for the first time or can become final."""
    at = due_ms(clock.to_ms(row.candle_time), row.horizon or 0)
    return now_ms >= at if row.outcome is None else now_ms >= at + FINAL_AFTER_MS
