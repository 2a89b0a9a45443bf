"""What this app says of itself: is the measure of strangeness believed."""

from datetime import timedelta
from typing import Any

from predictions.log import unbelieved

OVER = timedelta(hours=1)


def report() -> dict[str, Any]:
    """Markets whose newest candles were called strange by a measure that cried too often to be believed."""
    symbols = sorted(unbelieved(OVER))
    said: dict[str, Any] = {"detector_distrusted": symbols}
    if symbols:
        words = "the measure of distance to the training set calls too much strange and is not believed"
        return {"status": "degraded", "message": f"{words}: {', '.join(symbols)}", **said}
    return {"status": "healthy", "message": "", **said}
