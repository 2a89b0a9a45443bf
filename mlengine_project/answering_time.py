"""Counting what callers were answered: the one place both roads of POST /predictions pass."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from marketdata import clock
from mlengine_project.operations.measures import LATENCY, PREDICTIONS, REFUSALS, measures
from predictions.viewsets import PredictionViewSet


def note_answer(symbol: str, horizon: int, seconds: float) -> None:
    """One prediction was given."""
    measures.add(PREDICTIONS, symbol=symbol, horizon=horizon)
    measures.observe(LATENCY, seconds)


def note_refusal(reasons: list[str]) -> None:
    """One prediction was refused."""
    measures.add(REFUSALS, reason=reasons[0] if reasons else "UNKNOWN")


class CountedPredictionViewSet(PredictionViewSet):
    """The predictions of REST, counted and timed."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Start the watch."""
        self.started = clock.monotonic()
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Count what became of it."""
        final: Response = super().finalize_response(request, response, *args, **kwargs)
        if request.method == "POST" and final.status_code == 200:
            note_answer(request.data["symbol"], request.data["horizon"], clock.monotonic() - self.started)
        elif request.method == "POST" and isinstance(final.data, dict) and "reasons" in final.data:
            note_refusal(final.data["reasons"])
        return final
