"""Health report of predictions: markets whose out-of-distribution flags are suppressed."""

from datetime import timedelta
from typing import Any

from predictions.log.queries import suppressed_counts

OVER = timedelta(hours=1)


def report() -> dict[str, Any]:
    """Status, message and the markets whose out-of-distribution flags are suppressed."""
    symbols = sorted(suppressed_counts(OVER))
    details: dict[str, Any] = {"detector_distrusted": symbols}
    if symbols:
        text = "too many candles are flagged as out of distribution, so the flags are suppressed"
        return {"status": "degraded", "message": f"{text}: {', '.join(symbols)}", **details}
    return {"status": "healthy", "message": "", **details}
