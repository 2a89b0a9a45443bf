"""Health report of predictions: markets whose out-of-distribution flags are suppressed."""

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext

from predictions.log.queries import suppressed_counts

OVER = timedelta(hours=1)


def report() -> dict[str, Any]:
    """Status, message and the markets whose out-of-distribution flags are suppressed."""
    symbols = sorted(suppressed_counts(OVER))
    details: dict[str, Any] = {"detector_distrusted": symbols}
    if symbols:
        text = gettext("too many candles are flagged as out of distribution, so the flags are suppressed: %(markets)s")
        return {"status": "degraded", "message": text % {"markets": ", ".join(symbols)}, **details}
    return {"status": "healthy", "message": "", **details}
