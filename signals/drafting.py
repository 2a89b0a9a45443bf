"""Drafts of signals from a forecast batch, before they are written to the log."""

from dataclasses import dataclass, field

import numpy as np
from django.conf import settings

from marketdata.models import Market
from modelregistry.estimators.ensemble import Ensemble
from modelregistry.estimators.kinds import RANGE, TPSL
from predictions import reasons as codes
from predictions.forecasting.forecast_batch import ForecastBatch
from predictions.forecasting.pricing import PricedBrackets
from predictions.payloads import finite
from predictions.reasons import in_order
from predictions.validity import valid_until_ms
from signals import rules
from signals.kill_switch import hold_reason


@dataclass(frozen=True)
class Draft:
    """Signal of one candle, without the columns of its place in the log."""

    market: Market
    open_ms: int
    close: float
    signal_type: str = "hold"
    horizon: int | None = None
    considered_side: str = ""
    bracket: dict[str, float] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    reason_details: dict[str, str] = field(default_factory=dict)
    model_versions: dict[str, str] = field(default_factory=dict)


def draft(batch: ForecastBatch, now_ms: int, switched_off: dict[str, str]) -> list[Draft]:
    """Draft the signals of a batch; `switched_off` are the symbols switched off by an operator."""
    decisions = decide_batch(batch)
    mismatch = horizon_mismatch(batch.ensemble)
    drafts = []
    for index, row, market, open_ms in batch.candles():
        reasons = batch.forecasts.refusals(index, row, (RANGE, TPSL)) or batch.forecasts.degraded(index, row)
        details = batch.forecasts.explain(reasons)
        if mismatch:
            reasons.append(codes.NO_CHAMPION)
            details.setdefault(codes.NO_CHAMPION, mismatch)
        if now_ms > valid_until_ms(open_ms):
            reasons.append(codes.LATE)
        hold_text = hold_reason(market, switched_off)
        if hold_text is not None:
            reasons.append(codes.KILL_SWITCH)
            details[codes.KILL_SWITCH] = hold_text
        one = Draft(
            market,
            open_ms,
            float(batch.forecasts.close[index, row]),
            reasons=in_order(reasons),
            reason_details={code: details.get(code, codes.REASON_TEXTS[code]) for code in in_order(reasons)},
            model_versions=dict(batch.ensemble.versions) if batch.ensemble else {},
        )
        if not reasons and decisions is not None:
            one = _decided(one, decisions, int(batch.forecasts.position[index, row]))
        drafts.append(one)
    return drafts


def decide_batch(batch: ForecastBatch) -> rules.Decisions | None:
    """Apply the rules to every forecast row; None if a needed champion is missing."""
    forecasts, ensemble = batch.forecasts, batch.ensemble
    if ensemble is None or forecasts.ranges is None or forecasts.brackets is None or not ensemble.common_horizons:
        return None
    return rules.decide(
        forecasts.brackets,
        forecasts.ranges,
        forecasts.inputs.close,
        horizons=ensemble.common_horizons,
        fee_rate=settings.FEE_RATE,
        slippage_bps=settings.SLIPPAGE_BPS,
        direction=ensemble.signal.predict(forecasts.inputs.features) if ensemble.signal is not None else None,
    )


def horizon_mismatch(ensemble: Ensemble | None) -> str:
    """Text on range and bracket champions without a common horizon; otherwise empty."""
    if ensemble is None or ensemble.range_predictor is None or ensemble.tpsl is None or ensemble.common_horizons:
        return ""
    ranges, brackets = (
        ", ".join(map(str, horizons)) for horizons in (ensemble.range_predictor.horizons, ensemble.tpsl.horizons)
    )
    return f"the champions share no horizon: ranges are for {ranges} candles, brackets for {brackets}"


def edge_text(decisions: rules.Decisions, at: int) -> str:
    """Text on the condition of the rules that the best bracket did not meet."""
    best = decisions.best
    net, lower = float(best.expected_net_return[at]), float(best.lower_bound[at])
    bracket = f"the best of all brackets ({decisions.side[at]}, {int(decisions.horizon[at])} candles)"
    if net <= 0:
        return (
            f"{bracket} is expected to return {net:+.4%} after costs; a take-profit would have to be reached first "
            f"with probability {float(best.p_break_even[at]):.3f}, it is with {float(best.p_take_profit[at]):.3f}"
        )
    if lower <= 0:
        return (
            f"{bracket} is expected to return {net:+.4%} after costs, but that is not certain enough: the lower bound "
            f"of the expectation is {lower:+.4%}"
        )
    return f"{bracket} is expected to return {net:+.4%} after costs, but the signal classifier favours the other side"


def _decided(one: Draft, decisions: rules.Decisions, at: int) -> Draft:
    side, emitted = decisions.side[at], bool(decisions.emitted[at])
    bracket = bracket_of(decisions.best, at)
    return Draft(
        one.market,
        one.open_ms,
        one.close,
        signal_type=side if emitted else "hold",
        horizon=int(decisions.horizon[at]),
        considered_side=side,
        bracket=bracket,
        reasons=[] if emitted else [codes.NO_EDGE_AFTER_FEES],
        reason_details={} if emitted else {codes.NO_EDGE_AFTER_FEES: edge_text(decisions, at)},
        model_versions=one.model_versions,
    )


def bracket_of(priced: PricedBrackets, at: int) -> dict[str, float]:
    """Columns of one bracket; non-finite values are left out."""
    names = "take_profit", "stop_loss", "p_take_profit", "p_stop_loss", "p_neither", "p_break_even"
    columns = {name: finite(float(np.asarray(getattr(priced, name))[at])) for name in (*names, "expected_net_return")}
    return {name: value for name, value in columns.items() if value is not None}
