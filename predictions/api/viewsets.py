"""REST views of /predictions, /brackets, /touches and /track-record."""

from collections.abc import Callable
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from predictions import services
from predictions.api.serializers import (
    BracketRequest,
    BracketSerializer,
    PredictionQuery,
    PredictionRequest,
    PredictionSerializer,
    ScoreSerializer,
    TouchesSerializer,
    TouchRequest,
    TrackRecordQuery,
)
from predictions.forecasting import bracket_queries
from predictions.log import queries as log
from predictions.models import PredictionLog
from predictions.payloads import LISTED, listed_object, prediction_object
from predictions.scoring.scoreboard import scoreboard
from predictions.scoring.track_record import NetOf

NEWEST_KEY = ("symbol", "horizon")
"""Key of one of the newest predictions."""
SCORE_KEY = ("symbol", "simulated", "horizon", "version")
"""Key of one row of the track record."""


class PredictionViewSet(viewsets.GenericViewSet):
    """Predictions of the champions and their log."""

    required_scope = {"GET": "read", "POST": "predict"}
    rate_bucket = "predictions"
    queryset = PredictionLog.objects.none()
    serializer_class = PredictionSerializer
    queries: ClassVar = {"list": PredictionQuery}

    @extend_schema(request=PredictionRequest, responses={200: PredictionSerializer})
    def create(self, request: Request) -> Response:
        """The prediction for the newest stored closed candle; the same candle gives the same prediction."""
        fields = _checked(PredictionRequest, request)
        return Response(services.latest_prediction(fields["symbol"], fields["horizon"]))

    @extend_schema(responses=PredictionSerializer(many=True))
    def list(self, request: Request) -> Response:
        """The log, newest first; outcomes are filled in as they fall due."""
        query = PredictionQuery.of(request)
        if query.pop("latest", False):
            newest = log.newest(query.get("symbol"), query.get("horizon"))
            rows = [prediction_object(row) for row in newest]
            return _paged(self, rows, NEWEST_KEY)
        found = log.logged(query.get("symbol"), query.get("horizon"), query.get("from"), query.get("to"))
        paginator: Any = self.paginator  # the engine's own class, which can also page texts
        page = paginator.paginate_texts(found, LISTED, request, self)
        return self.get_paginated_response([listed_object(row) for row in page])

    @extend_schema(responses=PredictionSerializer)
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002
        """One row of the log."""
        return Response(prediction_object(get_object_or_404(PredictionLog, pk=id)))


class BracketViewSet(viewsets.ViewSet):
    """Pricing of brackets around the newest close."""

    required_scope = "predict"

    @extend_schema(request=BracketRequest, responses={200: BracketSerializer})
    def create(self, request: Request) -> Response:
        """Probabilities of either level and of neither, and the expected net return."""
        return Response(bracket_queries.brackets(**_checked(BracketRequest, request)))


class TouchViewSet(viewsets.ViewSet):
    """Probabilities that prices are reached."""

    required_scope = "predict"

    @extend_schema(request=TouchRequest, responses={200: TouchesSerializer})
    def create(self, request: Request) -> Response:
        """The probability that each price is reached within the horizon."""
        return Response(bracket_queries.touches(**_checked(TouchRequest, request)))


class TrackRecordViewSet(viewsets.GenericViewSet):
    """Track record of the predictions."""

    required_scope = "read"
    queryset = PredictionLog.objects.none()
    serializer_class = ScoreSerializer
    queries: ClassVar = {"list": TrackRecordQuery}
    net_results: Callable[..., NetOf] | None = None
    """Net results of signals, set by the composition root: this app must not import `signals`."""

    @extend_schema(responses=ScoreSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Error, skill against baselines, coverage, calibration and net result; at most a minute old."""
        query = TrackRecordQuery.of(request)
        version = str(query["version"]) if "version" in query else None
        results = scoreboard(query.get("symbol"), query.get("horizon"), version, query.get("since"), self.net_results)
        return _paged(self, results, SCORE_KEY)


def _paged(view: viewsets.GenericViewSet[Any], rows: list[dict[str, Any]], names: tuple[str, ...]) -> Response:
    """Page of rows without a queryset; `names` are the key of a row."""
    paginator: Any = view.paginator  # the engine's own class, which can also page rows
    return view.get_paginated_response(paginator.paginate_rows(rows, names, view.request))


def _checked(shape: Any, request: Request) -> dict[str, Any]:
    body = shape(data=request.data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)
