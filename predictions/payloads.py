"""JSON object of a prediction row, the same in REST, cache and files."""

import math
from typing import Any

import orjson

from marketdata.clock import iso
from marketdata.decimals import decimal_text
from modelregistry.estimators.forecast import BANDS
from predictions.models import PredictionLog


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
        "bands": [
            {
                "level": share,
                "high": {"lower": row.high_quantiles[lower], "upper": row.high_quantiles[upper]},
                "low": {"lower": row.low_quantiles[lower], "upper": row.low_quantiles[upper]},
            }
            for share, lower, upper in BANDS
        ],
        "coverage": [{name: band[name] for name in ("level", "high", "low", "n")} for band in row.coverage],
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


def prediction_bytes(row: PredictionLog) -> bytes:
    """Encode one prediction as the exact bytes of the REST response."""
    return orjson.dumps(prediction_object(row))
