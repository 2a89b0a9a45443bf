"""Counts and latency of prediction requests, for Django and the fast road."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from marketdata import clock
from mlengine_project.operations.monitoring.counters import LATENCY, PREDICTIONS, REFUSALS, measures
from predictions.api.viewsets import PredictionViewSet


def count_prediction(symbol: str, horizon: int, seconds: float) -> None:
    """Count one answered prediction."""
    measures.add(PREDICTIONS, symbol=symbol, horizon=horizon)
    measures.observe(LATENCY, seconds)


def count_refusal(reasons: list[str]) -> None:
    """Count one refused prediction."""
    measures.add(REFUSALS, reason=reasons[0] if reasons else "UNKNOWN")


class CountedPredictionViewSet(PredictionViewSet):
    """The REST view of predictions, counted and timed."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Start the timer."""
        self.started = clock.monotonic()
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Count the result."""
        final: Response = super().finalize_response(request, response, *args, **kwargs)
        if request.method == "POST" and final.status_code == 200:
            count_prediction(request.data["symbol"], request.data["horizon"], clock.monotonic() - self.started)
        elif request.method == "POST" and isinstance(final.data, dict) and "reasons" in final.data:
            count_refusal(final.data["reasons"])
        return final
