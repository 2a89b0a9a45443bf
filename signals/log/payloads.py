"""JSON object of a signal row, the same in REST, Redis and the websocket."""

from collections.abc import Sequence
from typing import Any

import orjson

from marketdata.clock import iso
from marketdata.decimals import decimal_text
from marketdata.storage.text_rows import TextColumns, json_of
from predictions.payloads import in_key_order
from signals.models import SignalLog

LISTED = TextColumns(
    SignalLog,
    (
        "id", "seq", "symbol", "candle_time", "made_at", "valid_until", "signal_type", "confidence", "horizon",
        "entry_price", "considered_side", "take_profit", "stop_loss", "p_take_profit", "p_stop_loss", "p_neither",
        "p_break_even", "expected_net_return", "fee_rate", "reasons", "reason_details", "model_versions", "simulated",
        "outcome", "pnl_percent",
    ),
)  # fmt: skip
"""Columns of a signal in the order of its JSON."""


def signal_object(row: SignalLog, with_outcome: bool = True) -> dict[str, Any]:
    """Signal as a JSON object; `with_outcome` adds the outcome, which is only shown by REST."""
    body: dict[str, Any] = {
        "id": str(row.id),
        "seq": row.seq,
        "symbol": row.symbol,
        "candle_time": iso(row.candle_time),
        "made_at": iso(row.made_at),
        "valid_until": iso(row.valid_until),
        "signal_type": row.signal_type,
        "confidence": None if row.confidence is None else float(row.confidence),
        "horizon": row.horizon,
        "entry_price": decimal_text(row.entry_price),
        "considered_side": row.considered_side or None,
        "take_profit": decimal_text(row.take_profit),
        "stop_loss": decimal_text(row.stop_loss),
        "p_take_profit": row.p_take_profit,
        "p_stop_loss": row.p_stop_loss,
        "p_neither": row.p_neither,
        "p_break_even": row.p_break_even,
        "expected_net_return": row.expected_net_return,
        "fee_rate": row.fee_rate,
        "reasons": row.reasons,
        "reason_details": in_key_order(row.reason_details),
        "model_versions": in_key_order(row.model_versions),
        "simulated": row.simulated,
    }
    if with_outcome:
        body |= {
            "outcome": row.outcome,
            "pnl_percent": None if row.pnl_percent is None else float(row.pnl_percent),
        }
    return body


def listed_object(row: Sequence[Any]) -> dict[str, Any]:
    """The same JSON object, with its outcome, of a row of `LISTED`, for lists."""
    body = dict(zip(LISTED.names, row, strict=True))
    body["considered_side"] = body["considered_side"] or None
    for name in ("reasons", "reason_details", "model_versions"):
        body[name] = json_of(body[name])
    return body


def signal_bytes(row: SignalLog) -> bytes:
    """Encode one signal as published, without the outcome."""
    return orjson.dumps(signal_object(row, with_outcome=False))
