"""JSON object of a prediction row, the same in REST, cache and files."""

import math
from collections.abc import Sequence
from typing import Any

import orjson

from marketdata.clock import iso
from marketdata.decimals import decimal_text
from marketdata.storage.text_rows import TextColumns, json_of
from modelregistry.estimators.forecast import BANDS
from predictions.models import PredictionLog

LISTED = TextColumns(
    PredictionLog,
    (
        "id", "symbol", "horizon", "candle_time", "made_at", "valid_until", "current_price", "predicted_high",
        "predicted_low", "high_quantiles", "low_quantiles", "coverage", "model_versions", "data_age_seconds",
        "degraded", "reasons", "reason_details", "simulated", "actual_high", "actual_low", "mae",
    ),
)  # fmt: skip
"""Columns of a prediction in the order of its JSON, where the quantiles are bands."""


def in_key_order(kept: dict[str, Any]) -> dict[str, Any]:
    """Sort the keys of a small JSON object.

    PostgreSQL stores keys in its own order, and the bytes must not depend on it.

    >>> in_key_order({"b": 1, "a": 2})
    {'a': 2, 'b': 1}
    """
    return dict(sorted(kept.items()))


def finite(value: float) -> float | None:
    """Replace NaN and infinity by None.

    >>> finite(0.5), finite(float("nan"))
    (0.5, None)
    """
    return float(value) if math.isfinite(value) else None


def prediction_object(row: PredictionLog) -> dict[str, Any]:
    """Prediction as the JSON object of the REST API."""
    return {
        "id": str(row.id),
        "symbol": row.symbol,
        "horizon": row.horizon,
        "candle_time": iso(row.candle_time),
        "made_at": iso(row.made_at),
        "valid_until": iso(row.valid_until),
        "current_price": decimal_text(row.current_price),
        "predicted_high": decimal_text(row.predicted_high),
        "predicted_low": decimal_text(row.predicted_low),
        "bands": bands_of(row.high_quantiles, row.low_quantiles),
        "coverage": in_band_order(row.coverage),
        "model_versions": in_key_order(row.model_versions),
        "data_age_seconds": row.data_age_seconds,
        "degraded": row.degraded,
        "reasons": row.reasons,
        "reason_details": in_key_order(row.reason_details),
        "simulated": row.simulated,
        "actual_high": decimal_text(row.actual_high),
        "actual_low": decimal_text(row.actual_low),
        "mae": None if row.mae is None else float(row.mae),
    }


def listed_object(row: Sequence[Any]) -> dict[str, Any]:
    """The same JSON object of a row of `LISTED`, for lists."""
    body: dict[str, Any] = {}
    for name, value in zip(LISTED.names, row, strict=True):
        match name:
            case "high_quantiles":
                high = orjson.loads(value)
            case "low_quantiles":
                body["bands"] = bands_of(high, orjson.loads(value))
            case "coverage":
                body[name] = in_band_order(orjson.loads(value))
            case "model_versions" | "reasons" | "reason_details":
                body[name] = json_of(value)
            case _:
                body[name] = value
    return body


def bands_of(high_quantiles: Sequence[str], low_quantiles: Sequence[str]) -> list[dict[str, Any]]:
    """Bands of the highest high and lowest low between stored quantiles."""
    return [
        {
            "level": share,
            "high": {"lower": high_quantiles[lower], "upper": high_quantiles[upper]},
            "low": {"lower": low_quantiles[lower], "upper": low_quantiles[upper]},
        }
        for share, lower, upper in BANDS
    ]


def in_band_order(coverage: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stored coverage with its keys in the order of JSON."""
    return [{name: band[name] for name in ("level", "high", "low", "n")} for band in coverage]


def prediction_bytes(row: PredictionLog) -> bytes:
    """Encode one prediction as the exact bytes of the REST response."""
    return orjson.dumps(prediction_object(row))
